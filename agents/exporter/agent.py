"""What a device's agent serves: its readings, and its runs while they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric
from pydantic import Field

from agents.exporter.device import build_rows, device_labels
from agents.exporter.families import Buckets, Row, describe, family, histogram, present
from agents.messages import Inventory, Versions
from profiler import metrics
from profiler.base import Frozen
from profiler.metrics import Exporter, MetricSpec
from profiler.result import RunStatus
from profiler.sensors.base import Channel, Quantity, Reading

SERVED_BY = Exporter.AGENT


class AgentRunCount(Frozen):
    """How many runs ended in one way on this device."""

    status: RunStatus
    count: int = Field(ge=0)


class SensorRead(Frozen):
    """What reading one source was like.

    Attributes:
        failed: readings that gave no value last time; ``None`` while nothing is read.
        duration_seconds: how long it took; ``None`` likewise.
        failed_total: since the agent started.
    """

    source: str
    failed: int | None
    duration_seconds: float | None
    failed_total: int = Field(ge=0)


class EnergyCount(Frozen):
    """Joules of a zone since the agent started."""

    source: str
    channel: str
    joules: float = Field(ge=0)


class ThrottledCount(Frozen):
    """Seconds in which clocks were lowered for one reason."""

    source: str
    channel: str
    reason: str
    seconds: float = Field(ge=0)


class LatencyHistogram(Frozen):
    """Iterations of one configuration.

    Attributes:
        labels: the configuration, in the catalogue's order.
        counts: iterations by the index of their bucket, not cumulative.
        exemplars: by the same index: a run, and a latency of it that fell there.
    """

    labels: tuple[str, ...]
    counts: dict[int, int]
    sum_seconds: float
    exemplars: dict[int, tuple[str, float]] = Field(default_factory=dict)


class AgentSnapshot(Frozen):
    """A device at one moment. A channel without a reading, or whose reading failed, is absent."""

    build: Versions
    inventory: Inventory | None = None
    channels: tuple[Channel, ...]
    readings: tuple[Reading, ...]
    energy: tuple[EnergyCount, ...] = ()
    throttled: tuple[ThrottledCount, ...] = ()
    sensors: tuple[SensorRead, ...] = ()
    histograms: tuple[LatencyHistogram, ...] = ()
    run_counts: tuple[AgentRunCount, ...]
    busy: bool


class AgentCollector:
    """Asks for a snapshot at every scrape."""

    def __init__(self, snapshot: Callable[[], AgentSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        return describe(SERVED_BY)

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield from present(_own_families(now))
        yield from present(_reading_families(now))
        yield from present(_counted_families(now))
        yield from present(_sensor_families(now))


def _of(spec: MetricSpec, rows: Iterable[Row]) -> Metric:
    return family(spec, rows, SERVED_BY)


def _own_families(now: AgentSnapshot) -> Iterator[Metric]:
    yield _of(metrics.BUILD, build_rows(now.build))
    known = [now.inventory] if now.inventory is not None else []
    yield _of(metrics.DEVICE_INFO, [Row(device_labels(inventory), 1) for inventory in known])
    yield histogram(
        metrics.INFERENCE_LATENCY,
        [Buckets(h.labels, h.counts, h.sum_seconds, h.exemplars) for h in now.histograms],
        SERVED_BY,
    )
    yield _of(metrics.AGENT_RUNS, [Row((row.status.value,), row.count) for row in now.run_counts])
    yield _of(metrics.AGENT_BUSY, [Row((), float(now.busy))])


def _reading_families(now: AgentSnapshot) -> list[Metric]:
    specs = {
        Quantity.POWER: metrics.DEVICE_POWER,
        Quantity.TEMPERATURE: metrics.DEVICE_TEMPERATURE,
        Quantity.UTILIZATION: metrics.DEVICE_UTILIZATION,
        Quantity.MEMORY_USED: metrics.DEVICE_MEMORY_USED,
        Quantity.MEMORY_TOTAL: metrics.DEVICE_MEMORY_TOTAL,
        Quantity.CLOCK: metrics.DEVICE_CLOCK,
    }
    values = {reading.channel: reading.value for reading in now.readings}
    rows: dict[Quantity, list[Row]] = {quantity: [] for quantity in specs}
    # By key: two zones that the kernel gives one name would make two samples of one series.
    for channel in {channel.key: channel for channel in now.channels}.values():
        value = values.get(channel.key)
        if channel.quantity in rows and value is not None:
            rows[channel.quantity].append(Row((channel.source, channel.label), value))
    return [_of(spec, rows[quantity]) for quantity, spec in specs.items()]


def _counted_families(now: AgentSnapshot) -> Iterator[Metric]:
    yield _of(
        metrics.DEVICE_ENERGY,
        [Row((each.source, each.channel), each.joules) for each in now.energy],
    )
    yield _of(
        metrics.DEVICE_THROTTLED,
        [Row((e.source, e.channel, e.reason), e.seconds) for e in now.throttled],
    )


def _sensor_families(now: AgentSnapshot) -> Iterator[Metric]:
    yield _of(
        metrics.SENSOR_SUCCESS,
        [
            Row((each.source,), float(not each.failed))
            for each in now.sensors
            if each.failed is not None
        ],
    )
    yield _of(
        metrics.SENSOR_READ_DURATION,
        [
            Row((each.source,), each.duration_seconds)
            for each in now.sensors
            if each.duration_seconds is not None
        ],
    )
    yield _of(
        metrics.SENSOR_FAILED_READINGS,
        [Row((each.source,), each.failed_total) for each in now.sensors],
    )
