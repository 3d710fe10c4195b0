"""One channel's readings → its figure: joules, joules per item, idle and net, with provenance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from profiler import stats
from profiler.energy.counter import counter_energy, counter_period, uneven_ticks
from profiler.energy.idle import IdlePower, IdleSpan, Side, idle_power
from profiler.energy.polled import polled_period, power_energy, uneven_looks
from profiler.energy.window import Missing, Window, WindowEnergy
from profiler.result import EnergyFigure, EnergyQuality, Interval, PeriodBasis, Provenance
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.trace import Series, Trace

ONE_REPETITION = "an interval needs two repetitions: one does not tell how much they differ"
# A sensor that its own readings show to be slower than this many stated periods is another one.
_SLOWER = 1.05
_NO_IDLE = "no quiet stretch was long enough for this sensor: raise idle_seconds"


@dataclass(frozen=True)
class Work:
    """What was done while the energy was used.

    Attributes:
        windows: one for each repetition; not overlapping.
        items_per_call: the batch size.
        idle: quiet stretches with the model loaded.
    """

    windows: Sequence[Window]
    items_per_call: int
    idle: Sequence[IdleSpan] = ()


def metered(channel: Channel) -> bool:
    """Whether a channel can stand for the energy of something that has a scope."""
    return channel.quantity in (Quantity.ENERGY, Quantity.POWER) and channel.scope is not None


def looks_every(channels: Iterable[Channel]) -> tuple[float, ...]:
    """Update periods of the sensors of energy that do not see all of the time, each once."""
    return tuple(
        sorted({period for c in channels if metered(c) and (period := _blind(c)) is not None})
    )


def _blind(channel: Channel) -> float | None:
    period, seen = channel.update_period_seconds, channel.averaging_seconds
    if period is None or (seen is None and channel.quantity is Quantity.ENERGY):
        return None
    return period if (seen or 0.0) < period else None


def part_of(label: str) -> str:
    """What a channel is of: ``gpu0`` of ``gpu0:average``, which sensors of one thing share."""
    return label.partition(":")[0]


def power_limit(channel: Channel, trace: Trace) -> float | None:
    """Watts that the device is set not to exceed, as a channel beside this one told."""
    limits = [
        float(np.max(series.values))
        for series in trace.series
        if series.channel.quantity is Quantity.POWER_LIMIT
        and series.channel.source == channel.source
        and part_of(series.channel.label) == part_of(channel.label)
        and len(series.values)
    ]
    return max(limits, default=None)


def measure(series: Series, work: Work, *, limit: float | None = None) -> EnergyFigure | Missing:
    """One channel's figure over all windows; missing if any of them is.

    Args:
        series: of a counter of joules or of power in watts.
        work: what was done.
        limit: watts that are never exceeded; ``None`` where that is not known.
    """
    key = series.channel.key
    if not any(window.call_seconds for window in work.windows):
        return Missing(f"{key}: no iteration was timed")
    if len(series.values) == 0:
        return Missing(f"{key}: every read failed ({series.error})")
    parts = []
    uneven = _uneven(series, work.windows)
    for window in work.windows:
        part = energy(series, window, limit, uneven)
        if isinstance(part, Missing):
            return Missing(f"{key}: {part.reason}")
        parts.append(part)
    total = sum(part.joules for part in parts)
    timing = sum(part.uncertainty_joules for part in parts) / total
    uncertainty = timing + (series.channel.calibration_error or 0.0)
    if uncertainty >= 1:
        seconds = sum(window.seconds for window in work.windows)
        return Missing(
            f"{key}: {seconds:.3g} s in {len(parts)} windows are too short for a sensor that is "
            f"known every {period_of(series):.3g} s"
            + (", or the load changed too fast for it" if timing > 1 else "")
            + ": raise --max-time, in fewer --repetitions"
        )
    return _figure(series, work, parts, uncertainty)


def period_of(series: Series) -> float:
    counted = series.channel.quantity is Quantity.ENERGY
    return counter_period(series) if counted else polled_period(series)


def _basis(series: Series) -> PeriodBasis:
    channel = series.channel
    stated = channel.update_period_seconds
    if stated is None or period_of(series) > _SLOWER * stated:
        return PeriodBasis.OBSERVED
    return channel.period_basis or PeriodBasis.NOMINAL


def _uneven(series: Series, windows: Sequence[Window]) -> float:
    """How unevenly the sensor's looks lie over the course of a call, in all windows together."""
    if series.channel.quantity is Quantity.ENERGY:
        period = series.channel.update_period_seconds or period_of(series)
        return uneven_ticks(series, windows, period) if period > 0 else 1.0
    return uneven_looks(series, windows)


