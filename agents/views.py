"""What is told to those who watch: summaries that stay small however much the store holds."""

from __future__ import annotations

from datetime import datetime

from agents.messages import Device, DeviceState, Job, Run
from agents.verdicts import RunVerdict
from profiler.base import Frozen
from profiler.comparing.comparison import Comparison
from profiler.result import FailureKind, RunResult, RunStatus

# A chart of more is no picture, and a screen has no more columns.
CHART_POINTS = 2000
# Lines of one chart that can still be told apart.
CHART_SERIES = 12


class RunSummary(Frozen):
    """A result in one line: what a listing or a chart needs of it. SI units.

    Attributes:
        seq: counts results in the order in which they came; what pages of a listing start at.
        p50_low: with ``p50_high``, the 95 % interval; ``None`` where there is none.
        p50_usual: had the device been as fast as it usually is; ``None`` until its runs tell.
        peak_memory_bytes: resident memory of the process.
        model_bytes: size of the model's file, where it came as one.
        flags: their names.
        error: one sentence, of a run that failed.
        finished_at: by the device's clock.
        received_at: by the coordinator's; ``None`` in stores of an earlier version.
        clock_offset_seconds: how far the device's clock was at least off then, negative if behind;
            ``None`` where it may have been right.
    """

    seq: int
    run_id: str
    job_id: str | None
    device: str
    model: str
    status: RunStatus
    series: str
    runtime: str
    precision: str | None
    accelerator: str | None
    threads: int | None
    batch_size: int
    scenario: str
    p50: float | None
    p50_low: float | None
    p50_high: float | None
    p99: float | None
    items_per_second: float | None
    joules_per_item: float | None
    energy_scope: str | None
    peak_memory_bytes: int | None
    model_bytes: int | None
    parameters: int | None
    flags: tuple[str, ...]
    error_kind: FailureKind | None
    error: str | None
    finished_at: datetime
    received_at: datetime | None = None
    clock_offset_seconds: float | None = None
    p50_usual: float | None = None


class RunPage(Frozen):
    """``runs``, newest first; ``next_before`` asks for the page after it, ``None`` at the end."""

    runs: tuple[RunSummary, ...]
    next_before: int | None
    total: int


class DeviceSummary(Frozen):
    """A device in one card.

    ``power_watts``: the largest that its sensors read now, where it was asked for. Scopes overlap,
    so they are not added.
    """

    name: str
    state: DeviceState
    state_reason: str | None
    labels: dict[str, str]
    kind: str
    board: str | None
    cpu_model: str
    cpu_count: int
    memory_total_bytes: int | None
    accelerators: tuple[str, ...]
    runtimes: tuple[str, ...]
    energy_sources: tuple[str, ...]
    last_seen_at: datetime | None
    queued: int
    running: Run | None
    power_watts: float | None = None


class DevicePage(Frozen):
    """``matching`` devices in all, of which these are shown; ``states`` counts the whole fleet."""

    devices: tuple[DeviceSummary, ...]
    matching: int
    states: dict[DeviceState, int]


class DeviceReading(Frozen):
    """One value of a sensor of a device. ``quantity`` ends in its unit."""

    quantity: str
    label: str
    value: float


class DeviceView(Frozen):
    """One device, what it does, and what its sensors say while somebody looks.

    ``readings`` are named as on the device's own /metrics; empty with a reason.
    """

    device: Device
    running: Run | None
    queued: int
    readings: tuple[DeviceReading, ...] = ()
    readings_reason: str | None = None


class Overview(Frozen):
    """The fleet in numbers, and what runs now."""

    states: dict[DeviceState, int]
    queued: int
    open_jobs: int
    results: int
    running: tuple[Run, ...]
    latest: tuple[RunSummary, ...]


class JobView(Frozen):
    """A job and those of its runs that are not over; the others are in the listing of results."""

    job: Job
    active: tuple[Run, ...]
    waiting: tuple[Run, ...]
    results: tuple[RunSummary, ...]


class JobPage(Frozen):
    """Jobs, newest first."""

    jobs: tuple[Job, ...]
    more: bool


class RunView(Frozen):
    """A run: its result or, until there is one, where it is.

    ``clock_offset_seconds``: as in ``RunSummary``.
    """

    run: Run
    result: RunResult | None
    clock_offset_seconds: float | None = None


class Preview(Frozen):
    """What a job would be, were it submitted.

    ``seconds_per_device``: upper bound of the measuring time on one device, without loading.
    """

    runs: int
    devices: tuple[str, ...]
    runs_per_device: int
    seconds_per_device: float


class Architectures(Frozen):
    """Names that the fleet's devices can build, ``library:name``."""

    names: tuple[str, ...]


class Bucket(Frozen):
    """Neighbouring iterations: from the shortest to the longest of them. Seconds."""

    at: float
    low: float
    median: float
    high: float


class Stretch(Frozen):
    """A repetition on the joint time axis, without the pauses between repetitions. Seconds."""

    index: int
    start: float
    warmup_end: float
    end: float


class Histogram(Frozen):
    """Timed iterations by latency: ``counts[i]`` lie between ``edges[i]`` and ``edges[i + 1]``.

    ``beyond`` are longer than the last edge.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    beyond: int
    longest: float


class TraceLine(Frozen):
    """What one sensor read while the run lasted, on the time axis of the iterations."""

    channel: str
    quantity: str
    label: str
    at: tuple[float, ...]
    values: tuple[float, ...]


class RunChart(Frozen):
    """A run's iterations in no more than ``CHART_POINTS`` buckets, and what sensors read."""

    iterations: int
    buckets: tuple[Bucket, ...]
    stretches: tuple[Stretch, ...]
    histogram: Histogram | None
    traces: tuple[TraceLine, ...]
    traces_reason: str | None
    traces_left_out: int = 0


class HistoryPoint(Frozen):
    """One run of a series, and the verdict that is kept on it, if one is."""

    run: RunSummary
    verdict: RunVerdict | None


class HistorySeries(Frozen):
    """Runs of one configuration, oldest first."""

    series: str
    points: tuple[HistoryPoint, ...]


class History(Frozen):
    """How a model did on a device over time. ``left_out`` says in words what is not shown."""

    device: str
    model: str
    series: tuple[HistorySeries, ...]
    left_out: str | None


class LatestRuns(Frozen):
    """The newest success of every model, device and configuration that was asked for."""

    runs: tuple[RunSummary, ...]


class Pair(Frozen):
    """Two results and the answer."""

    baseline: RunResult
    candidate: RunResult
    comparison: Comparison


class Names(Frozen):
    """What there is to choose from."""

    models: tuple[str, ...]
    devices: tuple[str, ...]


class MeasuredModel(Frozen):
    """A model that there are results of.

    Attributes:
        devices: that measured it.
        results: of any outcome.
        last_result_at: when the newest came, by the coordinator's clock.
    """

    model: str
    devices: int
    results: int
    last_result_at: datetime


class MeasuredModelList(Frozen):
    models: tuple[MeasuredModel, ...]
