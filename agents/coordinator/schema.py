"""Tables of the store. The migrations make them; this is how the code names them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

devices = Table(
    "devices",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("key_sha256", String(64), nullable=False),
    Column("labels", Text, nullable=False),
    Column("inventory", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("address", String(255), nullable=False),
    Column("metrics_port", Integer, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True)),
    # A removed device keeps its runs; its name is free again.
    Column("removed", Boolean, nullable=False, default=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("request", Text, nullable=False),
    Column("model", String(200), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("device_id", String(32), ForeignKey("devices.id"), nullable=False),
    Column("device", String(63), nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("runs_by_device_and_state", "device_id", "state"),
    Index("runs_by_job", "job_id"),
    Index("runs_by_state", "state", "seq"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(32), ForeignKey("runs.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("transitions_by_run", "run_id"),
)

results = Table(
    "results",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(32), ForeignKey("runs.id"), nullable=False, unique=True),
    Column("device_id", String(32), nullable=False),
    Column("device", String(63), nullable=False),
    Column("model", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    # Accelerator, runtime, precision, batch size, …: what tells two series of a model apart.
    Column("series", String(200), nullable=False),
    Column("result", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Index("results_by_series", "device_id", "model", "series"),
)

# Results in one line each. The figures are JSON in one column: what is searched and sorted by has
# columns of its own.
summaries = Table(
    "summaries",
    metadata,
    # The result's own.
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String(32), nullable=False, unique=True),
    Column("job_id", String(32)),
    Column("device", String(63), nullable=False),
    Column("model", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    Column("series", String(200), nullable=False),
    Column("summary", Text, nullable=False),
    # Lower case; what a filter looks for.
    Column("words", Text, nullable=False),
    Index("summaries_by_device", "device", "seq"),
    Index("summaries_by_job", "job_id", "seq"),
    Index("summaries_by_status", "status", "seq"),
    Index("summaries_by_series", "model", "device", "status", "series", "seq"),
)

# Models that a user is done with. Their results stay, and are the latest of nothing up to here.
removed_models = Table(
    "removed_models",
    metadata,
    Column("model", String(200), primary_key=True),
    # The last result at that time.
    Column("after_seq", Integer, nullable=False),
    Column("removed_at", DateTime(timezone=True), nullable=False),
)

# Runs that a user chose to compare a series with, instead of the run before.
baselines = Table(
    "baselines",
    metadata,
    Column("device_id", String(32), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("series", String(200), primary_key=True),
    Column("run_id", String(32), nullable=False),
    Column("pinned_at", DateTime(timezone=True), nullable=False),
)

# Of a run against its baseline, as they were when it was judged; no ratio where none may be told.
verdicts = Table(
    "verdicts",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("baseline_run_id", String(32), nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("ratio", Float),
    Column("ratio_low", Float),
    Column("ratio_high", Float),
    Column("reason", Text),
    Column("sentence", Text, nullable=False),
    Column("comparison", Text, nullable=False),
    Column("judged_at", DateTime(timezone=True), nullable=False),
)

# Results of attempts that had been given up: kept, never counted.
late_results = Table(
    "late_results",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("result", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
)
