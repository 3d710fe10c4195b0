"""From readings to joules over a window of time. Pure functions; seconds are ``perf_counter``'s.

Each answer carries the joules by which it may be off for reasons of time and counting: what
happened between two readings, how old a sensor's value was, and the size of its step. Errors of
the sensor's calibration come on top and are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.sensors.trace import Floats

Window = tuple[float, float]

# No board of today draws more; a step that implies more is a counter's reset, not its wrap.
MAX_PLAUSIBLE_WATTS = 10_000.0
# Within this time a counter of 65 kJ, the smallest in use, wraps once at most below 1 kW.
MAX_COUNTER_GAP_SECONDS = 60.0
# A pause between readings is a gap when it is this many times the usual one.
_GAP_FACTOR = 3.0
# A counter has to move this often before its own rhythm can be told.
_MIN_STEPS = 3


@dataclass(frozen=True)
class WindowEnergy:
    """Joules within one window; see ``EnergyFigure`` for coverage and gap."""

    joules: float
    uncertainty_joules: float
    coverage: float
    largest_gap_seconds: float


@dataclass(frozen=True)
class Missing:
    """Why there are no joules."""

    reason: str


@dataclass(frozen=True)
class Unwrapped:
    """A counter as one rising line from 0, and the intervals over which it is not known."""

    joules: Floats
    broken: NDArray[np.bool_]


def unwrap(seconds: Floats, values: Floats, wraps_at: float | None) -> Unwrapped:
    """Undo the wraps of a counter that one reader read often enough.

    A step backwards is a wrap if the counter has a modulus and the step then implies a power that a
    machine can draw; else it is a reset, and that interval is broken. So is one that is so long
    that a wrap in it could have gone unseen.

    Args:
        seconds: rising.
        values: joules; failed reads are left out, never 0.
        wraps_at: the counter's modulus in joules, or ``None``.
    """
    steps, widths = np.diff(values), np.diff(seconds)
    broken = steps < 0
    if wraps_at is not None:
        wrapped = broken & (steps + wraps_at >= 0)
        wrapped &= steps + wraps_at <= MAX_PLAUSIBLE_WATTS * widths
        steps = np.where(wrapped, steps + wraps_at, steps)
        broken = (steps < 0) | (widths > MAX_COUNTER_GAP_SECONDS)
    joules = np.concatenate([[0.0], np.cumsum(np.where(broken, 0.0, steps))])
    return Unwrapped(joules=joules[: len(values)], broken=broken)


def observed_period(seconds: Floats, values: Floats) -> float | None:
    """The usual time between two changes of the value, or ``None`` where it changes too rarely.

    Never shorter than the time between readings, so it tells only that a sensor is *slower*.
    """
    changes = seconds[1:][np.diff(values) != 0]
    return float(np.median(np.diff(changes))) if len(changes) >= _MIN_STEPS else None


def counter_energy(
    seconds: Floats,
    values: Floats,
    window: Window,
    *,
    update_period: float,
    wraps_at: float | None = None,
    resolution: float = 0.0,
) -> WindowEnergy | Missing:
    """Joules of a counter between the window's edges.

    The line is drawn through the counter's ticks, the readings that found it moved: those between
    two ticks of a slow counter tell nothing. Within the window the line is exact; what may be off
    lies at its edges. A tick is as old as the shorter of ``update_period`` and the time between
    readings, which is at most ``2·update_period/T`` of a window T at steady power. And an edge lies
    between two ticks: there the power may have changed by as much as it did in the intervals
    around it.

    Args:
        seconds: of the readings, rising.
        values: joules.
        window: (start, end).
        update_period: how often the counter moves, in seconds.
        wraps_at: modulus in joules.
        resolution: smallest step in joules.
    """
    start, end = window
    if len(values) < 2 or end <= seconds[0] or start >= seconds[-1]:  # noqa: PLR2004 - a difference
        return Missing("it was not read during the window")
    first = max(0, int(np.searchsorted(seconds, start, side="right")) - 1)
    last = min(len(seconds) - 1, int(np.searchsorted(seconds, end, side="left")))
    line = unwrap(seconds, values, wraps_at)
    if np.any(line.broken[first:last]):
        return Missing(_why_broken(seconds, values, line, first, last))
    if line.joules[last] == line.joules[first]:
        return Missing(f"the counter stood still at {values[first]:g} J")
    ticks = _ticks(seconds, line, first, last)
    if len(ticks.seconds) < 2:  # noqa: PLR2004 - a difference
        return Missing("the counter moved only once")
    age = min(update_period, float(np.median(np.diff(seconds))))
    opening, closing = _edge(ticks, start, age), _edge(ticks, end, age)
    unread = max(0.0, float(seconds[0]) - start) + max(0.0, end - float(seconds[-1]))
    return WindowEnergy(
        joules=closing.joules - opening.joules,
        uncertainty_joules=opening.uncertainty_joules + closing.uncertainty_joules + resolution,
        coverage=1 - unread / (end - start),
        largest_gap_seconds=_largest_gap(seconds, window),
    )


def _why_broken(seconds: Floats, values: Floats, line: Unwrapped, first: int, last: int) -> str:
    at = first + int(np.argmax(line.broken[first:last]))
    gap = float(seconds[at + 1] - seconds[at])
    if gap > MAX_COUNTER_GAP_SECONDS:
        return f"the counter was not read for {gap:.0f} s and may have wrapped unseen"
    return f"the counter was reset within the window ({values[at]:g} J, then {values[at + 1]:g} J)"


@dataclass(frozen=True)
class _Ticks:
    """The readings that found a counter moved."""

    seconds: Floats
    joules: Floats


def _ticks(seconds: Floats, line: Unwrapped, first: int, last: int) -> _Ticks:
    """The ticks of the unbroken stretch around the readings ``first`` to ``last``."""
    breaks = np.flatnonzero(line.broken)
    begin = int(np.max(breaks[breaks < first], initial=-1)) + 1
    stop = int(np.min(breaks[breaks >= last], initial=len(seconds) - 1)) + 1
    seconds, joules = seconds[begin:stop], line.joules[begin:stop]
    moved = np.diff(joules) > 0
    if moved.all():
        return _Ticks(seconds, joules)
    # Nobody saw when the counter came to its first value: that reading is no tick.
    return _Ticks(seconds[1:][moved], joules[1:][moved])


@dataclass(frozen=True)
class _Edge:
    """A counter at one edge of the window, and the joules by which that may be off."""

    joules: float
    uncertainty_joules: float


def _edge(ticks: _Ticks, at: float, age: float) -> _Edge:
    seconds, joules = ticks.seconds, ticks.joules
    index = int(np.clip(np.searchsorted(seconds, at, side="right") - 1, 0, len(seconds) - 2))
    interval = float(seconds[index + 1] - seconds[index])
    watts = np.diff(joules) / np.diff(seconds)
    inside = float(np.clip(at, seconds[0], seconds[-1]))
    reach = interval + age
    near = watts[(seconds[1:] >= inside - reach) & (seconds[:-1] <= inside + reach)]
    beyond = (at - inside) * float(watts[index])
    return _Edge(
        joules=float(np.interp(inside, seconds, joules)) + beyond,
        uncertainty_joules=float(np.max(near) * age + np.ptp(near) * interval) + abs(beyond),
    )


def power_energy(
    seconds: Floats,
    values: Floats,
    window: Window,
    *,
    update_period: float,
    averaging: float | None = None,
    resolution: float = 0.0,
) -> WindowEnergy | Missing:
    """Joules of polled power: held from one reading to the next, to both edges of the window.

    A sensor that reports a mean over the last ``averaging`` seconds is moved back by half of them
    and joined by straight lines instead. Equal readings in a row are readings: constant power is
    constant, not unknown.

    What may be off: both edges, by one period each (``2·period/T`` of a window T at steady power);
    what the power did between readings, estimated as twice the standard error of their mean; the
    gaps, by the largest power seen; and the sensor's step.

    Args:
        seconds: of the readings, rising.
        values: watts.
        window: (start, end).
        update_period: how often the sensor has a new value, in seconds.
        averaging: over how many seconds each value is a mean; ``None`` for momentary values.
        resolution: smallest step in watts.
    """
    start, end = window
    moved = seconds - (averaging or 0.0) / 2
    inside = (moved > start) & (moved < end)
    if not np.any(inside):
        return Missing("it was not read during the window")
    points = np.concatenate([[start], moved[inside], [end]])
    if averaging is None:
        watts = values[np.clip(np.searchsorted(moved, points[:-1], side="right") - 1, 0, None)]
    else:
        at_points = np.interp(points, moved, values)
        watts = (at_points[1:] + at_points[:-1]) / 2
    joules = float(np.sum(watts * np.diff(points)))
    if joules <= 0:
        return Missing("it read 0 W throughout the window")
    usual = float(np.median(np.diff(seconds))) if len(seconds) > 1 else end - start
    period = max(update_period, usual, averaging or 0.0)
    uncovered = _uncovered(moved, window, max(usual, update_period))
    uncertainty = (
        period * float(watts[0] + watts[-1])
        + _sampling_error(values[inside], end - start, period)
        + uncovered * float(np.max(values))
        + resolution * (end - start)
    )
    coverage = 1 - uncovered / (end - start)
    return WindowEnergy(joules, uncertainty, coverage, _largest_gap(moved, window))


def _sampling_error(watts: Floats, duration: float, period: float) -> float:
    """Twice the standard error of the mean power, in joules over the window.

    Readings closer than the sensor's period repeat one value and count once.
    """
    independent = max(1.0, min(float(len(watts)), duration / period))
    return float(2 * np.std(watts) / np.sqrt(independent) * duration)


def _pauses(seconds: Floats, window: Window) -> Floats:
    """Time between the readings that lie around and in a window, cut to it."""
    inside = seconds[(seconds > window[0]) & (seconds < window[1])]
    return np.diff(np.concatenate([[window[0]], inside, [window[1]]]))


def _largest_gap(seconds: Floats, window: Window) -> float:
    return float(np.max(_pauses(seconds, window)))


def _uncovered(seconds: Floats, window: Window, usual: float) -> float:
    """Seconds of the window that lie in gaps, beyond the usual pause of each."""
    pauses = _pauses(seconds, window)
    gaps = pauses[pauses > _GAP_FACTOR * usual]
    return float(np.sum(gaps - usual))
