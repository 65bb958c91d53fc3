"""Imports: the result of each entry, so that the next import skips it, and days to judge."""

import sqlalchemy as sa
from alembic import op

from worker.store.migrations import athlete_id

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_piece",
        athlete_id(primary_key=True),
        sa.Column("mark", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64)),
    )
    op.create_table(
        "unjudged",
        athlete_id(primary_key=True),
        sa.Column("since", sa.Date, nullable=False),
    )
