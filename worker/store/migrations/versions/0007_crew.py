"""Several workers on one database: the workers, the owner of each claim, indexes for due work."""

import unicodedata

import sqlalchemy as sa
from alembic import op

from worker.store.tables import only

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_WAITING = "state IN ('queued', 'retry')"
_FULL = "state IN ('sent', 'dead') AND length(mime) > 0"
_IN_THE_FUTURE = "it is dated in the future"


def upgrade() -> None:
    op.create_table(
        "crew",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.create_table(
        "departure",
        sa.Column("id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.add_column("outbox", sa.Column("claimed_by", sa.String(64)))
    op.add_column("outbox", sa.Column("turn", sa.Integer, nullable=False, server_default="1"))
    outbox = sa.table("outbox", sa.column("kind"), sa.column("turn"))
    op.execute(sa.update(outbox).where(outbox.c.kind == "alert").values(turn=0))
    op.create_index("ix_outbox_next", "outbox", ["turn", "due_at", "id"], **only(_WAITING))
    op.create_index("ix_outbox_expires", "outbox", ["expires_at"], **only(_WAITING))
    op.create_index("ix_outbox_full_sent_at", "outbox", ["sent_at"], **only(_FULL))
    op.create_index("ix_outbox_full_expires_at", "outbox", ["expires_at"], **only(_FULL))
    op.create_index(op.f("ix_strava_grant_read_back_to"), "strava_grant", ["read_back_to"])
    op.create_index(
        "ix_strava_grant_living", "strava_grant", ["due_at"], **only("dead_since IS NULL")
    )
    op.add_column("run", sa.Column("looked_at_on", sa.Date))
    op.create_index(op.f("ix_run_looked_at_on"), "run", ["looked_at_on"])
    run = sa.table("run", sa.column("quarantine"), sa.column("looked_at_on"), sa.column("day"))
    op.execute(
        sa.update(run).where(run.c.quarantine == _IN_THE_FUTURE).values(looked_at_on=run.c.day)
    )
    _name_folders()


def _name_folders() -> None:
    """Save the folder name of each athlete, which SQL can't case-fold."""
    folder = sa.Column("folder", sa.String(320), nullable=False, server_default="")
    op.add_column("athlete", folder)
    athlete = sa.table("athlete", sa.column("id"), sa.column("name"), sa.column("folder"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(athlete.c.id, athlete.c.name)).all():
        named = unicodedata.normalize("NFC", row.name).casefold().strip()
        connection.execute(sa.update(athlete).where(athlete.c.id == row.id).values(folder=named))
    op.create_index(op.f("ix_athlete_folder"), "athlete", ["folder"])
