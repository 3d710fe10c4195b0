"""Statistics of latencies: pure functions on arrays of seconds, in the order they were measured.

Latencies in a row are correlated, so the number of iterations says too much about what is known.
Every interval here rests on the *effective* number: ``n / tau``, where ``tau`` is the integrated
autocorrelation time of the indicator ``latency <= percentile`` by Geyer's initial monotone positive
sequence (Geyer 1992, "Practical Markov Chain Monte Carlo", section 3.3).

The interval of a percentile is the order-statistic one: distribution-free, its ranks from the
binomial distribution (David and Nagaraja, "Order Statistics", 3rd edition, section 7.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from profiler.result import Interval, Latency

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
TUKEY_FENCE = 1.5  # times the interquartile range: Tukey, "Exploratory Data Analysis", 1977

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Percentile(NamedTuple):
    """An interval, or the reason why there is none."""

    interval: Interval | None
    reason: str | None


def autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Autocorrelation at lags 0 … n-1, by FFT; a constant series has none beyond lag 0."""
    n = len(values)
    if values.min() == values.max():
        # Apart from rounding: the mean of equal numbers need not be that number.
        return np.concatenate(([1.0], np.zeros(n - 1)))
    centred = values - values.mean()
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size)[:n] / n
    return np.asarray(covariance / covariance[0], dtype=np.float64)


def autocorrelation_time(values: NDArray[np.float64]) -> float:
    """Integrated autocorrelation time, at least 1, by the initial monotone positive sequence."""
    rho = autocorrelation(values)
    pairs = rho[0 : len(rho) - len(rho) % 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    if len(negative):
        pairs = pairs[: negative[0]]
    monotone = np.minimum.accumulate(pairs)
    return max(1.0, float(2 * monotone.sum() - 1))


def effective_size(values: NDArray[np.float64], level: float) -> float:
    """How many independent values would tell as much about the percentile ``level`` as these do."""
    n = len(values)
    if n < 4:  # noqa: PLR2004 - too short for any lag to be seen
        return float(n)
    indicator = (values <= np.quantile(values, level)).astype(np.float64)
    return n / autocorrelation_time(indicator)


def ranks(n: int, level: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (1 … n) of the order statistics that bound the percentile; ``None``: n is too small.

    The lower rank is the largest ``l`` with ``P(B <= l - 1) <= alpha / 2``, the upper the smallest
    ``u`` with ``P(B >= u) <= alpha / 2``, for ``B`` binomial(n, level).
    """
    from scipy.special import bdtr  # 0.1 s to import; not on the way to --help

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


def percentile(values: NDArray[np.float64], level: float) -> Percentile:
    """The percentile with its 95 % interval, widened for correlation."""
    n_effective = effective_size(values, level)
    independent = int(n_effective)
    bounds = ranks(independent, level) if independent else None
    if bounds is None:
        return Percentile(
            None,
            f"{n_effective:.0f} effective iterations ({len(values)} measured); a 95 % interval "
            f"needs {needed(level)}. Measure for longer (--max-time)",
        )
    ordered = np.sort(values)
    scale = len(values) / independent
    low = ordered[max(0, math.floor(bounds[0] * scale) - 1)]
    high = ordered[min(len(values), math.ceil(bounds[1] * scale)) - 1]
    value = float(np.quantile(values, level))
    return Percentile(Interval(value=value, low=min(value, low), high=max(value, high)), None)


def median(values: NDArray[np.float64]) -> Percentile:
    """The median; below 6 effective iterations it has no bounds, and the reason says so.

    A latency that is shown must have a middle, so the value itself is never withheld.
    """
    found = percentile(values, 0.5)
    if found.interval is not None:
        return found
    return Percentile(Interval(value=float(np.median(values)), low=None, high=None), found.reason)


def count_outliers(values: NDArray[np.float64]) -> int:
    """Iterations beyond Tukey's fences. They are counted, never removed."""
    first, third = np.quantile(values, [0.25, 0.75])
    fence = TUKEY_FENCE * (third - first)
    return int(np.count_nonzero((values < first - fence) | (values > third + fence)))


def summarise(values: NDArray[np.float64]) -> Latency:
    """All statistics of a run's timed iterations.

    Args:
        values: seconds, one per iteration, in the order of measurement; at least one.
    """
    found = {name: percentile(values, level) for name, level in PERCENTILES.items()}
    found["p50"] = median(values)
    middle = float(np.median(values))
    return Latency(
        n=len(values),
        n_effective=effective_size(values, 0.5),
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
