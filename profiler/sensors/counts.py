"""Counts that only rise, from readings of sensors: joules without wraps, seconds of a flag.

Pure state, no clocks: a reading brings its own time. A count may know that another process counts
the same while this one does not look: then it rises by at least as much as that one's.
"""

from __future__ import annotations

from profiler.energy.counter import MAX_PLAUSIBLE_WATTS
from profiler.sensors.base import Channel, Quantity, Reading

# What no device of a fleet draws for long. A counter that this could have wrapped unseen since the
# last reading does not tell how far it went.
MAX_LASTING_WATTS = 1000.0
# A flag that was set is held to have lasted for no longer than this before the reading.
MAX_FLAG_SECONDS = 5.0


class _Count:
    """What was counted here, and what was counted elsewhere since the last reading here."""

    def __init__(self) -> None:
        self._own = 0.0
        self._elsewhere = 0.0
        self._taken_up = 0.0

    @property
    def total(self) -> float:
        return self._own + self._elsewhere - self._taken_up

    def counted_elsewhere(self, total: float) -> None:
        """The other's count, which only rises, as it stands now."""
        self._elsewhere = max(self._elsewhere, total)

    def _rise(self, step: float) -> None:
        self._own += max(step, self._elsewhere - self._taken_up)
        self._taken_up = self._elsewhere


class EnergyCounter(_Count):
    """Joules since the first reading.

    What was used in a time that cannot be told (a reset, or a pause in which the counter may have
    wrapped) is left out: the count is then too low, and never too high.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._wraps_at = channel.wraps_at
        self._before: Reading | None = None

    def add(self, reading: Reading) -> None:
        if reading.value is None:
            return
        before, self._before = self._before, reading
        if before is None or before.value is None:
            self._rise(0.0)
        else:
            self._rise(self._step(before.value, reading.value, reading.seconds - before.seconds))

    def _step(self, before: float, now: float, seconds: float) -> float:
        step = now - before
        if self._wraps_at is None:
            return max(0.0, step)
        if seconds * MAX_LASTING_WATTS > self._wraps_at:
            return 0.0
        if step < 0:
            step += self._wraps_at
        # A larger step is a reset of the counter.
        return step if 0 <= step <= MAX_PLAUSIBLE_WATTS * seconds else 0.0


class FlagCounter(_Count):
    """Seconds in which a flag was seen set, as far as readings a second apart can tell."""

    def __init__(self) -> None:
        super().__init__()
        self._before: float | None = None

    def add(self, reading: Reading) -> None:
        before, self._before = self._before, reading.seconds
        if before is not None and reading.value:
            self._rise(min(reading.seconds - before, MAX_FLAG_SECONDS))
        else:
            self._rise(0.0)


def counter_of(channel: Channel) -> EnergyCounter | FlagCounter | None:
    """What counts the readings of a channel; ``None`` where there is nothing to count."""
    if channel.quantity is Quantity.ENERGY:
        return EnergyCounter(channel)
    if channel.quantity is Quantity.THROTTLED_NOW:
        return FlagCounter()
    return None
