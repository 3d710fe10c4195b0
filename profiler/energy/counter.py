"""Joules of an energy counter. Pure functions.

A counter tells exactly how much energy passed between two of its updates (*ticks*), and nothing of
when in between. So the window is cut at the first and the last tick that were observed inside it:
no joule is interpolated, and the calls that were completed between the two are known. What may be
off is the moment of each of the two ticks, which lies between two readings (``ticks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.energy import sight
from profiler.energy.ticks import Ticks, narrowed, ticks_of
from profiler.energy.window import Missing, Window, WindowEnergy, largest_gap
from profiler.result import PeriodBasis
from profiler.sensors.base import Channel
from profiler.sensors.trace import Floats, Series

# No board of today draws more; a step that implies more is a counter's reset, not its wrap.
MAX_PLAUSIBLE_WATTS = 10_000.0
# Within this time a counter of 65 kJ, the smallest in use, wraps once at most below 1 kW.
MAX_COUNTER_GAP_SECONDS = 60.0
# Power within an update may be this many times its mean over the updates around it.
CREST_FACTOR = 10.0
# A counter has to move this often before its own rhythm can be told.
_MIN_STEPS = 3
# More readings than this share that found it where it was: it is slower than it was read.
_STANDING_SHARE = 0.02
_STILL = "it moved less than twice while it was read in"


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


def counter_period(series: Series) -> float:
    """The channel's own update period, or a longer one if the counter was seen to be slower."""
    stated = series.channel.update_period_seconds
    if stated is not None and series.channel.period_basis is PeriodBasis.MEASURED:
        return stated
    observed = observed_period(series.seconds, series.values) or 0.0
    standing = float(np.mean(np.diff(series.values) == 0)) if len(series.values) > 1 else 0.0
    # A fast counter changes at every reading, which tells only how often it was read.
    if stated is not None and standing <= _STANDING_SHARE:
        return stated
    return max(stated or 0.0, observed)


def counter_energy(
    series: Series,
    window: Window,
    *,
    period: float,
    limit: float | None = None,
    uneven: float | None = None,
) -> WindowEnergy | Missing:
    """Joules between the first and the last tick that were observed in the window.

    What may be off: the energy between when a tick was and when it is taken to be, at either end
    (``_edge_joules``); the counter's step; and, where the counter adds up what a sensor sees in a
    part of the time only, what the rest may hide (``_hidden_joules``).

    Args:
        series: of a counter, in joules.
        window: the timed part.
        period: how often the counter moves, in seconds.
        limit: watts that are never exceeded; ``None`` where that is not known.
        uneven: ``sight.step_discrepancy`` over all windows; of this one alone for ``None``.
    """
    seconds, values, channel = series.seconds, series.values, series.channel
    start, end = window.span
    if len(values) < 2 or end <= seconds[0] or start >= seconds[-1]:  # noqa: PLR2004 - a difference
        return Missing("it was not read during the window")
    first = max(0, int(np.searchsorted(seconds, start, side="right")) - 1)
    last = min(len(seconds) - 1, int(np.searchsorted(seconds, end, side="left")))
    line = unwrap(seconds, values, channel.wraps_at)
    if np.any(line.broken[first:last]):
        return Missing(_why_broken(seconds, values, line, first, last))
    if line.joules[last] == line.joules[first]:
        return Missing(f"the counter stood still at {values[first]:g} J")
    stretch = _stretch(line, (first, last))
    read, joules = seconds[stretch], line.joules[stretch]
    ticks = ticks_of(read, joules, period, channel)
    inside = np.flatnonzero((ticks.earliest >= start) & (ticks.latest <= end))
    # Behind the last one there must be another, or nobody knows what it did not count yet.
    inside = inside[inside < len(ticks.joules) - 1]
    if len(inside) < 2:  # noqa: PLR2004 - a difference
        return Missing(f"{_STILL} {window.seconds:.3g} s")
    opening, closing = int(inside[0]), int(inside[-1])
    ticks = narrowed(ticks, (opening, closing), read, joules, channel)
    span = (float(ticks.middle[opening]), float(ticks.middle[closing]))
    call = window.call_seconds
    fast = (call, period) if call is not None and 0 < call < period else None
    hidden = _hidden_joules(ticks, (opening, closing + 1), window, channel, (limit, uneven))
    if hidden is None:
        return Missing(sight_reason(period))
    return WindowEnergy(
        joules=float(ticks.joules[closing] - ticks.joules[opening]),
        uncertainty_joules=_edge_joules(ticks, opening, limit, fast)
        + _edge_joules(ticks, closing, limit, fast)
        + (channel.resolution or 0.0)
        + hidden,
        span=span,
        coverage=(span[1] - span[0]) / window.seconds,
        largest_gap_seconds=largest_gap(seconds, window.span),
    )


