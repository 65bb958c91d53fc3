"""Garmin: keys, seen activities and the state of their files, and the next allowed call."""

import sqlalchemy as sa
from alembic import op

from worker.store.migrations import athlete_id
from worker.store.tables import Utc, only

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "garmin_grant",
        athlete_id(primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("key_expires_at", Utc, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("connected_at", Utc, nullable=False),
        sa.Column("dead_since", Utc),
        sa.Column("due_at", Utc, nullable=False, index=True),
        sa.Column("leased_until", Utc),
        sa.Column("read_until", Utc),
        sa.Column("read_back_to", Utc, index=True),
        sa.Column("looked_back_at", Utc),
        sa.Column("doubted_at", Utc),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Index("ix_garmin_grant_living", "due_at", **only("dead_since IS NULL")),
    )
    op.create_table(
        "garmin_activity",
        athlete_id(primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("started_at", Utc, index=True),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("seen_at", Utc, nullable=False),
        sa.Column("file", sa.String(8), nullable=False),
        sa.Column("file_due_at", Utc, index=True),
        sa.Column("file_tries", sa.Integer, nullable=False),
        sa.Column("silence", sa.Text),
    )
    op.create_table(
        "garmin_pace",
        sa.Column("id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("free_at", Utc),
        sa.Column("closed_until", Utc),
        sa.Column("refused", sa.Integer, nullable=False),
    )
