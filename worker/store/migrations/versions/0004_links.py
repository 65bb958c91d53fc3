"""Athletes: since when their links are valid, and whether they use a 12 or 24 hour clock."""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("athlete", sa.Column("links_from", Utc))
    op.add_column("athlete", sa.Column("clock", sa.String(2), server_default="24", nullable=False))