def energy(
    series: Series,
    window: Window,
    limit: float | None = None,
    uneven: float | None = None,
) -> WindowEnergy | Missing:
    """Joules of one window, by what the channel is."""
    calculate = counter_energy if series.channel.quantity is Quantity.ENERGY else power_energy
    return calculate(series, window, period=period_of(series), limit=limit, uneven=uneven)


def _figure(
    series: Series, work: Work, parts: Sequence[WindowEnergy], uncertainty: float
) -> EnergyFigure:
    channel = series.channel
    if channel.scope is None:
        raise ValueError(f"{channel.key} covers no scope, so its joules are no figure")
    joules = sum(part.joules for part in parts)
    seconds = sum(part.seconds for part in parts)
    asked = sum(window.seconds for window in work.windows)
    items = [
        work.items_per_call * window.calls_between(part.span)
        for window, part in zip(work.windows, parts, strict=True)
    ]
    ratios = [part.joules / count for part, count in zip(parts, items, strict=True) if count > 0]
    per_item = joules / sum(items)
    idle = _idle(series, work.idle)
    return EnergyFigure(
        provenance=Provenance(
            source=channel.source,
            channel=channel.label,
            scope=channel.scope,
            quality=_quality(channel),
            update_period_seconds=period_of(series),
            update_period_basis=_basis(series),
            update_period_reason=channel.period_reason,
            uncertainty=uncertainty,
        ),
        window_seconds=seconds,
        energy_joules=joules,
        items=sum(items),
        joules_per_item=per_item,
        joules_per_item_interval=interval(per_item, ratios, uncertainty),
        joules_per_item_reason=ONE_REPETITION if len(ratios) < 2 else None,  # noqa: PLR2004
        mean_power_watts=joules / seconds,
        idle=idle,
        idle_reason=None if idle else _NO_IDLE,
        net_energy_joules=joules - idle.watts * seconds if idle else None,
        net_uncertainty_joules=(
            uncertainty * joules + idle.uncertainty_watts * seconds if idle else None
        ),
        coverage=sum(
            part.coverage * window.seconds for part, window in zip(parts, work.windows, strict=True)
        )
        / asked,
        largest_gap_seconds=max(part.largest_gap_seconds for part in parts),
    )


def _quality(channel: Channel) -> EnergyQuality:
    if channel.quality is not None:
        return channel.quality
    counted = channel.quantity is Quantity.ENERGY
    return EnergyQuality.COUNTER if counted else EnergyQuality.INTEGRATED


def interval(value: float, ratios: Sequence[float], uncertainty: float) -> Interval | None:
    """95 % interval of joules per item: the spread over repetitions, and what may be off in all.

    Student's for as many repetitions as there were, and the measurement's uncertainty, as the root
    of the sum of squares: the second is one error that all repetitions share, and has nothing to do
    with how they differ.

    Args:
        value: joules per item of all repetitions together.
        ratios: of each; ``None`` comes of fewer than two.
        uncertainty: relative, of the measurement.
    """
    if len(ratios) < 2:  # noqa: PLR2004 - nothing to compare
        return None
    spread = float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios))
    half = math.hypot(stats.student(len(ratios) - 1) * spread, uncertainty * value)
    return Interval(value=value, low=max(0.0, value - half), high=value + half)


def _idle(series: Series, spans: Sequence[IdleSpan]) -> IdlePower | None:
    return idle_power(_side(series, spans, "before"), _side(series, spans, "after"))


def _side(
    series: Series, spans: Sequence[IdleSpan], when: Literal["before", "after"]
) -> Side | None:
    """The stretches of one side that were long enough for the sensor."""
    parts = []
    for span in spans:
        if span.when == when:
            part = energy(series, Window(span.start_seconds, span.end_seconds))
            if isinstance(part, WindowEnergy):
                parts.append(part)
    if not parts:
        return None
    seconds = sum(part.seconds for part in parts)
    return Side(
        watts=sum(part.joules for part in parts) / seconds,
        uncertainty_watts=sum(part.uncertainty_joules for part in parts) / seconds,
        seconds=seconds,
    )
