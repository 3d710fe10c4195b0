"""What is exported of a run: the labels of its series and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from profiler.base import Frozen
from profiler.latency_buckets import shapes
from profiler.result import Memory, RunResult, RunStatus

# Until variants can be made, every model is measured as it came.
VARIANT = "base"


class RunFigures(Frozen):
    """A run as Prometheus sees it; much smaller than its result, so that many can be kept.

    Attributes:
        labels: ``device`` and the configuration, in the catalogue's order.
        received_at: by the coordinator's clock; a device's own may be wrong.
        latency: by ``stat``; what was not measured is absent, here and in ``peak_memory``.
        peak_memory: by ``kind``.
    """

    run_id: str
    status: RunStatus
    labels: tuple[str, ...]
    received_at: datetime
    latency: dict[str, float]
    throughput: float | None
    joules_per_item: float | None
    peak_memory: dict[str, float]

    @property
    def device(self) -> str:
        return self.labels[0]


def figures_of(result: RunResult, received_at: datetime) -> RunFigures:
    """The exported part of a result."""
    return RunFigures(
        run_id=result.run_id,
        status=result.status,
        labels=run_labels(result),
        received_at=received_at,
        latency=dict(_latency_stats(result)),
        throughput=result.throughput_items_per_second,
        joules_per_item=result.energy.headline.joules_per_item if result.energy else None,
        peak_memory=dict(_peaks(result.memory)),
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
        "" if result.threads is None else str(result.threads),
        shapes([each.shape for each in result.inputs]),
        result.scenario,
    )


def _latency_stats(result: RunResult) -> Iterator[tuple[str, float]]:
    latency = result.latency
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
    if result.at_usual_speed is not None:
        yield "usual_speed", result.at_usual_speed.p50.value


def _peaks(memory: Memory | None) -> Iterator[tuple[str, float]]:
    if memory is None:
        return
    if memory.peak_rss_bytes is not None:
        yield "rss", memory.peak_rss_bytes
    if memory.accelerator_peak_allocated_bytes is not None:
        # Shared with the host under a name of its own: nobody is to add it to the host's.
        kind = "unified" if memory.unified else "accelerator"
        yield kind, memory.accelerator_peak_allocated_bytes
