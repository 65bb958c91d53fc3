"""Plans: when they last changed, since when calendar links are valid, which race was mailed."""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("athlete", sa.Column("changed_at", Utc(), nullable=True))
    op.add_column("athlete", sa.Column("calendar_from", Utc(), nullable=True))
    op.add_column("weekly", sa.Column("race_on", sa.Date(), nullable=True))
    op.add_column("weekly", sa.Column("race_m", sa.Float(), nullable=True))
