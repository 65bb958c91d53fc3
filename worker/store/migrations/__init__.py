"""The schema's history, one numbered step after another, run by Alembic on both databases."""

from pathlib import Path

from sqlalchemy import Engine


def upgrade(engine: Engine) -> None:
    """Bring the database from whatever it has to the newest schema, in one transaction."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
