"""A run's median as it would be had the device been as fast as it usually is: pure functions.

What slows the sentinel slows a model too, and no two models by as much: one that stays in a core's
own caches feels little of a neighbour that fills the shared one, one with many weights feels more
than the sentinel does. How much a configuration feels is seen in how its runs differed from each
other, beside how the sentinel did: latency ∝ sentinel ** exponent. Within one run it cannot be
seen: the device's speed moves too little there, and its jitter makes every slope too flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.over_runs import LEAST_PAST, MOST_PAST
from profiler.result import AtUsualSpeed, Interval
from profiler.stats import student

# What is believed before any run was seen: a model feels about what the sentinel feels. Where this
# was tried, exponents were between 0.2 and 2.1.
PRIOR, PRIOR_SD = 1.0, 1.0
# What is usual is the middle of the first so many runs, and stays: figures of all later ones are of
# one speed. A middle that moved with every run would move every figure.
SETTLING_RUNS = LEAST_PAST + 1
# Only a device that has become another one, by so much in each of so many runs, has a new one.
ANOTHER_SPEED, ANOTHER_RUNS = math.log(1.3), 10
# Runs that are compared lie so far apart at most. Next ones alone differ too little where the speed
# moves slowly, and their noise makes the slope too flat; of all pairs half would straddle a step.
MOST_APART = 4
# No two runs are known to agree better than this, relative: what keeps a few equal ones from being
# taken for certainty.
LEAST_SD = 0.001
# The exponent and what is left without it depend on each other; they settle in a few turns.
TURNS = 20
# exp() of it is a factor of a million; a spread that large says that nothing is known.
_LARGEST_LOG = 14.0

Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """Of a run: its median latency and the sentinel's, both in seconds."""

    p50_seconds: float
    sentinel_seconds: float


class Within(NamedTuple):
    """Relative half-widths of what one run says of itself; 0 where it says nothing."""

    p50: float
    sentinel: float


NOTHING_SAID = Within(0.0, 0.0)


class Usual(NamedTuple):
    """The median at the usual speed, or why there is none."""

    found: AtUsualSpeed | None
    reason: str | None


class Fitted(NamedTuple):
    """How the latency follows the sentinel.

    Attributes:
        exponent: posterior mode, and its standard deviation.
        sd: of what is left from run to run, of the logarithm.
        freedom: degrees of freedom of ``sd``.
    """

    exponent: float
    exponent_sd: float
    sd: float
    freedom: float


def at_usual_speed(
    this: Seen,
    past: Sequence[Seen],
    settled: float | None = None,
    within: Within = NOTHING_SAID,
) -> Usual:
    """What this run's median would be at the speed that the device usually has.

    Args:
        this: the run.
        past: earlier runs of the same configuration with the same sentinel, in their order.
        settled: the sentinel's usual duration, where these have settled it.
        within: relative half-widths of this run's own intervals: a few runs may agree by chance,
            and none is known better than it tells by itself.
    """
    runs = [*past[-MOST_PAST:], this]
    if min(min(each) for each in runs) <= 0:
        return Usual(None, "the clock is too coarse for this model")
    if len(runs) <= LEAST_PAST:
        return Usual(
            None,
            f"{len(runs)} run(s) of this configuration with this sentinel are known on this "
            f"device; from {LEAST_PAST + 1} on they tell how it follows the device's speed",
        )
    latencies, speeds = np.log(runs).T
    fitted = fit(latencies, speeds)
    usual = _usual(speeds, settled)
    away = float(speeds[-1]) - usual
    value = float(latencies[-1]) - fitted.exponent * away
    spread = math.hypot(fitted.sd, fitted.exponent_sd * away)
    own = math.hypot(within.p50, fitted.exponent * within.sentinel)
    half = min(max(student(fitted.freedom) * spread, own), _LARGEST_LOG)
    return Usual(
        AtUsualSpeed(
            runs=len(runs),
            exponent=fitted.exponent,
            exponent_sd=fitted.exponent_sd,
            sentinel_seconds=math.exp(usual),
            relative_sd=fitted.sd,
            freedom=fitted.freedom,
            p50=Interval(
                value=math.exp(value), low=math.exp(value - half), high=math.exp(value + half)
            ),
        ),
        None,
    )


def _usual(speeds: Floats, settled: float | None) -> float:
    """Logarithm of the sentinel's usual duration."""
    if settled is None:
        return float(np.median(speeds[:SETTLING_RUNS]))
    lately = speeds[-ANOTHER_RUNS:]
    away = lately - math.log(settled)
    another = len(lately) == ANOTHER_RUNS and (
        away.min() > ANOTHER_SPEED or away.max() < -ANOTHER_SPEED
    )
    return float(np.median(lately)) if another else math.log(settled)


class _Products(NamedTuple):
    """Mean squares of the differences between runs, and the mean product."""

    speeds: float
    both: float
    latencies: float

    def rest(self, exponent: float) -> float:
        """Mean square of what is left with that exponent."""
        square = self.latencies - 2 * exponent * self.both + exponent**2 * self.speeds
        return max(0.0, square)


def _products(latencies: Floats, speeds: Floats) -> _Products:
    """Of runs that lie one apart, two, and so on; the mean over these."""
    lags = range(1, min(MOST_APART, len(speeds) - 1) + 1)
    x = [speeds[lag:] - speeds[:-lag] for lag in lags]
    y = [latencies[lag:] - latencies[:-lag] for lag in lags]
    found = [(np.mean(a * a), np.mean(a * b), np.mean(b * b)) for a, b in zip(x, y, strict=True)]
    return _Products(*(float(each) for each in np.mean(found, axis=0)))


def fit(latencies: Floats, speeds: Floats) -> Fitted:
    """Regression of differences between runs, towards ``PRIOR`` as far as these do not tell.

    Of differences, so that a step, as an update makes one, counts for the few pairs around it.
    Normal prior and normal rest make it a ridge regression (Hoerl and Kennard 1970).

    Args:
        latencies: logarithms, of at least three runs in their order.
        speeds: the sentinel's of the same runs.
    """
    n = len(latencies)
    # Of von Neumann's (1941) mean square successive difference: see ``over_runs``.
    freedom = 2 * (n - 1) ** 2 / (3 * n - 4)
    products = _products(latencies, speeds)
    exponent, sd, taken, prior = PRIOR, LEAST_SD, 0.0, 0.0
    for _ in range(TURNS):
        # A difference has the variance of two runs. One parameter of n - 1 differences is taken, as
        # far as these and not the prior have settled it.
        sd = max(LEAST_SD, math.sqrt(products.rest(exponent) / 2 / (1 - taken / (n - 1))))
        prior = 2 * sd**2 / PRIOR_SD**2 / (n - 1)
        exponent = (products.both + prior * PRIOR) / (products.speeds + prior)
        taken = products.speeds / (products.speeds + prior)
    exponent_sd = sd * math.sqrt(2 / (n - 1) / (products.speeds + prior))
    # That the exponent is not certain is in both sds. Taken from the freedom too, the interval of
    # four runs would be half as wide again, and it holds in 99 % as it is.
    return Fitted(exponent, exponent_sd, sd, freedom)
