"""When an energy counter moved: the readings that found it moved, and what narrows down the moment.

A reading that finds a counter moved tells that its update lies since the reading before. Where the
sensor was seen to keep a beat (``profiler.sensors.rhythm``), the readings around tell more: each
update of the beat must lie where a reading found the counter moved, and none where it stood. All
beats for which that holds are found, and the update is somewhere in what they leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from profiler.sensors.base import Channel
from profiler.sensors.trace import Floats

# Readings on each side of an update that its beat is looked for in: about as long as the sensor was
# listened to, so that a beat that wanders shows in its jitter.
_AROUND = 10
# Beats that are tried: of so many periods, to this much about the measured one, at so many moments.
_PERIODS, _PERIOD_SHARE, _MOMENTS = 81, 0.02, 128
# A beat that is less steady wanders, perhaps, by more than was seen in the time it was listened to.
_STEADY = 0.02
# A reading is of some moment within the call that took it.
_READ_SECONDS = 0.001


@dataclass(frozen=True)
class Ticks:
    """The readings that found a counter moved, each with the time in which it did.

    ``joules`` is the counter's value since then, ``before`` what it was read as before, ``gaps``
    the time since the reading before.
    """

    earliest: Floats
    latest: Floats
    joules: Floats
    before: Floats
    gaps: Floats

    @property
    def middle(self) -> Floats:
        return np.asarray((self.earliest + self.latest) / 2)


def ticks_of(seconds: Floats, joules: Floats, period: float, channel: Channel) -> Ticks:
    """The ticks of a stretch that nothing broke.

    One that a reading found lies after the reading before, and no more than ``period`` back: else
    there would have been another since.
    """
    moved = np.flatnonzero(np.diff(joules) > 0) + 1
    latest = seconds[moved]
    since = period + (channel.jitter_seconds or 0.0)
    earliest = np.maximum(seconds[moved - 1], latest - since) - (channel.lag_seconds or 0.0)
    gaps = latest - seconds[moved - 1]
    return Ticks(earliest, latest, joules[moved], joules[moved - 1], gaps)


def narrowed(
    ticks: Ticks, at: tuple[int, ...], seconds: Floats, joules: Floats, channel: Channel
) -> Ticks:
    """The ticks, some of them in a shorter time, where the sensor keeps a beat.

    Args:
        ticks: of the stretch.
        at: places of those to be narrowed.
        seconds: of all readings of the stretch.
        joules: likewise.
        channel: of the counter. Without a steady beat that was measured nothing is narrowed.
    """
    period, jitter = channel.update_period_seconds, channel.jitter_seconds
    if jitter is None or period is None or jitter > _STEADY * period:
        return ticks
    earliest, latest = ticks.earliest.copy(), ticks.latest.copy()
    moved = np.flatnonzero(np.diff(joules) > 0) + 1
    lag = channel.lag_seconds or 0.0
    for place in at:
        reading = int(moved[place])
        around = slice(max(0, reading - _AROUND), reading + _AROUND + 1)
        # A value is there by so much later than the moment it is of.
        shown = (float(earliest[place]) + lag, float(latest[place]))
        first, last = _moments(seconds[around], np.diff(joules[around]) > 0, shown, period, jitter)
        earliest[place], latest[place] = first - lag, last
    return replace(ticks, earliest=earliest, latest=latest)


def _moments(
    seconds: Floats,
    moved: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    shown: tuple[float, float],
    period: float,
    jitter: float,
) -> tuple[float, float]:
    """The part of ``shown`` in which the update may lie.

    Beats are tried at the points of a grid. A reading that is so near to an update of one that a
    beat between two points, jitter, or the call that took it may put it on the other side, speaks
    neither for nor against it: so no beat that is possible is lost. Where none is left the sensor
    kept no beat after all, and ``shown`` stands.
    """
    first, last = shown
    # The beat's own point may be outside, by jitter.
    cell = (last - first + 2 * jitter) / _MOMENTS
    starts = first - jitter + cell * (np.arange(_MOMENTS) + 0.5)
    width = 2 * _PERIOD_SHARE * period / (_PERIODS - 1)
    periods = period * np.linspace(1 - _PERIOD_SHARE, 1 + _PERIOD_SHARE, _PERIODS)
    # Axes: moment, period, reading; which update of the beat was the last one then.
    count = (seconds - starts[:, None, None]) / periods[:, None]
    unsure = (cell / 2 + jitter + _READ_SECONDS + (np.abs(count) + 1) * width / 2) / period
    least, most = np.floor(count - unsure), np.floor(count + unsure)
    possible = np.where(
        moved, most[..., 1:] > least[..., :-1], least[..., 1:] <= most[..., :-1]
    ).all(axis=-1)
    kept = starts[np.any(possible, axis=1)]
    if not len(kept):
        return shown
    return (
        max(first, float(kept[0]) - cell / 2 - jitter),
        min(last, float(kept[-1]) + cell / 2 + jitter),
    )
