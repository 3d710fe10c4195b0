"""First version of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("key_sha256", sa.String(64), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("inventory", sa.Text, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("metrics_port", sa.Integer, nullable=False),
        _moment("registered_at", nullable=False),
        _moment("last_seen_at"),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        _moment("created_at", nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("device_id", sa.String(32), sa.ForeignKey("devices.id"), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("error", sa.Text),
        _moment("created_at", nullable=False),
        _moment("started_at"),
        _moment("finished_at"),
    )
    op.create_index("runs_by_device_and_state", "runs", ["device_id", "state"])
    op.create_index("runs_by_job", "runs", ["job_id"])
    op.create_table(
        "transitions",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        _moment("at", nullable=False),
    )
    op.create_index("transitions_by_run", "transitions", ["run_id"])
    op.create_table(
        "results",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id"), nullable=False, unique=True),
        sa.Column("device_id", sa.String(32), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("series", sa.String(200), nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        _moment("received_at", nullable=False),
    )
    op.create_index("results_by_series", "results", ["device_id", "model", "series"])
    op.create_table(
        "late_results",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        _moment("received_at", nullable=False),
    )


def downgrade() -> None:
    for table in ("late_results", "results", "transitions", "runs", "jobs", "devices"):
        op.drop_table(table)
