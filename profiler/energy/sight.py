"""What a sensor cannot see, and how much energy may hide there. Pure functions.

A sensor that looks for a moment, or for 25 of every 100 ms as that of an A100 and H100 does
(arXiv 2312.02741), tells of the rest only because the load comes back: calls are alike, and over
many of them the sensor's looks fall on every part of a call. How evenly they do is known, because
the calls are ours: ``discrepancy``. The Koksma inequality (Kuipers and Niederreiter, "Uniform
Distribution of Sequences", theorem 2.5.1) bounds the error of a mean over looks by it, times the
variation of what is looked at.

Where the looks keep falling on the same parts of a call, calls and sensor are in step
(*resonance*), and what was seen tells nothing of what was not.

Assumed, and not to be known from readings: a call has one stretch of high and one of low power, and
any other change of the load lasts for at least one update of the sensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from profiler.energy.window import Span, Window
from profiler.sensors.trace import Floats

# Periods that agree to this keep in step for the fifty updates that a short run has (SENSORS).
TOLERANCE = 0.02
# Up to so many calls in an update (and updates in a call) an agreement of ``TOLERANCE`` is no
# chance: beyond, some multiple always agrees, and what varies between calls breaks the step.
MOST_MULTIPLES = 10
# The looks leave a larger part of the call unseen than the shortest that is assumed to be there.
IN_STEP = 0.15
# Calls that last for more updates than this are seen as they are: their power is a slow change.
SLOW_CALL = 5.0
# Read at least so often, in updates, a sensor shows each of them.
_READ_IN_TIME = 1.5
# Over so many readings the changes of calls that are faster than the sensor cancel.
_SMOOTH = 10


def resonates(call_seconds: float, update_seconds: float) -> bool:
    """Whether calls and updates keep in step: a small multiple of one is the other, to 2 %."""
    if call_seconds <= 0 or update_seconds <= 0:
        return False
    ratio = max(call_seconds, update_seconds) / min(call_seconds, update_seconds)
    whole = round(ratio)
    return whole <= MOST_MULTIPLES and abs(ratio - whole) <= TOLERANCE * ratio


def discrepancy(phases: Floats) -> float:
    """How unevenly points lie in [0, 1): the star discrepancy, 1/(2n) … 1."""
    ordered, n = np.sort(phases), len(phases)
    rank = np.arange(n)
    return float(max(np.max((rank + 1) / n - ordered), np.max(ordered - rank / n)))


def step_discrepancy(
    windows: Sequence[tuple[Window, Span]], seconds: Floats, update_seconds: float
) -> float:
    """How unevenly the sensor's looks lie over the course of a call.

    A value that is read is of the last update. Nobody knows when the first of them was, but how
    even they are does not depend on it; so both the updates and the readings have to be even.

    The calls of all windows are alike, so the looks of all of them count together: five short ones
    see the whole of a call where each alone has too few looks to tell.

    Args:
        windows: with the calls, each with the part of it that counts.
        seconds: of the readings.
        update_seconds: of the sensor.
    """
    looks, updates, pauses = [], [], []
    for window, (start, end) in windows:
        inside = seconds[(seconds > start) & (seconds < end)]
        looks.append(window.done(inside) % 1.0)
        updates.append(window.done(np.arange(start, end, update_seconds)) % 1.0)
        pauses.append(np.diff(inside))
    seen = np.concatenate(looks)
    if len(seen) < 2:  # noqa: PLR2004 - one look is of one moment of a call
        return 1.0
    found = discrepancy(np.concatenate(updates))
    usual = np.concatenate(pauses)
    if len(usual) and float(np.median(usual)) < _READ_IN_TIME * update_seconds:
        return found
    return max(found, discrepancy(seen))


def fast_calls(window: Window, spacing: float) -> bool:
    """Whether a call is over before the sensor has seen its course."""
    call = window.call_seconds
    return call is not None and call < SLOW_CALL * spacing


def slow_changes(watts: Floats, within: Floats, *, smooth: bool) -> float:
    """Joules by which the changes between readings may be off: each was anywhere in its time.

    Args:
        watts: readings in turn.
        within: seconds in which each of the changes from one to the next happened.
        smooth: only of what remains in a running mean: calls are faster than the readings, and
            what that leaves of the changes is bounded by other means.
    """
    if not smooth:
        return float(np.sum(np.abs(np.diff(watts)) * within) / 2)
    width = min(_SMOOTH, len(watts))
    means = np.convolve(watts, np.full(width, 1 / width), mode="valid")
    usual = float(np.median(within)) if len(within) else 0.0
    return float(np.sum(np.abs(np.diff(means))) * usual / 2)


def random_changes(watts: Floats, within: Floats) -> float:
    """Three standard deviations of the same, if the moment of each change is one of chance.

    So it is where something else on the device comes and goes, in step with nothing here.
    """
    variance = float(np.sum((np.diff(watts) * within) ** 2)) / 12
    return 3 * math.sqrt(variance)


def unseen_joules(
    window: Window, watts: Floats, uneven: float, *, lowest: float, limit: float | None
) -> float | None:
    """Joules by which calls that are faster than the sensor may differ from what it saw.

    Args:
        window: with the calls.
        watts: readings of the window; at least one.
        uneven: the ``step_discrepancy`` of the looks.
        lowest: the least power seen, idle included; no call draws less.
        limit: more is never drawn; ``None`` where that is not known.

    Returns:
        ``None``: the calls keep in step with the sensor, and no limit is known.
    """
    call = window.call_seconds
    if call is None:
        return 0.0
    if uneven > IN_STEP:
        if limit is None:
            return None
        mean = float(np.mean(watts))
        return max(limit - mean, mean - lowest, 0.0) * window.seconds
    # A rise and a fall, each of the whole range; and a call at either end that is cut.
    span = float(np.ptp(watts))
    return span * (2 * uneven * window.seconds + call)
