"""Athletes: the language they chose; empty: the operator's."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "athlete", sa.Column("language", sa.String(20), server_default="", nullable=False)
    )
