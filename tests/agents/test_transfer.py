"""Models reach devices whole, from where an interrupted transfer stopped, each chunk put once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from agents.coordinator import transfer
from agents.coordinator.models import ModelStore
from agents.coordinator.transfer import KEPT_CHUNKS, KEPT_SECONDS, Transfers
from agents.device.cache import COMPLETE, ModelCache
from profiler.errors import DeviceError
from profiler.spec import ArtifactRef
from tests.builders import make_artifact

CHUNK = 1000
DATA = bytes(range(256)) * 40


class Devices:
    """The devices' real caches behind the calls that a transfer makes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.caches: dict[str, ModelCache] = {}
        self.puts = 0
        self.sent: list[tuple[str, int, int]] = []
        self.cut_after: int | None = None

    def cache(self, device_id: str) -> ModelCache:
        if device_id not in self.caches:
            self.caches[device_id] = ModelCache(self._root / device_id)
        return self.caches[device_id]

    def model_offset(self, device_id: str, digest: str) -> int:
        return self.cache(device_id).offset(digest)

    def put(self, chunk: bytes) -> Any:
        self.puts += 1
        return ("ref", chunk)

    def send_chunk(self, device_id: str, digest: str, size: int, offset: int, chunk: Any) -> None:
        if self.cut_after is not None and len(self.sent) >= self.cut_after:
            raise ConnectionError("the link was cut")
        self.sent.append((device_id, offset, len(chunk[1])))
        self.cache(device_id).append(digest, size, offset, chunk[1])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Devices:
    monkeypatch.setattr(transfer, "CHUNK_BYTES", CHUNK)
    return Devices(tmp_path / "devices")


def store(root: Path, data: bytes = DATA) -> tuple[ModelStore, ArtifactRef]:
    models = ModelStore(root / "models")
    models.prepare()
    ref = make_artifact(digest=hashlib.sha256(data).hexdigest(), size=len(data))
    incoming = root / "models" / "incoming" / "x"
    incoming.write_bytes(data)
    models.keep(incoming, ref)
    return models, ref


def test_a_model_arrives_and_its_way_is_shown(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    shown: list[float] = []
    Transfers(devices, models, Clock()).send("a", ref, shown.append)
    assert devices.cache("a").path(ref.digest).read_bytes() == DATA
    assert shown[0] == 0
    assert shown == sorted(shown)
    assert max(shown) < 1


def test_what_is_there_is_not_sent_again(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    transfers = Transfers(devices, models, Clock())
    transfers.send("a", ref, lambda _: None)
    devices.sent.clear()
    transfers.send("a", ref, lambda _: None)
    assert devices.sent == []


def test_devices_share_the_chunks(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    transfers = Transfers(devices, models, Clock())
    for name in ("a", "b", "c"):
        transfers.send(name, ref, lambda _: None)
    assert devices.puts == 11
    for name in ("a", "b", "c"):
        assert devices.cache(name).offset(ref.digest) == COMPLETE


def test_chunks_are_not_kept_for_ever(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    clock = Clock()
    transfers = Transfers(devices, models, clock)
    transfers.send("a", ref, lambda _: None)
    clock.now = KEPT_SECONDS + 1
    transfers.send("b", ref, lambda _: None)
    assert devices.puts == 22
    assert len(transfers._kept) == 11


def test_no_more_chunks_are_kept_than_allowed(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path, DATA * 5)
    transfers = Transfers(devices, models, Clock())
    transfers.send("a", ref, lambda _: None)
    assert devices.puts > KEPT_CHUNKS
    assert len(transfers._kept) == KEPT_CHUNKS


def test_a_cut_link_costs_what_was_not_sent_yet(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    transfers = Transfers(devices, models, Clock())
    devices.cut_after = 4
    with pytest.raises(ConnectionError):
        transfers.send("a", ref, lambda _: None)
    devices.cut_after = None
    devices.sent.clear()
    transfers.send("a", ref, lambda _: None)
    assert devices.sent[0] == ("a", 4000, CHUNK)
    assert devices.cache("a").offset(ref.digest) == COMPLETE


def test_an_agent_killed_before_it_verified_the_model_gets_it_completed(
    devices: Devices, tmp_path: Path
) -> None:
    models, ref = store(tmp_path)
    part = devices.cache("a").path(ref.digest).with_suffix(".part")
    part.write_bytes(DATA)
    Transfers(devices, models, Clock()).send("a", ref, lambda _: None)
    assert devices.cache("a").offset(ref.digest) == COMPLETE
    assert devices.sent == [("a", len(DATA), 0)]


def test_what_arrived_damaged_comes_whole_the_next_time(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    part = devices.cache("a").path(ref.digest).with_suffix(".part")
    part.write_bytes(b"x" * 3000)
    transfers = Transfers(devices, models, Clock())
    with pytest.raises(DeviceError, match="damaged"):
        transfers.send("a", ref, lambda _: None)
    transfers.send("a", ref, lambda _: None)
    assert devices.cache("a").path(ref.digest).read_bytes() == DATA


def test_more_on_the_device_than_the_model_has_starts_over(
    devices: Devices, tmp_path: Path
) -> None:
    models, ref = store(tmp_path)
    part = devices.cache("a").path(ref.digest).with_suffix(".part")
    part.write_bytes(DATA + b"more")
    transfers = Transfers(devices, models, Clock())
    with pytest.raises(DeviceError, match="damaged"):
        transfers.send("a", ref, lambda _: None)
    transfers.send("a", ref, lambda _: None)
    assert devices.cache("a").offset(ref.digest) == COMPLETE


def test_a_model_that_is_gone_from_the_store_is_said_so(devices: Devices, tmp_path: Path) -> None:
    models, ref = store(tmp_path)
    models.path(ref.digest).unlink()
    with pytest.raises(FileNotFoundError):
        Transfers(devices, models, Clock()).send("a", ref, lambda _: None)
