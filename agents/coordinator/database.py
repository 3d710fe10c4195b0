"""Engine, transactions and migrations: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from profiler.errors import FleetmarkError

READ_ONLY = "fleetmark_read_only"
BUSY_TIMEOUT_MS = 10_000


class StoreFullError(FleetmarkError):
    """The disk under the store is full; the transaction was rolled back."""


def open_engine(url: str) -> Engine:
    """An engine whose write transactions take their lock at once, so that none fails half way.

    Raises:
        FleetmarkError: ``url`` is none, or the driver of its database is not installed.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, ModuleNotFoundError) as error:
        # The URL itself is not shown: it may hold a password.
        raise FleetmarkError(
            f"--database is no URL of a database that can be used here: {_first_line(error)}"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own implicit BEGIN is off; _begin_sqlite sends the one that is wanted.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    # A result is acknowledged to the device after its commit: the commit must survive a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Bring the database to the newest schema; what is stored is kept.

    Raises:
        FleetmarkError: the database cannot be opened, or belongs to a newer version.
    """
    config = Config()
    config.set_main_option("script_location", "agents.coordinator:migrations")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (DBAPIError, CommandError) as error:
        raise FleetmarkError(f"the database cannot be opened: {_first_line(error)}") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction.

    Raises:
        StoreFullError: there is no room; nothing was changed.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        # SQLite's two ways to say it, and PostgreSQL's.
        if any(sign in str(error.orig) for sign in ("is full", "disk I/O", "No space left")):
            raise StoreFullError(
                f"the disk under the store is full ({error.orig}); free some space and try again"
            ) from error
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view for reading; takes no lock that a writer waits for."""
    with engine.connect().execution_options(**_READ) as connection:
        yield connection


_READ: dict[str, Any] = {READ_ONLY: True}
