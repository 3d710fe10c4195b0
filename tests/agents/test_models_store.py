"""What is in the model store was inspected and is complete; of anything else nothing stays."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

from agents.coordinator import models
from agents.coordinator.models import ModelStore
from profiler.errors import ArtifactError, InputError
from profiler.spec import ArtifactRef, ModelFormat
from tests.tools import small_disk


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    found = ModelStore(tmp_path / "models")
    found.prepare()
    return found


@pytest.fixture
def any_file_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def inspect(path: Path, name: str) -> ArtifactRef:
        data = path.read_bytes()
        return ArtifactRef(
            digest=hashlib.sha256(data).hexdigest(),
            format=ModelFormat.ONNX,
            name=name,
            size_bytes=len(data),
        )

    monkeypatch.setattr(models, "inspect_artifact", inspect)


def put(store: ModelStore, data: bytes, name: str = "net.onnx") -> ArtifactRef:
    with store.receive(name) as upload:
        for start in range(0, len(data), 10_000):
            upload.write(data[start : start + 10_000])
        return upload.finish()


def files(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file())


@pytest.mark.usefixtures("any_file_is_a_model")
def test_a_model_is_stored_by_its_digest(store: ModelStore, tmp_path: Path) -> None:
    ref = put(store, b"weights")
    assert store.path(ref.digest).read_bytes() == b"weights"
    assert store.stored(ref.digest, "another name.onnx").name == "another name.onnx"
    assert store.stored(ref.digest, "net.onnx") == ref
    assert files(tmp_path) == sorted([ref.digest, f"{ref.digest}.json"])


@pytest.mark.usefixtures("any_file_is_a_model")
def test_the_same_file_twice_is_one_model(store: ModelStore, tmp_path: Path) -> None:
    first = put(store, b"weights", "a.onnx")
    second = put(store, b"weights", "b.onnx")
    assert first.digest == second.digest
    assert len(files(tmp_path)) == 2


@pytest.mark.usefixtures("any_file_is_a_model")
def test_parts_of_a_model_can_be_read(store: ModelStore) -> None:
    ref = put(store, b"0123456789")
    assert store.read(ref.digest, 3, 4) == b"3456"
    assert store.read(ref.digest, 8, 100) == b"89"
    assert store.read(ref.digest, 10, 100) == b""


def test_a_model_that_is_not_there_is_said_so(store: ModelStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.stored("a" * 64, "net.onnx")


@pytest.mark.parametrize("data", [b"", pickle.dumps([1]), b"\x08\x07 cut"])
def test_of_what_is_refused_nothing_stays(store: ModelStore, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        put(store, data)
    assert files(tmp_path) == []


def test_of_an_upload_that_breaks_off_nothing_stays(store: ModelStore, tmp_path: Path) -> None:
    def break_off() -> None:
        with store.receive("net.onnx") as upload:
            upload.write(b"half")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        break_off()
    assert files(tmp_path) == []


@pytest.mark.usefixtures("any_file_is_a_model")
def test_a_model_that_is_too_large_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", max_bytes=10)
    store.prepare()
    put(store, b"x" * 10)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        put(store, b"x" * 11)
    assert len(files(tmp_path)) == 2


@pytest.mark.usefixtures("any_file_is_a_model")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        store = ModelStore(disk / "models")
        store.prepare()
        with pytest.raises(OSError, match="No space left"):
            put(store, bytes(400 * 1024))
        assert files(disk) == []
        # What was there before it was full can still be used.
        assert put(store, b"small").size_bytes == 5


@pytest.mark.usefixtures("any_file_is_a_model")
def test_what_an_upload_left_is_gone_after_a_restart(store: ModelStore, tmp_path: Path) -> None:
    kept = put(store, b"weights")
    (tmp_path / "models" / "incoming" / "leftover").write_bytes(b"half")
    ModelStore(tmp_path / "models").prepare()
    assert files(tmp_path) == sorted([kept.digest, f"{kept.digest}.json"])


def test_the_directories_are_private(store: ModelStore, tmp_path: Path) -> None:
    assert (tmp_path / "models" / "incoming").stat().st_mode & 0o077 == 0
