"""The practice: therapists, pauses, copies of alerts, and indexes for its page of all athletes."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "therapist",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("link_id", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_therapist"),
        sa.UniqueConstraint("name", name="uq_therapist_name"),
        sa.UniqueConstraint("link_id", name="uq_therapist_link_id"),
        sqlite_autoincrement=True,
    )
    for name in ("paused_at", "copies_agreed_at"):
        op.add_column("athlete", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "athlete", sa.Column("copies_off", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_index("ix_checkin_day", "checkin", ["day"])
    op.create_index("ix_finding_told_on", "finding", ["told_on"])
