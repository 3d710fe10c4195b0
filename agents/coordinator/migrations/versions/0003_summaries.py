"""Results in one line each, so that a listing reads no whole result; runs by state."""

import sqlalchemy as sa
from alembic import op

from agents.coordinator.summary_rows import columns_of
from profiler.result import RunResult

revision = "0003"
down_revision = "0002"

CHUNK = 500


def upgrade() -> None:
    summaries = op.create_table(
        "summaries",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.String(32), nullable=False, unique=True),
        sa.Column("job_id", sa.String(32)),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("series", sa.String(200), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_index("summaries_by_device", "summaries", ["device", "seq"])
    op.create_index("summaries_by_job", "summaries", ["job_id", "seq"])
    op.create_index("summaries_by_status", "summaries", ["status", "seq"])
    op.create_index(
        "summaries_by_series", "summaries", ["model", "device", "status", "series", "seq"]
    )
    op.create_index("runs_by_state", "runs", ["state", "seq"])
    _fill(op.get_bind(), summaries)


def _fill(db: sa.Connection, summaries: sa.Table) -> None:
    """Summaries of the results that are there, a few at a time."""
    results = sa.table("results", sa.column("seq"), sa.column("result"))
    last = 0
    while True:
        query = sa.select(results.c.seq, results.c.result).where(results.c.seq > last)
        rows = db.execute(query.order_by(results.c.seq).limit(CHUNK)).all()
        if not rows:
            return
        last = rows[-1].seq
        values = [columns_of(row.seq, RunResult.model_validate_json(row.result)) for row in rows]
        db.execute(sa.insert(summaries), values)


def downgrade() -> None:
    op.drop_index("runs_by_state", "runs")
    op.drop_table("summaries")
