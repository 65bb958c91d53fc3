"""Strava: grants, seen activities, rate limits, webhook events, used states."""

import sqlalchemy as sa
from alembic import op

from worker.store.migrations import athlete_id
from worker.store.tables import Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "recording", sa.Column("file_name", sa.String(200), server_default="", nullable=False)
    )
    op.create_table(
        "strava_grant",
        athlete_id(primary_key=True),
        sa.Column("strava_id", sa.BigInteger, nullable=False, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("connected_at", Utc, nullable=False),
        sa.Column("dead_since", Utc),
        sa.Column("due_at", Utc, nullable=False, index=True),
        sa.Column("leased_until", Utc),
        sa.Column("read_until", Utc),
        sa.Column("read_back_to", Utc),
        sa.Column("looked_back_at", Utc),
        sa.Column("doubted_at", Utc),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_table(
        "strava_activity",
        athlete_id(primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("started_at", Utc, index=True),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("seen_at", Utc, nullable=False),
    )
    op.create_table(
        "strava_wish",
        athlete_id(primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("due_at", Utc, nullable=False, index=True),
        sa.Column("tries", sa.Integer, nullable=False),
    )
    op.create_table(
        "strava_budget",
        sa.Column("id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("at", Utc, nullable=False),
        sa.Column("read", sa.JSON),
        sa.Column("overall", sa.JSON),
        sa.Column("closed_until", Utc),
    )
    op.create_table(
        "strava_subscription",
        sa.Column("id", sa.BigInteger, autoincrement=False, primary_key=True),
        sa.Column("callback_url", sa.Text, nullable=False),
        sa.Column("made_at", Utc, nullable=False),
        sa.Column("dropped", sa.Integer, nullable=False),
    )
    op.create_table(
        "used_state",
        sa.Column("state_hash", sa.String(64), primary_key=True),
        sa.Column("used_at", Utc, nullable=False, index=True),
    )
