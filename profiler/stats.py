"""Percentiles with intervals that hold: pure functions on arrays of seconds, in measured order.

Within one process the interval of a percentile is the order-statistic one: distribution-free, its
ranks from the binomial distribution (David and Nagaraja, "Order Statistics", 3rd edition, section
7.1), with the *effective* number of iterations in place of the number (``autocorrelation``).

Over several processes (repetitions) there is a second source of variance: memory layout, huge
pages, the order of initialisation. It cannot be seen from inside any of them, so it is taken from
the spread of their medians, with Student's quantile for as many processes as there were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler.autocorrelation import Correlation, of_percentile
from profiler.result import Interval, Latency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

CONFIDENCE = 0.95
NORMAL = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
TUKEY_FENCE = 1.5  # times the interquartile range: Tukey, "Exploratory Data Analysis", 1977

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Percentile(NamedTuple):
    """An interval, or the reason why there is none."""

    interval: Interval | None
    reason: str | None


def student(freedom: float) -> float:
    """Two-sided 95 % quantile of Student's distribution."""
    from scipy.special import stdtrit  # 0.1 s to import; not on the way to --help

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def independent_size(found: Sequence[Correlation]) -> float:
    """Effective number of iterations for an interval at the normal quantile.

    Args:
        found: of each process; their correlations were estimated apart.
    """
    freedom = sum(each.freedom for each in found)
    if freedom < 1:
        return 0.0
    return sum(each.effective for each in found) * (NORMAL / student(freedom)) ** 2


def ranks(n: int, level: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (1 … n) of the order statistics that bound the percentile; ``None``: n is too small.

    The lower rank is the largest ``l`` with ``P(B <= l - 1) <= alpha / 2``, the upper the smallest
    ``u`` with ``P(B >= u) <= alpha / 2``, for ``B`` binomial(n, level).
    """
    from scipy.special import bdtr

    tail = (1 - confidence) / 2
    spread = 4 + int(6 * math.sqrt(n * level * (1 - level)))
    centre = int(n * level)
    grid = np.arange(max(0, centre - spread), min(n, centre + spread) + 1)
    cumulative = bdtr(grid.astype(np.float64), n, level)
    below = grid[cumulative <= tail]
    above = grid[1 - cumulative <= tail]
    lower = int(below[-1]) + 1 if len(below) else 0
    upper = int(above[0]) + 1 if len(above) else n + 1
    return (lower, upper) if lower >= 1 and upper <= n else None


def needed(level: float, confidence: float = CONFIDENCE) -> int:
    """The smallest n for which ``ranks`` answers: 6 for p50; 36, 72, 368, 3688 for the tail."""
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(level, 1 - level)))


def bounds(groups: Sequence[Seconds], level: float) -> tuple[float, float] | None:
    """95 % bounds of the percentile of these iterations, correlation counted.

    The variance *between* groups is not in them; ``None``: there are too few iterations.
    """
    independent = int(independent_size([of_percentile(group, level) for group in groups]))
    found = ranks(independent, level) if independent else None
    if found is None:
        return None
    ordered = np.sort(np.concatenate(groups))
    scale = len(ordered) / independent
    low = ordered[max(0, math.floor(found[0] * scale) - 1)]
    high = ordered[min(len(ordered), math.ceil(found[1] * scale)) - 1]
    return float(low), float(high)


def between(groups: Sequence[Seconds]) -> float:
    """Half-width, in seconds, of the 95 % interval that the spread of the medians allows."""
    medians = np.array([np.median(group) for group in groups])
    return student(len(groups) - 1) * float(medians.std(ddof=1)) / math.sqrt(len(groups))


def percentile(groups: Sequence[Seconds], level: float) -> Percentile:
    """The percentile of all iterations with its 95 % interval.

    Args:
        groups: one array of seconds per process, each with at least one iteration.
        level: 0 … 1.
    """
    values = np.concatenate(groups)
    value = float(np.quantile(values, level))
    inside = bounds(groups, level)
    if inside is None:
        return Percentile(None, _too_few(groups, level))
    down, up = max(0.0, value - inside[0]), max(0.0, inside[1] - value)
    if len(groups) > 1:
        apart = between(groups)
        # The medians' spread holds what is within each process too: for the median itself the
        # wider of both counts, not their sum.
        join = max if level == PERCENTILES["p50"] else math.hypot
        down, up = join(down, apart), join(up, apart)
    return Percentile(Interval(value=value, low=max(0.0, value - down), high=value + up), None)


def _too_few(groups: Sequence[Seconds], level: float) -> str:
    count = sum(map(len, groups))
    effective = sum(of_percentile(group, level).effective for group in groups)
    return (
        f"{effective:.0f} effective iterations ({count} measured); a 95 % interval "
        f"needs {needed(level)} or a few more. Measure for longer (--max-time)"
    )


def median(groups: Sequence[Seconds]) -> Percentile:
    """The median; where even its interval is not known it has no bounds, and the reason says so.

    A latency that is shown must have a middle, so the value itself is never withheld. With several
    processes their medians alone can bound it, however few iterations each had.
    """
    found = percentile(groups, PERCENTILES["p50"])
    if found.interval is not None:
        return found
    value = float(np.median(np.concatenate(groups)))
    if len(groups) > 1:
        half = between(groups)
        low, high = max(0.0, value - half), value + half
        return Percentile(Interval(value=value, low=low, high=high), None)
    return Percentile(Interval(value=value, low=None, high=None), found.reason)


def relative_half_width(interval: Interval | None) -> float | None:
    """Half the interval's width over its value; ``None`` where there are no bounds."""
    return interval.relative_half_width if interval is not None else None


def count_outliers(values: Seconds) -> int:
    """Iterations beyond Tukey's fences. They are counted, never removed."""
    first, third = np.quantile(values, [0.25, 0.75])
    fence = TUKEY_FENCE * (third - first)
    return int(np.count_nonzero((values < first - fence) | (values > third + fence)))


def summarise(groups: Sequence[Seconds]) -> Latency:
    """All statistics of a run's timed iterations.

    Args:
        groups: seconds, one array per process in the order of measurement; none is empty.
    """
    values = np.concatenate(groups)
    found = {name: percentile(groups, level) for name, level in PERCENTILES.items()}
    found["p50"] = median(groups)
    middle = float(np.median(values))
    return Latency(
        n=len(values),
        n_effective=sum(of_percentile(group, 0.5).effective for group in groups),
        mean=float(values.mean()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        median_absolute_deviation=float(np.median(np.abs(values - middle))),
        outliers=count_outliers(values),
        p50=found["p50"].interval,
        p50_reason=found["p50"].reason,
        p90=found["p90"].interval,
        p90_reason=found["p90"].reason,
        p95=found["p95"].interval,
        p95_reason=found["p95"].reason,
        p99=found["p99"].interval,
        p99_reason=found["p99"].reason,
        p999=found["p999"].interval,
        p999_reason=found["p999"].reason,
    )
