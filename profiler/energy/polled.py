"""Joules of polled power. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.energy import sight
from profiler.energy.counter import observed_period, sight_reason
from profiler.energy.window import Missing, Window, WindowEnergy, largest_gap, pauses
from profiler.sensors.trace import Floats, Series

# A pause between readings is a gap when it is this many times the usual one.
_GAP_FACTOR = 3.0


def polled_period(series: Series) -> float:
    """The channel's own update period.

    Power may stay the same because it is the same, so only where nothing is stated do its changes
    tell.
    """
    stated = series.channel.update_period_seconds
    return stated if stated is not None else observed_period(series.seconds, series.values) or 0.0


def power_energy(
    series: Series,
    window: Window,
    *,
    period: float,
    limit: float | None = None,
    uneven: float | None = None,
) -> WindowEnergy | Missing:
    """Joules of polled power, extended to both edges of the window.

    A value is of a time before it was read: by half of an update, on average, and by half of what
    it is a mean over. From there it holds, until half-way to the next; means over a time are joined
    by straight lines instead. Equal readings in a row are readings: constant power is constant, not
    unknown.

    What may be off: at both edges, how old a value was and what it is a mean over; between readings
    that differ, when the power changed; what a sensor that does not look all the time did not see
    (``sight``); the gaps, by the largest power seen; and the sensor's step.

    Args:
        series: of power, in watts.
        window: the timed part.
        period: how often the sensor has a new value, in seconds.
        limit: watts that are never exceeded; ``None`` where that is not known.
        uneven: ``sight.step_discrepancy`` over all windows; of this one alone for ``None``.
    """
    start, end = window.span
    channel, values = series.channel, series.values
    averaging, lag = channel.averaging_seconds or 0.0, channel.lag_seconds or 0.0
    age = (period + lag) / 2
    moments = series.seconds - age - averaging / 2
    inside = (moments > start) & (moments < end)
    if not np.any(inside):
        return Missing("it was not read during the window")
    joules = _integral(moments, values, window, straight=averaging >= period > 0)
    if joules <= 0:
        return Missing("it read 0 W throughout the window")
    usual = float(np.median(np.diff(moments))) if len(moments) > 1 else window.seconds
    spacing = max(usual, period)
    if uneven is None:
        uneven = uneven_looks(series, [window])
    hidden = _hidden_joules(series, window, moments, spacing, (limit, uneven))
    if hidden is None:
        return Missing(sight_reason(spacing))
    uncovered = _uncovered(moments, window, spacing)
    reach = 2 * (averaging + spacing + age)
    edges = sum(
        (age + averaging / 2) * _highest(moments, values, edge, reach) for edge in window.span
    )
    uncertainty = (
        edges
        + hidden
        + uncovered * float(np.max(values))
        + (channel.resolution or 0.0) * window.seconds
    )
    coverage = 1 - uncovered / window.seconds
    return WindowEnergy(
        joules, uncertainty, window.span, coverage, largest_gap(moments, window.span)
    )


def uneven_looks(series: Series, windows: Sequence[Window]) -> float:
    """How unevenly the looks of the sensor lie over a call, in all windows together."""
    usual = float(np.median(np.diff(series.seconds))) if len(series.seconds) > 1 else 0.0
    period = series.channel.update_period_seconds or max(usual, polled_period(series))
    if period <= 0:
        return 1.0
    parts = [(window, window.span) for window in windows]
    return sight.step_discrepancy(parts, series.seconds, period)


def _integral(moments: Floats, values: Floats, window: Window, *, straight: bool) -> float:
    start, end = window.span
    if straight:
        inside = moments[(moments > start) & (moments < end)]
        points = np.concatenate([[start], inside, [end]])
        watts = np.interp(points, moments, values)
        return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(points)))
    # Each value holds around its moment; the first and the last reach to the edges.
    middles = (moments[1:] + moments[:-1]) / 2
    borders = np.clip(np.concatenate([[-np.inf], middles, [np.inf]]), start, end)
    return float(np.sum(values * np.diff(borders)))


def _hidden_joules(
    series: Series,
    window: Window,
    moments: Floats,
    spacing: float,
    bounds: tuple[float | None, float],
) -> float | None:
    """What happened between the looks of the sensor; ``None``: nothing tells."""
    channel, values = series.channel, series.values
    near = (moments > window.start - spacing) & (moments < window.end + spacing)
    period = channel.update_period_seconds or spacing
    # A change lies anywhere between two looks, and each look is somewhere within an update.
    within = np.diff(moments[near]) + period + (channel.lag_seconds or 0.0)
    looks_always = (channel.averaging_seconds or 0.0) >= spacing
    fast = sight.fast_calls(window, spacing) and not looks_always
    hidden = sight.slow_changes(values[near], within, smooth=fast)
    if not fast:
        return hidden
    # A value near an edge may be of the idle time outside.
    margin = spacing + (channel.averaging_seconds or 0.0)
    clear = (moments > window.start + margin) & (moments < window.end - margin)
    watts = values[clear if clear.any() else near]
    limit, uneven = bounds
    lowest = float(np.min(values))
    chance = sight.random_changes(values[near], within)
    calls = sight.unseen_joules(window, watts, uneven, lowest=lowest, limit=limit)
    return None if calls is None else hidden + max(calls, chance)


def _highest(moments: Floats, values: Floats, at: float, reach: float) -> float:
    """The largest power seen near a moment."""
    near = values[(moments >= at - reach) & (moments <= at + reach)]
    return float(np.max(near if len(near) else values))


def _uncovered(moments: Floats, window: Window, usual: float) -> float:
    """Seconds of the window that lie in gaps, beyond the usual pause of each."""
    found = pauses(moments, window.span)
    gaps = found[found > _GAP_FACTOR * usual]
    return float(np.sum(gaps - usual))
