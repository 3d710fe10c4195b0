"""When a repetition has reached its steady state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Two adjacent windows of at least this many iterations and this long; shorter for a quick look.
WINDOW_ITERATIONS = 20
WINDOW_SECONDS = 2.0
QUICK_WINDOW_SECONDS = 0.5
# Steady when the windows differ by less than this, relative to the earlier one.
MEDIAN_TOLERANCE = 0.01
QUARTILE_TOLERANCE = 0.05


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
