"""Finished results that the coordinator has not acknowledged: on disk before they are reported."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agents.messages import AttemptKey
from profiler.result import RunResult

_NAME = re.compile(r"(?P<run>.+)\.(?P<attempt>\d+)\.json")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes) -> None:
    """All of it or nothing, also after a power cut."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        # On a full disk what was written so far only takes room.
        partial.unlink(missing_ok=True)
    _sync_directory(path.parent)


class Outbox:
    """A directory with ``RUN.ATTEMPT.json`` and, beside it, the raw iterations ``.npz``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, key: AttemptKey, suffix: str) -> Path:
        return self._directory / f"{key.run_id}.{key.attempt}{suffix}"

    def put(self, key: AttemptKey, result: RunResult, raw: bytes | None) -> None:
        """Keep a finished attempt. The JSON comes last: once it is there, all of it is."""
        if raw is not None:
            _write_durably(self._path(key, ".npz"), raw)
        _write_durably(self._path(key, ".json"), result.model_dump_json().encode())

    def keys(self) -> tuple[AttemptKey, ...]:
        """What waits for acknowledgement, oldest first."""
        paths = sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        named = [match for path in paths if (match := _NAME.fullmatch(path.name))]
        return tuple(AttemptKey(run_id=name["run"], attempt=int(name["attempt"])) for name in named)

    def has(self, key: AttemptKey) -> bool:
        return self._path(key, ".json").exists()

    def get(self, key: AttemptKey) -> tuple[str, bytes | None]:
        """The result's JSON and the raw iterations.

        Raises:
            FileNotFoundError: nothing waits under this key.
        """
        raw = self._path(key, ".npz")
        text = self._path(key, ".json").read_text(encoding="utf-8")
        return text, raw.read_bytes() if raw.exists() else None

    def drop(self, key: AttemptKey) -> None:
        """The coordinator has it."""
        self._path(key, ".json").unlink(missing_ok=True)
        self._path(key, ".npz").unlink(missing_ok=True)
