"""Results in one line each: what a line says, and its row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from agents.coordinator.device_clock import offset_seconds
from agents.coordinator.rows import series_of
from agents.views import RunSummary
from profiler.result import RunResult

ERROR_CHARACTERS = 300


def summary_of(
    seq: int, result: RunResult, submitted: datetime | None = None, received: datetime | None = None
) -> RunSummary:
    """The line of a result.

    Args:
        submitted: when the run was, by the coordinator's clock.
        received: when its result came; both are not known of an earlier version's store.
    """
    off = offset_seconds(result, submitted, received) if submitted and received else None
    latency, memory = result.latency, result.memory
    energy = result.energy.headline if result.energy else None
    p50 = latency.p50 if latency else None
    p99 = latency.p99 if latency else None
    error = result.error
    return RunSummary(
        seq=seq,
        run_id=result.run_id,
        job_id=result.job_id,
        device=result.device,
        model=result.model,
        status=result.status,
        series=series_of(result),
        runtime=result.runtime,
        precision=result.precision,
        accelerator=result.accelerator,
        threads=result.threads,
        batch_size=result.batch_size,
        scenario=result.scenario,
        p50=p50.value if p50 else None,
        p50_low=p50.low if p50 else None,
        p50_high=p50.high if p50 else None,
        p99=p99.value if p99 else None,
        items_per_second=result.throughput_items_per_second,
        joules_per_item=energy.joules_per_item if energy else None,
        energy_scope=energy.provenance.scope if energy else None,
        peak_memory_bytes=memory.peak_rss_bytes if memory else None,
        model_bytes=result.model_info.size_bytes,
        parameters=result.model_info.parameters,
        flags=tuple(flag.name for flag in result.flags),
        error_kind=error.kind if error else None,
        error=error.message[:ERROR_CHARACTERS] if error else None,
        finished_at=result.finished_at,
        received_at=received,
        clock_offset_seconds=off,
        p50_usual=result.at_usual_speed.p50.value if result.at_usual_speed else None,
    )


def columns_of(
    seq: int, result: RunResult, submitted: datetime | None = None, received: datetime | None = None
) -> dict[str, Any]:
    """A row of the table; arguments as those of ``summary_of``."""
    found = summary_of(seq, result, submitted, received)
    parts = (
        found.model, found.device, found.runtime, found.precision, found.accelerator,
        found.status.value, found.scenario, found.error_kind, *found.flags,
    )  # fmt: skip
    return {
        "seq": seq,
        "run_id": found.run_id,
        "job_id": found.job_id,
        "device": found.device,
        "model": found.model,
        "status": found.status.value,
        "series": found.series,
        "summary": found.model_dump_json(),
        "words": " ".join(str(part) for part in parts if part).lower(),
    }


def run_summary(row: Row[Any]) -> RunSummary:
    return RunSummary.model_validate_json(row.summary)
