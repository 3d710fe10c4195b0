"""The store's database: migrations that fit the tables, and a full disk that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from agents.coordinator import schema
from agents.coordinator.database import (
    StoreFullError,
    migrate,
    open_engine,
    reading,
    writing,
)
from profiler.errors import FleetmarkError
from tests.builders import NOW
from tests.tools import small_disk


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrate(found)
    yield found
    found.dispose()


def job(name: str, request: str = "{}") -> dict[str, object]:
    return {"id": name, "request": request, "model": "resnet18", "created_at": NOW}


def count(engine: Engine) -> int:
    with reading(engine) as db:
        return int(db.execute(select(func.count()).select_from(schema.jobs)).scalar_one())


def test_the_migrations_make_exactly_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, schema.metadata) == []
    # What autogenerate does not compare.
    for table in schema.metadata.sorted_tables:
        indexes = {i["name"] for i in inspect(engine).get_indexes(table.name)}
        assert indexes == {index.name for index in table.indexes}


def test_migrating_twice_keeps_what_is_stored(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(insert(schema.jobs).values(job("a")))
    migrate(engine)
    assert count(engine) == 1


def test_a_database_of_a_newer_version_is_left_alone(engine: Engine) -> None:
    with writing(engine) as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(FleetmarkError, match="9999"):
        migrate(engine)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(FleetmarkError, match="cannot be opened"):
        migrate(engine)
    engine.dispose()


def test_a_transaction_is_all_or_nothing(engine: Engine) -> None:
    def fails() -> None:
        with writing(engine) as db:
            db.execute(insert(schema.jobs).values(job("a")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert count(engine) == 0


def test_references_are_enforced(engine: Engine) -> None:
    def dangling() -> None:
        with writing(engine) as db:
            db.execute(
                insert(schema.transitions).values(run_id="none", attempt=0, state="queued", at=NOW)
            )

    with pytest.raises(IntegrityError):
        dangling()


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(insert(schema.jobs).values(job("a")))
        assert count(engine) == 0
    assert count(engine) == 1


def test_a_commit_survives_a_power_cut(engine: Engine) -> None:
    with engine.connect() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert modes == ["wal", 2, 1]


def test_a_full_disk_changes_nothing_and_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        engine = open_engine(f"sqlite:///{disk / 'store.db'}")
        migrate(engine)
        with writing(engine) as db:
            db.execute(insert(schema.jobs).values(job("a")))

        def fill() -> None:
            for number in range(100):
                with writing(engine) as db:
                    db.execute(insert(schema.jobs).values(job(f"b{number}", "x" * 50_000)))

        with pytest.raises(StoreFullError, match="free some space"):
            fill()
        stored = count(engine)
        assert 1 <= stored < 100
        with pytest.raises(StoreFullError):
            fill_one(engine)
        assert count(engine) == stored
        engine.dispose()
        # What was committed is there when the coordinator comes back.
        again = open_engine(f"sqlite:///{disk / 'store.db'}")
        assert count(again) == stored
        again.dispose()


def fill_one(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(insert(schema.jobs).values(job("c", "x" * 500_000)))
