"""When the device throttled, from what the sampler read: iterations are tagged, never dropped.

Four kinds of channels tell: seconds that the device counts itself, a flag that holds at the moment
of a reading, a count of events, and how far a cooling device that lowers clocks is on. A channel
tells of throttling if it names a cause; a cooling device also if its kind lowers clocks. Where
there is none, a clock that fell and stayed low does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from profiler import stats
from profiler.energy.window import Span
from profiler.result import Latency
from profiler.samples import UNKNOWN, Iterations
from profiler.sensors.base import Channel, Quantity, ThrottleCause
from profiler.sensors.trace import Floats, Series, Trace
from profiler.spec import Scenario
from profiler.throttle_report import ThrottleShare, Throttling

# Counted seconds below this share of the time between two readings touch no iteration that counts:
# as for ``disturbance``, what makes a block longer by less is within the goal of its interval.
LEAST_SHARE = 0.02
# A clock this far below where the repetition began, at its end, fell. Governors move by less.
CLOCK_DROP = 0.1
# From fewer readings of a clock nothing is told.
_LEAST_CLOCK_READINGS = 20
_TELLS = (Quantity.THROTTLED, Quantity.THROTTLED_NOW, Quantity.EVENTS, Quantity.COOLING)
# The kernel's types of cooling devices that lower clocks; others are fans.
_LOWERS_CLOCKS = ("processor", "cpufreq", "devfreq", "powerclamp")
CLOCK_CAUSE = "clock_drop"
NOTHING_TELLS = "nothing that was read tells of throttling"


@dataclass(frozen=True)
class Held:
    """When one cause held.

    Attributes:
        begins, ends: of the stretches between readings, in order, not overlapping.
        seconds: throttled in each; ``None``: all of it, as far as is known.
    """

    source: str
    cause: str
    begins: Floats
    ends: Floats
    seconds: Floats | None = None

    def share(self, windows: Sequence[Span]) -> float:
        """Of the windows' time; a stretch counts by the part of it that lies in one."""
        widths = np.maximum(self.ends - self.begins, 1e-12)
        inside = sum(
            np.clip(np.minimum(self.ends, end) - np.maximum(self.begins, start), 0, None)
            for start, end in windows
        )
        weights = widths if self.seconds is None else np.minimum(self.seconds, widths)
        total = sum(end - start for start, end in windows)
        return float(np.sum(np.asarray(inside) / widths * weights)) / total


def cause_of(channel: Channel) -> ThrottleCause | None:
    """What throttles while the channel says so. Low voltage is a verdict of its own."""
    if channel.quantity not in _TELLS or channel.cause is ThrottleCause.LOW_VOLTAGE:
        return None
    if channel.quantity is Quantity.COOLING and channel.cause is None:
        kind = channel.label.lower()
        return ThrottleCause.HEAT if any(part in kind for part in _LOWERS_CLOCKS) else None
    return channel.cause


def held(series: Series) -> Held:
    """When a channel that tells of a cause says that it held."""
    channel, seconds, values = series.channel, series.seconds, series.values
    name = f"{channel.source}/{channel.label}"
    cause = (cause_of(channel) or channel.cause or ThrottleCause.HARDWARE).value
    if channel.quantity in (Quantity.THROTTLED, Quantity.EVENTS):
        steps = np.diff(values)
        # A counter that went back was reset: what happened meanwhile is not known.
        up = steps > 0
        spent = steps[up] if channel.quantity is Quantity.THROTTLED else None
        return Held(name, cause, seconds[:-1][up], seconds[1:][up], spent)
    borders = _borders(seconds)
    on = values > 0
    return Held(name, cause, borders[:-1][on], borders[1:][on])


def _borders(seconds: Floats) -> Floats:
    """Half-way between readings; a reading tells of the time around it."""
    if not len(seconds):
        return np.empty(1)
    middles = (seconds[1:] + seconds[:-1]) / 2
    return np.concatenate([seconds[:1], middles, seconds[-1:]])


def clock_drop(series: Series, windows: Sequence[Span]) -> Held | None:
    """Readings of a clock that fell during a repetition and was still low at its end."""
    begins, ends = [], []
    borders = _borders(series.seconds)
    for start, end in windows:
        inside = np.flatnonzero((series.seconds >= start) & (series.seconds <= end))
        if len(inside) < _LEAST_CLOCK_READINGS:
            continue
        quarter = len(inside) // 4
        first = float(np.median(series.values[inside[:quarter]]))
        if np.median(series.values[inside[-quarter:]]) >= (1 - CLOCK_DROP) * first:
            continue
        low = inside[series.values[inside] < (1 - CLOCK_DROP) * first]
        begins.append(borders[:-1][low])
        ends.append(borders[1:][low])
    if not begins:
        return None
    name = f"{series.channel.source}/{series.channel.label}"
    return Held(name, CLOCK_CAUSE, np.concatenate(begins), np.concatenate(ends))


