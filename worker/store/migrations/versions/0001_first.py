"""The first schema."""

import sqlalchemy as sa
from alembic import op

from worker.store.migrations import athlete_id
from worker.store.tables import Utc

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "athlete",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("added_at", Utc, nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("units", sa.String(2), nullable=False),
        sa.Column("week_starts", sa.Integer, nullable=False),
        sa.Column("weekly_weekday", sa.Integer, nullable=False),
        sa.Column("weekly_at", sa.Time, nullable=False),
        sa.Column("pain", sa.JSON, nullable=False),
        sa.Column("race_name", sa.String(80)),
        sa.Column("race_on", sa.Date),
        sa.Column("race_m", sa.Float),
        sa.Column("wants", sa.JSON, nullable=False),
        sa.Column("next_weekly_at", Utc, nullable=False, index=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tick",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("at", Utc, nullable=False),
        sa.Column("trouble", sa.Text),
    )
    op.create_table(
        "checkin",
        athlete_id(primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("feels", sa.String(8), nullable=False),
        sa.Column("areas", sa.JSON, nullable=False),
        sa.Column("level", sa.Integer),
        sa.Column("flags", sa.JSON, nullable=False),
        sa.Column("answered_at", Utc, nullable=False),
    )
    op.create_table(
        "inbox_file",
        sa.Column("path", sa.Text, primary_key=True),
        athlete_id(),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False, index=True),
        sa.Column("reason", sa.Text, server_default="", nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("looked_at", Utc, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        athlete_id(index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.String(160), nullable=False, unique=True),
        sa.Column("message_id", sa.String(255), nullable=False, unique=True),
        sa.Column("sender", sa.String(320), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("mime", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("sent_at", Utc),
        sa.Column("last_error", sa.Text),
        sa.Column("perhaps_twice", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Index(None, "state", "due_at"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        athlete_id(nullable=False),
        sa.Column("started_at", Utc, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("distance_m", sa.Float, nullable=False),
        sa.Column("moving_s", sa.Float),
        sa.Column("elapsed_s", sa.Float),
        sa.Column("sport", sa.String(16), nullable=False),
        sa.Column("is_race", sa.Boolean, nullable=False),
        sa.Column("quarantine", sa.Text),
        sa.Index(None, "athlete_id", "day"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "source_state",
        athlete_id(primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("last_success_at", Utc),
        sa.Column("last_error", sa.Text),
        sa.Column("backlog", sa.Integer, server_default="0", nullable=False),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer, primary_key=True),
        athlete_id(nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("observed_m", sa.Float, nullable=False),
        sa.Column("baseline_m", sa.Float, nullable=False),
        sa.Column("race", sa.String(8)),
        sa.Column("retraining", sa.Boolean, nullable=False),
        sa.Column("found_at", Utc, nullable=False),
        sa.Column("withdrawn_at", Utc),
        sa.Column("silence", sa.Text),
        sa.Column(
            "outbox_id", sa.Integer, sa.ForeignKey("outbox.id", ondelete="SET NULL"), index=True
        ),
        sa.Column("told_on", sa.Date),
        sa.Column("told_severity", sa.Integer),
        sa.UniqueConstraint("athlete_id", "day", "kind"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recording",
        sa.Column("id", sa.Integer, primary_key=True),
        athlete_id(nullable=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id", ondelete="SET NULL"), index=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("external_id", sa.String(128), nullable=False),
        sa.Column("started_at", Utc, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("distance_m", sa.Float, nullable=False),
        sa.Column("moving_s", sa.Float),
        sa.Column("elapsed_s", sa.Float),
        sa.Column("sport", sa.String(16), nullable=False),
        sa.Column("is_race", sa.Boolean, nullable=False),
        sa.Column("device", sa.Boolean, nullable=False),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("hidden_start", sa.Boolean, nullable=False),
        sa.Column("title", sa.String(80), nullable=False),
        sa.Column("sha256", sa.String(64), index=True),
        sa.Column("leg", sa.Integer, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("saved_at", Utc, nullable=False),
        sa.UniqueConstraint("athlete_id", "source", "external_id"),
        sa.Index(None, "athlete_id", "day"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "weekly",
        athlete_id(primary_key=True),
        sa.Column("week_starts_on", sa.Date, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outbox_id", sa.Integer, sa.ForeignKey("outbox.id", ondelete="SET NULL")),
    )
