"""When a repetition has reached its steady state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Two adjacent windows of at least this many iterations and this long; shorter for a quick look.
WINDOW_ITERATIONS = 20
WINDOW_SECONDS = 2.0
QUICK_WINDOW_SECONDS = 0.5
# Steady when the windows differ by less than this, relative to the earlier one.
MEDIAN_TOLERANCE = 0.01
QUARTILE_TOLERANCE = 0.05
# Of each window, whose medians tell how noisy it is.
STRETCHES = 5
# Student's two-sided 99 % quantile for 2 * (STRETCHES - 1) degrees of freedom: of a hundred noisy
# but settled repetitions one is taken for moving.
SURE = 3.355


def window_length(
    latencies: Sequence[float], end: int, seconds: float = WINDOW_SECONDS
) -> int | None:
    """Length of the shortest window that ends at ``end`` and is long enough, or ``None``."""
    total = 0.0
    for length in range(1, end + 1):
        total += latencies[end - length]
        if length >= WINDOW_ITERATIONS and total >= seconds:
            return length
    return None


def is_moving(latencies: Sequence[float], window_seconds: float = WINDOW_SECONDS) -> bool | None:
    """Whether the last two windows differ by more than their own noise makes them; ``None``: too
    short for two windows.

    The noise is that of the medians of ``STRETCHES`` stretches of each window, so it counts the
    correlation within a stretch (Welch's test of batch means). On a device that is merely noisy two
    windows seldom agree to a percent, however long it has been warm.
    """
    late = window_length(latencies, len(latencies), window_seconds)
    early = window_length(latencies, len(latencies) - late, window_seconds) if late else None
    if late is None or early is None:
        return None
    after = _stretches(latencies[-late:])
    before = _stretches(latencies[-late - early : -late])
    change = float(after.mean() - before.mean())
    noise = float(np.sqrt((after.var(ddof=1) + before.var(ddof=1)) / STRETCHES))
    return abs(change) > MEDIAN_TOLERANCE * float(before.mean()) and abs(change) > SURE * noise


def _stretches(window: Sequence[float]) -> NDArray[np.float64]:
    return np.array([np.median(part) for part in np.array_split(np.asarray(window), STRETCHES)])


def is_steady(latencies: Sequence[float], window_seconds: float = WINDOW_SECONDS) -> bool:
    """Whether the last two windows of these latencies (seconds) agree."""
    late = window_length(latencies, len(latencies), window_seconds)
    if late is None:
        return False
    early = window_length(latencies, len(latencies) - late, window_seconds)
    if early is None:
        return False
    after = np.quantile(latencies[-late:], [0.25, 0.5, 0.75])
    before = np.quantile(latencies[-late - early : -late], [0.25, 0.5, 0.75])
    change = np.abs(after / before - 1)
    quartiles = max(change[0], change[2])
    return bool(change[1] < MEDIAN_TOLERANCE and quartiles < QUARTILE_TOLERANCE)
