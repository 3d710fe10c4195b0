"""What was measured. The JSON of a ``RunResult`` is what scripts rely on.

Schema history
--------------
1  first version
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from profiler.base import Frozen, StrEnum

SCHEMA_VERSION: Literal[1] = 1


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FailureKind(StrEnum):
    """Why a run failed. ``lost`` is the coordinator's: no attempt ever came back."""

    MODEL_ERROR = "model_error"
    DEVICE_ERROR = "device_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    LOST = "lost"


class RunError(Frozen):
    """The failure of a run: its kind, a sentence, and the end of what the worker wrote."""

    kind: FailureKind
    message: str
    stderr_tail: str = ""


class Interval(Frozen):
    """A point estimate and the 95 % interval around it.

    A median of too few iterations has no bounds: ``low`` and ``high`` are then both ``None``, and
    ``Latency.p50_reason`` says why. The other percentiles are withheld as a whole.
    """

    value: float
    low: float | None
    high: float | None

    def below(self, other: Interval) -> bool:
        """Whether the two intervals lie apart, this one lower; unknown bounds never do."""
        return self.high is not None and other.low is not None and self.high < other.low


class Latency(Frozen):
    """Statistics of the timed iterations, in seconds.

    A percentile is ``None`` when the effective number of iterations is too small for a two-sided
    95 % interval; ``*_reason`` then says so.
    """

    n: int
    n_effective: float
    mean: float
    minimum: float
    maximum: float
    median_absolute_deviation: float
    outliers: int
    p50: Interval | None
    p50_reason: str | None = None
    p90: Interval | None
    p90_reason: str | None = None
    p95: Interval | None
    p95_reason: str | None = None
    p99: Interval | None
    p99_reason: str | None = None
    p999: Interval | None
    p999_reason: str | None = None


class RepetitionFigures(Frozen):
    """One repetition, a fresh process: its cold figures and its own median.

    ``load_seconds`` runs from the first line of the runtime's import to a model ready to be called;
    ``first_inference_seconds`` is the first call. Neither enters the distribution.
    """

    index: int
    load_seconds: float
    first_inference_seconds: float
    warmup_iterations: int
    warmup_seconds: float
    iterations: int
    median_seconds: float


class Memory(Frozen):
    """Peaks of a separate pass, in bytes.

    ``peak_rss_bytes`` is ``VmHWM`` of the process that holds the model, reset after the runtime was
    imported and before the model was loaded; the split tells anonymous from file-mapped memory at
    the end of the pass. ``None`` comes with a reason.
    """

    peak_rss_bytes: int | None
    peak_rss_reason: str | None = None
    rss_before_load_bytes: int | None = None
    rss_anonymous_bytes: int | None = None
    rss_file_bytes: int | None = None
    accelerator_peak_allocated_bytes: int | None = None
    accelerator_peak_reserved_bytes: int | None = None
    accelerator_reason: str | None = None


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


class SamplerReport(Frozen):
    """What the sampler did: its own cost and its gaps."""

    readings: int
    failed_readings: int
    missed_ticks: int
    largest_gap_seconds: float
    cpu_seconds: float
    cpu_affinity: tuple[int, ...]
    sources: tuple[str, ...]


class AbsentSource(Frozen):
    """A sensor source that could not be read here, why, and what would help."""

    source: str
    reason: str
    remedy: str | None = None


class Flag(Frozen):
    """A warning on a result: what was seen and what to do about it."""

    name: str
    detail: str
    advice: str


class ModelInfo(Frozen):
    """The model as it was measured."""

    source: str
    digest: str | None = None
    parameters: int | None = None
    parameters_reason: str | None = None
    size_bytes: int | None = None
    converted_digest: str | None = None


class InputInfo(Frozen):
    """One input tensor as it was fed."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Environment(Frozen):
    """The device and its software at the time of the run; see ``profiler.environment``."""

    os: str
    kernel: str
    architecture: str
    cpu_model: str
    cpu_count: int
    cpu_affinity: tuple[int, ...]
    memory_total_bytes: int | None
    board: str | None
    virtualization: str | None
    governors: tuple[str, ...]
    python: str
    packages: dict[str, str]
    worker_environment: dict[str, str]
    load_average_1m: float | None
    cpu_pressure_avg10: float | None
    accelerator_name: str | None = None
    fleetmark: str


class RunResult(Frozen):
    """One run on one device: figures, or the error that stands in their place."""

    schema_version: Literal[1] = SCHEMA_VERSION
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
    flags: tuple[Flag, ...] = ()
    environment: Environment | None
    environment_reason: str | None = None
    phases_seconds: dict[str, float] = Field(default_factory=dict)
