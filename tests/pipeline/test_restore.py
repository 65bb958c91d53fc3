"""Scheduled backups, and a restore that sends nothing again."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.app import TODAY, App, steady
from tests.command import easeback
from worker.config import BackupSection
from worker.domain.models import Athlete
from worker.pipeline.backup import HELD, back_up, copies, mark_restored, notice_older_copy
from worker.store import Store, StoreError
from worker.store.restore import restore

DAY = timedelta(days=1)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite only: PostgreSQL is backed up by its own tools."""
    return sqlite_url


@pytest.fixture
def kept(app: App, tmp_path: Path) -> Iterator[App]:
    """The application with a backup folder: three copies, none older than ten days."""
    backup = BackupSection(every=DAY, keep=3, keep_for=10 * DAY)
    app.services = replace(app.services, backup=backup, backups_path=tmp_path / "backups")
    yield app
    app.services.store.close()  # a restore has replaced the first store


def days_of(app: App) -> list[int]:
    """For each copy, how many days after the first it was made."""
    assert app.services.backups_path
    return [(at.date() - TODAY).days for at in copies(app.services.backups_path)]


def test_a_copy_a_day_is_kept_and_only_so_many(kept: App) -> None:
    """Requested every hour; the oldest copies are removed."""
    for hour in range(0, 5 * 24, 6):
        back_up(kept.services, kept.now + timedelta(hours=hour))
    assert days_of(kept) == [2, 3, 4]


def test_no_copy_outlives_its_time_but_the_newest_is_always_there(kept: App) -> None:
    """After an idle month there's one copy, from today."""
    back_up(kept.services, kept.now)
    back_up(kept.services, kept.now + 30 * DAY)
    assert days_of(kept) == [30]


@pytest.mark.parametrize("others", [0, 1])
def test_the_last_copies_that_know_an_athlete_arent_replaced_by_emptier_ones(
    kept: App, tmp_path: Path, others: int
) -> None:
    """The database was replaced by an empty or different one: for months nothing is lost."""
    kept.runs(kept.athlete("Anna"), steady())
    for day in range(5):
        back_up(kept.services, kept.now + day * DAY)
    with closing(Store.open(f"sqlite:///{tmp_path / 'anew.db'}")) as anew:
        begun = replace(kept.services, store=anew)
        with anew.transaction() as tx:
            for number in range(others):
                tx.athletes.add(Athlete(0, f"Bo {number}", "bo@example.org", kept.now))
        for day in range(5, 60):
            back_up(begun, kept.now + day * DAY)
    assert days_of(kept) == [2, 3, 4, 57, 58, 59]


def test_a_copy_that_knows_somebody_who_is_still_there_goes_as_ever(kept: App) -> None:
    """Their name may have changed; athletes who join later don't matter."""
    anna = kept.athlete("Anna")
    for day in range(8):
        back_up(kept.services, kept.now + day * DAY)
        with kept.services.store.transaction() as tx:
            tx.athletes.change(replace(anna, name=f"Anna {day}"), now=kept.now)
        kept.athlete(f"Bo {day}", added_at=kept.now + day * DAY)
    assert days_of(kept) == [5, 6, 7]


def test_a_copy_from_a_clock_that_was_ahead_holds_up_none(kept: App) -> None:
    """It doesn't count as the newest for years, and is removed with the next."""
    back_up(kept.services, kept.now + 900 * DAY)
    back_up(kept.services, kept.now)
    assert days_of(kept) == [0]


def lost(home: Path, how: str, left: str) -> None:
    """Lose Anna's database, keeping only this of what was beside it."""
    assert easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=home,
                    env=AT_HOME).returncode == 0  # fmt: skip
    for file in home.glob("easeback.db*"):
        file.unlink()
    if how == "empty":
        (home / "easeback.db").touch()
    (home / "keys").unlink(missing_ok=True)
    if left == "keys":
        (home / "keys").write_text("k" * 43)
    else:
        (home / left).mkdir(exist_ok=True)
        (home / left / "one").touch()


AT_HOME = {"EASEBACK_DATA_DIR": "."}


