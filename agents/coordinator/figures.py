"""What is exported of the store's runs, read from each result once.

A fleet has thousands of latest results, and a scrape comes every few seconds: of a result that was
read before, its few figures are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Select, func, select

from agents.coordinator import schema
from agents.coordinator.database import reading
from agents.coordinator.measured_models import is_here
from agents.coordinator.rows import known
from agents.exporter import RunFigures, figures_of
from profiler.result import RunResult, RunStatus

# SQLite takes a limited number of values in one statement.
_AT_ONCE = 500


def newest_successes() -> Select[Any]:
    """``seq`` of the newest success of every series whose device and model are still here."""
    r = schema.results.c
    return (
        select(func.max(r.seq))
        .join(schema.devices, schema.devices.c.id == r.device_id)
        .where(r.status == RunStatus.SUCCEEDED.value)
        .where(schema.devices.c.removed.is_(False))
        .where(is_here(r.model, r.seq))
        .group_by(r.device_id, r.model, r.series)
    )


class Figures:
    """Figures of runs; safe between threads.

    Args:
        engine: a migrated database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept: dict[int, RunFigures] = {}

    def latest_and_recent(
        self, count: int
    ) -> tuple[tuple[RunFigures, ...], tuple[RunFigures, ...]]:
        """The newest success of every series, oldest first; the newest runs that are over."""
        r = schema.results.c
        with self._lock:
            with reading(self._engine) as db:
                latest = sorted(db.execute(newest_successes()).scalars())
                recent = (
                    db.execute(
                        select(r.seq)
                        .where(is_here(r.model, r.seq))
                        .order_by(r.seq.desc())
                        .limit(count)
                    )
                    .scalars()
                    .all()
                )
            self._keep({*latest, *recent})
            return (
                tuple(self._kept[seq] for seq in latest),
                tuple(self._kept[seq] for seq in recent),
            )

    def _keep(self, wanted: set[int]) -> None:
        self._kept = {seq: found for seq, found in self._kept.items() if seq in wanted}
        missing = sorted(wanted - self._kept.keys())
        for first in range(0, len(missing), _AT_ONCE):
            self._read(missing[first : first + _AT_ONCE])

    def _read(self, numbers: Sequence[int]) -> None:
        r = schema.results.c
        query = select(r.seq, r.result, r.received_at).where(r.seq.in_(numbers))
        with reading(self._engine) as db:
            for row in db.execute(query):
                result = RunResult.model_validate_json(row.result)
                self._kept[row.seq] = figures_of(result, known(row.received_at))
