"""One repetition: what it is told, and what it answers. Data only."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from profiler.base import Frozen
from profiler.energy.idle import IdleSpan
from profiler.result import InputInfo, RepetitionFigures, ServerReport
from profiler.spec import Scenario, ServerSpec, StopSpec, WarmupSpec

# A repetition warms up and measures for at least this part of its equal share of the time.
LEAST_SHARE = 0.5
# Calls of the memory pass: engines grow their arenas over the first ones.
MEMORY_CALLS = 3


class Plan(Frozen):
    """One repetition's share of the run.

    Attributes:
        budget_seconds: for loading, warm-up and timed iterations.
        least_seconds: for warm-up and timed iterations, however long the loading took.
        settle_seconds: for how long ``sustained`` may go on in all, from its first call, until the
            device has settled; not shorter than the budget.
        server_rate_per_second: what another repetition's search has found; it is offered here.
        samples_path: gets the raw data.
        position: among the repetitions of all configurations that are measured together.
        idle_before_seconds: to do nothing before the warm-up, and ``idle_after_seconds`` after the
            timed part, so that idle power can be told; both are part of the budget.
        looks_every_seconds: update periods of the sensors that do not see all of the time.
    """

    index: int
    repetitions: int
    budget_seconds: float
    least_seconds: float = Field(gt=0)
    settle_seconds: float = 0.0
    warmup: WarmupSpec
    stop: StopSpec = StopSpec()
    sentinel: bool = True
    scenario: Scenario = Scenario.SINGLE_STREAM
    server: ServerSpec | None = None
    server_rate_per_second: float | None = None
    seed: int = 0
    samples_path: Path
    position: int | None = None
    idle_before_seconds: float = 0.0
    idle_after_seconds: float = 0.0
    looks_every_seconds: tuple[float, ...] = ()


class LoadedFacts(Frozen):
    """What the engine said about the model that it loaded."""

    inputs: tuple[InputInfo, ...]
    precision: str
    accelerator: str
    threads: int
    parameters: int | None
    fallback: str | None


class OfflineBlock(Frozen):
    """Calls that were waited for together; nanoseconds of one clock."""

    calls: int
    start_ns: int
    end_ns: int


class RepetitionReport(Frozen):
    """What a repetition answers; its raw data are in ``Plan.samples_path``.

    ``offline`` and ``search`` are of the scenarios that have them. ``idle``: quiet stretches with
    the model loaded. ``shifted_seconds``: pauses in the timed part, see ``profiler.shifts``.
    """

    figures: RepetitionFigures
    facts: LoadedFacts
    steady: bool
    converged: bool
    clock_overhead_seconds: float
    sentinel_kind: str | None = None
    measured_seconds: float
    offline: tuple[OfflineBlock, ...] = ()
    search: ServerReport | None = None
    idle: tuple[IdleSpan, ...] = ()
    shifted_seconds: float = 0.0
