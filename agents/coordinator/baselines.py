"""Baselines and verdicts in the store: what each run is compared with, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row, Select, delete, insert, select

from agents.coordinator import schema
from agents.coordinator.database import reading, writing
from agents.coordinator.figures import newest_successes
from agents.coordinator.rows import known
from agents.coordinator.store_errors import NotFoundError
from agents.verdicts import Configuration, JudgedRun, RunVerdict, Standing, VerdictDetail
from profiler.comparing.comparison import Comparison, Verdict
from profiler.errors import InputError
from profiler.latency_buckets import shapes
from profiler.result import Interval, RunResult, RunStatus

FIRST = "it is the first run of this configuration"
ITSELF = "it is the baseline itself"
NOT_YET = "it has not been compared yet"


class Series(NamedTuple):
    """What is compared with itself over time."""

    device_id: str
    model: str
    series: str


class Pair(NamedTuple):
    """A run and what it is to be compared with."""

    baseline_run_id: str
    pinned: bool


class Baselines:
    """Queries and changes, each one transaction.

    Args:
        engine: a migrated database.
        now: the clock for what is written.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    # --- which run is the baseline -------------------------------------------------------------

    def pin(self, run_id: str) -> str:
        """From now on the series of this run is compared with it.

        Returns:
            the latest run of the series, which is to be judged anew.

        Raises:
            NotFoundError: there is no such run, or it is not over.
            InputError: it did not succeed.
        """
        row = self._result_row(run_id)
        if row.status != RunStatus.SUCCEEDED.value:
            raise InputError(
                "run", run_id, f"is no baseline: it has {row.status}", "Choose one that succeeded"
            )
        series = Series(row.device_id, row.model, row.series)
        with writing(self._engine) as db:
            db.execute(delete(schema.baselines).where(*_is(schema.baselines, series)))
            db.execute(
                insert(schema.baselines).values(
                    **series._asdict(), run_id=run_id, pinned_at=self._now()
                )
            )
        return self._latest_of(series)

    def unpin(self, run_id: str) -> str:
        """The series of this run is compared with the run before again.

        Returns:
            the latest run of the series, which is to be judged anew.

        Raises:
            NotFoundError: there is no such run, or nothing was pinned for its series.
        """
        row = self._result_row(run_id)
        series = Series(row.device_id, row.model, row.series)
        with writing(self._engine) as db:
            done = db.execute(delete(schema.baselines).where(*_is(schema.baselines, series)))
        if not done.rowcount:
            raise NotFoundError(f"no baseline is pinned for what run {run_id} measured")
        return self._latest_of(series)

    def baseline_of(self, run_id: str) -> Pair | None:
        """The pinned run of its series, or the success before it; ``None``: there is none.

        Raises:
            NotFoundError: there is no such run, or it is not over.
        """
        row = self._result_row(run_id)
        series = Series(row.device_id, row.model, row.series)
        r = schema.results.c
        before = (
            select(r.run_id)
            .where(*_is(schema.results, series))
            .where(r.status == RunStatus.SUCCEEDED.value)
            .where(r.seq < row.seq)
            .order_by(r.seq.desc())
            .limit(1)
        )
        pinned = select(schema.baselines.c.run_id).where(*_is(schema.baselines, series))
        with reading(self._engine) as db:
            chosen = db.execute(pinned).scalar_one_or_none()
            if chosen is not None:
                return None if chosen == run_id else Pair(chosen, pinned=True)
            previous = db.execute(before).scalar_one_or_none()
        return None if previous is None else Pair(previous, pinned=False)

    def _result_row(self, run_id: str) -> Row[Any]:
        r = schema.results.c
        query: Select[Any] = select(r.seq, r.device_id, r.model, r.series, r.status)
        query = query.where(r.run_id == run_id)
        with reading(self._engine) as db:
            row: Row[Any] | None = db.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r} that is over")
        return row

    def _latest_of(self, series: Series) -> str:
        r = schema.results.c
        query = (
            select(r.run_id)
            .where(*_is(schema.results, series))
            .where(r.status == RunStatus.SUCCEEDED.value)
            .order_by(r.seq.desc())
            .limit(1)
        )
        with reading(self._engine) as db:
            return str(db.execute(query).scalar_one())

    # --- verdicts ------------------------------------------------------------------------------

    def keep(self, run_id: str, pair: Pair, comparison: Comparison) -> None:
        """Store the verdict on a run, in place of an earlier one."""
        # Where the two may not be compared, their ratio says nothing of the model.
        ratio = None if comparison.refusals else comparison.ratio
        with writing(self._engine) as db:
            db.execute(delete(schema.verdicts).where(schema.verdicts.c.run_id == run_id))
            db.execute(
                insert(schema.verdicts).values(
                    run_id=run_id,
                    baseline_run_id=pair.baseline_run_id,
                    pinned=pair.pinned,
                    verdict=comparison.verdict.value,
                    ratio=ratio.value if ratio else None,
                    ratio_low=ratio.low if ratio else None,
                    ratio_high=ratio.high if ratio else None,
                    reason=comparison.reason,
                    sentence=comparison.sentence,
                    comparison=comparison.model_dump_json(),
                    judged_at=self._now(),
                )
            )

    def drop(self, run_id: str) -> None:
        """The run has no baseline any more."""
        with writing(self._engine) as db:
            db.execute(delete(schema.verdicts).where(schema.verdicts.c.run_id == run_id))

    def verdict(self, run_id: str) -> VerdictDetail:
        """Raises:
        NotFoundError: there is none, for a reason that it tells.
        """
        query = select(schema.verdicts).where(schema.verdicts.c.run_id == run_id)
        with reading(self._engine) as db:
            row = db.execute(query).one_or_none()
        if row is None:
            reason = self._why_not(run_id)
            raise NotFoundError(f"there is no verdict on run {run_id}: {reason}")
        comparison = Comparison.model_validate_json(row.comparison)
        return VerdictDetail(verdict=verdict_of(row), comparison=comparison)

    def _why_not(self, run_id: str) -> str:
        row = self._result_row(run_id)
        if row.status != RunStatus.SUCCEEDED.value:
            return f"it has {row.status}"
        series = Series(row.device_id, row.model, row.series)
        pinned = select(schema.baselines.c.run_id).where(*_is(schema.baselines, series))
        with reading(self._engine) as db:
            chosen = db.execute(pinned).scalar_one_or_none()
        if chosen == run_id:
            return ITSELF
        return NOT_YET if self.baseline_of(run_id) else FIRST

    def latest(self) -> dict[str, RunVerdict]:
        """Verdicts on the latest success of every series, by run id."""
        r, v = schema.results.c, schema.verdicts
        query = select(v).join(schema.results, r.run_id == v.c.run_id)
        with reading(self._engine) as db:
            rows = db.execute(query.where(r.seq.in_(newest_successes()))).all()
        return {row.run_id: verdict_of(row) for row in rows}

    def unjudged(self) -> tuple[str, ...]:
        """Latest successes that have no verdict, be it that none can be."""
        r = schema.results.c
        query = (
            select(r.run_id)
            .where(r.seq.in_(newest_successes()))
            .where(r.run_id.not_in(select(schema.verdicts.c.run_id)))
            .order_by(r.seq)
        )
        with reading(self._engine) as db:
            return tuple(db.execute(query).scalars())

    # --- for people ----------------------------------------------------------------------------

    def standings(
        self, limit: int, device: str | None = None, model: str | None = None
    ) -> tuple[Standing, ...]:
        """How every configuration stands against its baseline, the latest first."""
        r, b = schema.results.c, schema.baselines
        pinned = (b.c.device_id == r.device_id) & (b.c.model == r.model) & (b.c.series == r.series)
        query = _judged(device, model).where(r.seq.in_(newest_successes())).limit(limit)
        query = query.add_columns(b.c.run_id.label("pinned_run_id")).outerjoin(b, pinned)
        with reading(self._engine) as db:
            rows = db.execute(query).all()
        return tuple(self._standing(row) for row in rows)

    def standing(self, run_id: str) -> Standing:
        """Of the configuration that a run measured."""
        row = self._result_row(run_id)
        latest = self._latest_of(Series(row.device_id, row.model, row.series))
        b, r = schema.baselines, schema.results.c
        pinned = (b.c.device_id == r.device_id) & (b.c.model == r.model) & (b.c.series == r.series)
        query = _judged(None, None).where(r.run_id == latest)
        query = query.add_columns(b.c.run_id.label("pinned_run_id")).outerjoin(b, pinned)
        with reading(self._engine) as db:
            return self._standing(db.execute(query).one())

    def _standing(self, row: Row[Any]) -> Standing:
        run = _judged_run(row)
        return Standing(
            configuration=run.configuration,
            run_id=run.run_id,
            received_at=run.received_at,
            p50_seconds=run.p50_seconds,
            pinned_run_id=row.pinned_run_id,
            verdict=run.verdict,
            reason=run.verdict.reason if run.verdict else self._why_not(run.run_id),
        )

    def history(
        self, limit: int, device: str | None = None, model: str | None = None
    ) -> tuple[JudgedRun, ...]:
        """Successful runs with the verdict on each, newest first."""
        success = schema.results.c.status == RunStatus.SUCCEEDED.value
        with reading(self._engine) as db:
            rows = db.execute(_judged(device, model).where(success).limit(limit)).all()
        return tuple(_judged_run(row) for row in rows)


