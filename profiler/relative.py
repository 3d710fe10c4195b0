"""Latency in units of the sentinel at that moment, and how far the device's own speed wandered."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler import stats
from profiler.result import Interval, Sentinel
from profiler.samples import Iterations, SentinelSlices

Floats = NDArray[np.float64]

# Of the slices of a run, at either end.
TRIM = 0.2
# A single slice jitters; the median of so many neighbours follows the device's speed.
SMOOTHING = 5
# With fewer steps from pause to pause their jitter is not known.
LEAST_STEPS = 3
# exp() of it is a factor of a million; a jitter that large says that nothing is known.
_LARGEST_LOG = 14.0


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


class Drift(NamedTuple):
    """How far the device's speed moved within a repetition, and what its jitter alone would show.

    Both relative, of the repetition in which the first exceeds the second by most.
    """

    change: float
    by_chance: float


def drift(slices: SentinelSlices) -> Drift:
    """The sentinel in the first third of a repetition against the last third.

    Slices that follow at once upon another are of one pause and count as one, by their median. The
    jitter is that from one pause to the next (von Neumann 1941, mean square successive
    difference), which a steady change hardly adds to. Where a repetition was too short for more
    than its edges, it is how the other repetitions' changes differ from each other. By chance as
    much is shown by one run in twenty, all its repetitions together.
    """
    pauses = [_pauses(slices, int(index)) for index in np.unique(slices.repetition)]
    changes = np.array([_change(each) for each in pauses])
    level = 1 - (1 - stats.CONFIDENCE) / 2 / len(pauses)
    found = [
        Drift(
            math.expm1(abs(change)),
            math.expm1(min(_by_chance(each, np.delete(changes, i), level), _LARGEST_LOG)),
        )
        for i, (each, change) in enumerate(zip(pauses, changes, strict=True))
    ]
    return max(found, key=lambda each: each.change - each.by_chance)


def _pauses(slices: SentinelSlices, index: int) -> Floats:
    """Median slice of each pause of a repetition, as logarithms."""
    own = slices.repetition == index
    start, duration = slices.start_ns[own], slices.duration_ns[own].astype(np.float64)
    idle = start[1:] - (start[:-1] + slices.duration_ns[own][:-1])
    # Within a pause nothing but a clock read is between two slices.
    begins = np.flatnonzero(idle > np.median(duration)) + 1
    return np.log([np.median(part) for part in np.split(duration, begins)])


def _third(pauses: Floats) -> int:
    return max(1, len(pauses) // 3)


def _change(pauses: Floats) -> float:
    third = _third(pauses)
    return float(pauses[-third:].mean() - pauses[:third].mean())


def _by_chance(pauses: Floats, others: Floats, level: float) -> float:
    """What jitter alone would change within a repetition; 0 where nothing tells.

    Args:
        pauses: of the repetition.
        others: changes within the other repetitions.
        level: of Student's distribution.
    """
    from scipy.special import stdtrit  # 0.1 s to import; not on the way to --help

    steps = np.diff(pauses)
    if len(steps) >= LEAST_STEPS:
        noise = math.sqrt(float(np.mean(steps**2)) / 2 * 2 / _third(pauses))
        return float(stdtrit(len(steps), level)) * noise
    if len(others) >= LEAST_STEPS:
        # A change that all have in common is none of the jitter.
        noise = float(others.std(ddof=1)) * math.sqrt(1 + 1 / len(others))
        return float(stdtrit(len(others) - 1, level)) * noise
    return 0.0


def trimmed_mean(durations: Floats) -> float:
    """Mean without ``TRIM`` of them at either end: a burst moves it as little as the median.

    In a pause a slice is faster than the one before, as its weights come back into the caches. What
    lies between two such levels is few, and there the median of a few dozen slices jitters most.
    """
    cut = int(TRIM * len(durations))
    return float(np.sort(durations)[cut : len(durations) - cut].mean())


def _duration(slices: SentinelSlices) -> Interval:
    """Of all slices of a run: their trimmed mean, with an interval as wide as their median's."""
    seconds = slices.duration_ns / 1e9
    groups = [seconds[slices.repetition == index] for index in np.unique(slices.repetition)]
    value = trimmed_mean(seconds)
    found = stats.median(groups).interval
    if found is None or found.low is None or found.high is None:
        return Interval(value=value, low=None, high=None)
    scale = value / found.value
    return Interval(value=value, low=found.low * scale, high=found.high * scale)


def summarise(kind: str, iterations: Iterations, slices: SentinelSlices) -> Sentinel | None:
    """The sentinel of a run; ``None`` if it was never timed."""
    if not len(slices):
        return None
    moved = drift(slices)
    if iterations.warmup.all():
        relative = stats.Percentile(None, "single iterations were not timed")
    else:
        relative = stats.median(relative_groups(iterations, slices))
    return Sentinel(
        kind=kind,
        slices=len(slices),
        seconds=_duration(slices),
        drift=moved.change,
        drift_by_chance=moved.by_chance,
        relative_p50=relative.interval,
        relative_p50_reason=relative.reason,
    )