def found(trace: Trace, windows: Sequence[Span]) -> tuple[list[Held], int]:
    """All that held at some time, and how many channels tell."""
    telling = [s for s in trace.series if cause_of(s.channel) and len(s.values)]
    counted = {_place(s.channel) for s in telling if s.channel.quantity is Quantity.THROTTLED}
    # Where the device counts the time, its count of events says less.
    telling = [
        s
        for s in telling
        if s.channel.quantity is not Quantity.EVENTS or _place(s.channel) not in counted
    ]
    if telling:
        return [held(series) for series in telling], len(telling)
    clocks = [s for s in trace.series if s.channel.quantity is Quantity.CLOCK and len(s.values)]
    drops = [clock_drop(series, windows) for series in clocks]
    return [drop for drop in drops if drop is not None], len(clocks)


def _place(channel: Channel) -> tuple[str, str]:
    return channel.source, channel.label


def tagged(iterations: Iterations, causes: Sequence[Held]) -> NDArray[np.bool_]:
    """For each timed iteration whether it overlaps a throttled stretch."""
    timed = iterations.timed()
    start = timed.start_ns / 1e9
    end = start + timed.latency_ns / 1e9
    marks = np.zeros(len(start), dtype=np.bool_)
    for each in causes:
        begins, ends = _heavy(each)
        if len(begins):
            # The first stretch that ends after the iteration began overlaps it if it began before
            # the iteration ended.
            at = np.minimum(np.searchsorted(ends, start, side="right"), len(ends) - 1)
            marks |= (begins[at] < end) & (ends[at] > start)
    return marks


def with_tags(iterations: Iterations, trace: Trace | None) -> Iterations:
    """The iterations, and of each timed one whether throttling touched it, where anything tells."""
    windows = iterations.timed_windows() if trace is not None else []
    if trace is None or not windows:
        return iterations
    causes, channels = found(trace, windows)
    if not channels:
        return iterations
    marks = np.full(len(iterations), UNKNOWN, np.int8)
    marks[~iterations.warmup] = tagged(iterations, causes)
    return replace(iterations, throttled=marks)


def _heavy(each: Held) -> tuple[Floats, Floats]:
    if each.seconds is None:
        return each.begins, each.ends
    keep = each.seconds > LEAST_SHARE * (each.ends - each.begins)
    return each.begins[keep], each.ends[keep]


def summarise(
    trace: Trace | None, iterations: Iterations, windows: Sequence[Span]
) -> tuple[Throttling | None, str | None]:
    """What throttled a run and for how long, or why that is not known.

    Args:
        trace: ``None`` with the sampler off.
        iterations: of the run; there may be none that were timed one by one.
        windows: the timed parts.
    """
    if trace is None:
        return None, "the sampler was off"
    causes, channels = found(trace, windows)
    if not channels or not windows:
        return None, NOTHING_TELLS
    shares = sorted(_shares(causes, windows), key=lambda each: -each.share)
    marks = tagged(iterations, causes)
    return (
        Throttling(
            share=max((each.share for each in shares), default=0.0),
            iterations_share=float(marks.mean()) if len(marks) else None,
            causes=tuple(shares),
            channels=channels,
        ),
        None,
    )


def _shares(causes: Sequence[Held], windows: Sequence[Span]) -> Iterator[ThrottleShare]:
    for each in causes:
        share = each.share(windows)
        if share > 0:
            yield ThrottleShare(
                source=each.source,
                cause=each.cause,
                share=min(1.0, share),
                counted=each.seconds is not None,
            )


def unthrottled(
    trace: Trace | None, iterations: Iterations, windows: Sequence[Span], scenario: Scenario
) -> tuple[Latency | None, str | None]:
    """Statistics of the iterations that no throttling touched."""
    if scenario in (Scenario.OFFLINE, Scenario.SERVER):
        return None, f"in the scenario {scenario} one call's clock is not the next one's alone"
    if trace is None:
        return None, "the sampler was off"
    causes, channels = found(trace, windows)
    if not channels:
        return None, NOTHING_TELLS
    marks = tagged(iterations, causes)
    if not marks.any():
        return None, "no iteration was throttled: the latency is that of all"
    if marks.all():
        return None, "every iteration was throttled"
    seconds = iterations.timed_seconds()[~marks]
    repetition = iterations.timed().repetition[~marks]
    groups = [seconds[repetition == index] for index in np.unique(repetition)]
    return stats.summarise(groups), None


def low_voltage(trace: Trace | None, windows: Sequence[Span]) -> float | None:
    """Share of the timed parts with a supply below what the board needs; ``None``: not known."""
    if trace is None or not windows:
        return None
    telling = [
        held(series).share(windows)
        for series in trace.series
        if series.channel.cause is ThrottleCause.LOW_VOLTAGE
        and series.channel.quantity in _TELLS
        and len(series.values)
    ]
    return max(telling, default=None)
