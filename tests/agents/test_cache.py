"""Models arrive in chunks, and are there only once they are complete and what they claim to be."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from agents.device.cache import COMPLETE, ModelCache
from profiler.errors import DeviceError
from tests.tools import small_disk

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
CHUNK = 1000


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


def send(cache: ModelCache, start: int, end: int, digest: str = DIGEST) -> None:
    for offset in range(start, end, CHUNK):
        cache.append(digest, len(DATA), offset, DATA[offset : min(end, offset + CHUNK)])


def test_a_model_is_there_when_its_last_chunk_is(cache: ModelCache) -> None:
    assert cache.offset(DIGEST) == 0
    send(cache, 0, 10_000)
    assert cache.offset(DIGEST) == 10_000
    assert cache.digests() == ()
    assert not cache.path(DIGEST).exists()
    send(cache, 10_000, len(DATA))
    assert cache.offset(DIGEST) == COMPLETE
    assert cache.digests() == (DIGEST,)
    assert cache.path(DIGEST).read_bytes() == DATA


def test_an_interrupted_transfer_goes_on_in_a_new_agent(cache: ModelCache, tmp_path: Path) -> None:
    send(cache, 0, 3000)
    again = ModelCache(tmp_path / "models")
    assert again.offset(DIGEST) == 3000
    send(again, 3000, len(DATA))
    assert again.path(DIGEST).read_bytes() == DATA


def test_a_chunk_out_of_order_is_refused_and_harms_nothing(cache: ModelCache) -> None:
    send(cache, 0, 2000)
    for offset in (0, 1000, 3000):
        with pytest.raises(DeviceError, match=f"chunk at {offset}"):
            cache.append(DIGEST, len(DATA), offset, b"x" * CHUNK)
    send(cache, 2000, len(DATA))
    assert cache.offset(DIGEST) == COMPLETE


def test_a_model_that_arrived_damaged_starts_over(cache: ModelCache) -> None:
    other = "b" * 64
    with pytest.raises(DeviceError, match="damaged"):
        send(cache, 0, len(DATA), other)
    assert cache.offset(other) == 0
    assert cache.digests() == ()


def test_a_chunk_of_what_is_complete_changes_nothing(cache: ModelCache) -> None:
    send(cache, 0, len(DATA))
    cache.append(DIGEST, len(DATA), 0, b"other")
    assert cache.path(DIGEST).read_bytes() == DATA


def test_all_bytes_there_but_not_yet_verified(cache: ModelCache, tmp_path: Path) -> None:
    """The agent was killed between the last chunk and its verification."""
    (tmp_path / "models" / f"{DIGEST}.part").write_bytes(DATA)
    assert cache.offset(DIGEST) == len(DATA)
    cache.append(DIGEST, len(DATA), len(DATA), b"")
    assert cache.offset(DIGEST) == COMPLETE


@pytest.mark.parametrize(
    "digest",
    ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 61 + "/.."],
)
def test_what_is_no_digest_becomes_no_path(cache: ModelCache, digest: str, tmp_path: Path) -> None:
    for attempt in (
        lambda: cache.path(digest),
        lambda: cache.offset(digest),
        lambda: cache.append(digest, 1, 0, b"x"),
    ):
        with pytest.raises(DeviceError, match="no SHA-256 digest"):
            attempt()
    assert [p.name for p in tmp_path.rglob("*")] == ["models"]


# Smaller and larger than a buffer; neither is a multiple of the page.
@pytest.mark.parametrize("chunk", [5_001, 50_001])
def test_a_full_disk_leaves_whole_chunks_only(tmp_path: Path, chunk: int) -> None:
    size = 600 * 1024
    data = bytes(i % 251 for i in range(size))
    digest = hashlib.sha256(data).hexdigest()
    with small_disk(tmp_path / "disk", 512) as disk:
        cache = ModelCache(disk / "models")
        filler = disk / "filler"
        filler.write_bytes(bytes(100 * 1024))
        offset = 0

        def fill() -> None:
            nonlocal offset
            while offset < size:
                cache.append(digest, size, offset, data[offset : offset + chunk])
                offset += chunk

        with pytest.raises(OSError, match="No space left"):
            fill()
        assert 0 < offset < size
        assert cache.offset(digest) == offset
        part = disk / "models" / f"{digest}.part"
        assert part.read_bytes() == data[:offset]
        # Room again: it goes on from where it was.
        filler.unlink()
        cache.append(digest, size, offset, data[offset : offset + chunk])
        assert part.read_bytes() == data[: offset + chunk]


def test_two_that_send_at_once_do_not_mix(cache: ModelCache) -> None:
    """A call that was given up by its caller may still be at work when the next one comes."""
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def one() -> None:
        start.wait()
        for offset in range(0, len(DATA), CHUNK):
            try:
                cache.append(DIGEST, len(DATA), offset, DATA[offset : offset + CHUNK])
                outcomes.append("taken")
            except DeviceError as error:
                outcomes.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [text for text in outcomes if "damaged" in text]
    assert cache.offset(DIGEST) == COMPLETE
