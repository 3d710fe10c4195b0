"""Devices, jobs, runs and results. Every transition of a run is one transaction here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, insert, select, update

from agents.coordinator import schema
from agents.coordinator.auth import sha256
from agents.coordinator.database import reading, writing
from agents.coordinator.queue import ACTIVE, accepts, after_loss, may_become
from agents.coordinator.rows import (
    DeviceRecord,
    RunCount,
    device_of,
    job_of,
    job_state,
    run_of,
    run_states,
    series_of,
    utc,
)
from agents.messages import (
    AttemptKey,
    Job,
    JobRequest,
    JobState,
    Registration,
    Run,
    RunState,
)
from profiler.errors import FleetmarkError, InputError
from profiler.failure import result_without_figures
from profiler.result import FailureKind, RunError, RunResult, RunStatus
from profiler.spec import RunSpec

STATE_OF = {
    RunStatus.SUCCEEDED: RunState.SUCCEEDED,
    RunStatus.FAILED: RunState.FAILED,
    RunStatus.CANCELLED: RunState.CANCELLED,
}


class NotFoundError(FleetmarkError):
    """Nothing has this id."""


class GoneError(FleetmarkError):
    """A user removed what this was."""


def new_id() -> str:
    return secrets.token_hex(8)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Store:
    """All that must survive ``kill -9``.

    Args:
        engine: a migrated database.
        now: the clock for what is written.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime] = _now) -> None:
        self._engine = engine
        self._now = now

    # --- devices -----------------------------------------------------------------------------

    def register(self, asked: Registration) -> DeviceRecord:
        """Take up a device, new or returned.

        Raises:
            InputError: the name belongs to another device.
        """
        now = self._now()
        with writing(self._engine) as db:
            row = db.execute(
                select(schema.devices).where(schema.devices.c.name == asked.name)
            ).one_or_none()
            if row is not None and row.key_sha256 != sha256(asked.device_key):
                seen = utc(row.last_seen_at)
                raise InputError(
                    "name", asked.name,
                    f"belongs to another device (at {row.address}, last seen "
                    f"{seen.isoformat(timespec='seconds') if seen else 'never'})",
                    f"Choose another --name, or `fleetmark devices remove {asked.name}` first",
                )  # fmt: skip
            values = {
                "labels": json.dumps(asked.labels, sort_keys=True),
                "inventory": asked.inventory.model_dump_json(),
                "versions": asked.versions.model_dump_json(),
                "address": asked.address,
                "metrics_port": asked.metrics_port,
                "last_seen_at": now,
            }
            if row is None:
                db.execute(
                    insert(schema.devices).values(
                        id=new_id(), name=asked.name, key_sha256=sha256(asked.device_key),
                        registered_at=now, removed=False, **values,
                    )
                )  # fmt: skip
            else:
                db.execute(
                    update(schema.devices).where(schema.devices.c.id == row.id).values(**values)
                )
            found = select(schema.devices).where(schema.devices.c.name == asked.name)
            return device_of(db.execute(found).one())

    def devices(self) -> tuple[DeviceRecord, ...]:
        query = (
            select(schema.devices)
            .where(schema.devices.c.removed.is_(False))
            .order_by(schema.devices.c.name)
        )
        with reading(self._engine) as db:
            return tuple(device_of(row) for row in db.execute(query))

    def seen(self, device_id: str, device_key: str) -> bool:
        """Note a heartbeat; whether the device is known and the key is its own."""
        with writing(self._engine) as db:
            done = db.execute(
                update(schema.devices)
                .where(schema.devices.c.id == device_id)
                .where(schema.devices.c.key_sha256 == sha256(device_key))
                .where(schema.devices.c.removed.is_(False))
                .values(last_seen_at=self._now())
            )
            return done.rowcount == 1

    def was_removed(self, device_id: str) -> bool:
        """Whether a user removed this device."""
        query = select(schema.devices.c.removed).where(schema.devices.c.id == device_id)
        with reading(self._engine) as db:
            row = db.execute(query).one_or_none()
        return row is not None and bool(row.removed)

    def remove_device(self, name: str) -> str:
        """Forget a device: its waiting runs are cancelled, its results stay.

        Returns:
            the device's id.

        Raises:
            NotFoundError: no such device.
        """
        with writing(self._engine) as db:
            row = db.execute(
                select(schema.devices.c.id)
                .where(schema.devices.c.name == name)
                .where(schema.devices.c.removed.is_(False))
            ).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no device {name!r}")
            for run in self._open_runs(db, schema.runs.c.device_id == row.id):
                self._cancel(db, run, "the device was removed")
            db.execute(
                update(schema.devices)
                .where(schema.devices.c.id == row.id)
                .values(removed=True, name=f"{name[:40]}#{row.id}")
            )
            return str(row.id)

    # --- jobs --------------------------------------------------------------------------------

    def add_job(
        self, request: JobRequest, plan: Sequence[tuple[DeviceRecord, RunSpec]]
    ) -> tuple[Job, tuple[Run, ...]]:
        """Store a job with all its runs, or nothing."""
        now, job_id = self._now(), new_id()
        with writing(self._engine) as db:
            db.execute(
                insert(schema.jobs).values(
                    id=job_id,
                    request=request.model_dump_json(),
                    model=request.model.label,
                    created_at=now,
                )
            )
            for device, spec in plan:
                run_id = new_id()
                db.execute(
                    insert(schema.runs).values(
                        id=run_id, job_id=job_id, device_id=device.id, device=device.name,
                        spec=spec.model_dump_json(), state=RunState.QUEUED.value, attempt=0,
                        max_attempts=request.max_attempts, created_at=now,
                    )
                )  # fmt: skip
                self._note(db, run_id, 0, RunState.QUEUED, None)
        return self.job(job_id), self.runs_of(job_id)

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

    def cancel_job(self, job_id: str) -> tuple[Run, ...]:
        """Cancel what is not over; the runs that were cancelled.

        Raises:
            NotFoundError: no such job.
        """
        self.job(job_id)
        with writing(self._engine) as db:
            open_runs = self._open_runs(db, schema.runs.c.job_id == job_id)
            for run in open_runs:
                self._cancel(db, run, "cancelled by a user")
        return tuple(open_runs)

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

    # --- transitions -------------------------------------------------------------------------

    def assign_next(self, device_id: str) -> Run | None:
        """Hand the device its oldest waiting run: assigned, with the next attempt's number."""
        query = (
            select(schema.runs)
            .where(schema.runs.c.device_id == device_id)
            .where(schema.runs.c.state == RunState.QUEUED.value)
            .order_by(schema.runs.c.seq)
            .limit(1)
            .with_for_update()
        )
        with writing(self._engine) as db:
            row = db.execute(query).one_or_none()
            if row is None:
                return None
            run = run_of(row)
            return self._move(db, run, RunState.ASSIGNED, None, attempt=run.attempt + 1)

    def mark_running(self, key: AttemptKey) -> None:
        with writing(self._engine) as db:
            run = self._locked(db, key.run_id)
            if run is not None and run.attempt == key.attempt and run.state is RunState.ASSIGNED:
                self._move(db, run, RunState.RUNNING, None, started_at=self._now())

    def give_up(self, key: AttemptKey, reason: str) -> RunState | None:
        """An attempt is lost: its run waits again, or has failed when no attempt is left."""
        with writing(self._engine) as db:
            run = self._locked(db, key.run_id)
            if run is None or run.attempt != key.attempt or run.state not in ACTIVE:
                return None
            target = after_loss(run)
            error = None
            if target is RunState.FAILED:
                text = f"{reason}; attempt {run.attempt} of {run.max_attempts}"
                error = RunError(kind=FailureKind.LOST, message=text)
            self._move(db, run, target, reason, error=error)
            if error is not None:
                self._insert_result(db, run, self._ended(run, RunStatus.FAILED, error))
            return target

    def finish(self, key: AttemptKey, result: RunResult) -> bool:
        """Store a result; whether it counts. A late one is kept apart, a second one ignored."""
        with writing(self._engine) as db:
            run = self._locked(db, key.run_id)
            if run is None or not accepts(run, key):
                self._keep_late(db, key, result, run)
                return False
            self._insert_result(db, run, result)
            self._move(db, run, STATE_OF[result.status], None, error=result.error)
            return True

    def _insert_result(self, db: Connection, run: Run, result: RunResult) -> None:
        db.execute(
            insert(schema.results).values(
                run_id=run.id, device_id=run.device_id, device=run.device,
                model=result.model, status=result.status.value, series=series_of(result),
                result=result.model_dump_json(), received_at=self._now(),
            )
        )  # fmt: skip

    def _cancel(self, db: Connection, run: Run, reason: str) -> None:
        self._move(db, run, RunState.CANCELLED, reason)
        error = RunError(kind=FailureKind.LOST, message=reason)
        self._insert_result(db, run, self._ended(run, RunStatus.CANCELLED, error))

    def _ended(self, run: Run, status: RunStatus, error: RunError) -> RunResult:
        """The result of a run that ended without its device's word."""
        return result_without_figures(
            run_id=run.id,
            attempt=run.attempt,
            job_id=run.job_id,
            device=run.device,
            spec=run.spec,
            status=status,
            error=error,
            started_at=run.started_at or run.created_at,
            environment=None,
            environment_reason="the device did not report",
        )

    def _keep_late(
        self, db: Connection, key: AttemptKey, result: RunResult, run: Run | None
    ) -> None:
        # What is delivered twice (the first acknowledgement was lost) is no late result.
        row = db.execute(
            select(schema.results.c.result).where(schema.results.c.run_id == key.run_id)
        ).one_or_none()
        counted = RunResult.model_validate_json(row.result) if row else None
        if counted and (counted.attempt, counted.status) == (key.attempt, result.status):
            return
        late = schema.late_results.c
        same = select(late.seq).where(late.run_id == key.run_id).where(late.attempt == key.attempt)
        if db.execute(same).first() is not None:
            return
        if run is not None:
            self._note(db, run.id, key.attempt, run.state, "a late result was kept apart")
        db.execute(
            insert(schema.late_results).values(
                run_id=key.run_id, attempt=key.attempt,
                result=result.model_dump_json(), received_at=self._now(),
            )
        )  # fmt: skip

    def _open_runs(self, db: Connection, which: ColumnElement[bool]) -> list[Run]:
        """Runs that are not over, locked: none can end while it is being cancelled."""
        states = [state.value for state in RunState if not state.final]
        query = select(schema.runs).where(which).where(schema.runs.c.state.in_(states))
        return [run_of(row) for row in db.execute(query.with_for_update())]

    def _locked(self, db: Connection, run_id: str) -> Run | None:
        query = select(schema.runs).where(schema.runs.c.id == run_id).with_for_update()
        row = db.execute(query).one_or_none()
        return run_of(row) if row is not None else None

    def _move(
        self,
        db: Connection,
        run: Run,
        target: RunState,
        reason: str | None,
        *,
        attempt: int | None = None,
        started_at: datetime | None = None,
        error: RunError | None = None,
    ) -> Run:
        if not may_become(run.state, target):
            raise FleetmarkError(f"run {run.id} cannot go from {run.state} to {target}")
        changed = run.model_copy(
            update={
                "state": target,
                "reason": reason,
                "attempt": run.attempt if attempt is None else attempt,
                "started_at": started_at or run.started_at,
                "finished_at": self._now() if target.final else None,
                "error": error,
            }
        )
        db.execute(
            update(schema.runs)
            .where(schema.runs.c.id == run.id)
            .values(
                state=target.value,
                reason=reason,
                attempt=changed.attempt,
                started_at=changed.started_at,
                finished_at=changed.finished_at,
                error=error.model_dump_json() if error else None,
            )
        )
        self._note(db, run.id, changed.attempt, target, reason)
        return changed

    def _note(
        self, db: Connection, run_id: str, attempt: int, state: RunState, reason: str | None
    ) -> None:
        db.execute(
            insert(schema.transitions).values(
                run_id=run_id, attempt=attempt, state=state.value, reason=reason, at=self._now()
            )
        )

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

    def latest_results(self) -> tuple[RunResult, ...]:
        """The newest success of every series of every model on every device that is still here."""
        newest = (
            select(func.max(schema.results.c.seq))
            .join(schema.devices, schema.devices.c.id == schema.results.c.device_id)
            .where(schema.results.c.status == RunStatus.SUCCEEDED.value)
            .where(schema.devices.c.removed.is_(False))
            .group_by(schema.results.c.device_id, schema.results.c.model, schema.results.c.series)
        )
        query = select(schema.results.c.result).where(schema.results.c.seq.in_(newest))
        with reading(self._engine) as db:
            rows = db.execute(query.order_by(schema.results.c.seq)).all()
        return tuple(RunResult.model_validate_json(row.result) for row in rows)

    def run_counts(self) -> tuple[RunCount, ...]:
        r = schema.results.c
        query = select(r.device, r.model, r.status, func.count().label("n"))
        with reading(self._engine) as db:
            rows = db.execute(query.group_by(r.device, r.model, r.status)).all()
        return tuple(
            RunCount(device=row.device, model=row.model, status=row.status, count=row.n)
            for row in rows
        )

    def late_results(self, run_id: str) -> int:
        """How many late results of this run were kept apart."""
        query = select(func.count()).where(schema.late_results.c.run_id == run_id)
        with reading(self._engine) as db:
            return int(db.execute(query).scalar_one())
