"""When the sampler reads: an absolute schedule, so that late ticks do not add up to a drift."""

from __future__ import annotations

import math


class Schedule:
    """Ticks at ``start + k * period``, k = 1, 2, …; seconds of one clock throughout.

    A tick that comes so late that the next is due already is run once; those in between are missed
    and counted, never caught up with.
    """

    def __init__(self, start: float, period: float) -> None:
        self._start = start
        self._period = period
        self._next = 1
        self._last: float | None = None
        self.missed = 0
        self.largest_gap_seconds = 0.0

    @property
    def due(self) -> float:
        """When the next tick is."""
        return self._start + self._next * self._period

    def ran(self, now: float) -> None:
        """Note that a tick began at ``now``, and move on to the next that lies after it."""
        self.largest_gap_seconds = self.gap_seconds(now)
        self._last = now
        following = self._following(now)
        self.missed += following - self._next - 1
        self._next = following

    def gap_seconds(self, now: float) -> float:
        """The longest time between two ticks, and from the last until now."""
        if self._last is None:
            return self.largest_gap_seconds
        return max(self.largest_gap_seconds, now - self._last)

    def overdue(self, now: float) -> int:
        """How many ticks should have begun before now, and did not: a read does not come back."""
        return max(0, math.floor((now - self._start) / self._period) + 1 - self._next)

    def _following(self, now: float) -> int:
        return max(math.floor((now - self._start) / self._period) + 1, self._next + 1)
