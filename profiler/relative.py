"""Latency in units of the sentinel at that moment, and how far the device's own speed wandered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from profiler import stats
from profiler.result import Interval, Sentinel
from profiler.samples import Iterations, SentinelSlices
from profiler.sentinel import EDGE_SLICES

Floats = NDArray[np.float64]

# A single slice jitters; the median of so many neighbours follows the device's speed.
SMOOTHING = 5


def _smoothed(durations: Floats) -> Floats:
    """Running median, with fewer neighbours at the ends."""
    half = SMOOTHING // 2
    return np.array(
        [np.median(durations[max(0, i - half) : i + half + 1]) for i in range(len(durations))]
    )


def _of_repetition(iterations: Iterations, slices: SentinelSlices, index: int) -> Floats:
    mine = (iterations.repetition == index) & ~iterations.warmup
    middle = iterations.start_ns[mine] + iterations.latency_ns[mine] / 2
    own = slices.repetition == index
    at = slices.start_ns[own] + slices.duration_ns[own] / 2
    speed = np.interp(middle, at, _smoothed(slices.duration_ns[own].astype(np.float64)))
    return np.asarray(iterations.latency_ns[mine] / speed)


def relative_groups(iterations: Iterations, slices: SentinelSlices) -> list[Floats]:
    """Timed latencies over the sentinel's duration at their moment, by repetition."""
    return [
        _of_repetition(iterations, slices, int(index)) for index in np.unique(slices.repetition)
    ]


def drift(slices: SentinelSlices) -> float:
    """Largest relative difference of the sentinel between before and after a repetition."""
    found = 0.0
    for index in np.unique(slices.repetition):
        own = slices.duration_ns[slices.repetition == index]
        before, after = np.median(own[:EDGE_SLICES]), np.median(own[-EDGE_SLICES:])
        found = max(found, float(abs(after - before) / min(before, after)))
    return found


def summarise(kind: str, iterations: Iterations, slices: SentinelSlices) -> Sentinel | None:
    """The sentinel of a run; ``None`` if it was never timed."""
    if not len(slices):
        return None
    seconds = slices.duration_ns / 1e9
    groups = [seconds[slices.repetition == index] for index in np.unique(slices.repetition)]
    own = stats.median(groups).interval
    if iterations.warmup.all():
        relative = stats.Percentile(None, "single iterations were not timed")
    else:
        relative = stats.median(relative_groups(iterations, slices))
    return Sentinel(
        kind=kind,
        slices=len(slices),
        seconds=own or Interval(value=float(np.median(seconds)), low=None, high=None),
        drift=drift(slices),
        relative_p50=relative.interval,
        relative_p50_reason=relative.reason,
    )
