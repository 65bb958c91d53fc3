"""Files of the watched folder that can't be read now and are read later."""

import gzip
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from tests.app import TODAY, App, run_file
from tests.nobody import nobody
from tests.pipeline.looking import entry, restarted
from worker.domain.files import Snapshot
from worker.health import Audience, check_health
from worker.pipeline.ingest import TakenIn
from worker.setting_types import InboxSection
from worker.sources.folder import LONGEST_READ_PAUSE, Inbox
from worker.sources.formats.child import Reader
from worker.sources.formats.child_serve import _read
from worker.sources.formats.unpack import MIB, Member

DAY = timedelta(days=1)


@cache
def heavy() -> bytes:
    """A valid run that takes more memory to read than a starved reader has."""
    return gzip.compress(run_file(8.0) + bytes(100 * MIB), compresslevel=1)


class SlowDisk(Reader):
    """A reader that is short of memory until `mended`, and counts its calls."""

    def __init__(self) -> None:
        super().__init__(memory_bytes=100 * MIB)
        self.asked = 0

    def mend(self) -> None:
        self.close()
        super().__init__()

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Member]]:
        self.asked += 1
        return super().read_many(paths)


@pytest.fixture
def short_of_memory(app: App) -> Iterator[tuple[App, SlowDisk]]:
    with SlowDisk() as slow:
        inbox = Inbox(app.inbox, InboxSection(), read_many=slow.read_many)
        yield App(replace(app.services, inbox=inbox), app.mailer, app.now), slow


def test_a_file_that_met_readers_without_memory_is_read_once_there_is_some(
    short_of_memory: tuple[App, SlowDisk],
) -> None:
    """The file isn't to blame: it gets no verdict, and `status` isn't well."""
    app, slow = short_of_memory
    anna = app.athlete()
    app.drop("run.fit.gz", heavy())
    assert app.look(2) == TakenIn(unread=1)
    assert entry(app, "run.fit.gz").verdict == "unread"
    with app.services.store.reading() as tx:
        (trouble,) = check_health(tx, app.now, patience={}, audience=Audience.STATUS)
    assert trouble.text.startswith("run.fit.gz waits to be read again: ")
    slow.mend()
    assert app.look().imported == 1
    assert app.distances_km(anna) == [8.0]
    with app.services.store.reading() as tx:
        assert check_health(tx, app.now, patience={}, audience=Audience.STATUS) == ()


def test_the_pauses_of_a_file_that_cannot_be_read_grow_and_a_restart_ends_them(
    short_of_memory: tuple[App, SlowDisk],
) -> None:
    """At the next scan, 10 seconds later, 20 later; at most six hours."""
    app, slow = short_of_memory
    app.athlete()
    app.drop("run.fit.gz", heavy())
    app.look()
    for wait_s, asked in ((0, 1), (0, 2), (0, 2), (9, 2), (1, 3), (19, 3), (1, 4)):
        app.now += timedelta(seconds=wait_s)
        app.look()
        assert slow.asked == asked
    restarted(app).look()
    assert slow.asked == 5


def test_no_pause_is_longer_than_a_quarter_of_a_day(app: App) -> None:
    """However often a file couldn't be read."""
    inbox, file = app.services.inbox, Snapshot("run.fit", 1, 1)
    for _ in range(50):
        inbox.note(file, app.now, unread=True)
    assert not inbox.is_due(file, app.now + timedelta(hours=5, minutes=59))
    assert inbox.is_due(file, app.now + LONGEST_READ_PAUSE)
    inbox.note(file, app.now, unread=False)
    assert inbox.is_due(file, app.now)


def test_a_file_that_is_unreadable_for_now_keeps_the_run_that_it_held(
    short_of_memory: tuple[App, SlowDisk],
) -> None:
    """Overwritten with content that can't be read yet: the old run stays until it can."""
    app, slow = short_of_memory
    anna = app.athlete()
    app.drop("run.fit.gz", gzip.compress(run_file(5.0, day=TODAY - DAY)))
    app.look(2)
    app.drop("run.fit.gz", heavy())
    app.look(2)
    assert app.distances_km(anna) == [5.0]
    slow.mend()
    app.look()
    assert app.distances_km(anna) == [8.0]


def test_a_member_of_an_archive_that_could_not_be_read_is_read_later(
    short_of_memory: tuple[App, SlowDisk],
) -> None:
    """The others are ingested at once; the archive is read again for that one alone."""
    app, slow = short_of_memory
    anna = app.athlete()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.fit", run_file(5.0, day=TODAY - DAY))
        archive.writestr("b.fit.gz", heavy())
        archive.writestr("c.fit", run_file(6.0, day=TODAY - 2 * DAY))
    app.drop("week.zip", packed.getvalue())
    app.look(2)
    assert app.distances_km(anna) == [6.0, 5.0]
    assert entry(app, "week.zip").verdict == "imported"
    assert entry(app, "week.zip").reason == ""
    with app.services.store.reading() as tx:
        (member,) = tx.inbox.with_verdict("unread")
    assert member.path.startswith("week.zip/")
    slow.mend()
    restarted(app).look()
    assert app.distances_km(anna) == [6.0, 5.0, 8.0]
    with app.services.store.reading() as tx:
        assert [(file.path, file.verdict) for file in tx.inbox.with_verdict()] == [
            ("week.zip", "imported")
        ]


def test_what_waits_to_be_read_again_is_forgotten_with_its_file(
    short_of_memory: tuple[App, SlowDisk],
) -> None:
    """The runner removed it, so it's no longer waited for."""
    app, _ = short_of_memory
    app.athlete()
    path = app.drop("run.fit.gz", heavy())
    app.look(2)
    path.unlink()
    app.look()
    with app.services.store.reading() as tx:
        assert tx.inbox.with_verdict() == ()


def read_as_nobody(paths: Iterable[Path]) -> Iterator[tuple[Path, Member]]:
    """Read as the child does, but without root's rights."""
    for path in paths:
        with nobody():
            answers = list(_read({"name": path.name, "skip": 0, "table": None, "path": path}))
        yield from ((path, answer) for answer in answers if isinstance(answer, Member))


def test_a_file_without_permission_is_read_once_there_is_one(app: App, public: Path) -> None:
    """Same time, same size: only the mode has changed, and no pause delays it."""
    inbox = Inbox(public, InboxSection(), read_many=read_as_nobody)
    app = App(replace(app.services, inbox=inbox), app.mailer, app.now)
    anna = app.athlete()
    path = app.drop("run.fit")
    path.chmod(0o000)
    app.look(5)
    assert entry(app, "run.fit").verdict == "unread"
    assert entry(app, "run.fit").reason == "can't be read: Permission denied"
    path.chmod(0o644)
    app.look()
    assert app.distances_km(anna) == [8.0]
