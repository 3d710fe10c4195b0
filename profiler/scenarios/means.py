"""The mean of values that repeat each other, with what is known about its error.

Means are for rates and loads only; latencies have percentiles (``profiler.stats``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from profiler.autocorrelation import correlation
from profiler.stats import student

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mean(NamedTuple):
    """A mean, the variance *of the mean*, and the degrees of freedom of that variance."""

    value: float
    variance: float
    freedom: float

    @property
    def half_width(self) -> float:
        """Of the 95 % interval."""
        return student(self.freedom) * math.sqrt(self.variance)


def mean(values: NDArray[np.float64]) -> Mean | None:
    """Mean of a series in measured order; ``None`` where too few values tell its error.

    The variance of a mean of n values with autocorrelation time ``tau`` is ``s² tau / n``. The
    sample variance ``s²`` is itself too small by a factor ``1 - tau / n``, since it is taken
    around the mean of the same values.
    """
    n = len(values)
    if n < 2:  # noqa: PLR2004 - one value has no spread
        return None
    found = correlation(values)
    freedom = min(n - 1.0, found.freedom)
    if freedom < 1 or found.time >= n:
        return None
    spread = float(values.var()) / (1 - found.time / n)
    return Mean(float(values.mean()), spread * found.time / n, freedom)


def average(means: Sequence[Mean]) -> Mean:
    """The average of independent means; degrees of freedom by Welch and Satterthwaite."""
    parts = [(each.variance / len(means) ** 2, each.freedom) for each in means]
    variance = sum(part for part, _ in parts)
    weight = sum(part**2 / freedom for part, freedom in parts)
    return Mean(
        value=sum(each.value for each in means) / len(means),
        variance=variance,
        freedom=variance**2 / weight if weight else sum(freedom for _, freedom in parts),
    )
