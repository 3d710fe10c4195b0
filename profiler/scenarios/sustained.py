"""``sustained``: latency over a run that is long enough to heat up.

The iterations are those of ``single_stream``. What is asked is not their distribution as a whole,
which mixes a cool device with a hot one, but how it changes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from profiler import stats
from profiler.result import Interval, LatencyWindow, SustainedReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_WINDOWS = 60
# Fewer have no p90 worth the name; the same number as a window of the warm-up.
WINDOW_ITERATIONS = 20
# A run has settled when windows stay so close to its end.
SETTLED_TOLERANCE = 0.02
# What is compared at both ends.
END_SHARE = 0.1


def describe(start_ns: NDArray[np.int64], latency_ns: NDArray[np.int64]) -> SustainedReport:
    """Latency over time.

    Args:
        start_ns: when each timed iteration of one process began, rising; at least one.
        latency_ns: how long it took.
    """
    found = windows(start_ns, latency_ns)
    seconds = (start_ns - start_ns[0]) / 1e9
    latency = np.asarray(latency_ns / 1e9, dtype=np.float64)
    duration = float(seconds[-1] + latency[-1])
    first = latency[seconds < END_SHARE * duration]
    last = latency[seconds >= (1 - END_SHARE) * duration]
    slowdown = _ratio(last, first)
    settled, why_not = _settled(found, last, (1 - END_SHARE) * duration)
    return SustainedReport(
        windows=found,
        slowdown=slowdown.interval,
        slowdown_reason=slowdown.reason,
        settled_after_seconds=settled,
        settled_reason=why_not,
    )


def windows(
    start_ns: NDArray[np.int64], latency_ns: NDArray[np.int64]
) -> tuple[LatencyWindow, ...]:
    """At most ``MOST_WINDOWS`` windows of equal time; those with too few iterations are joined.

    With fewer than ``WINDOW_ITERATIONS`` iterations in all there is none.
    """
    seconds = (start_ns - start_ns[0]) / 1e9
    duration = float(seconds[-1] + latency_ns[-1] / 1e9)
    cells = min(MOST_WINDOWS, len(seconds) // WINDOW_ITERATIONS)
    edges = [0.0]
    begins = [0]
    for edge in np.linspace(0.0, duration, cells + 1)[1:]:
        reached = int(np.searchsorted(seconds, edge, side="left"))
        if reached - begins[-1] >= WINDOW_ITERATIONS:
            begins.append(reached)
            edges.append(float(edge))
    if len(begins) > 1:
        # What is left over at the end is too little for a window of its own.
        begins[-1], edges[-1] = len(seconds), duration
    return tuple(
        _window(latency_ns[begins[i] : begins[i + 1]] / 1e9, edges[i], edges[i + 1])
        for i in range(len(begins) - 1)
    )


def _window(latency: NDArray[np.float64], start: float, end: float) -> LatencyWindow:
    middle, high = np.quantile(latency, [0.5, 0.9])
    return LatencyWindow(
        start_seconds=start,
        end_seconds=end,
        iterations=len(latency),
        p50_seconds=float(middle),
        p90_seconds=float(high),
    )


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> stats.Percentile:
    """Ratio of two medians with its 95 % interval.

    The bounds are those of the two medians, joined as logarithms by the method of variance
    estimates recovery (Zou and Donner 2008, "Construction of confidence limits about effect
    measures: a general approach").
    """
    if not len(above) or not len(below):
        return stats.Percentile(
            None, "no iteration began in the first or the last tenth of the time"
        )
    top, bottom = stats.median([above]), stats.median([below])
    if top.interval is None or bottom.interval is None or bottom.interval.value <= 0:
        return stats.Percentile(None, "the clock is too coarse for these iterations")
    value = top.interval.value / bottom.interval.value
    bounds = _joined(top.interval, bottom.interval)
    if bounds is None:
        return stats.Percentile(
            Interval(value=value, low=None, high=None), top.reason or bottom.reason
        )
    down, up = bounds
    return stats.Percentile(
        Interval(value=value, low=value * math.exp(-down), high=value * math.exp(up)), None
    )


def _joined(top: Interval, bottom: Interval) -> tuple[float, float] | None:
    """How far the logarithm of the ratio may lie below and above."""
    if not (top.low and top.high and bottom.low and bottom.high):
        return None
    down = math.hypot(math.log(top.value / top.low), math.log(bottom.high / bottom.value))
    up = math.hypot(math.log(top.high / top.value), math.log(bottom.value / bottom.low))
    return down, up


def _settled(
    found: tuple[LatencyWindow, ...], last: NDArray[np.float64], latest: float
) -> tuple[float | None, str | None]:
    """When the windows came close to the end's median for good, or why that is not known."""
    if not found or not len(last):
        return None, "too few iterations to divide the run into windows (--max-time)"
    end = float(np.median(last))
    away = [
        window.end_seconds
        for window in found
        if abs(window.p50_seconds - end) > SETTLED_TOLERANCE * end
    ]
    after = max(away, default=0.0)
    if after > latest or math.isclose(after, latest):
        return None, "latency still changed by more than 2 % at the end. Measure for longer"
    return after, None
