"""The beat of a sensor's new values, in readings that came faster. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.sensors.base import Channel, Quantity, Reading
from profiler.sensors.rhythm import FEWEST_CHANGES, Rhythm
from profiler.sensors.trace import Floats
from profiler.units import seconds as in_words

# Below so many readings to a change the readings' own rhythm is what one sees.
_READINGS_A_CHANGE = 2.5
# Further off the beat, in periods, it is none.
_IRREGULAR = 0.25
# Of the steps from change to change, the shortest this share are of one period.
_USUAL, _SINGLE = 0.5, 0.25
# So few updates do not show the whole of what jitter there is.
_UNSEEN = 3.0
# Periods that are tried.
_BEATS = 101


def rhythm_of(channel: Channel, readings: Sequence[Reading]) -> Rhythm:
    """The rhythm in readings of one channel.

    Args:
        channel: power may stay because it is the same anew; what a counter counts never stays.
        readings: rising in time; failed ones are left out.
    """
    key = channel.key
    read = [reading for reading in readings if reading.value is not None]
    seconds = np.array([reading.seconds for reading in read])
    values = np.array([reading.value for reading in read], dtype=np.float64)
    moved = np.flatnonzero(np.diff(values) != 0) + 1
    if len(moved) <= FEWEST_CHANGES:
        watched = float(seconds[-1] - seconds[0]) if len(seconds) > 1 else 0.0
        reason = f"its value changed {len(moved)} times in the {watched:.2g} s that it was watched"
        return Rhythm(channel=key, seconds=None, reason=reason)
    latest = seconds[moved]
    steps = np.diff(latest)
    # Of equal values in a row one sees the last change only: a step is one or more periods.
    usual = _USUAL if channel.quantity is Quantity.ENERGY else _SINGLE
    single = float(np.quantile(steps, usual, method="lower"))
    counts = np.maximum(1.0, np.round(steps / single))
    spacing = float(np.median(np.diff(seconds)))
    if float(steps.sum() / counts.sum()) < _READINGS_A_CHANGE * spacing:
        reason = f"it had a new value at nearly every reading, {in_words(spacing)} apart"
        return Rhythm(channel=key, seconds=None, reason=reason)
    gaps = latest - seconds[moved - 1]
    period, jitter = _beat(latest, gaps, np.cumsum([0.0, *counts]))
    if jitter > _IRREGULAR * period:
        return Rhythm(channel=key, seconds=float(np.max(steps)))
    # What is less than half of the time between two readings either way shows in none of them.
    hidden = float(np.median(gaps)) / 2
    return Rhythm(channel=key, seconds=period, jitter_seconds=_UNSEEN * jitter + hidden)


def _beat(latest: Floats, gaps: Floats, counts: Floats) -> tuple[float, float]:
    """The period whose beat the changes fit best, and by how much they are off it.

    Args:
        latest: the readings that found a change, each of which lies in the gap before.
        gaps: the length of each.
        counts: periods since the first.
    """
    usual = (latest[-1] - latest[0]) / counts[-1]
    about = (gaps[0] + gaps[-1]) / counts[-1]
    periods = np.linspace(usual - about, usual + about, _BEATS)[:, None]
    since = latest - counts * periods
    # All changes lie on one beat if some first moment is in every gap.
    off = np.max(since - gaps, axis=1) - np.min(since, axis=1)
    best = int(np.argmin(off))
    return float(periods[best, 0]), max(0.0, float(off[best]) / 2)
