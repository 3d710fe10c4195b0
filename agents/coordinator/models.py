"""Model files by the SHA-256 of their bytes. What is in the store was inspected and is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from profiler.artifact import inspect_artifact

from profiler.errors import InputError
from profiler.spec import ArtifactRef

MAX_BYTES = 8 * 2**30
CHUNK_BYTES = 8 * 2**20


class ModelStore:
    """A directory ``ab/abcdef…`` of files that are never changed once they have their name."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._incoming = directory / "incoming"
        self._max_bytes = max_bytes

    def prepare(self) -> None:
        """Make the directories and drop what an interrupted upload left."""
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():
            leftover.unlink()

    def path(self, digest: str) -> Path:
        return self._directory / digest[:2] / digest

    def add(self, chunks: Iterable[bytes], name: str) -> ArtifactRef:
        """Store a model file.

        Args:
            chunks: the bytes.
            name: the file's name, whose extension must agree with what the file is.

        Raises:
            ArtifactError: the file is refused; nothing is stored.
            InputError: it is too large.
            OSError: the disk is full or cannot be written; nothing is stored.
        """
        incoming = self._incoming / secrets.token_hex(16)
        try:
            self._receive(incoming, chunks, name)
            ref = inspect_artifact(incoming, name)
            target = self.path(ref.digest)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)
        return ref

    def _receive(self, path: Path, chunks: Iterable[bytes], name: str) -> None:
        size = 0
        with path.open("xb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise InputError(
                        "model", name, f"is larger than {self._max_bytes} bytes",
                        "Start the coordinator with a higher --max-model-bytes",
                    )  # fmt: skip
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def read(self, digest: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes of a model from ``offset`` on."""
        with self.path(digest).open("rb") as file:
            file.seek(offset)
            return file.read(size)
