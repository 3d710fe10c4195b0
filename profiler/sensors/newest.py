"""The newest readings of a sampler, in a file in memory that another process looks into.

While a run is measured nobody but its sampler reads the sensors. Once a second the sampler writes
down here what it read last; whoever wants to know looks. Nobody is woken, and neither waits for the
other: a record is whole when its checksum says so.

The file has no name that could be left behind. It is found under ``/proc`` of the process that made
it, by processes of the same user, and is gone with that process.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import Protocol

from pydantic import Field, ValidationError

from profiler.base import Frozen
from profiler.sensors.base import Channel, Reading
from profiler.sensors.counts import EnergyCounter, FlagCounter, counter_of

WRITE_SECONDS = 1.0
# A sampler that was silent for so long has ended, or hangs: what it said last is not of now.
STALE_SECONDS = 5.0

_MEMORY = "/dev/shm"  # noqa: S108 - a file without a name
# Length of a record and its checksum.
_HEADER = struct.Struct("<II")
_LIMIT = 1 << 20
_RETRIES = 3


class NewestOfSource(Frozen):
    """One source as it was read last.

    Attributes:
        readings: of each channel the last one, if there was any.
        failed: of those, how many gave no value.
        duration_seconds: of the last read of all its channels.
        failed_total: readings that gave no value since this sampler began.
    """

    source: str
    readings: tuple[Reading, ...]
    failed: int
    duration_seconds: float
    failed_total: int


class Newest(Frozen):
    """All sources as they were read last.

    Attributes:
        seconds: ``perf_counter`` of when it was written.
        counted: by a channel's key: joules, or seconds in which a flag was set, by all samplers
            that have written into this file.
        failed: by a source's name: readings that gave no value, likewise.
    """

    seconds: float
    sources: tuple[NewestOfSource, ...] = ()
    counted: dict[str, float] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)


class NewestFile:
    """The file, as its maker sees it.

    Attributes:
        path: for samplers to write to; ``None`` where there is no memory for a file.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        try:
            with tempfile.TemporaryFile(dir=_MEMORY) as file:
                self._descriptor = os.dup(file.fileno())
        except OSError:
            return
        weakref.finalize(self, os.close, self._descriptor)
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    def read(self) -> Newest | None:
        """What was written last, however old; ``None`` before the first record."""
        return None if self.path is None else _read(self._descriptor)


class Read(Protocol):
    """A reader of one source, as ``SourceReader``."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    def newest(self) -> NewestOfSource | None:
        """``None`` before the first reading."""


class NewestWriter:
    """The sampler's side: is asked at every tick, and writes once a second.

    Args:
        descriptor: of the file. What earlier samplers counted in it is counted on.
        clock: ``perf_counter``.
    """

    def __init__(self, descriptor: int, clock: Callable[[], float] = perf_counter) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._due = clock() + WRITE_SECONDS
        before = _read(descriptor) or Newest(seconds=0.0)
        self._counted, self._failed = before.counted, before.failed
        self._counters: dict[str, EnergyCounter | FlagCounter] = {}

    @classmethod
    def open(cls, path: Path) -> NewestWriter | None:
        """``None``, and a word on stderr, if that cannot be: it costs the run nothing else."""
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            # The descriptor: a file object of the parent's may be closed in a forked sampler.
            os.write(2, f"no readings for others: {error}\n".encode())
            return None

    def __call__(self, readers: Iterable[Read]) -> None:
        """Write, if a second has passed."""
        now = self._clock()
        if now >= self._due:
            self._due = max(self._due, now - WRITE_SECONDS) + WRITE_SECONDS
            self.write(readers)

    def write(self, readers: Iterable[Read]) -> None:
        """Write now."""
        found = []
        for reader in readers:
            newest = reader.newest()
            if newest is not None:
                found.append(newest)
                self._count(reader.channels, newest.readings)
        record = Newest(
            seconds=self._clock(),
            sources=tuple(found),
            counted=self._counted
            | {
                key: self._counted.get(key, 0.0) + counter.total
                for key, counter in self._counters.items()
            },
            failed=self._failed
            | {each.source: self._failed.get(each.source, 0) + each.failed_total for each in found},
        )
        body = record.model_dump_json().encode()
        if len(body) + _HEADER.size <= _LIMIT:
            # Without memory for it nobody is told; the run has its readings all the same.
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _HEADER.pack(len(body), zlib.crc32(body)) + body, 0)

    def _count(self, channels: Iterable[Channel], readings: Iterable[Reading]) -> None:
        for channel in channels:
            if channel.key not in self._counters:
                counter = counter_of(channel)
                if counter is not None:
                    self._counters[channel.key] = counter
        for reading in readings:
            if reading.channel in self._counters:
                self._counters[reading.channel].add(reading)


def _read(descriptor: int) -> Newest | None:
    for _ in range(_RETRIES):
        whole = os.pread(descriptor, _LIMIT, 0)
        if len(whole) < _HEADER.size:
            return None
        length, checksum = _HEADER.unpack_from(whole)
        body = whole[_HEADER.size : _HEADER.size + length]
        # Else it was being written just then.
        if zlib.crc32(body) == checksum:
            try:
                return Newest.model_validate_json(body)
            except ValidationError:
                return None
    return None
