"""Forgetting an athlete: nothing of them is left, the copies of the database included."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.app import NOW, App, steady
from worker.pipeline.backup import back_up, copies
from worker.pipeline.forget import forget_athlete
from worker.store import Store


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_copies_of_the_database_forget_too(app: App, tmp_path: Path) -> None:
    """Those made before are replaced by one made now, which knows the others still."""
    backups = tmp_path / "backups"
    services = replace(app.services, backups_path=backups)
    anna = app.athlete("Anna")
    app.athlete("Bo")
    app.runs(anna, steady())
    assert back_up(services, NOW - timedelta(days=2)) is not None

    forget_athlete(services, anna, data_dir=tmp_path, now=NOW)

    (copy,) = copies(backups).values()
    assert not [
        file for file in tmp_path.rglob("*.db*") if b"anna@example.org" in file.read_bytes()
    ]
    store = Store.open(f"sqlite:///{copy}")
    with store.reading() as tx:
        assert [one.name for one in tx.athletes.all()] == ["Bo"]
    store.close()
