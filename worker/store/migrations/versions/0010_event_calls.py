"""Credentials: how many calls were made for webhook events of the athlete today."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source_credential", sa.Column("event_calls_on", sa.Date(), nullable=True))
    op.add_column(
        "source_credential",
        sa.Column("event_calls", sa.Integer(), server_default="0", nullable=False),
    )
