"""Baselines and verdicts; a result's series tells threads, inputs and rate apart too."""

import json
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_RESULTS = sa.table(
    "results", sa.column("seq", sa.Integer), sa.column("series", sa.Text), sa.column("result")
)


def upgrade() -> None:
    op.create_table(
        "baselines",
        sa.Column("device_id", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("series", sa.String(200), primary_key=True),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "verdicts",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("baseline_run_id", sa.String(32), nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("ratio", sa.Float),
        sa.Column("ratio_low", sa.Float),
        sa.Column("ratio_high", sa.Float),
        sa.Column("reason", sa.Text),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("comparison", sa.Text, nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
    )
    db = op.get_bind()
    for row in db.execute(sa.select(_RESULTS.c.seq, _RESULTS.c.series, _RESULTS.c.result)).all():
        series = f"{row.series}/{_more(json.loads(row.result))}"
        db.execute(_RESULTS.update().where(_RESULTS.c.seq == row.seq).values(series=series))


def _more(result: dict[str, Any]) -> str:
    """What ``rows.series_of`` has behind the first version's parts."""
    shapes = [each["shape"] for each in result.get("inputs", ())]
    text = ",".join("x".join(map(str, shape)) or "scalar" for shape in shapes)
    if len(text) > 80:  # noqa: PLR2004 - as profiler.latency_buckets cut it then
        text = f"{text[:67]}…{sha256(text.encode()).hexdigest()[:12]}"
    server = result.get("server") or {}
    return "/".join(map(str, (result.get("threads"), text, server.get("rate_per_second"))))


def downgrade() -> None:
    op.drop_table("verdicts")
    op.drop_table("baselines")
