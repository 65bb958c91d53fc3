"""Forgetting an athlete: nothing of them is left, not even in copies of the database."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from tests.app import NOW, App, steady
from tests.pipeline.test_housekeeping import vacuums
from worker.domain.files import Snapshot
from worker.pipeline.backup import back_up, copies
from worker.pipeline.forget import forget_athlete
from worker.pipeline.housekeeping import VACUUM_EVERY, tidy
from worker.store import Store, StoreError


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_copies_of_the_database_forget_too(app: App, tmp_path: Path) -> None:
    """Earlier copies are replaced by a new one, which still has the other athletes."""
    backups = tmp_path / "backups"
    services = replace(app.services, backups_path=backups)
    anna = app.athlete("Anna")
    app.athlete("Bo")
    app.runs(anna, steady())
    assert back_up(services, NOW - timedelta(days=2)) is not None

    forget_athlete(services, anna, data_dir=tmp_path, now=NOW)
    tidy(services, NOW)

    (copy,) = copies(backups).values()
    assert not [
        file for file in tmp_path.rglob("*.db*") if b"anna@example.org" in file.read_bytes()
    ]
    store = Store.open(f"sqlite:///{copy}")
    with store.reading() as tx:
        assert [one.name for one in tx.athletes.all()] == ["Bo"]
    store.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_copies_are_renewed_once_for_all_who_leave_in_a_day(app: App, tmp_path: Path) -> None:
    """Later copies stay, as they don't contain anybody forgotten."""
    services = replace(app.services, backups_path=tmp_path / "backups")
    for name in ("Anna", "Bo", "Cleo"):
        forget_athlete(services, app.athlete(name), data_dir=tmp_path, now=NOW)
    later = NOW + timedelta(minutes=1)
    assert back_up(services, NOW - timedelta(days=2)) is not None
    tidy(services, later)
    assert list(copies(tmp_path / "backups")) == [later]
    assert back_up(services, later + VACUUM_EVERY) is not None
    tidy(services, later + 2 * VACUUM_EVERY)
    assert len(copies(tmp_path / "backups")) == 2


def test_what_still_comes_of_somebody_forgotten_is_refused_in_words(
    app: App, tmp_path: Path
) -> None:
    """As by an import in progress; nothing of it is stored."""
    anna = app.athlete("Anna")
    app.runs(anna, steady())
    forget_athlete(app.services, anna, data_dir=tmp_path, now=NOW)
    with pytest.raises(StoreError, match="forgotten meanwhile"):
        app.runs(anna, steady())
    with app.services.store.reading() as tx:
        assert not tx.runs.any(anna)


def test_forgetting_writes_nothing_anew_while_a_page_waits(app: App, tmp_path: Path) -> None:
    """However many leave at once, that's left to housekeeping, once a day."""
    services = replace(app.services, backups_path=tmp_path / "backups")
    with vacuums(services.store) as seen:
        for name in ("Anna", "Bo", "Cleo"):
            forget_athlete(services, app.athlete(name), data_dir=tmp_path, now=NOW)
        assert seen == []
        tidy(services, NOW + timedelta(minutes=1))
        assert seen == ["VACUUM"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_moved_within_the_file_is_gone_too(app: App, tmp_path: Path) -> None:
    """SQLite overwrites deleted rows, but not the old place of a row that has moved."""
    store = app.services.store
    assert store.file is not None
    pick = Random(1)  # noqa: S311  the same rows each time
    athletes = [app.athlete(f"Canary{number:02d}") for number in range(20)]
    order = [number for number in range(20) for _ in range(80)]
    pick.shuffle(order)
    with store.transaction() as tx:
        for at, number in enumerate(order):
            name = f"Canary{number:02d}/{pick.random()}{'x' * pick.choice((1, 60, 240))}.fit"
            file = Snapshot(name, at, at, athlete_id=athletes[number].id)
            tx.inbox.save([file], now=NOW)
    left = set()
    for athlete in athletes[:-1]:
        forget_athlete(app.services, athlete, data_dir=tmp_path, now=NOW)
        left |= {name for name in told_by(store.file) if name == athlete.name.encode()}
    assert left, "this test says nothing where nothing moved"
    tidy(app.services, NOW + timedelta(minutes=1))
    assert told_by(store.file) == {b"Canary19"}


def told_by(database: Path) -> set[bytes]:
    """The names in the database's files, in rows or in unused space."""
    files = database.parent.glob(f"{database.name}*")
    return {name for file in files for name in re.findall(rb"Canary\d\d", file.read_bytes())}
