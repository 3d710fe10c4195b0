"""``server``: calls come at their own times, whether or not the one before them is done.

One call is served at a time, in the order of arrival. Latency counts from the *scheduled* arrival:
a call that waited behind a slow one is as late as its user saw it. A closed loop, which sends the
next call when the last one returned, would wait out a stall together with its users and show one
slow call where there were hundreds ("coordinated omission").

Serving may pause for bookkeeping at a moment when no call is waiting: the gaps of a Poisson process
have no memory, so that the next arrival, drawn anew, comes after the same time as it would have
(``serve`` with ``enough``). A path that begins and ends empty also has no start-up bias to speak
of (regenerative simulation: Meketon and Heidelberger 1982, "A renewal theoretic approach to bias
reduction in regenerative simulations").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from profiler.scenarios.arrivals import WaitUntil, poisson_arrivals, waiter
from profiler.scenarios.served import Served
from profiler.timing import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Nanoseconds = NDArray[np.int64]

# Calls that arrived within a repetition's time may be served for so much of it longer. Who needs
# more is overloaded, and clearing the backlog could take for ever.
DRAIN_SHARE = 0.25
# Arrivals are drawn for so many calls more than are enough: what comes until none is waiting.
EXTRA_SHARE = 0.25
EXTRA_CALLS = 64
# 8 MB of arrivals at a time, and about 100 MB with the stamps.
MOST_CALLS = 1_000_000


def serve(
    call: Callable[[], Any],
    synchronize: Callable[[], None] | None,
    arrivals_ns: Nanoseconds,
    *,
    enough: int,
    until_ns: int,
    clock: Clock,
    wait_until: WaitUntil,
) -> Served:
    """Serve calls as they arrive, until ``enough`` are served and none is waiting.

    Args:
        call: one inference.
        synchronize: waits for the accelerator; ``None`` where the call returns with the work done.
        arrivals_ns: from now, rising; more of them than ``enough``.
        enough: after so many calls it ends at the first moment at which none is waiting.
        until_ns: no call is begun after this, on the clock.
        clock: monotonic, nanoseconds.
        wait_until: returns when the clock has reached a moment.
    """
    starts: list[int] = []
    ends: list[int] = []
    origin = clock()
    arrivals = arrivals_ns + origin
    over = None
    for scheduled in arrivals.tolist():
        start = clock()
        if start < scheduled:
            if len(starts) >= enough:
                break
            if scheduled >= until_ns:
                wait_until(until_ns)
                break
            wait_until(scheduled)
            start = clock()
        elif start >= until_ns:
            over = start
            break
        call()
        if synchronize is not None:
            synchronize()
        ends.append(clock())
        starts.append(start)
    served = len(starts)
    arrived = served if over is None else int(np.searchsorted(arrivals, over, side="right"))
    return Served(
        scheduled_ns=arrivals[:served],
        start_ns=np.array(starts, dtype=np.int64),
        end_ns=np.array(ends, dtype=np.int64),
        abandoned_ns=arrivals[served:arrived],
        over_ns=over,
        elapsed_ns=clock() - origin,
    )


class Offer(Protocol):
    """Something that serves a Poisson load; see ``Server.offer``."""

    def __call__(self, rate_per_second: float, enough: int, seconds: float) -> Served: ...


class Server:
    """One process's server: a call, and a stream of arrivals from the run's seed.

    Args:
        call: one inference.
        synchronize: waits for the accelerator, or ``None``.
        seed: of the run.
        repetition: index of this process; each has arrivals of its own.
        clock: monotonic, nanoseconds.
        wait_until: of the same clock.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        synchronize: Callable[[], None] | None,
        *,
        seed: int,
        repetition: int = 0,
        clock: Clock = perf_counter_ns,
        wait_until: WaitUntil | None = None,
    ) -> None:
        self._call = call
        self._synchronize = synchronize
        self._seed = (seed, repetition)
        self._clock = clock
        self._wait_until = wait_until or waiter(clock)
        self._offers = 0

    def offer(self, rate_per_second: float, enough: int, seconds: float) -> Served:
        """Serve a Poisson load that starts now.

        Args:
            rate_per_second: mean rate of the arrivals.
            enough: calls after which the next idle moment ends it, at most ``MOST_CALLS``.
            seconds: no call is begun later than that from now.
        """
        enough = min(enough, MOST_CALLS)
        count = enough + math.ceil(EXTRA_SHARE * enough) + EXTRA_CALLS
        arrivals = poisson_arrivals(rate_per_second, count, (*self._seed, self._offers))
        self._offers += 1
        return serve(
            self._call,
            self._synchronize,
            arrivals,
            enough=enough,
            until_ns=self._clock() + int(seconds * 1e9),
            clock=self._clock,
            wait_until=self._wait_until,
        )


def stretches(
    offer: Offer,
    rate_per_second: float,
    seconds: float,
    block_seconds: float,
    clock: Clock = perf_counter_ns,
) -> Iterator[Served]:
    """One rate for a repetition's time, in stretches that each end with no call waiting.

    Between two of them the caller may do what it likes: report, time the sentinel, or stop.

    Args:
        offer: serves a load.
        rate_per_second: the rate.
        seconds: calls come for so long.
        block_seconds: about how long a stretch is.
        clock: monotonic, nanoseconds.
    """
    begin = clock()
    while (left := seconds - (clock() - begin) / 1e9) > 0:
        enough = max(1, round(rate_per_second * min(block_seconds, left)))
        yield offer(rate_per_second, enough, left + DRAIN_SHARE * seconds)
