"""What ``fleetmark sensors`` lists: every channel, a live value, and how often that changes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter, sleep

from pydantic import Field

from profiler.base import Frozen
from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Quantity, Reading, Source

# Ticks of the survey. Faster than the sensors that have a rhythm of their own: NVML's 100 ms.
POLL_SECONDS = 0.01
# A value has to change this often before its rhythm can be told.
_MIN_CHANGES = 4

# A rhythm is of interest where a window of a run is cut by it.
_METERED = frozenset({Quantity.POWER, Quantity.ENERGY})


class SurveyedChannel(Channel):
    """A channel and what it said.

    Attributes:
        value: of the last reading, in the quantity's unit; ``None`` with the error.
        error: what the last reading said, if it failed.
        measured_update_period_seconds: between changes of a power or an energy, never shorter than
            the time between readings; ``None``: it changed too rarely to tell.
    """

    value: float | None = None
    error: str | None = None
    measured_update_period_seconds: float | None = None


class Survey(Frozen):
    """Every source: found, by its channels, or absent with the reason and the remedy."""

    channels: tuple[SurveyedChannel, ...] = Field(default=())
    absent: tuple[AbsentSource, ...] = Field(default=())


def survey(
    sources: Sequence[Source],
    absent: Sequence[AbsentSource],
    seconds: float,
    *,
    clock: Callable[[], float] = perf_counter,
    pause: Callable[[float], None] = sleep,
) -> Survey:
    """Read all sources once, and those that tell power for a while.

    Args:
        sources: open; they stay open.
        absent: what could not be opened.
        seconds: how long; 0 reads once, and measures no rhythm.
        clock: seconds, monotonic.
        pause: waits for so many seconds.
    """
    seen: dict[str, list[Reading]] = {c.key: [] for source in sources for c in source.channels}

    def read(only: frozenset[Quantity] | None) -> None:
        for source in sources:
            for reading in source.read(only):
                seen[reading.channel].append(reading)

    read(None)
    end = clock() + seconds
    while seconds and clock() < end:
        pause(POLL_SECONDS)
        read(_METERED)
    if seconds:
        # What is a difference from one reading to the next, such as a load, has a value by now.
        read(frozenset(Quantity) - _METERED)
    return Survey(
        channels=tuple(
            _surveyed(channel, seen[channel.key])
            for source in sources
            for channel in source.channels
        ),
        absent=tuple(absent),
    )


def _surveyed(channel: Channel, readings: Sequence[Reading]) -> SurveyedChannel:
    last = readings[-1] if readings else None
    return SurveyedChannel(
        **dict(channel),
        value=last.value if last else None,
        error=last.error if last else "it has not answered yet",
        measured_update_period_seconds=update_period(readings),
    )


def update_period(readings: Sequence[Reading]) -> float | None:
    """The usual time between two changes of the value."""
    changes = [
        now.seconds
        for before, now in pairwise(readings)
        if None not in (before.value, now.value) and now.value != before.value
    ]
    if len(changes) < _MIN_CHANGES:
        return None
    return statistics.median(after - before for before, after in pairwise(changes))
