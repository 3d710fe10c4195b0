"""The rules of other tools: when they stop, which figure they give, what they say of its error.

Written from the documentation and the sources that each names. Where a rule counts seconds, an
iteration of 1 is 1 ms.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from profiler import stats, stop
from profiler.autocorrelation import quantile
from profiler.spec import StopSpec
from tests.benchmarks.coverage.simulate import Statement, follow
from tests.benchmarks.coverage.traces import Values

ITERATION_SECONDS = 1e-3


class Timed:
    """A history, and when each of its iterations ended."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self._ends = np.cumsum(values) * ITERATION_SECONDS

    def until(self, seconds: float) -> int:
        """How many iterations have begun before so many seconds are over."""
        return min(len(self.values), int(np.searchsorted(self._ends, seconds)) + 1)


@dataclass(frozen=True)
class Rule:
    """A tool's rule.

    Attributes:
        label: for the tables.
        figure: ``mean``, or the percentile that the tool gives.
        states: nominal confidence of its interval, in words.
    """

    label: str
    figure: str
    states: str
    apply: Callable[[Timed], Statement]


def fleetmark(timed: Timed, spec: StopSpec) -> Statement:
    """Ours: not looked at before half a second is over."""
    first = max(stop.first_check(spec), timed.until(spec.min_seconds))
    return follow(timed.values, spec, first)


def independent(timed: Timed) -> Statement:
    """The textbook interval: order statistics of independent samples, until it is within ±1 %.

    David and Nagaraja, "Order Statistics", section 7.1; looked at as often as ours is.
    """
    spec = StopSpec()
    n = stop.first_check(spec)
    while True:
        n = min(n, len(timed.values))
        ordered = np.sort(timed.values[:n])
        found = _median_ranks(n)
        value = quantile(ordered, 0.5)
        low, high = float(ordered[found[0] - 1]), float(ordered[found[1] - 1])
        if (high - low) / 2 / value <= spec.relative_half_width or n == len(timed.values):
            return Statement(0, n, value, low, high)
        n = stop.next_check(spec, n)


@cache
def _median_ranks(n: int) -> tuple[int, int]:
    found = stats.ranks(n, 0.5)
    if found is None:
        raise ValueError(f"{n} iterations are too few for an interval")
    return found


# torch.utils.benchmark.Timer, torch 2.14: utils/timer.py and utils/common.py.
ADAPTIVE_SECONDS, ADAPTIVE_MAX_SECONDS, ADAPTIVE_IQR, ADAPTIVE_LEAST = 0.01, 10.0, 0.1, 4
BLOCKED_SECONDS = 0.2
SHORTEST_TORCH_INTERVAL = 25e-9 / ITERATION_SECONDS
EVERY_ITERATION, THEN_GROWTH = 256, 1.1


def torch_adaptive(timed: Timed) -> Statement:
    """``Timer.adaptive_autorange``: at least 4 calls and 0.01 s, until IQR / median < 0.1; 10 s.

    It looks after every call. So does this up to 256 calls, and then each time that there are a
    tenth more: what is still above the bound by then comes near it slowly.
    """
    least = max(ADAPTIVE_LEAST, timed.until(ADAPTIVE_SECONDS))
    cap = timed.until(ADAPTIVE_MAX_SECONDS)
    ordered = sorted(timed.values[: least - 1].tolist())
    n = least
    for n in range(least, EVERY_ITERATION + 1):
        bisect.insort(ordered, float(timed.values[n - 1]))
        if _narrow_quartiles(np.array(ordered)):
            return _torch_statement(timed, n)
    while n < cap:
        n = min(cap, math.ceil(n * THEN_GROWTH))
        if _narrow_quartiles(np.sort(timed.values[:n])):
            break
    return _torch_statement(timed, n)


def _narrow_quartiles(ordered: Values) -> bool:
    first, middle, third = (quantile(ordered, level) for level in (0.25, 0.5, 0.75))
    return third - first < ADAPTIVE_IQR * middle


