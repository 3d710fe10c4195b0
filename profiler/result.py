"""What was measured. The JSON of a ``RunResult`` is what scripts rely on.

Schema history
--------------
1  first version
2  intervals over repetitions; ``stop``, ``contention``, ``latency_undisturbed``, ``sentinel``,
   ``preflight``, ``overhead``, ``order_seed``, and a field for each scenario. What version 1 has is
   unchanged, so its results are still read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from profiler.base import Frozen, StrEnum

SCHEMA_VERSION: Literal[2] = 2


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

    @property
    def relative_half_width(self) -> float | None:
        """Half the width over the value; ``None`` without bounds, or around zero."""
        if self.low is None or self.high is None or self.value <= 0:
            return None
        return (self.high - self.low) / 2 / self.value

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


class StartMethod(StrEnum):
    """How a repetition's process came about.

    ``fork``: from a parent that has imported the engine and done nothing with it. ``spawn``: a new
    interpreter. ``in_process``: none of its own, it shares the caller's.
    """

    FORK = "fork"
    SPAWN = "spawn"
    IN_PROCESS = "in_process"


class RepetitionFigures(Frozen):
    """One repetition, a fresh process: its cold figures and its own median.

    ``load_seconds`` runs from the first line of the runtime's import to a model ready to be called;
    ``first_inference_seconds`` is the first call. Neither enters the distribution. ``position``
    counts the repetitions of all configurations that were measured together, in their random order.
    """

    index: int
    load_seconds: float
    first_inference_seconds: float
    warmup_iterations: int
    warmup_seconds: float
    iterations: int
    median_seconds: float
    start_method: StartMethod = StartMethod.FORK
    position: int | None = None


class StopReport(Frozen):
    """Whether the stop rule was satisfied, and how narrow the interval became.

    ``relative_half_width`` is of the run's own interval, over all repetitions.
    """

    percentile: str
    goal: float
    relative_half_width: float | None
    converged_repetitions: int
    repetitions: int


class Contention(Frozen):
    """What other work on the device did to the timed blocks, as the kernel counts it.

    Shares are of the wall time of the timed blocks. ``None``: the kernel does not tell.

    Attributes:
        blocks: timed blocks, and of them those that were ``disturbed``.
        disturbed_share: of the timed iterations, those in disturbed blocks.
        run_delay_share: time that a thread of the worker was ready to run and waited for a CPU.
        steal_share: time that the hypervisor gave this machine's CPUs to others.
        pressure_share: time in which some task of the machine waited for a CPU (PSI).
        involuntary_switches: times that the worker was put aside for another task.
    """

    blocks: int
    disturbed_blocks: int
    disturbed_share: float
    run_delay_share: float | None
    steal_share: float | None
    pressure_share: float | None
    involuntary_switches: int


class Sentinel(Frozen):
    """The device's own speed while it measured: a fixed piece of work, timed between blocks.

    Attributes:
        kind: names the work and what it was computed with; only equal kinds can be compared.
        slices: how often it was timed.
        seconds: its median.
        drift: by how much it differed between before and after a repetition, relative; the largest.
        relative_p50: median latency in units of the sentinel at that moment.
    """

    kind: str
    slices: int
    seconds: Interval
    drift: float
    relative_p50: Interval | None
    relative_p50_reason: str | None = None


class Throughput(Frozen):
    """Items per second in the scenario ``offline``, over blocks of calls that were not awaited."""

    blocks: int
    items_per_second: Interval | None
    reason: str | None = None


class Met(StrEnum):
    """Whether a rate meets the bound: yes or no by the whole interval, or it cannot be told."""

    MEETS = "meets"
    FAILS = "fails"
    UNDECIDED = "undecided"


class ServerTrial(Frozen):
    """One rate that was offered.

    Attributes:
        rate_per_second: offered, and what was really ``achieved_per_second``.
        queries: calls that arrived, and of them those ``abandoned``: not begun when time was over.
        utilization: share of the time in which a call was served.
        latency_seconds: the percentile that the bound is on, or ``None`` with a reason.
        lateness_seconds: p99 of how late calls began that found nothing in their way: the load
            generator's own error, part of the latencies. ``None``: there was no such call.
        backlog_peak: most calls that had arrived and were not begun.
        backlog_end: calls ahead of the last one when it arrived; what grows to the end is overload.
        overloaded: calls came faster than they were served, and the backlog no longer emptied.
        met: whether the bound was met; ``None`` where there is none.
    """

    rate_per_second: float
    achieved_per_second: float
    queries: int
    abandoned: int
    utilization: float
    latency_seconds: Interval | None
    latency_reason: str | None = None
    lateness_seconds: float | None
    backlog_peak: int
    backlog_end: int
    overloaded: bool
    met: Met | None = None


class ServerReport(Frozen):
    """The scenario ``server``. Latencies in the result are those at ``rate_per_second``.

    ``highest_rate_per_second`` is the search's answer: the highest rate that was shown to meet the
    bound. ``None`` where a rate was given, or with a reason where no rate was shown to.
    ``failing_rate_per_second`` is the lowest that was shown not to; what lies between is undecided.
    ``rate_per_second`` is ``None`` where nothing was offered.
    """

    percentile: str
    rate_per_second: float | None
    latency_bound_seconds: float | None
    highest_rate_per_second: float | None
    highest_rate_reason: str | None = None
    failing_rate_per_second: float | None = None
    trials: tuple[ServerTrial, ...]


class LatencyWindow(Frozen):
    """Latency in one stretch of a sustained run, times from the first timed iteration."""

    start_seconds: float
    end_seconds: float
    iterations: int
    p50_seconds: float
    p90_seconds: float


class SustainedReport(Frozen):
    """Latency over time.

    ``slowdown`` is the median of the last tenth of the time over that of the first;
    ``settled_after_seconds`` is when the median came to within 2 % of the last tenth's for good,
    ``None`` where that was not before the last tenth itself. ``device_settled`` is of clocks and
    temperatures at the end; ``None``: none can be read.
    """

    windows: tuple[LatencyWindow, ...]
    slowdown: Interval | None
    slowdown_reason: str | None = None
    settled_after_seconds: float | None
    settled_reason: str | None = None
    device_settled: bool | None = None
    device_settled_reason: str | None = None


class AcceleratorProcess(Frozen):
    """A process that has a context on a GPU, other than ours, as the driver lists it.

    ``name`` and ``memory_bytes`` are ``None`` where the driver or the kernel does not tell.
    """

    accelerator: int
    pid: int
    kind: Literal["compute", "graphics"]
    name: str | None
    memory_bytes: int | None


class Preflight(Frozen):
    """The state of the device just before the first repetition. ``None``: not to be known here.

    Attributes:
        governors: in use, each once; empty where the kernel does not scale clocks.
        cpu_clock_hertz: one for each group of CPUs that share a clock.
        power_mode: what limits clocks and power, each part with its name.
        power_mode_highest: whether every part is the one that allows most.
        temperatures_celsius: of the hottest thermal zones, by the kernel's name.
        throttle_margin_celsius: how far the zone nearest to it is below where the kernel throttles.
        load_average_1m: tasks that ran or waited.
        cpu_pressure_avg10: percent of the last 10 s in which some task waited for a CPU.
        memory_pressure_avg10: the same for memory.
        accelerator_processes: other than ours.
    """

    governors: tuple[str, ...]
    turbo: bool | None
    cpu_clock_hertz: tuple[float, ...]
    cpu_affinity: tuple[int, ...]
    isolated_cpus: tuple[int, ...]
    smt: bool | None
    power_mode: str | None
    power_mode_highest: bool | None = None
    on_battery: bool | None
    temperatures_celsius: dict[str, float]
    throttle_margin_celsius: float | None = None
    load_average_1m: float | None
    cpu_pressure_avg10: float | None
    memory_pressure_avg10: float | None
    swap_used_bytes: int | None
    accelerator_driver: str | None
    accelerator_processes: tuple[AcceleratorProcess, ...] | None


class OverheadFigure(Frozen):
    """What a part of fleetmark costs the measured work: relative slow-down, with 95 % bounds."""

    what: str
    relative: Interval
    pairs: int
    control: Interval
    passes: bool


class Overhead(Frozen):
    """This device's own overhead, as ``fleetmark overhead`` measured it."""

    measured_at: datetime
    model: str
    runtime: str
    figures: tuple[OverheadFigure, ...]


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
    """The device and its software at the time of the run; see ``profiler.device.environment``."""

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
    latency_undisturbed: Latency | None = None
    latency_undisturbed_reason: str | None = None
    contention: Contention | None = None
    sentinel: Sentinel | None = None
    sentinel_reason: str | None = None
    preflight: Preflight | None = None
    offline: Throughput | None = None
    server: ServerReport | None = None
    sustained: SustainedReport | None = None
    overhead: Overhead | None = None
    flags: tuple[Flag, ...] = ()
    environment: Environment | None
    environment_reason: str | None = None
    phases_seconds: dict[str, float] = Field(default_factory=dict)
