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
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler.autocorrelation import Correlation, Series, quantile
from profiler.result import Interval, Latency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

CONFIDENCE = 0.95
NORMAL = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
# exp() of it is a factor of a million; an interval that wide says that nothing is known.
_LARGEST_LOG = 14.0
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


@lru_cache(maxsize=1024)
def ranks(n: int, level: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (1 … n) of the order statistics that bound the percentile; ``None``: n is too small.

    The lower rank is the largest ``l`` with ``P(B <= l - 1) <= alpha / 2``, the upper the smallest
    ``u`` with ``P(B >= u) <= alpha / 2``, for ``B`` binomial(n, level).
    """
    tail = (1 - confidence) / 2
    below = _last_below(n, level, tail)
    above = _last_below(n, 1 - level, tail)
    # P(B >= u) is what 1 - level has at n - u or below.
    lower, upper = below + 1, n - above
    return (lower, upper) if lower >= 1 and upper <= n else None


def _last_below(n: int, level: float, tail: float) -> int:
    """The largest k with P(B <= k) <= tail, for B binomial(n, level); -1: there is none."""
    from scipy.special import bdtr, bdtrik

    # The inverse is real-valued and near enough to begin at.
    near = float(bdtrik(tail, n, level))
    k = -1 if math.isnan(near) else min(n - 1, math.floor(near))
    while k >= 0 and bdtr(float(k), n, level) > tail:
        k -= 1
    while k < n - 1 and bdtr(float(k + 1), n, level) <= tail:
        k += 1
    return k


def needed(level: float, confidence: float = CONFIDENCE) -> int:
    """The smallest n for which ``ranks`` answers: 6 for p50; 36, 72, 368, 3688 for the tail."""
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(level, 1 - level)))


class Measured:
    """Timed iterations of a run, and what its statistics have in common.

    Args:
        groups: one array of seconds per process, in the order of measurement; none is empty.
    """

    def __init__(self, groups: Sequence[Seconds]) -> None:
        self.processes = [Series(group) for group in groups]

    @cached_property
    def ordered(self) -> Seconds:
        """All iterations, from the fastest to the slowest."""
        if len(self.processes) == 1:
            return self.processes[0].ordered
        return np.sort(np.concatenate([process.values for process in self.processes]))

    @cached_property
    def between(self) -> float:
        """Half-width of the interval that the spread of the processes' medians allows.

        Of the logarithm: what makes one process slower than another makes it so by a factor, and a
        latency's lower bound lies above 0 however far the processes are apart.
        """
        medians = np.array([quantile(p.ordered, PERCENTILES["p50"]) for p in self.processes])
        if len(medians) == 1 or medians.min() <= 0:
            return 0.0
        spread = float(np.log(medians).std(ddof=1))
        return student(len(medians) - 1) * spread / math.sqrt(len(medians))

    def _apart(self, value: float) -> tuple[float, float]:
        """How far below and above the value that interval reaches, in seconds."""
        # Two processes that have nothing to do with each other; more is no number.
        half = min(self.between, _LARGEST_LOG)
        return value * -math.expm1(-half), value * math.expm1(half)

    def effective(self, level: float) -> float:
        """How many independent iterations would tell as much about this percentile."""
        return sum(process.correlation(level).effective for process in self.processes)

    def independent(self, level: float) -> Interval | None:
        """The interval if the iterations were independent: no more than a lower bound of it."""
        return self._interval(level, len(self.ordered))

    def within(self, level: float) -> Interval | None:
        """The interval from the iterations alone, their correlation counted.

        The variance *between* processes is not in it; ``None``: there are too few iterations.
        """
        return self._interval(level, self._worth(level))

    def _worth(self, level: float) -> int:
        """Independent iterations for the interval: ``effective``, less what it is uncertain by."""
        return int(independent_size([process.correlation(level) for process in self.processes]))

    def _interval(self, level: float, independent: int) -> Interval | None:
        """If these iterations tell as much as so many independent ones."""
        found = ranks(independent, level) if independent else None
        if found is None:
            return None
        n = len(self.ordered)
        scale = n / independent
        value = quantile(self.ordered, level)
        low = float(self.ordered[max(0, math.floor(found[0] * scale) - 1)])
        high = float(self.ordered[min(n, math.ceil(found[1] * scale)) - 1])
        return Interval(value=value, low=min(low, value), high=max(high, value))

    def percentile(self, level: float) -> Percentile:
        """The percentile of all iterations with its 95 % interval."""
        inside = self.within(level)
        if inside is None or inside.low is None or inside.high is None:
            return Percentile(None, self._too_few(level))
        if len(self.processes) == 1:
            return Percentile(inside, None)
        value = inside.value
        below, above = self._apart(value)
        # The medians' spread holds what is within each process too: for the median itself the
        # wider of both counts, not their sum.
        join = max if level == PERCENTILES["p50"] else math.hypot
        down, up = join(value - inside.low, below), join(inside.high - value, above)
        return Percentile(Interval(value=value, low=max(0.0, value - down), high=value + up), None)

    def median(self) -> Percentile:
        """The median; where its interval is not known it has no bounds, and the reason says so."""
        found = self.percentile(PERCENTILES["p50"])
        if found.interval is not None:
            return found
        value = quantile(self.ordered, PERCENTILES["p50"])
        if len(self.processes) > 1:
            below, above = self._apart(value)
            return Percentile(Interval(value=value, low=value - below, high=value + above), None)
        return Percentile(Interval(value=value, low=None, high=None), found.reason)

    def _too_few(self, level: float) -> str:
        return (
            f"{len(self.ordered)} iterations are worth {self._worth(level)} independent ones; a "
            f"95 % interval needs {needed(level)}. Measure for longer (--max-time)"
        )


def percentile(groups: Sequence[Seconds], level: float) -> Percentile:
    """The percentile of all iterations with its 95 % interval.

    Args:
        groups: one array of seconds per process, each with at least one iteration.
        level: 0 … 1.
    """
    return Measured(groups).percentile(level)


def median(groups: Sequence[Seconds]) -> Percentile:
    """The median; where even its interval is not known it has no bounds, and the reason says so.

    A latency that is shown must have a middle, so the value itself is never withheld. With several
    processes their medians alone can bound it, however few iterations each had.
    """
    return Measured(groups).median()


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
    measured = Measured(groups)
    values = measured.ordered
    found = {name: measured.percentile(level) for name, level in PERCENTILES.items()}
    found["p50"] = measured.median()
    middle = quantile(values, PERCENTILES["p50"])
    return Latency(
        n=len(values),
        n_effective=measured.effective(PERCENTILES["p50"]),
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
