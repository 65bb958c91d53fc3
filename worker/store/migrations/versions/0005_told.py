"""Sources: which error was mailed to the athlete, because each is mailed once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source_state", sa.Column("told_error", sa.Text))
