"""Joules, each with where it comes from."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum
from profiler.energy.idle import IdlePower
from profiler.results.latency import Interval


class EnergyScope(StrEnum):
    """What a joule covers, narrow to wide. Overlapping scopes are never added."""

    ACCELERATOR = "accelerator"
    PACKAGE = "package"
    MODULE = "module"
    BOARD = "board"
    WALL = "wall"


class EnergyQuality(StrEnum):
    """How a joule came about: a hardware counter, integrated power readings, or an estimate."""

    COUNTER = "counter"
    INTEGRATED = "integrated"
    ESTIMATE = "estimate"


class PeriodBasis(StrEnum):
    """How a sensor's update period is known.

    ``measured`` before the run, by asking faster than the value changes; ``observed`` in the run's
    own readings, which showed it to be slower than it should be, or for which nothing is stated;
    ``nominal``: as its maker, its driver or whoever configured it states it.
    """

    MEASURED = "measured"
    OBSERVED = "observed"
    NOMINAL = "nominal"


class Provenance(Frozen):
    """Where an energy figure comes from; ``uncertainty`` is relative (0.02 is 2 %).

    ``update_period_basis`` says how the period is known (``None``: by an earlier version), and
    ``update_period_reason`` why it was not measured where it was not.
    """

    source: str
    channel: str
    scope: EnergyScope
    quality: EnergyQuality
    update_period_seconds: float
    uncertainty: float
    update_period_basis: PeriodBasis | None = None
    update_period_reason: str | None = None


class EnergyFigure(Frozen):
    """Joules over the timed iterations, from one source.

    Those of a counter are cut at its ticks in each repetition, so that ``window_seconds`` and
    ``items`` are a little less than all. Gross: idle power is in them. ``coverage`` is the share of
    the timed parts that the figure is of; ``largest_gap_seconds`` is the longest time without a
    reading in them.

    Attributes:
        joules_per_item_interval: 95 %, over repetitions, with the measurement's uncertainty.
        net_energy_joules: less idle power for as long, off by ``net_uncertainty_joules`` at most.
    """

    provenance: Provenance
    window_seconds: float
    energy_joules: float
    items: float | None = None
    joules_per_item: float
    joules_per_item_interval: Interval | None = None
    joules_per_item_reason: str | None = None
    mean_power_watts: float
    idle: IdlePower | None = None
    idle_reason: str | None = None
    net_energy_joules: float | None = None
    net_uncertainty_joules: float | None = None
    coverage: float | None = None
    largest_gap_seconds: float | None = None


class Energy(Frozen):
    """Energy from every source that covered the run; the headline is the widest scope's."""

    headline: EnergyFigure
    others: tuple[EnergyFigure, ...] = ()
