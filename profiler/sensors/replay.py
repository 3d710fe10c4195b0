"""A recording of a device's readings, made and played back.

A recording is JSON lines. The first is a header: which channels there were, and which sources were
absent. Every other line is a reading: the place of its channel in the header, seconds since the
recording began, and a value or an error.

Played back, a reading appears at its own time after the source was opened. A recording that is over
begins again; a counter goes on from where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import IO, Literal

from pydantic import Field, ValidationError

from profiler.base import Frozen
from profiler.errors import InputError
from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.sensors.rhythm import Rhythm, with_rhythms
from profiler.sensors.site import Site

REPLAY = "replay"
PREFIX = "replay:"

# What only ever grows.
COUNTED = frozenset({Quantity.ENERGY, Quantity.THROTTLED, Quantity.EVENTS, Quantity.STALLED})


class Header(Frozen):
    """The first line. ``version`` is of this layout."""

    kind: Literal["fleetmark-sensors"] = "fleetmark-sensors"
    version: Literal[1] = 1
    channels: tuple[Channel, ...] = Field(min_length=1)
    absent: tuple[AbsentSource, ...] = ()


class Line(Frozen):
    """One reading; ``channel`` is a place in the header's list."""

    channel: int = Field(ge=0)
    seconds: float = Field(ge=0)
    value: float | None
    error: str | None = None


class Recording(Frozen):
    """A whole file, its lines in the order of time."""

    header: Header
    lines: tuple[Line, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.lines[-1].seconds


def parse_recording(lines: Iterable[str]) -> Recording:
    """The recording in these lines.

    Raises:
        ValueError: they are something else; says which line.
    """
    number = 1
    try:
        rows = iter(lines)
        header = Header.model_validate_json(next(rows, ""))
        found = []
        for number, row in enumerate(rows, 2):
            line = Line.model_validate_json(row)
            if line.channel >= len(header.channels):
                raise ValueError(f"line {number} names channel {line.channel}, which is none")
            found.append(line)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise ValueError(f"line {number} is no part of a recording: {why}") from error
    if not found or found[-1].seconds <= 0:
        raise ValueError("the recording has no readings after its beginning")
    return Recording(header=header, lines=tuple(sorted(found, key=lambda line: line.seconds)))


def load_recording(path: Path) -> Recording:
    """Read a file.

    Raises:
        InputError: it cannot be read, or is no recording.
    """
    remedy = "Make one with `fleetmark sensors --record FILE`"
    try:
        with path.open(encoding="utf-8") as file:
            return parse_recording(file)
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        raise InputError("sensor", f"{PREFIX}{path}", why, remedy) from error
    except ValueError as error:
        raise InputError("sensor", f"{PREFIX}{path}", f"is refused: {error}", remedy) from error


class ReplaySource:
    """A recording as a source: its channels are those of the sources that it was taken from.

    Args:
        recording: what to play.
        clock: seconds, monotonic; the recording begins now.
    """

    def __init__(self, recording: Recording, clock: Callable[[], float] = perf_counter) -> None:
        self._recording = recording
        self._clock = clock
        self._start = clock()
        self._columns = [
            _Column(channel, [line for line in recording.lines if line.channel == place])
            for place, channel in enumerate(recording.header.channels)
        ]
        self.missing = recording.header.absent

    @property
    def name(self) -> str:
        return REPLAY

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self._recording.header.channels

    def read(self, only: Collection[Quantity] | None = None) -> list[Reading]:
        """What has become due since the last read; see ``Source.read``."""
        elapsed = self._clock() - self._start
        length = self._recording.seconds
        return [
            reading
            for column in self._columns
            if only is None or column.channel.quantity in only
            for reading in column.due(elapsed, length, self._start)
        ]

    def close(self) -> None:
        """Nothing is open."""


class _Column:
    """One channel, and how far it has been played."""

    def __init__(self, channel: Channel, lines: list[Line]) -> None:
        self.channel = channel
        self._lines = lines
        self._next = 0
        self._round = 0
        values = [line.value for line in lines if line.value is not None]
        grows = channel.quantity in COUNTED and len(values) > 1
        # What a counter gained in the recording, counted once more with each round.
        self._gain = _gain(values, channel.wraps_at) if grows else 0.0

    def due(self, elapsed: float, length: float, start: float) -> Iterator[Reading]:
        if not self._lines:
            return
        while self._round * length + self._lines[self._next].seconds <= elapsed:
            line = self._lines[self._next]
            yield Reading(
                channel=self.channel.key,
                seconds=start + self._round * length + line.seconds,
                value=None if line.value is None else self._shifted(line.value),
                error=line.error,
            )
            self._next += 1
            if self._next == len(self._lines):
                self._next, self._round = 0, self._round + 1

    def _shifted(self, value: float) -> float:
        shifted = value + self._round * self._gain
        modulus = self.channel.wraps_at
        return shifted % modulus if modulus else shifted


def _gain(values: list[float], modulus: float | None) -> float:
    steps = zip(values[1:], values[:-1], strict=True)
    return sum(a - b if a >= b or modulus is None else a - b + modulus for a, b in steps)


def open_replay(site: Site, path: Path) -> ReplaySource | AbsentSource:
    """The recording in a file, which was checked when its name was given."""
    try:
        return ReplaySource(load_recording(path), site.clock)
    except InputError as error:
        return AbsentSource(source=REPLAY, reason=str(error), remedy=error.remedy)


class Recorder:
    """Writes a recording.

    Args:
        file: a text file, written from its beginning.
        sources: whose readings are recorded.
        absent: goes into the header.
        start: the moment that counts as 0, on the clock of the readings.
        rhythms: how often the sources of energy have a new value, as it was measured.
    """

    def __init__(
        self,
        file: IO[str],
        sources: Iterable[Source],
        absent: Iterable[AbsentSource],
        start: float,
        rhythms: Sequence[Rhythm] = (),
    ) -> None:
        own = [channel for source in sources for channel in source.channels]
        channels = tuple(with_rhythms(own, rhythms))
        self._file = file
        self._start = start
        self._places = {channel.key: place for place, channel in enumerate(channels)}
        header = Header(channels=channels, absent=tuple(absent))
        self._file.write(header.model_dump_json(exclude_defaults=False) + "\n")

    def add(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            row: dict[str, float | str | None] = {
                "channel": self._places[reading.channel],
                "seconds": round(max(0.0, reading.seconds - self._start), 6),
                "value": reading.value,
            }
            if reading.error is not None:
                row["error"] = reading.error
            self._file.write(json.dumps(row) + "\n")
