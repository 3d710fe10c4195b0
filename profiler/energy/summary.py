"""Joules of a run, each with its provenance: which source, what it covers, how far it may be off.

Sources overlap: a wall meter sees the board, the board's sensor sees the processor. So nothing is
added to anything here, not even two processors of one kind, which remain two figures. The figure
that stands for the run is the widest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.energy import verdicts
from profiler.energy.figures import Work, measure, metered, power_limit
from profiler.energy.window import Missing
from profiler.result import Energy, EnergyFigure, EnergyQuality, EnergyScope, Flag
from profiler.sensors.discover import ENERGY_SOURCES
from profiler.sensors.trace import Trace

_WIDTH = {scope: width for width, scope in enumerate(EnergyScope)}
_CPU = "cpu"
_TRUST = {EnergyQuality.COUNTER: 2, EnergyQuality.INTEGRATED: 1, EnergyQuality.ESTIMATE: 0}


@dataclass(frozen=True)
class EnergySummary:
    """A run's energy, or why there is none, and what has to be said of it.

    ``reason`` also names the sources that have no figure beside those that do.
    """

    energy: Energy | None
    reason: str | None
    flags: tuple[Flag, ...] = ()


def summarise_energy(trace: Trace, work: Work, *, accelerator: str | None = None) -> EnergySummary:
    """The energy of the timed windows, from every source that covered them.

    The headline has the widest scope; within one scope a counter comes before integrated power,
    and of equals (several GPUs, several processors) the one that used most.

    Args:
        trace: what the sampler read.
        work: the timed parts, and the quiet stretches around them.
        accelerator: what the run used, such as ``cpu`` or ``cuda:0``. A GPU and a processor are
            beside each other, not one within the other: of these two the one that worked leads,
            and an idle GPU never stands for a run on the CPU. ``None`` when not known.

    Raises:
        ValueError: a call has no items.
    """
    if work.items_per_call < 1:
        raise ValueError(f"joules per item need an item, not {work.items_per_call}")
    outcomes = [
        measure(series, work, limit=power_limit(series.channel, trace))
        for series in trace.series
        if metered(series.channel)
    ]
    figures = [outcome for outcome in outcomes if isinstance(outcome, EnergyFigure)]
    figures.sort(key=lambda figure: _rank(figure, accelerator), reverse=True)
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Missing)]
    if figures and not _idle(figures[0], accelerator):
        energy = Energy(headline=figures[0], others=tuple(figures[1:]))
        errors = {s.channel.key: s.channel.calibration_error or 0.0 for s in trace.series}
        raised = tuple(verdicts.flags_of(energy, errors))
        return EnergySummary(energy, "; ".join(reasons) or None, raised)
    if figures:
        reasons.append("the energy of an accelerator says nothing about a run on the CPU")
    return EnergySummary(None, _no_energy(trace, reasons))


def _rank(figure: EnergyFigure, accelerator: str | None) -> tuple[int, int, float]:
    source = figure.provenance
    beside = source.scope is EnergyScope.PACKAGE and accelerator not in (None, _CPU)
    width = -1 if beside else _WIDTH[source.scope]
    return width, _TRUST[source.quality], figure.energy_joules


def _idle(figure: EnergyFigure, accelerator: str | None) -> bool:
    return figure.provenance.scope is EnergyScope.ACCELERATOR and accelerator == _CPU


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
