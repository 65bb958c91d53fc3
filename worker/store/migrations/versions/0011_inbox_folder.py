"""The inbox: the folder and its number of files, to detect an empty mount point.

Files that failed because they couldn't be read at the time are read again.
"""

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NOT_READ = (
    "reading it took longer than",
    "reading it takes more than",
    "its reader was killed",
    "it crashed its reader",
    "can't be opened: ",
)


def upgrade() -> None:
    op.create_table(
        "inbox_folder",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("missing_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_folder")),
    )
    file = sa.table("inbox_file", *map(sa.column, ("verdict", "reason")))
    not_read = [file.c.reason.like(f"{beginning}%") for beginning in _NOT_READ]
    op.execute(
        sa.update(file)
        .where(file.c.verdict == "failed", sa.or_(*not_read))
        .values(verdict="unread")
    )
