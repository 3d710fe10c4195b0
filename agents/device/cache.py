"""Models on the device, by digest. A model is visible only once it is complete and verified."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path

from profiler.errors import DeviceError

COMPLETE = -1
DIGEST = re.compile(r"[0-9a-f]{64}")
READ_BYTES = 4 * 2**20


def _append(part: Path, have: int, chunk: bytes) -> None:
    """All of the chunk, or an error and none of it."""
    # Without a buffer, which would be written once more when the file is closed.
    with part.open("ab", buffering=0) as file:
        try:
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except OSError:
            # A chunk cut short would be counted as part of the model.
            os.truncate(part, have)
            raise


class ModelCache:
    """``models/DIGEST``, and ``models/DIGEST.part`` while one arrives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # A call that its caller has given up may still be at work when the next one comes.
        self._appending = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Raises:
        DeviceError: that is no digest, so it must not become a path.
        """
        if not DIGEST.fullmatch(digest):
            raise DeviceError(f"{digest!r} is no SHA-256 digest")
        return self._directory / digest

    def _part(self, digest: str) -> Path:
        return self.path(digest).with_suffix(".part")

    def digests(self) -> tuple[str, ...]:
        return tuple(sorted(p.name for p in self._directory.iterdir() if DIGEST.fullmatch(p.name)))

    def offset(self, digest: str) -> int:
        """Bytes that have arrived, so that an interrupted transfer goes on; ``COMPLETE`` if all."""
        if self.path(digest).exists():
            return COMPLETE
        part = self._part(digest)
        return part.stat().st_size if part.exists() else 0

    def append(self, digest: str, size: int, offset: int, chunk: bytes) -> None:
        """Take a chunk; the last one completes the model, if its digest is right.

        Raises:
            DeviceError: the chunk does not follow the last one, or the digest is wrong; in the
                latter case what arrived is dropped.
            OSError: the disk is full.
        """
        with self._appending:
            if self.path(digest).exists():
                return
            part = self._part(digest)
            have = part.stat().st_size if part.exists() else 0
            if offset != have:
                raise DeviceError(f"chunk at {offset} does not follow the {have} bytes here")
            _append(part, have, chunk)
            if have + len(chunk) >= size:
                self._complete(digest, part)

    def _complete(self, digest: str, part: Path) -> None:
        found = hashlib.sha256()
        with part.open("rb") as file:
            while data := file.read(READ_BYTES):
                found.update(data)
        if found.hexdigest() != digest:
            part.unlink()
            raise DeviceError(f"the model arrived damaged: digest {found.hexdigest()[:12]}…")
        part.replace(self.path(digest))
