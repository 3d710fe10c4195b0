"""What a queue with these service times will do at a rate: a forecast, never a figure.

The waiting times of a queue with one server follow Lindley's recursion (Lindley 1952, "The theory
of queues with a single server"). With measured service times and simulated Poisson arrivals it
foretells, in milliseconds and without a single call, where the search for a rate should begin, and
how long a trial must be.

The latter decides whether an interval holds. Waits come in bunches: at 90 % utilisation a hundred
calls in a row tell hardly more than one. A trial of too few of them sees no bunch or a few, its own
estimate of the correlation is then as accidental as its percentile, and intervals would be given
just where it happened to be too low (in simulations of trials of 1,000 calls at 70 % utilisation
one in ten had an interval for p99, and 81 % of those missed). So the number of calls is fixed
beforehand, from the forecast, and not by what the trial itself saw.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler import stats
from profiler.autocorrelation import of_percentile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

# Long enough for p99 at 90 % utilisation: its latency to within 2 %, its correlation time to within
# a third. Some 0.1 s of arithmetic.
CALLS = 200_000
SEED = 20_260_102
# Above, the forecast's own path is too short to tell anything.
MOST_UTILIZATION = 0.98
# A trial has so many times the effective iterations that the percentile's interval needs at the
# least: some ten independent bunches beyond a p99. In simulations (M/D/1 at 30 to 90 % utilisation,
# p90 and p99) such trials had an interval 95 to 100 % of the time, which covered 93 to 97 % of the
# time; with 1 in its place 52 to 80 % and 89 to 94 %.
SAFETY = 3.0
# But not fewer: the interval of a median needs 6, which is too few to tell the correlation from.
LEAST_EFFECTIVE = 30
# Of a factor of a thousand: to within 0.01 %.
_BISECTIONS = 16


class Forecast(NamedTuple):
    """One percentile at one rate: its latency, and how many calls tell as much as one."""

    latency_seconds: float
    correlation_time: float


def waits(gaps: Seconds, services: Seconds) -> Seconds:
    """Time that each call waits before it is begun; the first finds no other.

    Args:
        gaps: from each arrival to the next; one fewer than calls.
        services: how long each call takes.
    """
    walk = np.concatenate([[0.0], np.cumsum(services[:-1] - gaps)])
    return walk - np.minimum.accumulate(walk)


def utilization(service_seconds: Seconds, rate_per_second: float) -> float:
    """Share of the time in which the server works; a queue above 1 grows without end."""
    return rate_per_second * float(service_seconds.mean())


def forecast(service_seconds: Seconds, rate_per_second: float, level: float) -> Forecast | None:
    """What to expect at a rate; ``None`` where the queue would hardly ever be empty.

    Args:
        service_seconds: measured, in order: what slow calls in a row do is kept.
        rate_per_second: of Poisson arrivals.
        level: of the percentile, 0 … 1.
    """
    if utilization(service_seconds, rate_per_second) > MOST_UTILIZATION:
        return None
    latency = _path(service_seconds, rate_per_second)
    return Forecast(
        latency_seconds=float(np.quantile(latency, level)),
        correlation_time=of_percentile(latency, level).time,
    )


def calls_needed(expected: Forecast, level: float) -> int:
    """How many calls a trial must have for an interval of the percentile that holds."""
    effective = max(SAFETY * stats.needed(level), LEAST_EFFECTIVE)
    return math.ceil(effective * expected.correlation_time)


def rate_for(service_seconds: Seconds, level: float, bound_seconds: float) -> float:
    """The rate at which the percentile is foreseen to reach the bound."""
    highest = MOST_UTILIZATION / float(service_seconds.mean())
    low, high = math.log(highest * 1e-3), math.log(highest)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        latency = np.quantile(_path(service_seconds, math.exp(middle)), level)
        low, high = (middle, high) if latency <= bound_seconds else (low, middle)
    return math.exp(low)


def _path(service_seconds: Seconds, rate_per_second: float) -> Seconds:
    """Latencies of a simulated queue; the same arrivals at every rate, only faster or slower."""
    services = np.resize(service_seconds, CALLS)
    gaps = np.random.default_rng(SEED).standard_exponential(CALLS - 1) / rate_per_second
    return waits(gaps, services) + services
