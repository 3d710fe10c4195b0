"""What the sampler knows of the device while a repetition runs, in a page of memory they share.

The worker makes the page before it forks the sampler and the repetition, so both have it, also
where the repetition is the worker itself. The repetition tells when its load began; the sampler
judges once a second. Neither ever waits for the other.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Sequence
from time import perf_counter

from pydantic import ValidationError

from profiler.base import Frozen
from profiler.scenarios import settling
from profiler.sensors.trace import Series

# Version of a record, its length, and the checksum of both and of the record.
_HEADER = struct.Struct("<III")
_BEGAN = struct.Struct("<d")
_PAGE = 4096
_RECORD_AT = 64
# A sampler that was silent for so long was lost, and what it said last holds no more.
STALE_SECONDS = 5.0
JUDGE_SECONDS = 1.0
# Words of the record: more would not fit the page, and nobody reads them all.
_MOST_WORDS = 8
_RETRIES = 20


class DeviceState(Frozen):
    """The verdict of ``settling.settling`` as of ``seconds`` (``perf_counter``)."""

    seconds: float
    settled: bool
    waiting_for: tuple[str, ...] = ()
    unknown: str | None = None


class LiveState:
    """One page of shared memory with the last verdict, written by one process and read by others.

    A record is complete when its checksum says so: that holds whatever order the CPU's caches show
    the bytes in, and needs no lock that a killed process could leave behind.

    Raises:
        OSError: there is no memory for it.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._page = mmap.mmap(-1, _PAGE)
        self._clock = clock
        self._version = 0
        self._last: DeviceState | None = None

    def begin_load(self) -> None:
        """The repetition: from now on the device is under load."""
        _BEGAN.pack_into(self._page, 0, self._clock())

    def load_began(self) -> float | None:
        """The sampler: since when there is load, or ``None`` before."""
        (seconds,) = _BEGAN.unpack_from(self._page, 0)
        return seconds or None

    def publish(self, state: DeviceState) -> None:
        """The sampler: replace the record."""
        words = tuple(word[:160] for word in state.waiting_for[:_MOST_WORDS])
        record = state.model_copy(update={"waiting_for": words}).model_dump_json().encode()
        if len(record) > _PAGE - _RECORD_AT - _HEADER.size:
            record = state.model_copy(update={"waiting_for": ("much",)}).model_dump_json().encode()
        self._version = (self._version + 1) & 0xFFFFFFFF
        header = _HEADER.pack(self._version, len(record), _checksum(self._version, record))
        whole = header + record
        self._page[_RECORD_AT : _RECORD_AT + len(whole)] = whole

    def read(self) -> DeviceState | None:
        """The repetition: the last verdict; ``None`` before the first, or when it is too old."""
        version, _, _ = _HEADER.unpack_from(self._page, _RECORD_AT)
        if version != self._version:
            found = self._record()
            if found is not None:
                self._version, self._last = found
        if self._last is None or self._clock() - self._last.seconds > STALE_SECONDS:
            return None
        return self._last

    def _record(self) -> tuple[int, DeviceState] | None:
        """A record that is whole; ``None`` if there is none, or it was being written all along."""
        for _ in range(_RETRIES):
            page = self._page[_RECORD_AT:]
            version, length, checksum = _HEADER.unpack_from(page)
            record = page[_HEADER.size : _HEADER.size + length]
            if version and len(record) == length and checksum == _checksum(version, record):
                try:
                    return version, DeviceState.model_validate_json(record)
                except ValidationError:
                    return None
        return None


def _checksum(version: int, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(struct.pack("<II", version, len(record))))


class Judge:
    """The sampler's side: asked at every tick, it judges once a second."""

    def __init__(self, live: LiveState) -> None:
        self._live = live
        self._due = 0.0

    def __call__(self, recent: Callable[[], Sequence[Series]], now: float) -> None:
        """Publish what recent readings say; nothing before there is load.

        Args:
            recent: the readings of at least the last ``settling.LOOK_BACK_SECONDS``.
            now: ``perf_counter`` seconds.
        """
        since = self._live.load_began()
        if since is None or now < self._due:
            return
        self._due = now + JUDGE_SECONDS
        found = settling.settling(recent(), now, since)
        self._live.publish(
            DeviceState(
                seconds=now,
                settled=found.settled,
                waiting_for=found.waiting_for,
                unknown=found.unknown,
            )
        )
