"""Whether a device has settled: clocks and temperatures no longer move.

``sustained`` goes on until then, and for ``HOLD_SECONDS`` more, so that it measures a settled
device as well as a heating one. The sampler judges while it runs (``live_state``), up to the limit
that the spec gives; the summary judges once more, from the readings that are kept.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from profiler.sensors.base import Quantity
from profiler.sensors.trace import Floats, Series

# Settled when a clock changes by less than this, relative, and a temperature by less than this in
# celsius, within so many seconds.
WINDOW_SECONDS = 10.0
CLOCK_TOLERANCE = 0.02
TEMPERATURE_TOLERANCE = 0.5
# It must stay so for as long again and more: that tells a lull from the end, and it is measured.
HOLD_SECONDS = 30.0
# Judged at so many moments of a run at most, whatever its length.
_MOST_MOMENTS = 600
# More than any window of a thermometer with steps of up to 3 °C.
LOOK_BACK_SECONDS = 120.0
# A straight line through one step of a sensor, in the middle of the window, rises by 1.5 steps.
_STEP_RISE = 1.5
# Fewer readings have no trend.
_LEAST_READINGS = 4
# Readings come at intervals: a window counts as covered when the first is so near to its begin.
_COVERED = 0.9


class Settling(NamedTuple):
    """The state of the device.

    Attributes:
        settled: nothing that is known moves.
        waiting_for: what still does, or is not read for long enough, in words.
        unknown: why neither clocks nor temperatures can tell; latency alone must.
    """

    settled: bool
    waiting_for: tuple[str, ...] = ()
    unknown: str | None = None


def settling(traces: Sequence[Series], now: float, since: float) -> Settling:
    """Judge the readings up to now.

    Args:
        traces: of any channels; clocks and temperatures count.
        now: ``perf_counter`` seconds.
        since: when the load began; what was read before does not count.
    """
    limits = {Quantity.CLOCK: CLOCK_TOLERANCE, Quantity.TEMPERATURE: TEMPERATURE_TOLERANCE}
    judged = [series for series in traces if series.channel.quantity in limits]
    judged = [series for series in judged if _alive(series, now)]
    if not judged:
        return Settling(settled=True, unknown="no clock and no temperature can be read here")
    words = [_moving(series, now, since, limits[series.channel.quantity]) for series in judged]
    waiting = tuple(word for word in words if word)
    return Settling(settled=not waiting, waiting_for=waiting)


def settled_since(traces: Sequence[Series], begin: float, end: float, since: float) -> float | None:
    """From when on the device was settled for good, or ``None`` if it was not at the end.

    That is the earliest moment at which it is found settled and stays so: what the verdict looks
    at lies before.

    Args:
        traces: of the whole run; with neither clocks nor thermometers among them, it never settles.
        begin: no earlier moment is looked at; ``perf_counter`` seconds.
        end: of the load.
        since: when the load began.
    """
    known = [_with_resolution(series) for series in traces]
    found = None
    for moment in np.linspace(end, begin, _moments(end - begin)):
        state = settling(known, float(moment), since)
        if not state.settled or state.unknown:
            break
        found = float(moment)
    return found


def _moments(seconds: float) -> int:
    return max(2, min(_MOST_MOMENTS, math.ceil(seconds) + 1))


def _with_resolution(series: Series) -> Series:
    """The same with its step told, so that it is not looked for again and again."""
    update = {"resolution": _resolution(series)}
    return dataclasses.replace(series, channel=series.channel.model_copy(update=update))


def _alive(series: Series, now: float) -> bool:
    """A sensor that fell silent tells nothing; it must not hold up a run for ten minutes."""
    count = int(np.searchsorted(series.seconds, now, side="right"))
    return count > 0 and float(series.seconds[count - 1]) > now - WINDOW_SECONDS


def _moving(series: Series, now: float, since: float, tolerance: float) -> str | None:
    """What this channel still does, or ``None``."""
    window = window_seconds(series)
    first = max(
        np.searchsorted(series.seconds, now - window, side="right"),
        np.searchsorted(series.seconds, since, side="left"),
    )
    inside = slice(int(first), int(np.searchsorted(series.seconds, now, side="right")))
    seconds, values = series.seconds[inside], series.values[inside]
    if len(values) < _LEAST_READINGS or now - seconds[0] < _COVERED * window:
        return f"{series.channel.key} was not read for {window:.0f} s yet"
    change = slope(seconds, values) * WINDOW_SECONDS
    if series.channel.quantity is Quantity.CLOCK:
        mean = float(values.mean())
        change = change / mean if mean > 0 else 0.0
        shown = f"{100 * change:+.1f} %"
    else:
        shown = f"{change:+.2f} °C"
    if abs(change) < tolerance:
        return None
    return f"{series.channel.key} changes by {shown} in {WINDOW_SECONDS:.0f} s"


def window_seconds(series: Series) -> float:
    """How long a channel is looked at.

    A thermometer with steps of 1 °C cannot show 0.5 °C in 10 s: it is looked at for so long that
    one step, as the trend sees it, is no faster than the tolerance allows.
    """
    if series.channel.quantity is not Quantity.TEMPERATURE:
        return WINDOW_SECONDS
    pace = TEMPERATURE_TOLERANCE / WINDOW_SECONDS
    return max(WINDOW_SECONDS, math.ceil(_STEP_RISE * _resolution(series) / pace) + 1.0)


def _resolution(series: Series) -> float:
    """The sensor's smallest step, told or seen."""
    if series.channel.resolution is not None:
        return series.channel.resolution
    steps = np.abs(np.diff(series.values))
    seen = steps[steps > 0]
    return float(seen.min()) if len(seen) else 0.0


def slope(seconds: Floats, values: Floats) -> float:
    """Change per second of the straight line through the readings (least squares).

    The trend, not the range: a clock that the governor moves up and down around one value, and a
    thermometer that flickers between two, have settled.
    """
    centred = seconds - seconds.mean()
    spread = float(np.sum(centred**2))
    return float(np.sum(centred * values)) / spread if spread > 0 else 0.0
