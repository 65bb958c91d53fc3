"""An upgrade killed at any statement: the next start finds the old schema and completes it.

The full form, every statement of every upgrade: EASEBACK_TEST_EVERY_STATEMENT=1.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from tests.crash.launcher import Launcher, Life
from worker.store import HEAD, Store, migrations
from worker.store.tables import metadata

STEP = 1 if os.environ.get("EASEBACK_TEST_EVERY_STATEMENT") else 25


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher() as launcher:
        yield launcher


def at_schema(file: Path, schema: str | None) -> None:
    """A database left by an older version; None: it doesn't exist yet."""
    if schema is None:
        return
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, schema)
    engine.dispose()


@pytest.mark.parametrize("schema", [None, "0001"])
def test_a_kill_at_any_statement_of_an_upgrade_is_made_good(
    launcher: Launcher, tmp_path: Path, schema: str | None
) -> None:
    """A new database, and one of the first release."""
    fresh = tmp_path / "fresh"
    (fresh / "data").mkdir(parents=True)
    at_schema(fresh / "data" / "easeback.db", schema)

    def live(kill_at: int | None) -> tuple[Path, int, bool]:
        home = tmp_path / f"killed-{kill_at}"
        shutil.copytree(fresh, home)
        settings = {"EASEBACK_DATA_DIR": str(home / "data")}
        command = ["athlete", "add", "--name", "Ann", "--email", "ann@example.org"]
        life = Life(str(home), command, settings=settings, statements=True, kill_at=kill_at)
        end = launcher.live(life)
        return home / "data" / "easeback.db", end.passed, end.killed

    _, boundaries, _ = live(None)
    assert boundaries > 40
    for number in range(1, boundaries, STEP):
        file, _, killed = live(number)
        assert killed
        store = Store.open(f"sqlite:///{file}")
        assert store.schema() == HEAD
        store.check()
        assert set(inspect(store.engine).get_table_names()) == {*metadata.tables, "alembic_version"}
        store.close()
