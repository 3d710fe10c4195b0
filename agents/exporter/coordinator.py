"""What the coordinator serves, devices that Prometheus cannot reach included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric
from pydantic import Field

from agents.exporter.device import build_rows, device_labels
from agents.exporter.families import Row, describe, family, present
from agents.exporter.figures import RunFigures
from agents.messages import Device, DeviceState, JobState, Versions
from agents.verdicts import RunVerdict
from profiler import metrics
from profiler.base import Frozen
from profiler.metrics import Exporter, MetricSpec
from profiler.result import RunStatus

SERVED_BY = Exporter.COORDINATOR


class RunCount(Frozen):
    """How many runs of a model ended in one way on a device, and which was the last of them."""

    device: str
    model: str
    status: RunStatus
    count: int = Field(ge=0)
    last_run_id: str | None = None


class CoordinatorSnapshot(Frozen):
    """The fleet at one moment.

    Attributes:
        latest: the latest success of every device and configuration, in the order in which the
            coordinator received them: of two that share a series, the last counts.
        verdicts: on those, by run id; what has no baseline has none.
        recent: the newest runs that are over, however they ended.
        queued: runs that wait, by the device's name; a device that is not named has none.
    """

    build: Versions
    devices: tuple[Device, ...]
    latest: tuple[RunFigures, ...]
    verdicts: dict[str, RunVerdict] = Field(default_factory=dict)
    recent: tuple[RunFigures, ...] = ()
    run_counts: tuple[RunCount, ...]
    job_counts: dict[JobState, int]
    queued: dict[str, int]


class CoordinatorCollector:
    """Asks for a snapshot at every scrape."""

    def __init__(self, snapshot: Callable[[], CoordinatorSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        return describe(SERVED_BY)

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        names = {device.name for device in now.devices}
        yield from present(_run_families(now, names))
        yield from present(_fleet_families(now, names))
        yield from present(_device_families(now))


def _of(spec: MetricSpec, rows: Iterable[Row]) -> Metric:
    return family(spec, rows, SERVED_BY)


def _run_families(now: CoordinatorSnapshot, names: set[str]) -> Iterator[Metric]:
    # Two samples of one series would make Prometheus refuse the whole scrape.
    latest = {
        run.labels: run
        for run in now.latest
        if run.status is RunStatus.SUCCEEDED and run.device in names
    }
    runs = latest.values()
    yield _of(
        metrics.RUN_LATENCY,
        [Row((*run.labels, stat), value) for run in runs for stat, value in run.latency.items()],
    )
    yield _of(
        metrics.RUN_PEAK_MEMORY,
        [
            Row((*run.labels, kind), value)
            for run in runs
            for kind, value in run.peak_memory.items()
        ],
    )
    yield _of(
        metrics.RUN_THROUGHPUT,
        [Row(run.labels, run.throughput) for run in runs if run.throughput is not None],
    )
    yield _of(
        metrics.RUN_ENERGY,
        [Row(run.labels, run.joules_per_item) for run in runs if run.joules_per_item is not None],
    )
    yield _of(metrics.RUN_COMPLETED, [Row(run.labels, run.received_at.timestamp()) for run in runs])
    judged = [(run.labels, now.verdicts[run.run_id]) for run in runs if run.run_id in now.verdicts]
    yield _of(
        metrics.RUN_BASELINE_RATIO,
        [Row(labels, found.ratio.value) for labels, found in judged if found.ratio is not None],
    )
    yield _of(
        metrics.RUN_BASELINE_BOUND,
        [
            Row((*labels, name), bound)
            for labels, found in judged
            if found.ratio is not None
            for name, bound in zip(
                metrics.RATIO_BOUNDS, (found.ratio.low, found.ratio.high), strict=True
            )
            if bound is not None
        ],
    )
    yield _of(
        metrics.RUN_VERDICT, [Row((*labels, found.verdict.value), 1) for labels, found in judged]
    )


def _fleet_families(now: CoordinatorSnapshot, names: set[str]) -> Iterator[Metric]:
    newest = [run for run in now.recent if run.device in names][: metrics.RUNS_NAMED]
    yield _of(
        metrics.RUN_INFO, [Row((*run.labels, run.status.value, run.run_id), 1) for run in newest]
    )
    yield _of(
        metrics.RUNS,
        [
            Row((row.device, row.model, row.status.value), row.count, row.last_run_id)
            for row in now.run_counts
            if row.device in names
        ],
    )
    # Zero is a fact here, a count of none; without it an alert on an empty queue has no series.
    yield _of(
        metrics.JOBS, [Row((state.value,), now.job_counts.get(state, 0)) for state in JobState]
    )
    yield _of(metrics.BUILD, build_rows(now.build))


def _device_families(now: CoordinatorSnapshot) -> Iterator[Metric]:
    yield _of(
        metrics.QUEUE_DEPTH,
        [Row((device.name,), now.queued.get(device.name, 0)) for device in now.devices],
    )
    yield _of(
        metrics.AGENT_UP,
        [Row((device.name,), float(_reachable(device))) for device in now.devices],
    )
    yield _of(
        metrics.AGENT_LAST_HEARTBEAT,
        [
            Row((device.name,), device.last_seen_at.timestamp())
            for device in now.devices
            if device.last_seen_at is not None
        ],
    )
    yield _of(
        metrics.DEVICE_INFO,
        [Row((device.name, *device_labels(device.inventory)), 1) for device in now.devices],
    )


def _reachable(device: Device) -> bool:
    return device.state in (DeviceState.ONLINE, DeviceState.BUSY)
