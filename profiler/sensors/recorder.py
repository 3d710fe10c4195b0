"""Readings gathered in the sampler's process, and their way over the pipe.

On the pipe a recording is one line of JSON, then for every channel its times and its values as
64-bit floats of this machine. Both ends are one program on one machine, so the layout is not
stored anywhere and has no version.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import ValidationError

from profiler.base import Frozen
from profiler.result import AbsentSource, SamplerReport
from profiler.sensors.base import Channel, Reading
from profiler.sensors.rhythm import Rhythm
from profiler.sensors.trace import Floats, Series, Trace

_FLOAT_BYTES = 8


class _Header(Frozen):
    channels: tuple[Channel, ...]
    readings: tuple[int, ...]
    failed: tuple[int, ...]
    errors: tuple[str | None, ...]
    absent: tuple[AbsentSource, ...]
    report: SamplerReport
    rhythms: tuple[Rhythm, ...] = ()


class _Column:
    """One channel while it grows."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.values = array("d")
        self.failed = 0
        self.error: str | None = None
        # When the last read was, if that gave none.
        self.failed_at: float | None = None

    def add(self, reading: Reading) -> None:
        if reading.value is None:
            self.failed += 1
            self.error = reading.error
            self.failed_at = reading.seconds
        else:
            self.failed_at = None
            self.seconds.append(reading.seconds)
            self.values.append(reading.value)

    def newest(self, channel: Channel) -> Reading | None:
        if self.failed_at is not None:
            return Reading(
                channel=channel.key, seconds=self.failed_at, value=None, error=self.error
            )
        if not self.values:
            return None
        return Reading(channel=channel.key, seconds=self.seconds[-1], value=self.values[-1])

    def series(self, channel: Channel, since: float) -> Series:
        first = bisect_left(self.seconds, since)
        # Copies: an array whose memory is looked at cannot grow.
        seconds, values = np.array(self.seconds[first:]), np.array(self.values[first:])
        return Series(channel, seconds, values, self.failed, self.error)


class Recorder:
    """Keeps readings by channel; a failed one is counted and never stored as a value."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = tuple(channels)
        self._columns = {channel.key: _Column() for channel in channels}

    def add(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            self._columns[reading.channel].add(reading)

    def recent(self, since: float) -> tuple[Series, ...]:
        """The readings from ``since`` on, of every channel, copied."""
        return tuple(
            self._columns[channel.key].series(channel, since) for channel in self._channels
        )

    def newest(self) -> tuple[Reading, ...]:
        """The last reading of each channel that has been read."""
        found = (column.newest(channel) for channel, column in self.columns)
        return tuple(reading for reading in found if reading is not None)

    @property
    def readings(self) -> int:
        """How many reads gave a value."""
        return sum(len(column.values) for column in self._columns.values())

    @property
    def failed(self) -> int:
        """How many reads gave none."""
        return sum(column.failed for column in self._columns.values())

    @property
    def columns(self) -> list[tuple[Channel, _Column]]:
        """What was recorded, by channel."""
        return [(channel, self._columns[channel.key]) for channel in self._channels]


def encode(
    recorders: Sequence[Recorder],
    absent: Sequence[AbsentSource],
    report: SamplerReport,
    rhythms: Sequence[Rhythm] = (),
) -> bytes:
    """The recording of all as it goes over the pipe."""
    channels = [channel for recorder in recorders for channel, _ in recorder.columns]
    columns = [column for recorder in recorders for _, column in recorder.columns]
    header = _Header(
        channels=tuple(channels),
        readings=tuple(len(c.values) for c in columns),
        failed=tuple(c.failed for c in columns),
        errors=tuple(c.error for c in columns),
        absent=tuple(absent),
        report=report,
        rhythms=tuple(rhythms),
    )
    body = b"".join(c.seconds.tobytes() + c.values.tobytes() for c in columns)
    return header.model_dump_json().encode() + b"\n" + body


def decode(raw: bytes) -> Trace:
    """The trace in what ``encode`` gave.

    Raises:
        ValueError: bytes are missing or are something else.
    """
    line, _, body = raw.partition(b"\n")
    try:
        header = _Header.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(f"the recording begins with {line[:40]!r}") from error
    if len(body) != 2 * _FLOAT_BYTES * sum(header.readings):
        raise ValueError(f"the recording breaks off after {len(raw)} bytes")
    return Trace(
        series=_series(header, body),
        absent=header.absent,
        report=header.report,
        rhythms=header.rhythms,
    )


def _series(header: _Header, body: bytes) -> tuple[Series, ...]:
    floats: Floats = np.frombuffer(body, dtype=np.float64)
    ends = np.cumsum(np.repeat(np.array(header.readings, dtype=np.intp), 2))
    columns = np.split(floats, ends)[:-1]
    return tuple(
        Series(channel, seconds, values, failed, error)
        for channel, seconds, values, failed, error in zip(
            header.channels, columns[::2], columns[1::2], header.failed, header.errors, strict=True
        )
    )
