"""Rows of the store → data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Row, func, select

from agents.coordinator import schema
from agents.messages import (
    Inventory,
    Job,
    JobRequest,
    JobState,
    Run,
    RunState,
    Versions,
)
from profiler.base import Frozen
from profiler.latency_buckets import shapes
from profiler.result import RunError, RunResult, RunStatus
from profiler.spec import RunSpec


class DeviceRecord(Frozen):
    """A registered device, as stored; whether it is there now is not the store's to know."""

    id: str
    name: str
    labels: dict[str, str]
    inventory: Inventory
    versions: Versions
    address: str
    metrics_port: int
    registered_at: datetime
    last_seen_at: datetime | None


class RunCount(Frozen):
    """How many runs of a model ended how on a device, and which was the last of them."""

    device: str
    model: str
    status: RunStatus
    count: int
    last_run_id: str


def utc(moment: datetime | None) -> datetime | None:
    """SQLite gives moments back without their zone; all of ours are UTC."""
    return moment.replace(tzinfo=timezone.utc) if moment and moment.tzinfo is None else moment


def series_of(result: RunResult) -> str:
    """What tells two series of one model on one device apart: each is compared with itself."""
    parts = (
        result.accelerator, result.runtime, result.precision, result.batch_size, result.scenario,
        result.threads, shapes([each.shape for each in result.inputs]),
        result.server.rate_per_second if result.server else None,
    )  # fmt: skip
    return "/".join(str(part) for part in parts)


def device_of(row: Row[Any]) -> DeviceRecord:
    return DeviceRecord(
        id=row.id,
        name=row.name,
        labels=json.loads(row.labels),
        inventory=Inventory.model_validate_json(row.inventory),
        versions=Versions.model_validate_json(row.versions),
        address=row.address,
        metrics_port=row.metrics_port,
        registered_at=known(row.registered_at),
        last_seen_at=utc(row.last_seen_at),
    )


def known(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


def run_of(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        job_id=row.job_id,
        device_id=row.device_id,
        device=row.device,
        spec=RunSpec.model_validate_json(row.spec),
        state=RunState(row.state),
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        reason=row.reason,
        error=RunError.model_validate_json(row.error) if row.error else None,
        created_at=known(row.created_at),
        started_at=utc(row.started_at),
        finished_at=utc(row.finished_at),
    )


def job_state(counts: dict[RunState, int]) -> JobState:
    """The job's state from how many of its runs are in which."""
    present = {state for state, count in counts.items() if count}
    if any(not state.final for state in present):
        begun = present - {RunState.QUEUED}
        return JobState.RUNNING if begun else JobState.QUEUED
    if RunState.FAILED in present:
        return JobState.FAILED
    return JobState.CANCELLED if RunState.CANCELLED in present else JobState.SUCCEEDED


def run_states(db: Connection, job_ids: Sequence[str] | None) -> dict[str, dict[RunState, int]]:
    r = schema.runs.c
    query = select(r.job_id, r.state, func.count().label("n")).group_by(r.job_id, r.state)
    if job_ids is not None:
        query = query.where(r.job_id.in_(job_ids))
    counts: dict[str, dict[RunState, int]] = {}
    for row in db.execute(query):
        counts.setdefault(row.job_id, {})[RunState(row.state)] = row.n
    return counts


def job_of(row: Row[Any], counts: dict[RunState, int]) -> Job:
    return Job(
        id=row.id,
        request=JobRequest.model_validate_json(row.request),
        model=row.model,
        state=job_state(counts),
        runs=counts,
        created_at=known(row.created_at),
    )
