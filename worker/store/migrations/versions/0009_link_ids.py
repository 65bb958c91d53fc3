"""Athletes: a random id for links, never used twice, unlike row ids after a restore.

Existing links contain the row id, which stays valid for existing athletes.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "athlete", sa.Column("link_id", sa.String(length=16), server_default="", nullable=False)
    )
    op.add_column(
        "athlete",
        sa.Column("links_by_number", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    athlete = sa.table("athlete", *map(sa.column, ("id", "link_id", "links_by_number")))
    connection = op.get_bind()
    ids = connection.execute(sa.select(athlete.c.id)).scalars().all()
    if ids:
        connection.execute(
            sa.update(athlete)
            .where(athlete.c.id == sa.bindparam("one"))
            .values(link_id=sa.bindparam("new"), links_by_number=sa.true()),
            [{"one": one, "new": secrets.token_urlsafe(12)} for one in ids],
        )
    op.create_index(op.f("ix_athlete_link_id"), "athlete", ["link_id"], unique=True)
