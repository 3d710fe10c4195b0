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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this no lag can be seen.
_LEAST = 4


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


def correlation(values: NDArray[np.float64]) -> Correlation:
    """Correlation of a series, by the initial monotone positive sequence."""
    n = len(values)
    if values.min() == values.max():
        return Correlation(n=n, time=1.0, window=0)
    rho = autocorrelation(values)
    pairs = rho[0 : len(rho) - len(rho) % 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    if len(negative):
        pairs = pairs[: negative[0]]
    monotone = np.minimum.accumulate(pairs)
    window = max(0, 2 * len(monotone) - 1)
    time = float(2 * monotone.sum() - 1) * (1 + (2 * window + 1) / n)
    return Correlation(n=n, time=min(float(n), max(1.0, time)), window=window)


def of_percentile(values: NDArray[np.float64], level: float) -> Correlation:
    """Correlation of ``values <= the percentile level``."""
    n = len(values)
    if n < _LEAST:
        return Correlation(n=n, time=1.0, window=0)
    return correlation((values <= np.quantile(values, level)).astype(np.float64))
