"""What was measured. The JSON of a ``RunResult`` is what scripts rely on.

Schema history
--------------
1  first version
2  intervals over repetitions; ``stop``, ``contention``, ``latency_undisturbed``, ``sentinel``,
   ``preflight``, ``tuning``, ``latency_device``, ``overhead``, ``order_seed``, and a field for each
   scenario. What version 1 has is unchanged, so its results are still read. Optional, since then:
   ``device_settled_after_seconds`` and ``settled_latency`` of ``sustained``; sampler by source;
   ``over_runs``, ``at_usual_speed``; ``throttling``, ``latency_unthrottled``; in ``energy`` items,
   an interval, idle power and net joules, how the sensor's period is known; more kinds of
   ``memory``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from profiler.base import Frozen
from profiler.results.device import AcceleratorProcess, Environment, Preflight
from profiler.results.energy import (
    Energy,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    PeriodBasis,
    Provenance,
)
from profiler.results.latency import AtUsualSpeed, Experience, Interval, Latency, OverRuns
from profiler.results.memory import Memory
from profiler.results.model import InputInfo, ModelInfo
from profiler.results.outcome import FailureKind, Flag, RunError, RunStatus
from profiler.results.overhead import Overhead, OverheadFigure
from profiler.results.protocol import (
    Contention,
    RepetitionFigures,
    Sentinel,
    StartMethod,
    StopReport,
)
from profiler.results.scenarios import (
    LatencyWindow,
    Met,
    ServerReport,
    ServerTrial,
    SustainedReport,
    Throughput,
)
from profiler.results.sensors import AbsentSource, SamplerReport, SourceReport
from profiler.results.tuning import KnobName, TuneReport, TuneSetting
from profiler.throttle_report import Throttling

__all__ = [
    "SCHEMA_VERSION",
    "AbsentSource",
    "AcceleratorProcess",
    "AtUsualSpeed",
    "Contention",
    "Energy",
    "EnergyFigure",
    "EnergyQuality",
    "EnergyScope",
    "Environment",
    "Experience",
    "FailureKind",
    "Flag",
    "InputInfo",
    "Interval",
    "KnobName",
    "Latency",
    "LatencyWindow",
    "Memory",
    "Met",
    "ModelInfo",
    "OverRuns",
    "Overhead",
    "OverheadFigure",
    "PeriodBasis",
    "Preflight",
    "Provenance",
    "RepetitionFigures",
    "RunError",
    "RunResult",
    "RunStatus",
    "SamplerReport",
    "Sentinel",
    "ServerReport",
    "ServerTrial",
    "SourceReport",
    "StartMethod",
    "StopReport",
    "SustainedReport",
    "Throughput",
    "TuneReport",
    "TuneSetting",
]

SCHEMA_VERSION: Literal[2] = 2


class RunResult(Frozen):
    """One run on one device: figures, or the error that stands in their place.

    ``tuning`` is what fleetmark had changed on the device by ``--tune``, and what each file said
    when the measuring was over. It is ``None`` where nothing was changed, and with a reason where
    that cannot be read. The result is made before anything is put back, so ``held`` and
    ``restored`` are ``None`` in it.

    ``latency_device`` is of the accelerator's own clock: from when it came to a call until it was
    done with it, without the host's part before and after. ``latency`` is what a caller waits.
    """

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    run_id: str
    attempt: int = 1
    job_id: str | None = None
    status: RunStatus
    error: RunError | None = None
    device: str
    model: str
    model_info: ModelInfo
    runtime: str
    runtime_version: str | None = None
    precision: str | None
    accelerator: str | None
    threads: int | None
    batch_size: int
    inputs: tuple[InputInfo, ...] = ()
    scenario: str
    seed: int
    started_at: datetime
    finished_at: datetime
    latency: Latency | None
    latency_reason: str | None = None
    throughput_items_per_second: float | None
    repetitions: tuple[RepetitionFigures, ...] = ()
    memory: Memory | None
    memory_reason: str | None = None
    energy: Energy | None
    energy_reason: str | None = None
    sensors_absent: tuple[AbsentSource, ...] = ()
    sampler: SamplerReport | None = None
    clock_overhead_seconds: float | None = None
    order_seed: int | None = None
    stop: StopReport | None = None
    latency_device: Latency | None = None
    latency_device_reason: str | None = None
    over_runs: OverRuns | None = None
    over_runs_reason: str | None = None
    at_usual_speed: AtUsualSpeed | None = None
    at_usual_speed_reason: str | None = None
    latency_undisturbed: Latency | None = None
    latency_undisturbed_reason: str | None = None
    latency_unthrottled: Latency | None = None
    latency_unthrottled_reason: str | None = None
    throttling: Throttling | None = None
    throttling_reason: str | None = None
    contention: Contention | None = None
    sentinel: Sentinel | None = None
    sentinel_reason: str | None = None
    preflight: Preflight | None = None
    tuning: TuneReport | None = None
    tuning_reason: str | None = None
    offline: Throughput | None = None
    server: ServerReport | None = None
    sustained: SustainedReport | None = None
    overhead: Overhead | None = None
    flags: tuple[Flag, ...] = ()
    environment: Environment | None
    environment_reason: str | None = None
    phases_seconds: dict[str, float] = Field(default_factory=dict)
