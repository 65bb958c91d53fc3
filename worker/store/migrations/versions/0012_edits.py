"""Athletes' corrections of runs, and the version of the rules that derived the runs."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "recording", sa.Column("about", sa.String(160), server_default="", nullable=False)
    )
    op.add_column(
        "recording", sa.Column("excluded", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    # No runs were derived by the current rules yet; housekeeping does it, one athlete at a time.
    op.add_column(
        "athlete", sa.Column("matched_by", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index("ix_athlete_matched_by", "athlete", ["matched_by"])
