"""Imports: what came of each piece, so that the next one passes over it; what is yet to judge."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _athlete(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["athlete_id"], ["athlete.id"], name=op.f(f"fk_{table}_athlete_id"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "import_piece",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        _athlete("import_piece"),
        sa.PrimaryKeyConstraint("athlete_id", "mark", "number", name=op.f("pk_import_piece")),
    )
    op.create_table(
        "unjudged",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        _athlete("unjudged"),
        sa.PrimaryKeyConstraint("athlete_id", name=op.f("pk_unjudged")),
    )
