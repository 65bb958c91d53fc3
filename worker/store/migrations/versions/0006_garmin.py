"""Garmin: keys, what was seen there and whose file is read, when the next call may be made."""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _athlete(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["athlete_id"], ["athlete.id"], name=op.f(f"fk_{table}_athlete_id"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "garmin_grant",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("key_expires_at", Utc(), nullable=False),
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
        _athlete("garmin_grant"),
        sa.PrimaryKeyConstraint("athlete_id", name=op.f("pk_garmin_grant")),
    )
    op.create_index(op.f("ix_garmin_grant_due_at"), "garmin_grant", ["due_at"])
    op.create_index(op.f("ix_garmin_grant_read_back_to"), "garmin_grant", ["read_back_to"])
    living = sa.text("dead_since IS NULL")
    op.create_index(
        "ix_garmin_grant_living", "garmin_grant", ["due_at"],
        postgresql_where=living, sqlite_where=living,
    )  # fmt: skip
    op.create_table(
        "garmin_activity",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        sa.Column("file", sa.String(length=8), nullable=False),
        sa.Column("file_due_at", Utc(), nullable=True),
        sa.Column("file_tries", sa.Integer(), nullable=False),
        sa.Column("silence", sa.Text(), nullable=True),
        _athlete("garmin_activity"),
        sa.PrimaryKeyConstraint("athlete_id", "external_id", name=op.f("pk_garmin_activity")),
    )
    op.create_index(op.f("ix_garmin_activity_started_at"), "garmin_activity", ["started_at"])
    op.create_index(op.f("ix_garmin_activity_file_due_at"), "garmin_activity", ["file_due_at"])
    op.create_table(
        "garmin_pace",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("free_at", Utc(), nullable=True),
        sa.Column("closed_until", Utc(), nullable=True),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_garmin_pace")),
    )
