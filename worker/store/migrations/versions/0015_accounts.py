"""Recordings: which of them come from an account's own table."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "recording", sa.Column("account", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
