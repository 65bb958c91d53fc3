"""The schema's history, one numbered step after another, run by Alembic on both databases."""

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, ForeignKey, Integer, text

_ADVISORY_KEY = 0x6D_6967_7261_7465  # "migrate" in ASCII


def upgrade(engine: Engine) -> None:
    """Upgrade the database to the newest schema, in one transaction."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # If two processes start together, one waits and finds it done. On SQLite, the
            # transaction itself is that lock.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def athlete_id(**options: Any) -> Column[int]:
    """The column with a row's athlete; the row is deleted with the athlete."""
    return Column("athlete_id", Integer, ForeignKey("athlete.id", ondelete="CASCADE"), **options)
