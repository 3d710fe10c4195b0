"""How much latencies in a row repeat each other: integrated autocorrelation time, effective size.

The time ``tau`` is that of the indicator ``latency <= percentile``, because the interval of a
percentile rests on a count of such indicators. It is found by Geyer's initial monotone positive
sequence (Geyer 1992, "Practical Markov Chain Monte Carlo", section 3.3) and corrected for the bias
of a mean that was estimated from the same values (Wolff 2004, "Monte Carlo errors with less
errors", equation 49).

``tau`` is itself an estimate. With a window of W lags its relative variance is about
``2 (2 W + 1) / n`` (Sokal 1997, "Monte Carlo methods in statistical mechanics", equation 3.19),
which is that of a variance with ``n / (2 W + 1)`` degrees of freedom. Intervals take Student's
quantile with so many in place of the normal one; without it, a rule that stops as soon as the
interval is narrow stops where ``tau`` happens to be underestimated.

A tail's indicator is nearly always 1. Its own correlation drowns in noise after a lag or two, and
the positive sequence ends long before the process has forgotten its past. The indicator of the
median shows best how long that takes, so the sum for a tail goes at least as far as the median's.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

# Below this no lag can be seen.
_LEAST = 4
_MEDIAN = 0.5
# So many pairs of lags are summed one by one: most series need no more. Beyond them, Fourier
# transforms give several times as many at once.
_DIRECT = 8
_LENGTHEN = 8
# So many values at a time are transformed, a power of 2: what is computed with them stays in a
# processor's cache.
_CACHED = 8192


class Correlation(NamedTuple):
    """What the autocorrelation of ``n`` values comes to.

    Attributes:
        n: how many values.
        time: integrated autocorrelation time, at least 1.
        window: lags that it was summed over.
    """

    n: int
    time: float
    window: int

    @property
    def effective(self) -> float:
        """How many independent values would tell as much."""
        return self.n / self.time

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance that ``time`` implies."""
        return self.n / (2 * self.window + 1)


def _covariance(centred: Values, lag: int) -> float:
    # Not by BLAS: its threads would wake in the process that is measured, and go on to spin there.
    products = np.einsum("i,i->", centred[: len(centred) - lag], centred[lag:])
    return float(products) / len(centred)


def covariances(centred: Values, lags: int) -> Values:
    """Autocovariances at lags 0 … lags - 1 of values with mean 0: exact, in n log(lags) steps.

    The series is cut into blocks of at least ``lags`` values, and the products of each block with
    itself and with the next one are summed in the frequency domain, so that a short window of a
    long series costs no transform of its whole length.
    """
    n = len(centred)
    size = 1 << max(1, lags - 1).bit_length()
    step = max(size, _CACHED)
    # Moving a block by half of the transform's length turns the sign of every other frequency.
    sign = np.ones(size + 1)
    sign[1::2] = -1
    total = np.zeros(size + 1, dtype=np.complex128)
    for start in range(0, n, step):
        # One block more, which is the last one's next.
        length = -(-min(step, n - start) // size) * size + size
        part = centred[start : start + length]
        padded = np.concatenate((part, np.zeros(length - len(part))))
        spectra = np.fft.rfft(padded.reshape(-1, size), 2 * size, axis=1)
        both = spectra[:-1] + sign * spectra[1:]
        total += np.einsum("ij,ij->j", np.conj(spectra[:-1]), both)
    return np.asarray(np.fft.irfft(total)[:lags] / n, dtype=np.float64)


def autocorrelation(values: Values) -> Values:
    """Autocorrelation at lags 0 … n-1; a constant series has none beyond lag 0."""
    n = len(values)
    if values.min() == values.max():
        # Apart from rounding: the mean of equal numbers need not be that number.
        return np.concatenate(([1.0], np.zeros(n - 1)))
    covariance = covariances(values - values.mean(), n)
    return np.asarray(covariance / covariance[0], dtype=np.float64)


def _pair_sums(centred: Values, least: int) -> tuple[Values, int]:
    """Sums of the autocovariances at lags (0, 1), (2, 3) …, and how many come before one <= 0.

    As many as it takes to see that one, and at least ``least``.
    """
    every = len(centred) // 2
    pairs: list[float] = []
    while len(pairs) < min(every, _DIRECT) and least <= _DIRECT:
        lag = 2 * len(pairs)
        pairs.append(_covariance(centred, lag) + _covariance(centred, lag + 1))
        if pairs[-1] <= 0 and len(pairs) >= least:
            break
    found = np.array(pairs)
    while len(found) < every and (len(found) < least or (found > 0).all()):
        more = min(every, max(_LENGTHEN * len(found), _LENGTHEN * _DIRECT, least))
        found = covariances(centred, 2 * more).reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(found <= 0)
    return found, int(negative[0]) if len(negative) else len(found)


def correlation(values: Values, least_window: int = 0) -> Correlation:
    """Correlation of a series, by the initial monotone positive sequence.

    Args:
        values: in measured order.
        least_window: lags that are summed at any rate, positive or not.
    """
    n = len(values)
    if values.min() == values.max():
        return Correlation(n=n, time=1.0, window=0)
    centred = values - values.mean()
    least = min(n // 2, (least_window + 1) // 2)
    pairs, positive = _pair_sums(centred, least)
    pairs = pairs / _covariance(centred, 0)
    window = max(0, 2 * max(positive, least) - 1)
    total = np.minimum.accumulate(pairs[:positive]).sum() + pairs[positive:least].sum()
    time = float(2 * total - 1) * (1 + (2 * window + 1) / n)
    return Correlation(n=n, time=min(float(n), max(1.0, time)), window=window)


class Series:
    """Latencies of one process in measured order, and what its percentiles have in common."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self._found: dict[float, Correlation] = {}

    @cached_property
    def ordered(self) -> Values:
        """The values from the lowest to the highest."""
        return np.sort(self.values)

    def correlation(self, level: float) -> Correlation:
        """Correlation of ``values <= the percentile level``."""
        if level not in self._found:
            self._found[level] = self._correlation(level)
        return self._found[level]

    def _correlation(self, level: float) -> Correlation:
        n = len(self.values)
        if n < _LEAST:
            return Correlation(n=n, time=1.0, window=0)
        least_window = 0 if level == _MEDIAN else self.correlation(_MEDIAN).window
        below = self.values <= quantile(self.ordered, level)
        return correlation(below.astype(np.float64), least_window)


def quantile(ordered: Values, level: float) -> float:
    """As ``numpy.quantile``, of values that are in order already."""
    place = (len(ordered) - 1) * level
    index = int(place)
    low, high = float(ordered[index]), float(ordered[min(index + 1, len(ordered) - 1)])
    part = place - index
    # From the nearer side, so that rounding leaves it between the two.
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)  # noqa: PLR2004


def of_percentile(values: Values, level: float) -> Correlation:
    """Correlation of ``values <= the percentile level``, in measured order."""
    return Series(values).correlation(level)
