"""Joules, each with where it comes from."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum


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


class Provenance(Frozen):
    """Where an energy figure comes from; ``uncertainty`` is relative (0.02 is 2 %)."""

    source: str
    channel: str
    scope: EnergyScope
    quality: EnergyQuality
    update_period_seconds: float
    uncertainty: float


class EnergyFigure(Frozen):
    """Joules over the timed iterations, from one source.

    ``coverage`` is the share of the window in which the source was read as often as it should be;
    ``largest_gap_seconds`` is the longest time without a reading in it.
    """

    provenance: Provenance
    window_seconds: float
    energy_joules: float
    joules_per_item: float
    mean_power_watts: float
    coverage: float | None = None
    largest_gap_seconds: float | None = None


class Energy(Frozen):
    """Energy from every source that covered the run; the headline is the widest scope's."""

    headline: EnergyFigure
    others: tuple[EnergyFigure, ...] = ()
