"""A queue whose answer is known, and a device whose clock moves only when something is done.

M/D/1: Poisson arrivals, every call takes the same time, one server, first come first served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, localcontext
from itertools import repeat
from math import factorial


def mean_wait(load: float) -> float:
    """Mean wait in units of the service time, by Pollaczek and Khinchine."""
    return load / (2 * (1 - load))


def waits_at_most(load: float, time: float) -> float:
    """P(wait <= time), time in units of the service time (Erlang 1909; Crommelin 1932).

    The terms alternate and grow like exp(load·time), so they are summed with as many digits.
    """
    with localcontext() as context:
        context.prec = 40 + int(time)
        rate, t = Decimal(repr(load)), Decimal(repr(time))
        total = Decimal(0)
        for k in range(int(t) + 1):
            x = rate * (k - t)
            # Decimal takes 0 ** 0 for an error.
            power = x**k if k else Decimal(1)
            total += power / factorial(k) * (-x).exp()
        return float((1 - rate) * total)


def wait_percentile(load: float, level: float) -> float:
    """The wait that a share ``level`` of the calls does not exceed, in units of the service time.

    0 where so many calls find the server idle.
    """
    low, high = 0.0, 1.0
    if waits_at_most(load, 0.0) >= level:
        return 0.0
    while waits_at_most(load, high) < level:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if waits_at_most(load, middle) < level else (low, middle)
    return high


def lindley(arrivals: Iterable[int], services: Iterable[int]) -> list[int]:
    """Latencies of a queue, one call after the other: waiting and service."""
    latencies = []
    free = None
    for arrival, service in zip(arrivals, services, strict=True):
        begin = arrival if free is None else max(arrival, free)
        free = begin + service
        latencies.append(free - arrival)
    return latencies


class SimulatedDevice:
    """A device of which only calls and waiting take time; nanoseconds.

    Args:
        services: of each call in turn, or of all.
    """

    def __init__(self, services: int | Iterable[int], now: int = 5_000) -> None:
        self.now = now
        self.calls = 0
        self._services: Iterator[int] = (
            repeat(services) if isinstance(services, int) else iter(services)
        )

    def clock(self) -> int:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += next(self._services)

    def wait_until(self, when_ns: int) -> None:
        assert when_ns >= self.now, "waiting for what is over"
        self.now = when_ns
