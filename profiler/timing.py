"""The timed loop: nothing but the call and its synchronisation is between two clock reads."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # NumPy, which --help does not need
    from profiler.stamps import Stamps

Clock = Callable[[], int]

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
        stamps: gets start and end of each iteration, in nanoseconds.
        clock: monotonic, nanoseconds.
    """
    began, ended = stamps.starts.append, stamps.ends.append
    end = 0
    if synchronize is None:
        while True:
            start = clock()
            call()
            end = clock()
            began(start)
            ended(end)
            if end >= until_ns:
                return
    while True:
        start = clock()
        call()
        synchronize()
        end = clock()
        began(start)
        ended(end)
        if end >= until_ns:
            return


class DeviceTimer(Protocol):
    """Times one call by the accelerator's own clock."""

    def begin(self) -> None:
        """Mark the time at which the accelerator comes to what is called next."""

    def end(self) -> None:
        """Mark the time at which it is done with all that was called. Does not wait."""

    def elapsed_ns(self) -> int:
        """Between the marks; only after a synchronisation."""


def timed_block_on_device(
    call: Callable[[], Any],
    synchronize: Callable[[], None] | None,
    timer: DeviceTimer,
    until_ns: int,
    stamps: Stamps,
    device_ns: list[int],
    clock: Clock = perf_counter_ns,
) -> None:
    """As ``timed_block``, with the accelerator's own time of each iteration in ``device_ns``.

    The first mark is set and both are read while no iteration is timed. The second has to be set
    before the synchronisation, so what that costs the host (some microseconds, while the
    accelerator works) is part of the latency.
    """
    while True:
        timer.begin()
        start = clock()
        call()
        timer.end()
        if synchronize is not None:
            synchronize()
        end = clock()
        stamps.starts.append(start)
        stamps.ends.append(end)
        device_ns.append(timer.elapsed_ns())
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
