"""When enough has been measured: the 95 % interval of the percentile is narrow enough.

The interval is the one of ``stats``, with the effective number of iterations, so it shrinks as
iterations come in and not as they agree. Checking after every iteration would stop at the first
lucky one; it is checked at 100 iterations and then each time their number has grown by a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler import stats
from profiler.spec import StopSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The relative standard error of an autocorrelation time is the root of 2 over its degrees of
# freedom (Sokal 1997, equation 3.19): here a sixth, which is a twelfth of the interval's width. An
# interval that is narrow on less evidence is often one whose slower mode has not been seen yet.
LEAST_FREEDOM = 72.0


class Verdict(NamedTuple):
    """Whether enough was measured, and the half-width that was reached, relative to the value.

    Where not even independent iterations would do, or too little is known of their correlation, the
    half-width is the one that independent ones would have.
    """

    enough: bool
    half_width: float | None


def first_check(spec: StopSpec) -> int:
    """Number of iterations at which the interval is looked at for the first time."""
    return spec.min_iterations


def next_check(spec: StopSpec, n: int) -> int:
    """Number of iterations at which it is looked at after ``n``."""
    return max(n + 1, math.ceil(n * spec.growth))


def judge(latencies: Sequence[float] | NDArray[np.float64], spec: StopSpec) -> Verdict:
    """Whether these iterations of one process are enough.

    Args:
        latencies: seconds, in measured order.
        spec: the goal.
    """
    measured = stats.Measured([np.asarray(latencies, dtype=np.float64)])
    level = stats.PERCENTILES[spec.percentile]
    goal = spec.relative_half_width
    # Correlation only widens: most looks end here, without the cost of finding it. Equal latencies
    # have an interval of no width, and with the goal 0 are measured on all the same.
    half = stats.relative_half_width(measured.independent(level))
    if half is None or half > goal or goal == 0:
        return Verdict(enough=False, half_width=half)
    # The median's first: a tail's is found from it, and never rests on more.
    for each in (stats.PERCENTILES["p50"], level):
        if measured.processes[0].correlation(each).freedom < LEAST_FREEDOM:
            return Verdict(enough=False, half_width=half)
    half = stats.relative_half_width(measured.percentile(level).interval)
    return Verdict(enough=half is not None and half <= goal, half_width=half)