@pytest.mark.parametrize("left", ["keys", "backups", "mailbox"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_database_that_is_gone_is_refused_and_not_made_anew(
    tmp_path: Path, how: str, left: str
) -> None:
    """Nothing reports that all is well; a new database is only made on request."""
    lost(tmp_path, how, left)
    for command in (("once",), ("status",), ("run",), ("athlete", "list")):
        done = easeback(*command, cwd=tmp_path, env=AT_HOME)
        assert done.returncode == 1
        (line,) = done.stderr.strip().splitlines()
        assert "there is no database at" in line
        assert str(left) in line
        assert "easeback restore FILE" in line
        assert "easeback restore --begin-anew" in line
    assert [one.stat().st_size for one in tmp_path.glob("easeback.db*")] in ([], [0])
    done = easeback("restore", "--begin-anew", cwd=tmp_path, env=AT_HOME)
    assert (done.returncode, done.stderr) == (0, "")
    assert easeback("once", cwd=tmp_path, env=AT_HOME).returncode == 0


def test_a_database_that_is_there_is_not_begun_anew(tmp_path: Path) -> None:
    """A typing error can't do it either."""
    env = AT_HOME
    easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=tmp_path, env=env)
    done = easeback("restore", "--begin-anew", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "it stays as it is" in done.stderr
    assert "Anna" in easeback("athlete", "list", cwd=tmp_path, env=env).stdout


def test_a_first_start_finds_nothing_to_miss(tmp_path: Path) -> None:
    """A full inbox doesn't matter."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "run.fit").touch()
    assert easeback("once", cwd=tmp_path, env=AT_HOME).returncode == 0


def test_a_damaged_database_is_said_and_pushes_out_no_good_copy(kept: App) -> None:
    """Earlier copies stay for the restore."""
    back_up(kept.services, kept.now)
    file = kept.services.store.file
    assert file
    kept.services.store.compact()
    kept.services.store.close()
    with file.open("r+b") as opened:
        opened.seek(3 * 4096)
        opened.write(b"\xff" * 20 * 4096)
    with pytest.raises(StoreError, match=r"damaged.*restore"):
        back_up(kept.services, kept.now + DAY)
    assert days_of(kept) == [0]


def spiked(app: App) -> None:
    """A runner with an alert waiting in the outbox."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.drop("big.fit", km=16)
    app.look(2)


def test_mail_that_waits_in_a_copy_is_held_and_may_be_released(kept: App) -> None:
    """It may have been sent after the copy was made: it's held until the operator decides."""
    spiked(kept)
    copy = back_up(kept.services, kept.now)
    assert copy
    kept.deliver()
    assert "alert" in kept.mailer.kinds()
    sent = len(kept.mailer.taken)
    held = put_back(kept, copy)
    assert held == 1
    for hours in (0, 1, 24):
        kept.now += timedelta(hours=hours)
        kept.pass_on()
    assert len(kept.mailer.taken) == sent
    (letter,) = kept.unsent()
    assert (letter.state, letter.last_error) == ("held", HELD)
    with kept.services.store.transaction() as tx:
        assert tx.outbox.release(letter, now=kept.now)
    assert kept.deliver().sent == 1


def test_what_was_told_after_the_copy_is_not_told_again(kept: App) -> None:
    """The files are ingested again; their alert and the week's mail aren't sent again."""
    anna = kept.athlete()
    kept.runs(anna, steady())
    copy = back_up(kept.services, kept.now)
    assert copy
    kept.drop("big.fit", km=16)
    kept.look(2)
    kept.pass_on()
    kept.now += 3 * DAY  # Monday
    kept.pass_on()
    sent = kept.mailer.kinds()
    assert sorted(sent) == ["alert", "weekly"]
    put_back(kept, copy)
    kept.look(3)
    for _ in range(3):
        kept.pass_on()
        kept.now += timedelta(hours=4)
    assert kept.mailer.kinds() == sent
    assert kept.distances_km(anna)[-1] == 16
    assert any("restored" in str(silence) for silence in kept.silences(anna))


@pytest.mark.parametrize("is_sent", [True, False], ids=["sent since", "nothing sent since"])
def test_an_older_file_copied_over_the_database_is_taken_as_a_restore(
    kept: App, *, is_sent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """By the mark beside it, which has the number of mails sent."""
    store = kept.services.store
    assert store.file is not None
    anna = kept.athlete()
    kept.runs(anna, steady())
    older = store.file.with_name("older.db")
    store.copy_to(older)
    if is_sent:
        kept.drop("big.fit", km=16)
        kept.look(2)
        kept.pass_on()
        assert kept.mailer.kinds() == ["alert"]
    sent = kept.mailer.kinds()
    store.close()
    older.replace(store.file)
    kept.services.inbox.settled = None
    for _ in range(2):  # at each start; the first has repaired it
        notice_older_copy(kept.services, kept.now)
    assert caplog.text.count("an older copy was put in the place") == is_sent
    kept.look(3)
    kept.pass_on()
    assert kept.mailer.kinds() == sent
    if is_sent:
        assert kept.distances_km(anna)[-1] == 16


def test_a_restored_copy_is_not_taken_for_one_that_was_put_there_by_hand(
    kept: App, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise mails that the operator released after a restore would be held again."""
    spiked(kept)
    copy = back_up(kept.services, kept.now)
    assert copy
    kept.deliver()
    put_back(kept, copy)
    caplog.clear()  # earlier messages don't matter
    notice_older_copy(kept.services, kept.now)
    assert not [one for one in caplog.records if one.name == notice_older_copy.__module__]


def put_back(app: App, copy: Path) -> int:
    """Restore as the command does; returns the number of mails held."""
    url = str(app.services.store.engine.url)
    app.services.store.close()
    marked = restore(
        copy,
        Store.at(url),
        aside=copy.with_name("before.db"),
        mark=lambda tx: mark_restored(tx, now=app.now),
    )
    app.services = replace(app.services, store=Store.open(url))
    app.services.inbox.settled = None
    return marked.held


def test_the_command_restores_and_says_what_it_held(tmp_path: Path) -> None:
    """The replaced database is kept beside the scheduled copies."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@x.org", cwd=tmp_path)
    easeback("backup", "copy.db", cwd=tmp_path)
    easeback("forget", "Ann", "--yes", cwd=tmp_path)
    done = easeback("restore", "copy.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "held 0 mails" in done.stdout
    assert "Ann" in easeback("athlete", "list", cwd=tmp_path).stdout
    assert len(copies(tmp_path / "data" / "backups")) == 1


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 99])
def test_what_is_no_copy_is_refused_and_changes_nothing(tmp_path: Path, content: bytes) -> None:
    """One line, and the database is unchanged."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@x.org", cwd=tmp_path)
    (tmp_path / "other.db").write_bytes(content)
    done = easeback("restore", "other.db", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Ann" in easeback("athlete", "list", cwd=tmp_path).stdout


@pytest.mark.parametrize("pages", [slice(5, 60), slice(-6, None), slice(25, None)])
def test_a_damaged_copy_is_named_and_changes_nothing(kept: App, pages: slice) -> None:
    """The message blames the copy, not the database, which may be intact."""
    assert kept.services.backups_path
    kept.athlete()
    copy = kept.services.backups_path.parent / "copy.db"
    kept.services.store.copy_to(copy)
    sound = copy.read_bytes()
    there = [sound[at : at + 4096] for at in range(0, len(sound), 4096)]
    there[pages] = [b"\xff" * 600 + page[600:] for page in there[pages]]
    copy.write_bytes(b"".join(there))
    with pytest.raises(StoreError, match=r"the copy .*copy\.db .*restore another copy"):
        put_back(kept, copy)
    with Store.at(str(kept.services.store.engine.url)).reading() as tx:
        assert len(tx.athletes.all()) == 1


def test_a_copy_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older Easeback doesn't touch an unknown schema."""
    store = Store.open(f"sqlite:///{tmp_path / 'newer.db'}")
    with store.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    done = easeback("restore", "newer.db", cwd=tmp_path)
    assert done.returncode == 1
    assert "newer Easeback" in done.stderr


def test_a_restore_while_the_worker_runs_is_refused(tmp_path: Path) -> None:
    """The message names the worker."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@x.org", cwd=tmp_path)
    easeback("backup", "copy.db", cwd=tmp_path)
    store = Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")
    with store.sole_worker():
        done = easeback("restore", "copy.db", cwd=tmp_path)
    store.close()
    assert done.returncode == 1
    assert "another worker (process" in done.stderr


def test_a_copy_is_due_by_the_clock_of_the_worker(kept: App) -> None:
    """By `datetime`s of any zone."""
    local = kept.now.astimezone(UTC)
    assert back_up(kept.services, local)
    assert back_up(kept.services, datetime.fromtimestamp(local.timestamp(), UTC)) is None
