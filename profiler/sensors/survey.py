"""What ``fleetmark sensors`` lists: every channel, a live value, and how often that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter, sleep

from pydantic import Field

from profiler.base import Frozen
from profiler.result import AbsentSource
from profiler.sensors.base import Channel, Reading, Source
from profiler.sensors.rhythm import Rhythm, listen


class SurveyedChannel(Channel):
    """A channel and what it said.

    Attributes:
        value: of the last reading, in the quantity's unit; ``None`` with the error.
        error: what the last reading said, if it failed.
        measured_update_period_seconds: of a power or an energy, as a run measures it; ``None``: it
            could not be told, and ``period_reason`` says why, where it was looked at.
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
        seconds: how long each source of power is watched; 0 reads once, and measures no rhythm.
        clock: seconds, monotonic.
        pause: waits for so many seconds.
    """
    last: dict[str, Reading] = {}

    def keep(readings: Sequence[Reading]) -> None:
        last.update((reading.channel, reading) for reading in readings)

    def read() -> None:
        for source in sources:
            keep(source.read())

    read()
    rhythms: dict[str, Rhythm] = {}
    if seconds:
        end = clock() + seconds
        for source in sources:
            found = listen(source, clock=clock, pause=pause, most_seconds=seconds, heard=keep)
            rhythms.update((rhythm.channel, rhythm) for rhythm in found)
        pause(max(0.0, end - clock()))
        # What is a difference from one reading to the next, such as a load, has a value by now.
        read()
    return Survey(
        channels=tuple(
            _surveyed(channel, last.get(channel.key), rhythms.get(channel.key))
            for source in sources
            for channel in source.channels
        ),
        absent=tuple(absent),
    )


def _surveyed(channel: Channel, reading: Reading | None, rhythm: Rhythm | None) -> SurveyedChannel:
    known = dict(channel) | {"period_reason": rhythm.reason if rhythm else None}
    return SurveyedChannel(
        **known,
        value=reading.value if reading else None,
        error=reading.error if reading else "it has not answered yet",
        measured_update_period_seconds=rhythm.seconds if rhythm else None,
    )
