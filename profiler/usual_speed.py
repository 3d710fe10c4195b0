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

# What is believed before any run was seen: a model feels what the sentinel feels. On the machines
# that this was tried on, exponents were between 0.2 and 1.4.
PRIOR, PRIOR_SD = 1.0, 0.5
# No two runs are known to agree better than this, relative: what keeps a few equal ones from being
# taken for certainty.
LEAST_SD = 0.001
# The exponent and what is left without it depend on each other; they settle in a few turns.
TURNS = 20
# exp() of it is a factor of a million; a spread that large says that nothing is known.
_LARGEST_LOG = 14.0

Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """A run: its median latency and the sentinel's, both in seconds."""

    p50_seconds: float
    sentinel_seconds: float


class Usual(NamedTuple):
    """The median at the usual speed, or why there is none."""

    found: AtUsualSpeed | None
    reason: str | None


class Fitted(NamedTuple):
    """How the latency follows the sentinel.

    Attributes:
        exponent: posterior mode.
        sd: of what is left from run to run, of the logarithm.
        freedom: degrees of freedom of ``sd``.
    """

    exponent: float
    sd: float
    freedom: float


def at_usual_speed(this: Seen, past: Sequence[Seen]) -> Usual:
    """What this run's median would be at the speed that the device has in the middle of its runs.

    Args:
        this: the run.
        past: earlier runs of the same configuration with the same sentinel, in their order.
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
    usual = float(np.median(speeds))
    value = float(latencies[-1]) - fitted.exponent * (float(speeds[-1]) - usual)
    half = min(student(fitted.freedom) * fitted.sd, _LARGEST_LOG)
    return Usual(
        AtUsualSpeed(
            runs=len(runs),
            exponent=fitted.exponent,
            sentinel_seconds=math.exp(usual),
            relative_sd=fitted.sd,
            freedom=fitted.freedom,
            p50=Interval(
                value=math.exp(value), low=math.exp(value - half), high=math.exp(value + half)
            ),
        ),
        None,
    )


def fit(latencies: Floats, speeds: Floats) -> Fitted:
    """Regression of successive differences, towards ``PRIOR`` as far as these do not tell.

    Of differences, as ``over_runs`` has them: a step, as an update makes one, counts once. Normal
    prior and normal rest make it a ridge regression (Hoerl and Kennard 1970).

    Args:
        latencies: logarithms, of at least three runs in their order.
        speeds: the sentinel's of the same runs.
    """
    y, x = np.diff(latencies), np.diff(speeds)
    n = len(latencies)
    # Of von Neumann's (1941) mean square successive difference: see ``over_runs``.
    freedom = 2 * (n - 1) ** 2 / (3 * n - 4)
    moved, together = float(x @ x), float(x @ y)
    exponent, sd, taken = PRIOR, LEAST_SD, 0.0
    for _ in range(TURNS):
        rest = float(np.sum((y - exponent * x) ** 2)) / (2 * (n - 1))
        # One parameter of n - 1 differences, as far as these and not the prior have settled it.
        sd = max(LEAST_SD, math.sqrt(rest / (1 - taken / (n - 1))))
        # A difference has the variance of two runs.
        prior = 2 * sd**2 / PRIOR_SD**2
        exponent = (together + prior * PRIOR) / (moved + prior)
        taken = moved / (moved + prior)
    # That the exponent is not certain is in ``sd`` alone. Were it taken from the freedom too, the
    # interval of four runs would hold in 99.5 % and be half as wide again; so it holds in 97 %.
    return Fitted(exponent, sd, freedom)
