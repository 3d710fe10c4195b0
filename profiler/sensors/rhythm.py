"""How often a sensor really has a new value, measured by asking it faster than that.

Data sheets and drivers state a period; cards of one family differ from it, and what a window's
edges cost hangs on it. So every source of energy is watched for a moment before a run: each change
of a value lies between two readings, and the changes of a sensor that is regular lie on a beat.
What cannot be seen (a value that stays, or is new at every reading) is said, and the nominal period
stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from profiler.base import Frozen
from profiler.result import PeriodBasis
from profiler.sensors.base import Channel, Quantity, Reading, Source
from profiler.units import seconds as in_words

METERED = frozenset({Quantity.POWER, Quantity.ENERGY})
# Seven updates of NVML's 100 ms, with some to spare.
LISTEN_SECONDS = 1.0
# A value has to change this often before its rhythm can be told, and no more than ``_ENOUGH``.
FEWEST_CHANGES, _ENOUGH_CHANGES = 4, 7
# First as fast as it goes, for counters of a millisecond; then with pauses, for the others.
_BURST_SECONDS, _BURST_READS, _PAUSE_SECONDS = 0.05, 2000, 0.001


class Rhythm(Frozen):
    """What was seen of one channel.

    Attributes:
        channel: its key.
        seconds: from one new value to the next; ``None``: not seen, for ``reason``.
        jitter_seconds: by how much a new value came off the beat, at most; ``None``: there is no
            beat, and ``seconds`` is the longest time from one new value to the next.
    """

    channel: str
    seconds: float | None
    jitter_seconds: float | None = None
    reason: str | None = None


def listen(
    source: Source,
    *,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    most_seconds: float = LISTEN_SECONDS,
    heard: Callable[[Sequence[Reading]], object] = lambda _: None,
) -> tuple[Rhythm, ...]:
    """Watch a source's power and energy until their rhythm is told; nothing else is read.

    Args:
        source: open.
        clock: seconds, monotonic.
        pause: waits for so many seconds.
        most_seconds: at most so long.
        heard: is given all that was read: some sources give each reading once.
    """
    # NumPy; not on the way to --help.
    from profiler.sensors.beat import rhythm_of

    channels = [channel for channel in source.channels if channel.quantity in METERED]
    slow = {c.key: reason for c in channels if (reason := _too_slow(c, most_seconds))}
    watched = _Watched([channel for channel in channels if channel.key not in slow])
    begin, reads = clock(), 0
    while not watched.enough and clock() < begin + most_seconds:
        readings = source.read(METERED)
        watched.add(readings)
        heard(readings)
        reads += 1
        if reads > _BURST_READS or clock() > begin + _BURST_SECONDS:
            pause(_PAUSE_SECONDS)
    return tuple(
        Rhythm(channel=channel.key, seconds=None, reason=slow[channel.key])
        if channel.key in slow
        else rhythm_of(channel, watched.readings[channel.key])
        for channel in channels
    )


def _too_slow(channel: Channel, seconds: float) -> str | None:
    period = channel.update_period_seconds
    if period is None or period * (FEWEST_CHANGES + 2) <= seconds:
        return None
    return f"a new value every {in_words(period)} is too seldom to be watched for"


class _Watched:
    """Readings by channel, and whether each has changed often enough."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.readings: dict[str, list[Reading]] = {channel.key: [] for channel in channels}
        self._left = dict.fromkeys(self.readings, _ENOUGH_CHANGES)

    @property
    def enough(self) -> bool:
        return all(left <= 0 for left in self._left.values())

    def add(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            seen = self.readings.get(reading.channel)
            if seen is None or reading.value is None:
                continue
            if seen and seen[-1].seconds >= reading.seconds:
                # A source that is asked now and then gives its last answer again.
                continue
            if seen and seen[-1].value != reading.value:
                self._left[reading.channel] -= 1
            seen.append(reading)


def with_rhythm(channel: Channel, rhythm: Rhythm | None) -> Channel:
    """The channel with the period that was measured, or with why the nominal one stands."""
    if rhythm is None:
        return channel
    if rhythm.seconds is None:
        if channel.period_basis is PeriodBasis.MEASURED:
            # By who recorded it: what is played back comes no faster than it was read then.
            return channel
        return channel.model_copy(
            update={"period_basis": PeriodBasis.NOMINAL, "period_reason": rhythm.reason}
        )
    return channel.model_copy(
        update={
            "update_period_seconds": rhythm.seconds,
            "period_basis": PeriodBasis.MEASURED,
            "jitter_seconds": rhythm.jitter_seconds,
        }
    )


def with_rhythms(channels: Sequence[Channel], rhythms: Sequence[Rhythm]) -> list[Channel]:
    """``with_rhythm`` for each."""
    by_key = {rhythm.channel: rhythm for rhythm in rhythms}
    return [with_rhythm(channel, by_key.get(channel.key)) for channel in channels]
