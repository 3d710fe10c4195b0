"""Idle power: what a device draws with the model loaded and nothing to do. Models and sums."""

from __future__ import annotations

from typing import Literal

from profiler.base import Frozen


class IdleSpan(Frozen):
    """A quiet stretch, before or after the calls; seconds of ``perf_counter``."""

    when: Literal["before", "after"]
    start_seconds: float
    end_seconds: float


class IdlePower(Frozen):
    """Mean power with the model loaded and no call made, from the source of the figure.

    ``before_watts`` is before the warm-up, ``after_watts`` after the timed part; ``None`` where
    that stretch was too short for the sensor. ``watts`` is the mean of the two, or the one that
    there is. ``seconds`` is how long was listened in all, and ``uncertainty_watts`` by how much
    ``watts`` may be off in so short a time; the error of the sensor itself is not in it.
    """

    watts: float
    uncertainty_watts: float
    before_watts: float | None
    after_watts: float | None
    seconds: float

    @property
    def drift(self) -> float | None:
        """By how much before and after differ, relative to their mean."""
        if self.before_watts is None or self.after_watts is None or self.watts <= 0:
            return None
        return abs(self.after_watts - self.before_watts) / self.watts


class Side(Frozen):
    """The quiet stretches on one side of the calls, together."""

    watts: float
    uncertainty_watts: float
    seconds: float


def idle_power(before: Side | None, after: Side | None) -> IdlePower | None:
    """Both sides as one; ``None`` where there is neither."""
    sides = [side for side in (before, after) if side is not None]
    if not sides:
        return None
    return IdlePower(
        watts=sum(side.watts for side in sides) / len(sides),
        uncertainty_watts=sum(side.uncertainty_watts for side in sides) / len(sides),
        before_watts=before.watts if before else None,
        after_watts=after.watts if after else None,
        seconds=sum(side.seconds for side in sides),
    )
