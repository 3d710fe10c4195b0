"""One repetition: what it is told, and what it answers. Data only."""

from __future__ import annotations

from pathlib import Path

from profiler.base import Frozen
from profiler.result import InputInfo, RepetitionFigures
from profiler.spec import StopSpec, WarmupSpec


class Plan(Frozen):
    """One repetition's share of the run.

    Attributes:
        budget_seconds: for warm-up and timed iterations.
        samples_path: gets the raw data.
        position: among the repetitions of all configurations that are measured together.
    """

    index: int
    repetitions: int
    budget_seconds: float
    warmup: WarmupSpec
    stop: StopSpec = StopSpec()
    sentinel: bool = True
    samples_path: Path
    position: int | None = None


class LoadedFacts(Frozen):
    """What the engine said about the model that it loaded."""

    inputs: tuple[InputInfo, ...]
    precision: str
    accelerator: str
    threads: int
    parameters: int | None
    fallback: str | None


class RepetitionReport(Frozen):
    """What a repetition answers; its raw data are in ``Plan.samples_path``."""

    figures: RepetitionFigures
    facts: LoadedFacts
    steady: bool
    converged: bool
    clock_overhead_seconds: float
    sentinel_kind: str | None = None
    measured_seconds: float
