"""Devices, jobs, runs and results. Every transition of a run is one transaction here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, update

from agents.coordinator import schema
from agents.coordinator.baselines import Baselines
from agents.coordinator.database import writing
from agents.coordinator.figures import Figures
from agents.coordinator.listings import Listings
from agents.coordinator.measured_models import MeasuredModels
from agents.coordinator.queue import (
    ACTIVE,
    MOST_RUNS_TOGETHER,
    accepts,
    after_loss,
    may_become,
    together,
)
from agents.coordinator.reader import Reader
from agents.coordinator.registry import Registry, new_id
from agents.coordinator.rows import (
    DeviceRecord,
    run_of,
    series_of,
)
from agents.coordinator.store_errors import NotFoundError
from agents.coordinator.summary_rows import columns_of
from agents.messages import (
    AttemptKey,
    Job,
    JobRequest,
    Run,
    RunState,
)
from profiler.errors import FleetmarkError
from profiler.failure import result_without_figures
from profiler.result import FailureKind, RunError, RunResult, RunStatus
from profiler.spec import RunSpec

STATE_OF = {
    RunStatus.SUCCEEDED: RunState.SUCCEEDED,
    RunStatus.FAILED: RunState.FAILED,
    RunStatus.CANCELLED: RunState.CANCELLED,
}


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Store(Registry, Reader):
    """All that must survive ``kill -9``.

    Args:
        engine: a migrated database.
        now: the clock for what is written.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime] = _now) -> None:
        Registry.__init__(self, engine, now)
        self.listings = Listings(engine)
        self.baselines = Baselines(engine, now)
        self.figures = Figures(engine)
        self.models = MeasuredModels(engine, now)

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

    # --- transitions -------------------------------------------------------------------------

    def assign_next(self, device_id: str) -> tuple[Run, ...]:
        """Hand the device its oldest waiting runs of one job, as many as may take turns.

        All of them are assigned, each with its own next attempt's number, or none is.
        """
        r = schema.runs.c
        waiting = (
            select(schema.runs)
            .where(r.device_id == device_id)
            .where(r.state == RunState.QUEUED.value)
            .order_by(r.seq)
        )
        with writing(self._engine) as db:
            first = db.execute(waiting.limit(1)).one_or_none()
            if first is None:
                return ()
            of_job = waiting.where(r.job_id == first.job_id).limit(MOST_RUNS_TOGETHER)
            group = together([run_of(row) for row in db.execute(of_job.with_for_update())])
            return tuple(
                self._move(db, run, RunState.ASSIGNED, None, attempt=run.attempt + 1)
                for run in group
            )

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
            if run is None or not accepts(run, key, result.status):
                self._keep_late(db, key, result, run)
                return False
            self._insert_result(db, run, result)
            self._move(db, run, STATE_OF[result.status], None, error=result.error)
            return True

    def _insert_result(self, db: Connection, run: Run, result: RunResult) -> None:
        now = self._now()
        done = db.execute(
            insert(schema.results).values(
                run_id=run.id, device_id=run.device_id, device=run.device,
                model=result.model, status=result.status.value, series=series_of(result),
                result=result.model_dump_json(), received_at=now,
            )
        )  # fmt: skip
        (seq,) = done.inserted_primary_key or (0,)
        # By the run's own names, whatever the device says: the listing leads to the run.
        names = {"run_id": run.id, "job_id": run.job_id, "device": run.device}
        named = result.model_copy(update=names)
        db.execute(insert(schema.summaries).values(**columns_of(seq, named, run.created_at, now)))

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
