"""The inbox: which folder it was and how many files lay in it, to tell an empty mount point."""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_folder",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("missing_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_folder")),
    )
