"""When calls arrive in the scenario ``server``, and waiting for that moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from profiler.timing import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

WaitUntil = Callable[[int], None]

# Linux rounds a sleep up by 50 µs (timer slack, prctl(2)) and takes some time to wake up; from so
# long before the arrival the clock is watched instead.
SPIN_NS = 200_000


def poisson_arrivals(
    rate_per_second: float, count: int, seed: tuple[int, ...]
) -> NDArray[np.int64]:
    """Nanoseconds from the start to each of ``count`` arrivals of a Poisson process.

    Gaps are exponential: calls of many independent users. They are drawn beforehand, so that the
    loop that serves them does no arithmetic, and by inversion from a named generator, so that a
    seed gives the same arrivals in every version of NumPy.

    Args:
        rate_per_second: arrivals per second in the mean.
        count: how many.
        seed: of the run, and what tells this stream from the run's others.
    """
    uniform = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).random(count)
    gaps = -np.log1p(-uniform) / rate_per_second
    return np.rint(np.cumsum(gaps) * 1e9).astype(np.int64)


def waiter(
    clock: Clock = perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
    spin_ns: int = SPIN_NS,
) -> WaitUntil:
    """A function that returns when the clock has reached a moment, never before.

    It sleeps until ``spin_ns`` before that moment and then watches the clock: a sleep alone ends
    some 60 µs late, and that would be charged to the model. The watching takes one core for at most
    ``spin_ns`` per call and only while no call is served: below 2 % of a core at 100 calls per
    second. On a board with a single core, or where its heat counts, give 0; ``lateness_seconds`` of
    the result shows what that costs.
    """

    def wait_until(when_ns: int) -> None:
        while (left := when_ns - spin_ns - clock()) > 0:
            sleep(left / 1e9)
        while clock() < when_ns:
            pass

    return wait_until
