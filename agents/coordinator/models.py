"""Model files by the SHA-256 of their bytes. What is in the store was inspected and is complete."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from profiler.errors import InputError
from profiler.modelfile.artifact import inspect_artifact
from profiler.spec import ArtifactRef

MAX_BYTES = 8 * 2**30
CHUNK_BYTES = 8 * 2**20


class ModelStore:
    """``ab/abcdef…``, never changed once it has its name; ``.json`` beside it says what it is."""

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

    def receive(self, name: str) -> Upload:
        """Begin an upload of a file called ``name``."""
        return Upload(self, self._incoming / secrets.token_hex(16), name, self._max_bytes)

    def keep(self, incoming: Path, ref: ArtifactRef) -> None:
        """Give an inspected file its place."""
        target = self.path(ref.digest)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        note = incoming.with_suffix(".json")
        note.write_text(ref.model_dump_json(), encoding="utf-8")
        note.replace(target.with_suffix(".json"))
        incoming.replace(target)

    def stored(self, digest: str, name: str) -> ArtifactRef:
        """What a stored file is, under the name that is asked for.

        Raises:
            FileNotFoundError: no such model.
        """
        path = self.path(digest)
        if not path.exists():
            raise FileNotFoundError(path)
        ref = ArtifactRef.model_validate_json(path.with_suffix(".json").read_bytes())
        return ref.model_copy(update={"name": name})

    def read(self, digest: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes of a model from ``offset`` on."""
        with self.path(digest).open("rb") as file:
            file.seek(offset)
            return file.read(size)


class Upload:
    """A model on its way in. Unless it is finished, nothing of it stays."""

    def __init__(self, store: ModelStore, path: Path, name: str, max_bytes: int) -> None:
        self._store = store
        self._path = path
        self._name = name
        self._max_bytes = max_bytes
        self._size = 0
        self._file = path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".json").unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Raises:
        InputError: the model is larger than is allowed.
        OSError: the disk is full.
        """
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise InputError(
                "model", self._name, f"is larger than {self._max_bytes} bytes",
                "Start the coordinator with a higher --max-model-bytes",
            )  # fmt: skip
        self._file.write(chunk)

    def finish(self) -> ArtifactRef:
        """Inspect and keep the file.

        Raises:
            ArtifactError: the file is refused.
            OSError: the disk is full.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        ref = inspect_artifact(self._path, self._name)
        self._store.keep(self._path, ref)
        return ref