def torch_blocked(timed: Timed) -> Statement:
    """``Timer.blocked_autorange``: for 0.2 s; blocks of one call where a call takes 1 ms."""
    return _torch_statement(timed, timed.until(BLOCKED_SECONDS))


def _torch_statement(timed: Timed, n: int) -> Statement:
    """Its ``Measurement.significant_figures``: 1.645 standard errors of the middle half's mean."""
    ordered = np.sort(timed.values[:n])
    middle = ordered[n // 4 : math.ceil(3 * n / 4)]
    half = max(1.645 * float(middle.std()) / math.sqrt(len(middle)), SHORTEST_TORCH_INTERVAL)
    value = quantile(ordered, 0.5)
    return Statement(0, n, value, value - half, value + half)


# criterion.rs 0.5: book/src/analysis.md and ActualSamplingMode in src/lib.rs.
CRITERION_SAMPLES = 100
CRITERION_WARMUP_SECONDS, CRITERION_SECONDS = 3.0, 5.0
CRITERION_RESAMPLES = 2_000
SLOW_ITERATION_SECONDS = 0.05


def criterion(timed: Timed) -> Statement:
    """100 samples of d, 2 d … 100 d iterations in about 5 s, after 3 s of warm-up.

    The figure is the slope of the line through the origin, a mean; its 95 % interval is that of a
    bootstrap over the samples as if they were independent. criterion draws 100,000 resamples,
    this 2,000, the same for each history.
    """
    start = timed.until(CRITERION_WARMUP_SECONDS)
    mean = float(timed.values[:start].mean()) * ITERATION_SECONDS
    total = CRITERION_SAMPLES * (CRITERION_SAMPLES + 1) // 2
    step = max(1, math.ceil(CRITERION_SECONDS / mean / total))
    return _criterion_statement(timed, start, np.arange(1, CRITERION_SAMPLES + 1) * step)


def criterion_flat(timed: Timed) -> Statement:
    """The same where an iteration takes 50 ms: 100 samples of one iteration each.

    The rising counts would take more than twice the time, so all samples are of the same count.
    """
    start = int(CRITERION_WARMUP_SECONDS / SLOW_ITERATION_SECONDS)
    return _criterion_statement(timed, start, np.ones(CRITERION_SAMPLES, dtype=np.int64))


def _criterion_statement(timed: Timed, start: int, counts: NDArray[np.int64]) -> Statement:
    ends = np.cumsum(counts)
    samples = np.add.reduceat(timed.values[start : start + ends[-1]], ends - counts)
    products, squares = counts * samples, counts.astype(np.float64) ** 2
    slopes = _resamples() @ products / (_resamples() @ squares)
    low, high = np.quantile(slopes, [0.025, 0.975])
    value = float(products.sum() / squares.sum())
    return Statement(start, start + int(ends[-1]), value, float(low), float(high))


@lru_cache(maxsize=1)
def _resamples() -> Values:
    """How often each sample is drawn, one resample a row."""
    rng = np.random.default_rng(0)
    even = np.full(CRITERION_SAMPLES, 1 / CRITERION_SAMPLES)
    return rng.multinomial(CRITERION_SAMPLES, even, CRITERION_RESAMPLES).astype(np.float64)


# nvbench: nvbench/detail/stdrel_criterion.cxx and docs/cli_help.md.
NVBENCH_SECONDS, NVBENCH_MAX_SECONDS, NVBENCH_NOISE = 0.5, 15.0, 0.005
NVBENCH_HISTORY, NVBENCH_EVERY, NVBENCH_STABLE = 512, 16, 0.05


def nvbench(timed: Timed) -> Statement:
    """At least 0.5 s, until stdev / mean < 0.5 % or does not change any more; 15 s.

    "Does not change" is looked at every 16 samples: the last 512 values of stdev / mean are within
    5 % of the newest, root mean square. It gives the mean, and stdev / mean as the noise.
    """
    first, cap = timed.until(NVBENCH_SECONDS), timed.until(NVBENCH_MAX_SECONDS)
    length = min(cap, 4 * NVBENCH_HISTORY)
    while True:
        noise = _running_noise(timed.values[:length])
        for n in range(first, length + 1):
            if noise[n - 1] < NVBENCH_NOISE or (n % NVBENCH_EVERY == 0 and _stable(noise[:n])):
                return Statement(0, n, float(timed.values[:n].mean()))
        if length == cap:
            return Statement(0, cap, float(timed.values[:cap].mean()))
        first, length = length + 1, cap


def _running_noise(values: Values) -> Values:
    """Standard deviation over mean of the first 1, 2, 3 … values."""
    count = np.arange(1, len(values) + 1)
    mean = np.cumsum(values) / count
    return np.sqrt(np.maximum(np.cumsum(values**2) / count - mean**2, 0)) / mean


def _stable(noise: Values) -> bool:
    last = noise[-NVBENCH_HISTORY:]
    apart = float(np.sqrt(np.mean((last - last[-1]) ** 2)))
    return apart < NVBENCH_STABLE * float(last[-1])


# optimum-benchmark 0.6: trackers/latency.py, and InferenceConfig's iterations and duration of 10.
OPTIMUM_SECONDS, OPTIMUM_LEAST = 10.0, 10


def optimum(level: float) -> Callable[[Timed], Statement]:
    """At least 10 iterations and at least 10 s; percentiles by interpolation, no interval."""

    def apply(timed: Timed) -> Statement:
        n = max(OPTIMUM_LEAST, timed.until(OPTIMUM_SECONDS))
        return Statement(0, n, quantile(np.sort(timed.values[:n]), level))

    return apply


def p99_of_ten(timed: Timed) -> Statement:
    """The same where an iteration takes a second or more: its p99 is interpolated between two."""
    return Statement(0, OPTIMUM_LEAST, quantile(np.sort(timed.values[:OPTIMUM_LEAST]), 0.99))


# MLPerf LoadGen: loadgen/early_stopping.cc and results.cc; the defaults of test_settings.h.
LOADGEN_SECONDS, LOADGEN_LEAST, LOADGEN_LEVEL, LOADGEN_CONFIDENCE = 10.0, 100, 0.9, 0.99


def loadgen(timed: Timed) -> Statement:
    """SingleStream: for 10 s (the official configuration: 600 s); the early-stopping estimate.

    The p90 that it reports is the t-th largest latency, with the most t for which so few slower
    ones would be seen in at most 1 % of runs if p90 were higher: a bound from above, at 99 %, that
    takes queries as independent.
    """
    n = max(LOADGEN_LEAST, timed.until(LOADGEN_SECONDS))
    above = _most_above(n)
    bound = float(np.partition(timed.values[:n], n - above)[n - above])
    return Statement(0, n, bound, -math.inf, bound)


@cache
def _most_above(n: int) -> int:
    """The largest t with P(B <= t) <= 1 %, for B binomial(n, 10 %)."""
    share = 1 - LOADGEN_LEVEL
    # Around the normal approximation, whose error is a few counts at most.
    near = int(n * share + ndtri(1 - LOADGEN_CONFIDENCE) * math.sqrt(n * share * (1 - share)))
    counts = np.arange(max(0, near - 10), near + 11.0)
    return int(counts[bdtr(counts, n, share) <= 1 - LOADGEN_CONFIDENCE][-1])


FLEETMARK = Rule("fleetmark", "p50", "95 %", lambda timed: fleetmark(timed, StopSpec()))
RULES = (
    FLEETMARK,
    Rule("independent ±1 %", "p50", "95 %", independent),
    Rule("torch adaptive", "p50", "90 %", torch_adaptive),
    Rule("torch blocked", "p50", "90 %", torch_blocked),
    Rule("criterion", "mean", "95 %", criterion),
    Rule("criterion, 50 ms", "mean", "95 %", criterion_flat),
    Rule("nvbench", "mean", "none", nvbench),
    Rule("LoadGen", "p90", "99 %, from above", loadgen),
    Rule("optimum-benchmark", "p50", "none", optimum(0.5)),
    Rule("optimum-benchmark", "p99", "none", optimum(0.99)),
    Rule("p99 of 10", "p99", "none", p99_of_ten),
)
