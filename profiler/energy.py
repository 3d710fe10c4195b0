"""Joules of a run, each with its provenance: which source, what it covers, how far it may be off.

Sources overlap: a wall meter sees the board, the board's sensor sees the processor. So nothing is
added to anything here, not even two processors of one kind, which remain two figures. The figure
that stands for the run is the widest one.
"""

from __future__ import annotations

from collections.abc import Sequence

from profiler.integrate import (
    Missing,
    Window,
    WindowEnergy,
    counter_energy,
    observed_period,
    power_energy,
)
from profiler.result import (
    Energy,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    Provenance,
)
from profiler.sensors.base import Channel, Quantity
from profiler.sensors.discover import ENERGY_SOURCES
from profiler.sensors.trace import Series, Trace

_WIDTH = {scope: width for width, scope in enumerate(EnergyScope)}
_CPU = "cpu"
_TRUST = {EnergyQuality.COUNTER: 2, EnergyQuality.INTEGRATED: 1, EnergyQuality.ESTIMATE: 0}


def summarise_energy(
    trace: Trace, windows: Sequence[Window], items: int, *, accelerator: str | None = None
) -> tuple[Energy | None, str | None]:
    """The energy of the timed windows, from every source that covered them.

    The headline has the widest scope; within one scope a counter comes before integrated power,
    and of equals (several GPUs, several processors) the one that used most.

    Args:
        trace: what the sampler read.
        windows: (start, end) of the timed parts, in seconds of ``perf_counter``.
        items: how many went through the model in them, all together; at least 1.
        accelerator: what the run used, such as ``cpu`` or ``cuda:0``. A GPU and a processor are
            beside each other, not one within the other: of these two the one that worked leads,
            and an idle GPU never stands for a run on the CPU. ``None`` when not known.

    Returns:
        The energy, and the reasons of the sources that have no figure. Without any figure the
        energy is ``None``, and the reason is one sentence.

    Raises:
        ValueError: ``items`` is no positive number.
    """
    if items < 1:
        raise ValueError(f"joules per item need an item, not {items}")
    outcomes = [measure(series, windows, items) for series in trace.series if _counts(series)]
    figures = [outcome for outcome in outcomes if isinstance(outcome, EnergyFigure)]
    figures.sort(key=lambda figure: _rank(figure, accelerator), reverse=True)
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Missing)]
    if figures and _idle(figures[0], accelerator):
        reasons.append("the energy of an accelerator says nothing about a run on the CPU")
    elif figures:
        return Energy(headline=figures[0], others=tuple(figures[1:])), "; ".join(reasons) or None
    return None, _no_energy(trace, reasons)


def measure(series: Series, windows: Sequence[Window], items: int) -> EnergyFigure | Missing:
    """One channel's figure over all windows; missing if any of them is.

    Args:
        series: of a counter of joules or of power in watts.
        windows: (start, end), not overlapping.
        items: how many went through the model in them.
    """
    key = series.channel.key
    if not windows:
        return Missing(f"{key}: no iteration was timed")
    if len(series.values) == 0:
        return Missing(f"{key}: every read failed ({series.error})")
    period = _period(series)
    parts = [_one_window(series, window, period) for window in windows]
    for part in parts:
        if isinstance(part, Missing):
            return Missing(f"{key}: {part.reason}")
    total = _total([part for part in parts if isinstance(part, WindowEnergy)], windows)
    uncertainty = total.uncertainty_joules / total.joules
    uncertainty += series.channel.calibration_error or 0.0
    if uncertainty >= 1:
        seconds = _duration(windows)
        return Missing(
            f"{key}: {seconds:.3g} s in {len(windows)} windows are too short for a sensor that is "
            f"known every {period:.3g} s"
        )
    return _figure(series.channel, total, windows, items, (period, uncertainty))


def _counts(series: Series) -> bool:
    metered = series.channel.quantity in (Quantity.ENERGY, Quantity.POWER)
    return metered and series.channel.scope is not None


def _rank(figure: EnergyFigure, accelerator: str | None) -> tuple[int, int, float]:
    source = figure.provenance
    beside = source.scope is EnergyScope.PACKAGE and accelerator not in (None, _CPU)
    width = -1 if beside else _WIDTH[source.scope]
    return width, _TRUST[source.quality], figure.energy_joules


def _idle(figure: EnergyFigure, accelerator: str | None) -> bool:
    return figure.provenance.scope is EnergyScope.ACCELERATOR and accelerator == _CPU


def _period(series: Series) -> float:
    """The channel's own update period, or a longer one if a counter was seen to be slower.

    Power may stay the same because it is the same, so only where nothing is stated do its changes
    tell.
    """
    stated = series.channel.update_period_seconds
    if stated is not None and series.channel.quantity is Quantity.POWER:
        return stated
    return max(stated or 0.0, observed_period(series.seconds, series.values) or 0.0)


def _one_window(series: Series, window: Window, period: float) -> WindowEnergy | Missing:
    channel = series.channel
    resolution = channel.resolution or 0.0
    if channel.quantity is Quantity.ENERGY:
        return counter_energy(
            series.seconds,
            series.values,
            window,
            update_period=period,
            wraps_at=channel.wraps_at,
            resolution=resolution,
        )
    return power_energy(
        series.seconds,
        series.values,
        window,
        update_period=period,
        averaging=channel.averaging_seconds,
        resolution=resolution,
    )


def _duration(windows: Sequence[Window]) -> float:
    return sum(end - start for start, end in windows)


def _total(parts: Sequence[WindowEnergy], windows: Sequence[Window]) -> WindowEnergy:
    """The windows of one channel together; they do not overlap, and neither do their joules."""
    covered = sum(
        part.coverage * (end - start) for part, (start, end) in zip(parts, windows, strict=True)
    )
    return WindowEnergy(
        joules=sum(part.joules for part in parts),
        uncertainty_joules=sum(part.uncertainty_joules for part in parts),
        coverage=covered / _duration(windows),
        largest_gap_seconds=max(part.largest_gap_seconds for part in parts),
    )


def _figure(
    channel: Channel,
    total: WindowEnergy,
    windows: Sequence[Window],
    items: int,
    certainty: tuple[float, float],
) -> EnergyFigure:
    period, uncertainty = certainty
    counted = channel.quantity is Quantity.ENERGY
    if channel.scope is None:
        raise ValueError(f"{channel.key} covers no scope, so its joules are no figure")
    return EnergyFigure(
        provenance=Provenance(
            source=channel.source,
            channel=channel.label,
            scope=channel.scope,
            quality=channel.quality
            or (EnergyQuality.COUNTER if counted else EnergyQuality.INTEGRATED),
            update_period_seconds=period,
            uncertainty=uncertainty,
        ),
        window_seconds=_duration(windows),
        energy_joules=total.joules,
        joules_per_item=total.joules / items,
        mean_power_watts=total.joules / _duration(windows),
        coverage=total.coverage,
        largest_gap_seconds=total.largest_gap_seconds,
    )


def _no_energy(trace: Trace, reasons: Sequence[str]) -> str:
    """One sentence: what was tried and why each gave nothing."""
    if trace.lost is not None:
        return f"no energy was measured because the sampler was lost: {trace.lost}"
    absent = [
        f"{a.source}: {a.reason}" for a in trace.absent if a.source in ENERGY_SOURCES and a.expected
    ]
    parts = [*reasons, *absent]
    if not parts:
        return "no energy was measured because no source that measures it was chosen"
    return "no energy was measured: " + "; ".join(parts)