def _is(table: Any, series: Series) -> Iterable[Any]:
    return (table.c[name] == value for name, value in series._asdict().items())


def _judged(device: str | None, model: str | None) -> Select[Any]:
    """Results with their verdicts, newest first."""
    r, v = schema.results.c, schema.verdicts
    query = (
        select(r.run_id.label("of_run"), r.result, r.received_at, v)
        .select_from(schema.results.outerjoin(v, v.c.run_id == r.run_id))
        .order_by(r.seq.desc())
    )
    if device is not None:
        query = query.where(r.device == device)
    if model is not None:
        query = query.where(r.model == model)
    return query


def _judged_run(row: Row[Any]) -> JudgedRun:
    result = RunResult.model_validate_json(row.result)
    p50 = result.latency.p50 if result.latency else None
    return JudgedRun(
        configuration=configuration_of(result),
        run_id=row.of_run,
        received_at=known(row.received_at),
        p50_seconds=p50.value if p50 else None,
        p50_low_seconds=p50.low if p50 else None,
        p50_high_seconds=p50.high if p50 else None,
        verdict=verdict_of(row) if row.verdict is not None else None,
    )


def configuration_of(result: RunResult) -> Configuration:
    return Configuration(
        device=result.device,
        model=result.model,
        accelerator=result.accelerator,
        runtime=result.runtime,
        precision=result.precision,
        batch_size=result.batch_size,
        threads=result.threads,
        inputs=shapes([each.shape for each in result.inputs]),
        scenario=result.scenario,
    )


def verdict_of(row: Row[Any]) -> RunVerdict:
    ratio = None
    if row.ratio is not None:
        ratio = Interval(value=row.ratio, low=row.ratio_low, high=row.ratio_high)
    return RunVerdict(
        run_id=row.run_id,
        baseline_run_id=row.baseline_run_id,
        pinned=row.pinned,
        verdict=Verdict(row.verdict),
        ratio=ratio,
        reason=row.reason,
        sentence=row.sentence,
        judged_at=known(row.judged_at),
    )
