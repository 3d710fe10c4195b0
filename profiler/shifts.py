"""Pauses of random length between blocks, for calls that keep in step with a sensor.

A sensor that looks at a part of each of its updates sees the same part of every call then, however
long is measured. Random pauses let its looks fall on other parts. They lie between blocks, timed
apart: no latency holds any of one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from time import sleep

from profiler.energy.sight import resonates

# As long as the longest update of the sensors in question (SENSORS): any phase can come of it.
LONGEST_SECONDS = 0.1


class Shifts:
    """Pauses; what they came to is in ``seconds``.

    Args:
        seed: of the lengths, so that a run can be repeated.
        pause: waits for so many seconds.
    """

    def __init__(self, seed: int, pause: Callable[[float], None] = sleep) -> None:
        self.seconds = 0.0
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._pause = pause

    def __call__(self) -> None:
        length = self._random.uniform(0.0, LONGEST_SECONDS)
        self._pause(length)
        self.seconds += length


def shifts_for(call_seconds: float, looks_every: Collection[float], seed: int) -> Shifts | None:
    """Pauses if the calls keep in step with one of the sensors; ``None`` if they do not.

    Args:
        call_seconds: the usual latency.
        looks_every: update periods of the sensors that do not see all of the time.
        seed: of the lengths.
    """
    if any(resonates(call_seconds, period) for period in looks_every):
        return Shifts(seed)
    return None
