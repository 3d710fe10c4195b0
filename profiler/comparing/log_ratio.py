"""The ratio of two latencies with its 95 % interval, on the log scale: pure functions.

What is estimated is the ratio of typical processes: the geometric mean over a side's processes of
their medians, candidate over baseline. A median inside each process, because latencies have long
tails; a mean over processes, because of five of them a median would waste a third of what they
tell. On the log scale swapping the two sides mirrors the interval, and a slow-down of 3 % is the
same distance for a latency of any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from profiler.result import Interval
from profiler.stats import student

# exp() of more is no number of 64 bits.
_LARGEST_LOG = 700.0


class LogRatio(NamedTuple):
    """Natural logarithm of candidate / baseline.

    ``p_value`` is two-sided, of the hypothesis that the ratio is 1; below 0.05 where the interval
    excludes 1, and only there. Without bounds there is none, and ``reason`` says why.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    reason: str | None = None

    def interval(self) -> Interval:
        """The ratio itself, with its bounds."""
        return Interval(value=_exp(self.value), low=_exp_of(self.low), high=_exp_of(self.high))


def _exp(value: float) -> float:
    return math.exp(max(-_LARGEST_LOG, min(_LARGEST_LOG, value)))


def _exp_of(value: float | None) -> float | None:
    return None if value is None else _exp(value)


class Spread(NamedTuple):
    """The variance of an estimate, and with how many degrees of freedom it is known."""

    variance: float
    freedom: float


def joint_freedom(parts: Sequence[Spread]) -> float:
    """Degrees of freedom of a sum of variances (Welch 1947, Satterthwaite 1946)."""
    total = sum(part.variance for part in parts)
    if total <= 0:
        return sum(part.freedom for part in parts)
    shares = ((part.variance / total) ** 2 / part.freedom for part in parts if part.variance > 0)
    return 1 / sum(shares)


def two_sided(value: float, half_width: float, freedom: float) -> float:
    """p-value of ``value`` being 0, from the 95 % half-width on the side where 0 lies."""
    from scipy.special import stdtr  # 0.1 s to import; not on the way to --help

    if value == 0:
        return 1.0
    if half_width <= 0:
        return 0.0
    return 2 * float(stdtr(freedom, -abs(value) / half_width * student(freedom)))


def bounded(value: float, down: float, up: float, freedom: float) -> LogRatio:
    """An estimate whose 95 % interval reaches ``down`` and ``up`` from it."""
    p_value = two_sided(value, down if value > 0 else up, freedom)
    return LogRatio(value, value - down, value + up, p_value)


def wider(first: LogRatio, second: LogRatio) -> LogRatio:
    """Of two intervals around the same value, the farther bound on each side."""
    pairs = ((first.low, second.low), (first.high, second.high), (first.p_value, second.p_value))
    (low, other_low), (high, other_high), (p, other_p) = pairs
    if low is None or high is None or p is None:
        return second
    if other_low is None or other_high is None or other_p is None:
        return first
    return LogRatio(first.value, min(low, other_low), max(high, other_high), max(p, other_p))


def _spread(logs: Sequence[float]) -> Spread:
    values = np.asarray(logs, dtype=np.float64)
    return Spread(float(values.var(ddof=1)) / len(values), len(values) - 1)


def of_medians(baseline: Sequence[float], candidate: Sequence[float]) -> LogRatio:
    """From one median per process and side, by Welch's t interval of their logarithms.

    The spread of the medians holds both what differs between processes and what is left of the
    noise inside them, so nothing else is needed where the iterations are not at hand.

    Args:
        baseline: median latencies, above 0.
        candidate: in the same unit.
    """
    sides = [np.log(np.asarray(side, dtype=np.float64)) for side in (baseline, candidate)]
    value = float(sides[1].mean() - sides[0].mean())
    if reason := too_few(len(baseline), len(candidate)):
        return LogRatio(value, None, None, None, reason)
    parts = [_spread(list(side)) for side in sides]
    freedom = joint_freedom(parts)
    half = student(freedom) * math.sqrt(sum(part.variance for part in parts))
    return bounded(value, half, half, freedom)


def too_few(baseline: int, candidate: int) -> str | None:
    """Why so few processes bound nothing; ``None`` when they do."""
    if min(baseline, candidate) > 1:
        return None
    return (
        f"{baseline} and {candidate} processes: how much processes differ among themselves "
        "cannot be seen with fewer than 2 of each"
    )


def of_pairs(logs: Sequence[float]) -> LogRatio:
    """From one log ratio per round of interleaved measurements, by Student's t interval."""
    value = float(np.mean(logs))
    spread = _spread(logs)
    half = student(spread.freedom) * math.sqrt(spread.variance)
    return bounded(value, half, half, spread.freedom)


def of_intervals(baseline: Interval, candidate: Interval, freedom: float) -> LogRatio:
    """From two figures that come with intervals of their own and nothing else.

    Each distance from a figure to its bound stands for that figure's share of the variance, on the
    side where it counts (Zou and Donner 2008, "Construction of confidence limits about effect
    measures: a general approach", Statistics in Medicine 27, 1693-1702).

    Args:
        baseline: above 0.
        candidate: in the same unit.
        freedom: of the less certain of the two; for the p-value.
    """
    if min(baseline.value, candidate.value) <= 0:
        raise ValueError("a ratio needs figures above 0")
    value = math.log(candidate.value) - math.log(baseline.value)
    base, own = _distances(baseline), _distances(candidate)
    if base is None or own is None:
        return LogRatio(value, None, None, None, "one of the two figures has no interval")
    return bounded(value, math.hypot(own[0], base[1]), math.hypot(own[1], base[0]), freedom)


def _distances(interval: Interval) -> tuple[float, float] | None:
    """How far down and up the bounds lie, as logarithms."""
    if interval.low is None or interval.high is None or interval.low <= 0:
        return None
    middle = math.log(interval.value)
    return (max(0.0, middle - math.log(interval.low)), max(0.0, math.log(interval.high) - middle))


def false_discovery_adjusted(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are (Benjamini and Hochberg 1995).

    Those at or below a rate keep the expected share of false ones among them below that rate.
    Written here because ``scipy.stats.false_discovery_control`` came with SciPy 1.11, newer than
    what boards' vendors ship; and importing ``scipy.stats`` takes longer than comparing.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    falling = np.minimum.accumulate(values[order] * len(values) / ranks)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, falling)
    return [float(each) for each in adjusted]
