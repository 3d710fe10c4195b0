"""When enough has been measured: the 95 % interval of the percentile is narrow enough.

The interval is the one of ``stats``, with the effective number of iterations, so it shrinks as
iterations come in and not as they agree. Checking after every iteration would stop at the first
lucky one; it is checked at 100 iterations and then each time their number has grown by a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from profiler import stats
from profiler.autocorrelation import of_percentile
from profiler.spec import StopSpec

# An autocorrelation time that rests on fewer degrees of freedom is a guess, whatever the width.
LEAST_FREEDOM = 8.0


class Verdict(NamedTuple):
    """Whether enough was measured, and the half-width that was reached, relative to the value."""

    enough: bool
    half_width: float | None


def first_check(spec: StopSpec) -> int:
    """Number of iterations at which the interval is looked at for the first time."""
    return spec.min_iterations


def next_check(spec: StopSpec, n: int) -> int:
    """Number of iterations at which it is looked at after ``n``."""
    return max(n + 1, math.ceil(n * spec.growth))


def judge(latencies: Sequence[float], spec: StopSpec) -> Verdict:
    """Whether these iterations of one process are enough.

    Args:
        latencies: seconds, in measured order.
        spec: the goal.
    """
    values = np.asarray(latencies, dtype=np.float64)
    level = stats.PERCENTILES[spec.percentile]
    found = stats.percentile([values], level).interval
    half = stats.relative_half_width(found)
    if half is None or of_percentile(values, level).freedom < LEAST_FREEDOM:
        return Verdict(enough=False, half_width=half)
    return Verdict(enough=half <= spec.relative_half_width, half_width=half)
