"""What is read from the store: jobs, runs and results. Changes nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Select, func, select

from agents.coordinator import schema
from agents.coordinator.database import reading
from agents.coordinator.measured_models import is_here
from agents.coordinator.queue import ACTIVE
from agents.coordinator.rows import (
    RunCount,
    job_of,
    job_state,
    run_of,
    run_states,
)
from agents.coordinator.store_errors import NotFoundError
from agents.messages import (
    Job,
    JobState,
    Run,
    RunState,
)
from profiler.result import RunResult


class Reader:
    """Queries; each sees one consistent state.

    Args:
        engine: a migrated database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- jobs --------------------------------------------------------------------------------

    def jobs(self, limit: int) -> tuple[Job, ...]:
        """Newest first."""
        with reading(self._engine) as db:
            rows = db.execute(
                select(schema.jobs).order_by(schema.jobs.c.seq.desc()).limit(limit)
            ).all()
            counts = run_states(db, [row.id for row in rows])
        return tuple(job_of(row, counts.get(row.id, {})) for row in rows)

    def job(self, job_id: str) -> Job:
        """Raises:
        NotFoundError: no such job.
        """
        with reading(self._engine) as db:
            row = db.execute(select(schema.jobs).where(schema.jobs.c.id == job_id)).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no job {job_id!r}; `fleetmark jobs` lists them")
            return job_of(row, run_states(db, [job_id]).get(job_id, {}))

    def job_counts(self) -> dict[JobState, int]:
        """How many jobs are in which state."""
        with reading(self._engine) as db:
            ids = [row.id for row in db.execute(select(schema.jobs.c.id))]
            counts = run_states(db, None)
        totals = dict.fromkeys(JobState, 0)
        for job_id in ids:
            totals[job_state(counts.get(job_id, {}))] += 1
        return totals

    # --- runs --------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Raises:
        NotFoundError: no such run.
        """
        found = self._runs(select(schema.runs).where(schema.runs.c.id == run_id))
        if not found:
            raise NotFoundError(f"there is no run {run_id!r}; `fleetmark runs` lists them")
        return found[0]

    def runs_of(self, job_id: str) -> tuple[Run, ...]:
        query = select(schema.runs).where(schema.runs.c.job_id == job_id)
        return self._runs(query.order_by(schema.runs.c.seq))

    def active_on(self, device_id: str) -> tuple[Run, ...]:
        """Runs that the device is held to be working on."""
        states = [state.value for state in ACTIVE]
        query = select(schema.runs).where(schema.runs.c.device_id == device_id)
        return self._runs(query.where(schema.runs.c.state.in_(states)).order_by(schema.runs.c.seq))

    def pending(
        self, limit: int, job_id: str | None = None, device: str | None = None
    ) -> tuple[Run, ...]:
        """Runs that are not over, oldest first."""
        states = [state.value for state in RunState if not state.final]
        query = select(schema.runs).where(schema.runs.c.state.in_(states))
        if job_id is not None:
            query = query.where(schema.runs.c.job_id == job_id)
        if device is not None:
            query = query.where(schema.runs.c.device == device)
        return self._runs(query.order_by(schema.runs.c.seq).limit(limit))

    def queued_counts(self) -> dict[str, int]:
        """Waiting runs per device name."""
        query = (
            select(schema.runs.c.device, func.count())
            .where(schema.runs.c.state == RunState.QUEUED.value)
            .group_by(schema.runs.c.device)
        )
        with reading(self._engine) as db:
            return {str(row[0]): int(row[1]) for row in db.execute(query)}

    def _runs(self, query: Select[Any]) -> tuple[Run, ...]:
        with reading(self._engine) as db:
            return tuple(run_of(row) for row in db.execute(query))

    # --- results -----------------------------------------------------------------------------

    def results(
        self, limit: int, job_id: str | None = None, device: str | None = None
    ) -> tuple[RunResult, ...]:
        """Newest first."""
        query = select(schema.results.c.result).order_by(schema.results.c.seq.desc()).limit(limit)
        if job_id is not None:
            query = query.join(schema.runs, schema.runs.c.id == schema.results.c.run_id)
            query = query.where(schema.runs.c.job_id == job_id)
        if device is not None:
            query = query.where(schema.results.c.device == device)
        with reading(self._engine) as db:
            rows = db.execute(query).all()
        return tuple(RunResult.model_validate_json(row.result) for row in rows)

    def result(self, run_id: str) -> RunResult | None:
        query = select(schema.results.c.result).where(schema.results.c.run_id == run_id)
        with reading(self._engine) as db:
            row = db.execute(query).one_or_none()
        return RunResult.model_validate_json(row.result) if row else None

    def run_counts(self) -> tuple[RunCount, ...]:
        r = schema.results.c
        counted = (
            select(func.count().label("n"), func.max(r.seq).label("last"))
            .where(is_here(r.model, r.seq))
            .group_by(r.device, r.model, r.status)
            .subquery()
        )
        query = select(r.device, r.model, r.status, r.run_id, counted.c.n)
        with reading(self._engine) as db:
            rows = db.execute(query.join(counted, counted.c.last == r.seq)).all()
        return tuple(
            RunCount(
                device=row.device, model=row.model, status=row.status, count=row.n,
                last_run_id=row.run_id,
            )
            for row in rows
        )  # fmt: skip

    def late_results(self, run_id: str) -> int:
        """How many late results of this run were kept apart."""
        query = select(func.count()).where(schema.late_results.c.run_id == run_id)
        with reading(self._engine) as db:
            return int(db.execute(query).scalar_one())
