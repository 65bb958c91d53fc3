"""Strava: grants, what was seen there, its limits, wishes from webhooks, used states."""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _athlete(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["athlete_id"], ["athlete.id"], name=op.f(f"fk_{table}_athlete_id"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.add_column(
        "recording",
        sa.Column("file_name", sa.String(length=200), server_default="", nullable=False),
    )
    op.create_table(
        "strava_grant",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("strava_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("connected_at", Utc(), nullable=False),
        sa.Column("dead_since", Utc(), nullable=True),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("leased_until", Utc(), nullable=True),
        sa.Column("read_until", Utc(), nullable=True),
        sa.Column("read_back_to", Utc(), nullable=True),
        sa.Column("looked_back_at", Utc(), nullable=True),
        sa.Column("doubted_at", Utc(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        _athlete("strava_grant"),
        sa.PrimaryKeyConstraint("athlete_id", name=op.f("pk_strava_grant")),
    )
    op.create_index(op.f("ix_strava_grant_strava_id"), "strava_grant", ["strava_id"])
    op.create_index(op.f("ix_strava_grant_due_at"), "strava_grant", ["due_at"])
    op.create_table(
        "strava_activity",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        _athlete("strava_activity"),
        sa.PrimaryKeyConstraint("athlete_id", "external_id", name=op.f("pk_strava_activity")),
    )
    op.create_index(op.f("ix_strava_activity_started_at"), "strava_activity", ["started_at"])
    op.create_table(
        "strava_wish",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        _athlete("strava_wish"),
        sa.PrimaryKeyConstraint("athlete_id", "external_id", name=op.f("pk_strava_wish")),
    )
    op.create_index(op.f("ix_strava_wish_due_at"), "strava_wish", ["due_at"])
    op.create_table(
        "strava_budget",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("read", sa.JSON(), nullable=True),
        sa.Column("overall", sa.JSON(), nullable=True),
        sa.Column("closed_until", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strava_budget")),
    )
    op.create_table(
        "strava_subscription",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=False),
        sa.Column("made_at", Utc(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strava_subscription")),
    )
    op.create_table(
        "used_state",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("used_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_used_state")),
    )
    op.create_index(op.f("ix_used_state_used_at"), "used_state", ["used_at"])