def uneven_ticks(series: Series, windows: Sequence[Window], period: float) -> float:
    """How unevenly the updates that a counter showed lie over a call, in all windows together."""
    moved = series.seconds[1:][np.diff(series.values) != 0]
    return sight.step_discrepancy([(window, window.span) for window in windows], moved, period)


def sight_reason(period: float) -> str:
    return (
        f"the sensor looks every {period:.3g} s, too seldom or in step with the calls, and sees "
        "the same part of each; nothing tells of the rest"
    )


def _why_broken(seconds: Floats, values: Floats, line: Unwrapped, first: int, last: int) -> str:
    at = first + int(np.argmax(line.broken[first:last]))
    gap = float(seconds[at + 1] - seconds[at])
    if gap > MAX_COUNTER_GAP_SECONDS:
        return f"the counter was not read for {gap:.0f} s and may have wrapped unseen"
    return f"the counter was reset within the window ({values[at]:g} J, then {values[at + 1]:g} J)"


def _stretch(line: Unwrapped, around: tuple[int, int]) -> slice:
    """The readings around ``first`` to ``last`` between which nothing broke."""
    breaks = np.flatnonzero(line.broken)
    begin = int(np.max(breaks[breaks < around[0]], initial=-1)) + 1
    stop = int(np.min(breaks[breaks >= around[1]], initial=len(line.joules) - 1)) + 1
    return slice(begin, stop)


def _edge_joules(
    ticks: Ticks, at: int, limit: float | None, fast: tuple[float, float] | None
) -> float:
    """Energy between the moment of a tick and the middle of the time in which it lies.

    The counter only rises, so it is no more than the step before or the step after, whatever the
    load does; and no more than the power nearby, ``CREST_FACTOR`` times over, for as long. Of calls
    that are over within an update it is no more than they take in that time, and one call more.

    Args:
        ticks: at least one lies behind ``at``.
        at: the place of the tick.
        limit: watts that are never exceeded.
        fast: seconds of such calls and of an update; ``None`` where calls take longer.
    """
    next_step = float(ticks.joules[at + 1] - ticks.joules[at])
    step = max(float(ticks.joules[at] - ticks.before[at]), next_step)
    half = float(ticks.latest[at] - ticks.earliest[at]) / 2
    watts = [next_step / float(ticks.latest[at + 1] - ticks.latest[at])]
    if at > 0:
        since = float(ticks.latest[at] - ticks.latest[at - 1])
        watts.append(float(ticks.joules[at] - ticks.joules[at - 1]) / since)
    bounds = [step, CREST_FACTOR * max(watts) * half]
    if limit is not None:
        bounds.append(limit * half)
    if fast is not None:
        call, period = fast
        # Any other change of the load lasts for an update (``sight``): half of that or more is in
        # one of the two steps, each of which is an update or longer.
        bounds.append(2 * step / period * (half + call))
    return min(bounds)


def _hidden_joules(
    ticks: Ticks,
    inside: tuple[int, int],
    window: Window,
    channel: Channel,
    bounds: tuple[float | None, float | None],
) -> float | None:
    """What a counter may lack that adds up a power seen in a part of each update only."""
    seen, period = channel.averaging_seconds, channel.update_period_seconds
    if seen is None or period is None or seen >= period:
        return 0.0
    unseen = 1 - seen / period
    # Readings come late by different times, and those that found it where it was saw no update: all
    # that there were lie in the gap before, and are whole ones.
    updates = np.maximum(1.0, np.round(ticks.gaps[1:] / period))
    every = np.diff(ticks.joules) / (updates * period)
    watts = every[inside[0] : inside[1] - 1]
    fast = sight.fast_calls(window, period)
    within = np.full(len(watts) - 1, 2 * unseen * period)
    hidden = sight.slow_changes(watts, within, smooth=fast)
    if not fast:
        return hidden
    limit, uneven = bounds
    if uneven is None:
        span = (float(ticks.middle[inside[0]]), float(ticks.middle[inside[1] - 1]))
        uneven = sight.step_discrepancy([(window, span)], ticks.latest, period)
    lowest = float(np.min(every))
    chance = sight.random_changes(watts, within)
    calls = sight.unseen_joules(window, watts, uneven, lowest=lowest, limit=limit)
    return None if calls is None else hidden + max(calls, chance)
