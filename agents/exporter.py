"""Prometheus collectors over immutable snapshots.

A collector asks for a snapshot at every scrape and yields what is in it and nothing else: a series
whose device is gone, or whose value could not be measured, is absent from the next scrape, and
Prometheus marks it stale. Metric objects that are updated in place would linger; explicit
timestamps would leave no staleness marker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from pydantic import Field

from agents.messages import Device, DeviceState, JobState, Versions
from profiler import metrics
from profiler.base import Frozen
from profiler.metrics import Exporter, MetricSpec, MetricType
from profiler.result import Latency, Memory, RunResult, RunStatus
from profiler.sensors.base import Channel, Quantity, Reading

# Until variants can be made, every model is measured as it came.
VARIANT = "base"

Row = tuple[Sequence[str], float]


# --- snapshots -------------------------------------------------------------------------------


class RunCount(Frozen):
    """How many runs of a model ended in one way on a device."""

    device: str
    model: str
    status: RunStatus
    count: int = Field(ge=0)


class AgentRunCount(Frozen):
    """How many runs of a model ended in one way on this device."""

    model: str
    status: RunStatus
    count: int = Field(ge=0)


class CoordinatorSnapshot(Frozen):
    """The fleet at one moment.

    Attributes:
        latest: the latest succeeded result of every device and configuration; see ``run_labels``.
        queued: runs that wait, by the device's name; a device that is not named has none.
    """

    build: Versions
    devices: tuple[Device, ...]
    latest: tuple[RunResult, ...]
    run_counts: tuple[RunCount, ...]
    job_counts: dict[JobState, int]
    queued: dict[str, int]


class SensorRead(Frozen):
    """What reading one source was like.

    Attributes:
        failed: readings of this scrape that gave no value; ``None`` while a run is measured.
        duration_seconds: how long it took; ``None`` likewise.
        failed_total: since the agent started.
    """

    source: str
    failed: int | None
    duration_seconds: float | None
    failed_total: int = Field(ge=0)


class AgentSnapshot(Frozen):
    """A device at one moment. A channel without a reading, or whose reading failed, is absent."""

    build: Versions
    channels: tuple[Channel, ...]
    readings: tuple[Reading, ...]
    sensors: tuple[SensorRead, ...] = ()
    run_counts: tuple[AgentRunCount, ...]
    busy: bool


# --- collectors ------------------------------------------------------------------------------


class CoordinatorCollector:
    """What the coordinator serves, devices that Prometheus cannot reach included."""

    def __init__(self, snapshot: Callable[[], CoordinatorSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        return _describe(Exporter.COORDINATOR)

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield from _present(_run_families(now))
        yield from _present(_fleet_families(now))


class AgentCollector:
    """What a device's agent serves."""

    def __init__(self, snapshot: Callable[[], AgentSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        return _describe(Exporter.AGENT)

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield _build(now.build)
        yield from _present(_reading_families(now))
        yield from _present(_sensor_families(now))
        yield from _present(
            [
                _family(
                    metrics.AGENT_RUNS,
                    [((row.model, row.status.value), row.count) for row in now.run_counts],
                ),
                _family(metrics.AGENT_BUSY, [((), float(now.busy))]),
            ]
        )


def run_labels(result: RunResult) -> tuple[str, ...]:
    """``device`` and the configuration of a result: one series per distinct value."""
    return (
        result.device,
        result.accelerator or "",
        result.model,
        VARIANT,
        result.runtime,
        result.precision or "",
        str(result.batch_size),
        result.scenario,
    )


def _run_families(now: CoordinatorSnapshot) -> list[Metric]:
    rows: dict[MetricSpec, list[Row]] = {
        metrics.RUN_LATENCY: [],
        metrics.RUN_THROUGHPUT: [],
        metrics.RUN_ENERGY: [],
        metrics.RUN_PEAK_MEMORY: [],
        metrics.RUN_COMPLETED: [],
    }
    for labels, result in _latest(now).items():
        rows[metrics.RUN_LATENCY] += [
            ((*labels, stat), value) for stat, value in _latency_stats(result.latency)
        ]
        rows[metrics.RUN_PEAK_MEMORY] += [
            ((*labels, kind), value) for kind, value in _peaks(result.memory)
        ]
        if result.throughput_items_per_second is not None:
            rows[metrics.RUN_THROUGHPUT].append((labels, result.throughput_items_per_second))
        if result.energy is not None:
            rows[metrics.RUN_ENERGY].append((labels, result.energy.headline.joules_per_item))
        rows[metrics.RUN_COMPLETED].append((labels, result.finished_at.timestamp()))
    return [_family(spec, found) for spec, found in rows.items()]


def _latest(now: CoordinatorSnapshot) -> dict[tuple[str, ...], RunResult]:
    """Results to export. Two of one series would make Prometheus refuse the whole scrape."""
    names = {device.name for device in now.devices}
    found: dict[tuple[str, ...], RunResult] = {}
    for result in sorted(now.latest, key=lambda each: each.finished_at):
        if result.status is RunStatus.SUCCEEDED and result.device in names:
            found[run_labels(result)] = result
    return found


def _latency_stats(latency: Latency | None) -> Iterator[tuple[str, float]]:
    if latency is None:
        return
    for stat, percentile in (
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
    ):
        if percentile is not None:
            yield stat, percentile.value
    yield "mean", latency.mean
    yield "min", latency.minimum
    yield "max", latency.maximum
    if latency.p50 is not None:
        for stat, bound in (("ci_low", latency.p50.low), ("ci_high", latency.p50.high)):
            if bound is not None:
                yield stat, bound


def _peaks(memory: Memory | None) -> Iterator[tuple[str, float]]:
    if memory is None:
        return
    if memory.peak_rss_bytes is not None:
        yield "rss", memory.peak_rss_bytes
    if memory.accelerator_peak_allocated_bytes is not None:
        # Shared with the host under a name of its own: nobody is to add it to the host's.
        kind = "unified" if memory.unified else "accelerator"
        yield kind, memory.accelerator_peak_allocated_bytes


def _fleet_families(now: CoordinatorSnapshot) -> list[Metric]:
    names = {device.name for device in now.devices}
    # Zero is a fact here, a count of none; without it an alert on an empty queue has no series.
    jobs: list[Row] = [((state.value,), now.job_counts.get(state, 0)) for state in JobState]
    return [
        _family(
            metrics.RUNS,
            [
                ((row.device, row.model, row.status.value), row.count)
                for row in now.run_counts
                if row.device in names
            ],
        ),
        _family(metrics.JOBS, jobs),
        _family(
            metrics.QUEUE_DEPTH,
            [((device.name,), now.queued.get(device.name, 0)) for device in now.devices],
        ),
        _family(
            metrics.AGENT_UP,
            [((device.name,), float(_reachable(device))) for device in now.devices],
        ),
        _family(
            metrics.AGENT_LAST_HEARTBEAT,
            [
                ((device.name,), device.last_seen_at.timestamp())
                for device in now.devices
                if device.last_seen_at is not None
            ],
        ),
        _build(now.build),
    ]


def _reachable(device: Device) -> bool:
    return device.state in (DeviceState.ONLINE, DeviceState.BUSY)


def _reading_families(now: AgentSnapshot) -> list[Metric]:
    specs = {
        Quantity.UTILIZATION: metrics.DEVICE_UTILIZATION,
        Quantity.MEMORY_USED: metrics.DEVICE_MEMORY_USED,
        Quantity.MEMORY_TOTAL: metrics.DEVICE_MEMORY_TOTAL,
        Quantity.TEMPERATURE: metrics.DEVICE_TEMPERATURE,
    }
    values = {reading.channel: reading.value for reading in now.readings}
    rows: dict[Quantity, list[Row]] = {quantity: [] for quantity in specs}
    # By key: two zones that the kernel gives one name would make two samples of one series.
    for channel in {channel.key: channel for channel in now.channels}.values():
        value = values.get(channel.key)
        if channel.quantity in rows and value is not None:
            rows[channel.quantity].append(((channel.source, channel.label), value))
    return [_family(spec, rows[quantity]) for quantity, spec in specs.items()]


def _sensor_families(now: AgentSnapshot) -> list[Metric]:
    read = [each for each in now.sensors if each.failed is not None]
    timed = [(each.source, each.duration_seconds) for each in now.sensors]
    return [
        _family(
            metrics.SENSOR_SUCCESS, [((each.source,), float(not each.failed)) for each in read]
        ),
        _family(
            metrics.SENSOR_READ_DURATION,
            [((source,), seconds) for source, seconds in timed if seconds is not None],
        ),
        _family(
            metrics.SENSOR_FAILED_READINGS,
            [((each.source,), each.failed_total) for each in now.sensors],
        ),
    ]


def _build(versions: Versions) -> Metric:
    return _family(metrics.BUILD, [((versions.fleetmark, versions.python, versions.ray), 1)])


def _describe(exporter: Exporter) -> Iterator[Metric]:
    return (_family(spec, []) for spec in metrics.CATALOGUE if exporter in spec.served_by)


def _family(spec: MetricSpec, rows: Iterable[Row]) -> Metric:
    if spec.type is MetricType.INFO:
        info = InfoMetricFamily(spec.name.removesuffix("_info"), spec.help, labels=())
        for labels, _ in rows:
            info.add_metric((), dict(zip(spec.labels, labels, strict=True)))
        return info
    if spec.type is MetricType.COUNTER:
        counter = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
        for labels, value in rows:
            counter.add_metric(labels, value)
        return counter
    gauge = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, value in rows:
        gauge.add_metric(labels, value)
    return gauge


def _present(families: Iterable[Metric]) -> Iterator[Metric]:
    return (family for family in families if family.samples)
