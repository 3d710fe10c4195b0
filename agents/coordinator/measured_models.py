"""Models that have been measured, and those that a user is done with.

A removed model keeps its results, its runs and their verdicts. It is the latest of nothing any
more: no metric, standing or board has it, until it is measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, insert, select

from agents.coordinator import schema
from agents.coordinator.database import reading, writing
from agents.coordinator.rows import known
from agents.coordinator.store_errors import NotFoundError
from agents.views import MeasuredModel


def is_here(model: ColumnElement[Any], seq: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a result is of a model that was not removed since."""
    gone = schema.removed_models.c
    after = select(gone.after_seq).where(gone.model == model).scalar_subquery()
    return seq > func.coalesce(after, 0)


class MeasuredModels:
    """Queries and changes, each one transaction.

    Args:
        engine: a migrated database.
        now: the clock for what is written.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    def all(self) -> tuple[MeasuredModel, ...]:
        """Those that are here, the one that was measured last first."""
        r = schema.results.c
        newest = func.max(r.seq)
        query = (
            select(
                r.model,
                func.count(func.distinct(r.device)).label("devices"),
                func.count().label("results"),
                func.max(r.received_at).label("last"),
            )
            .where(is_here(r.model, r.seq))
            .group_by(r.model)
            .order_by(newest.desc())
        )
        with reading(self._engine) as db:
            return tuple(
                MeasuredModel(
                    model=row.model,
                    devices=row.devices,
                    results=row.results,
                    last_result_at=known(row.last),
                )
                for row in db.execute(query)
            )

    def remove(self, model: str) -> None:
        """It is the latest of nothing until it is measured again.

        Raises:
            NotFoundError: nothing is known of it.
        """
        r, gone = schema.results.c, schema.removed_models
        with writing(self._engine) as db:
            last = db.execute(select(func.max(r.seq)).where(r.model == model)).scalar_one()
            if last is None:
                raise NotFoundError(f"there is no result of a model {model!r}")
            db.execute(delete(gone).where(gone.c.model == model))
            db.execute(insert(gone).values(model=model, after_seq=last, removed_at=self._now()))
