"""Recordings and runs: metres of ascent, if a source has them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("recording", "run"):
        op.add_column(table, sa.Column("ascent_m", sa.Float(), nullable=True))
