"""Converted models on disk: found by key, written whole or not at all, made once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from profiler.base import Frozen

_CHUNK = 2**20


class Converted(Frozen):
    """A model as an ONNX file.

    Attributes:
        digest: SHA-256 of the file.
        key: what it was made from and how; equal keys give equal models.
        parameters: as the framework counts them, before the conversion folds any away.
        seconds: what the conversion took, when it was done.
        cached: it was done before.
        exporter: ``torchscript`` or ``dynamo``, of ``torch.onnx.export``.
        batch_size: the only one that the file takes, or ``None`` for any.
    """

    path: Path
    digest: str
    key: str
    parameters: int
    seconds: float
    cached: bool
    exporter: str
    batch_size: int | None
    size_bytes: int


class OnnxCache:
    """One directory. A key's files are ``KEY-any.onnx`` or ``KEY-N.onnx``, each with a JSON."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, key: str, batch_size: int | None) -> Path:
        batch = "any" if batch_size is None else str(batch_size)
        return self._directory / f"{key}-{batch}.onnx"

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the key: other processes that want the same conversion wait here for its result."""
        with (self._directory / f"{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find(self, key: str, batch_size: int) -> Converted | None:
        """A file that takes ``batch_size``, or ``None``."""
        for batch in (None, batch_size):
            found = self._read(self.path(key, batch))
            if found is not None:
                return found
        return None

    def _read(self, path: Path) -> Converted | None:
        try:
            found = Converted.model_validate_json(path.with_suffix(".json").read_bytes())
            if path.stat().st_size != found.size_bytes:
                return None
        except (FileNotFoundError, ValidationError):
            # Never finished, or written by a version with other fields: made anew.
            return None
        return found.model_copy(update={"path": path, "cached": True})

    def add(self, incoming: Path, made: Converted) -> Converted:
        """Move ``incoming`` to its place.

        Its JSON comes last: without it a file does not count.
        """
        target = self.path(made.key, made.batch_size)
        _sync(incoming)
        incoming.replace(target)
        placed = made.model_copy(update={"path": target})
        note = target.with_suffix(f".{os.getpid()}.tmp")
        note.write_text(placed.model_dump_json(indent=1))
        _sync(note)
        note.replace(target.with_suffix(".json"))
        return placed


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def key_of(**parts: object) -> str:
    """SHA-256 over ``parts``, which must be plain JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
