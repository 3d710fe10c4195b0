"""Queries of the page. What one costs is bounded by what it shows, not by what the store holds."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, func, select

from agents.coordinator import schema
from agents.coordinator.baselines import verdict_of
from agents.coordinator.database import reading
from agents.coordinator.rows import job_of, run_of, run_states
from agents.coordinator.summary_rows import run_summary
from agents.messages import Run, RunState
from agents.views import HistoryPoint, JobPage, LatestRuns, RunPage
from profiler.errors import InputError
from profiler.result import RunStatus

MOST_NAMES = 2000
OPEN = [state.value for state in RunState if not state.final]
ACTIVE = [RunState.ASSIGNED.value, RunState.RUNNING.value]

s = schema.summaries.c
r = schema.runs.c
v = schema.verdicts.c


class Listings:
    """Pages of what is in the store; each query sees one consistent state.

    Args:
        engine: a migrated database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- results -----------------------------------------------------------------------------

    def runs(
        self,
        limit: int,
        *,
        before: int | None = None,
        words: str = "",
        device: str | None = None,
        model: str | None = None,
        job: str | None = None,
        status: RunStatus | None = None,
    ) -> RunPage:
        """Results newest first, by what was asked for.

        Args:
            limit: of a page.
            before: ``next_before`` of the page before this one.
            words: all of them have to be in a result's names; upper and lower case are one.
            device: its name; likewise ``model``, ``job`` and ``status``.
        """
        asked = _asked(words, device, model, job, status)
        page = select(schema.summaries).where(*asked).order_by(s.seq.desc()).limit(limit + 1)
        if before is not None:
            page = page.where(s.seq < before)
        with reading(self._engine) as db:
            rows = db.execute(page).all()
            total = db.execute(select(func.count(s.seq)).where(*asked)).scalar_one()
        shown = tuple(run_summary(row) for row in rows[:limit])
        more = len(rows) > limit
        return RunPage(runs=shown, next_before=shown[-1].seq if more else None, total=int(total))

    def latest(
        self, most: int, *, device: str | None = None, model: str | None = None
    ) -> LatestRuns:
        """The newest success of every model, device and configuration.

        Raises:
            InputError: that is more than ``most``.
        """
        asked = _asked("", device, model, None, RunStatus.SUCCEEDED)
        newest = (
            select(func.max(s.seq).label("seq"))
            .where(*asked)
            .group_by(s.model, s.device, s.series)
            .subquery()
        )
        query = select(schema.summaries).join(newest, newest.c.seq == s.seq).order_by(s.seq)
        with reading(self._engine) as db:
            count = int(db.execute(select(func.count()).select_from(newest)).scalar_one())
            if count > most:
                raise InputError(
                    "model" if model is None else "device", model or device,
                    f"has {count:,} series; one chart shows {most:,} at most",
                    "Choose a model and a device",
                )  # fmt: skip
            rows = db.execute(query).all()
        return LatestRuns(runs=tuple(run_summary(row) for row in rows))

    def history(self, device: str, model: str, most: int) -> tuple[HistoryPoint, ...]:
        """Successes of a model on a device with the verdicts on them, newest first."""
        asked = _asked("", device, model, None, RunStatus.SUCCEEDED)
        # All but the comparison itself, which is long.
        verdict = [column for column in v if column.name != v.comparison.name]
        query = (
            select(s.summary, *verdict)
            .select_from(schema.summaries.outerjoin(schema.verdicts, v.run_id == s.run_id))
            .where(*asked)
            .order_by(s.seq.desc())
            .limit(most)
        )
        with reading(self._engine) as db:
            return tuple(
                HistoryPoint(run=run_summary(row), verdict=verdict_of(row) if row.verdict else None)
                for row in db.execute(query)
            )

    def models(self) -> tuple[str, ...]:
        """Names of all models that were measured, the most of them that a list can hold."""
        query = select(s.model).group_by(s.model).order_by(s.model).limit(MOST_NAMES)
        with reading(self._engine) as db:
            return tuple(row.model for row in db.execute(query))

    # --- what is not over --------------------------------------------------------------------

    def active(self, limit: int, *, job: str | None = None) -> tuple[Run, ...]:
        """Runs that devices work on, oldest first."""
        return self._runs(ACTIVE, limit, job)

    def waiting(self, limit: int, *, job: str | None = None) -> tuple[Run, ...]:
        """Runs in the queue, oldest first."""
        return self._runs([RunState.QUEUED.value], limit, job)

    def run(self, run_id: str) -> Run | None:
        with reading(self._engine) as db:
            row = db.execute(select(schema.runs).where(r.id == run_id)).one_or_none()
        return run_of(row) if row is not None else None

    def runs_by_id(self, run_ids: Sequence[str]) -> dict[str, Run]:
        with reading(self._engine) as db:
            rows = db.execute(select(schema.runs).where(r.id.in_(run_ids))).all()
        return {row.id: run_of(row) for row in rows}

    def _runs(self, states: Sequence[str], limit: int, job: str | None) -> tuple[Run, ...]:
        query = select(schema.runs).where(r.state.in_(states)).order_by(r.seq).limit(limit)
        if job is not None:
            query = query.where(r.job_id == job)
        with reading(self._engine) as db:
            return tuple(run_of(row) for row in db.execute(query))

    # --- jobs and counts ---------------------------------------------------------------------

    def jobs(self, limit: int, offset: int) -> JobPage:
        """Newest first."""
        j = schema.jobs
        query = select(j).order_by(j.c.seq.desc()).offset(offset).limit(limit + 1)
        with reading(self._engine) as db:
            rows = db.execute(query).all()
            counts = run_states(db, [row.id for row in rows[:limit]])
        found = tuple(job_of(row, counts.get(row.id, {})) for row in rows[:limit])
        return JobPage(jobs=found, more=len(rows) > limit)

    def queued(self) -> int:
        query = select(func.count()).where(r.state == RunState.QUEUED.value)
        with reading(self._engine) as db:
            return int(db.execute(query).scalar_one())

    def queued_on(self, device_ids: Sequence[str]) -> dict[str, int]:
        """Runs that wait, by the device's id."""
        query = (
            select(r.device_id, func.count().label("n"))
            .where(r.device_id.in_(device_ids), r.state == RunState.QUEUED.value)
            .group_by(r.device_id)
        )
        with reading(self._engine) as db:
            return {row.device_id: row.n for row in db.execute(query)}

    def open_jobs(self) -> int:
        query = select(func.count(func.distinct(r.job_id))).where(r.state.in_(OPEN))
        with reading(self._engine) as db:
            return int(db.execute(query).scalar_one())

    def results(self) -> int:
        with reading(self._engine) as db:
            return int(db.execute(select(func.count(s.seq))).scalar_one())


def _asked(
    words: str,
    device: str | None,
    model: str | None,
    job: str | None,
    status: RunStatus | None,
) -> list[ColumnElement[bool]]:
    """Conditions; a word is looked for as it is, ``%`` and ``_`` included."""
    found: list[ColumnElement[bool]] = [
        s.words.contains(word, autoescape=True) for word in words.lower().split()
    ]
    for column, value in ((s.device, device), (s.model, model), (s.job_id, job)):
        if value is not None:
            found.append(column == value)
    if status is not None:
        found.append(s.status == status.value)
    return found
