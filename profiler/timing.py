"""The timed loop: nothing but the call and its synchronisation is between two clock reads."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import Any

Clock = Callable[[], int]
Stamps = list[tuple[int, int]]

CALIBRATION_CALLS = 2_000


def timed_block(
    call: Callable[[], Any],
    synchronize: Callable[[], None] | None,
    until_ns: int,
    stamps: Stamps,
    clock: Clock = perf_counter_ns,
) -> None:
    """Time calls until the clock passes ``until_ns``; at least one.

    Args:
        call: one inference.
        synchronize: waits for the accelerator; ``None`` where the call returns with the work done.
        until_ns: on the same clock.
        stamps: gets (start, end) of each iteration, in nanoseconds.
        clock: monotonic, nanoseconds.
    """
    append = stamps.append
    end = 0
    if synchronize is None:
        while True:
            start = clock()
            call()
            end = clock()
            append((start, end))
            if end >= until_ns:
                return
    while True:
        start = clock()
        call()
        synchronize()
        end = clock()
        append((start, end))
        if end >= until_ns:
            return


def clock_overhead_ns(clock: Clock = perf_counter_ns) -> float:
    """What the loop shows for a call that does nothing: its median in nanoseconds."""

    def nothing() -> None:
        return None

    durations = []
    for _ in range(CALIBRATION_CALLS):
        start = clock()
        nothing()
        durations.append(clock() - start)
    return median(durations)
