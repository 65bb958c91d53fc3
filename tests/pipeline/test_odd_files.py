"""Items in the watched folder that aren't files of runs: reported, and blocking nothing."""

import io
import os
import zipfile
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.activity_files import fit_run
from tests.app import NOW, TODAY, App, run_file
from tests.nobody import nobody
from tests.pipeline.looking import restarted
from worker.domain.files import Snapshot
from worker.pipeline.ingest import TakenIn
from worker.setting_types import InboxSection
from worker.sources.base import SourceError
from worker.sources.folder import NO_FILE, Inbox

DAY = timedelta(days=1)


# Not a run's file


def test_each_file_of_an_archive_that_gave_no_run_is_named(app: App) -> None:
    """The archive was ingested; members that couldn't be read, or aren't runs, are listed."""
    app.athlete()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ok.fit", run_file(8.0))
        archive.writestr("bad.fit", b"xx")
        archive.writestr("ride.fit", fit_run(NOW, sport="cycling"))
    app.drop("week.zip", packed.getvalue())
    taken = app.look(2)
    assert (taken.imported, taken.skipped, [path for path, _ in taken.failed]) == (
        1,
        1,
        ["week.zip/bad.fit"],
    )
    assert app.look(2) == TakenIn()


def test_links_and_pipes_wait_and_hidden_files_are_passed_over(app: App, tmp_path: Path) -> None:
    """Nothing outside the folder is ever read; nothing that blocks is ever opened."""
    anna = app.athlete()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.fit").write_bytes(run_file(8.0))
    (app.inbox / "link.fit").symlink_to(outside / "secret.fit")
    (app.inbox / "linked").symlink_to(outside)
    os.mkfifo(app.inbox / "pipe.fit")
    for name in (
        "._run.fit", ".hidden.fit", ".syncthing.run.fit.tmp", "~syncthing~run.fit",
        "run.sync-conflict-20261120-061530-ABCDEFG.fit", "run.fit.part", "run.fit.crdownload",
        "@eaDir/run.fit", "#recycle/run.fit", ".stversions/run.fit",
    ):  # fmt: skip
        app.drop(name)
    assert app.look(3).imported == 0
    assert app.waiting() == dict.fromkeys(("link.fit", "linked", "pipe.fit"), NO_FILE)
    assert app.distances_km(anna) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"new\nline.fit", id="newline"),
        pytest.param(b"not \xff utf-8.fit", id="not UTF-8"),
        pytest.param(b"long " + b"x" * 240 + b".fit", id="249 characters"),
        pytest.param("bidi \u202e tif.nur.fit".encode(), id="written backwards"),
        pytest.param(b"odd\nfolder/run.fit", id="in a folder with a newline"),
        pytest.param(b"odd \xff folder/run.fit", id="in a folder that is not UTF-8"),
    ],
)
def test_a_file_whose_name_cannot_be_shown_waits_and_stops_no_other(app: App, name: bytes) -> None:
    """The message asks to rename it; other files are read."""
    anna = app.athlete()
    path = os.path.join(os.fsencode(app.inbox), name)  # noqa: PTH118  a name that isn't text
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103,PTH120  as above
    with open(path, "wb") as file:  # noqa: PTH123  as above
        file.write(run_file(8.0))
    app.drop("good.fit", km=5.0)
    app.look(3)
    assert app.distances_km(anna) == [5.0]
    ((shown, reason),) = app.waiting().items()
    assert shown.isprintable()
    assert "rename it" in reason


@pytest.mark.parametrize("name", ["ärzte & läufer (1)'\";--.fit", "no\u00a0break\u202fspace.FIT"])
def test_unusual_names_that_can_be_shown_are_read(app: App, name: str) -> None:
    """Quotes, umlauts, macOS's narrow space, any extension."""
    anna = app.athlete()
    app.drop(name)
    app.look(2)
    assert app.distances_km(anna) == [8.0]


def test_a_folder_that_goes_away_is_said_and_comes_back(app: App) -> None:
    """An unmounted share isn't an empty inbox."""
    anna = app.athlete()
    app.drop("run.fit")
    app.look()
    elsewhere = app.inbox.with_name("unmounted")
    app.inbox.rename(elsewhere)
    with pytest.raises(SourceError, match="can't be read"):
        app.look()
    elsewhere.rename(app.inbox)
    assert app.look().imported == 1
    assert app.distances_km(anna) == [8.0]


def unmount(app: App) -> Path:
    """Replace the share by an empty folder; returns the share's new path."""
    elsewhere = app.inbox.with_name("unmounted")
    app.inbox.rename(elsewhere)
    app.inbox.mkdir()
    return elsewhere


def test_an_empty_mount_point_is_not_an_empty_inbox(app: App) -> None:
    """It's reported, also after a restart, until the share is back; nothing is lost."""
    anna = app.athlete()
    app.drop("Anna/run.fit", km=5, day=TODAY - DAY)
    app.look(2)
    share = unmount(app)
    for at in (app, restarted(app)):
        with pytest.raises(SourceError, match=r"isn't the folder that held 1 file before"):
            at.look()
    app.inbox.rmdir()
    share.rename(app.inbox)
    app.drop("Anna/more.fit")
    app.look(2)
    assert app.distances_km(anna) == [5.0, 8.0]


def test_an_inbox_that_was_tidied_up_or_begun_anew_is_just_empty(app: App) -> None:
    """The same folder without its files, or another one with a new file."""
    anna = app.athlete()
    app.drop("run.fit", km=5, day=TODAY - DAY)
    app.look(2)
    (app.inbox / "run.fit").unlink()
    app.look()
    app.drop("run.fit", km=5, day=TODAY - DAY)
    app.look(2)
    unmount(app)
    with pytest.raises(SourceError):
        app.look()
    app.drop("new.fit")
    app.look(2)
    assert app.distances_km(anna) == [5.0, 8.0]
    (app.inbox / "new.fit").unlink()
    app.look()


# One folder doesn't block others


class NobodysInbox(Inbox):
    """Looks at the folder without root's rights."""

    def scan(self, folders: Collection[str] | None = None) -> tuple[Snapshot, ...]:
        with nobody():
            return super().scan(folders)


def kept_out(app: App, folder: Path) -> App:
    """The same application with an inbox at `folder` that is read without root's rights."""
    inbox = NobodysInbox(folder, InboxSection(), read_many=app.services.inbox.read_many)
    return App(replace(app.services, inbox=inbox), app.mailer, app.now)


@pytest.mark.parametrize(
    ("locked", "mode"),
    [("Anna", 0o000), ("Anna/2026", 0o000), ("Anna", 0o444)],
    ids=["a folder", "a folder below", "a folder that only lists its names"],
)
def test_a_folder_that_cannot_be_looked_into_is_named_and_stops_no_other(
    app: App, public: Path, caplog: pytest.LogCaptureFixture, locked: str, mode: int
) -> None:
    """Others continue; it's logged once; once readable, its files are ingested at the next
    looks.
    """
    app = kept_out(app, public)
    anna, zoe = app.athlete("Anna"), app.athlete("Zoe")
    app.drop("Anna/2026/a.fit", km=5)
    app.drop("Anna/b.fit", km=6, day=TODAY - DAY)
    app.drop("Zoe/a.fit", km=7)
    (public / locked).chmod(mode)
    app.look(5)
    assert app.distances_km(zoe) == [7.0]
    unseen = app.waiting()
    assert unseen
    assert all(name.startswith(locked) for name in unseen)
    assert set(unseen.values()) == {
        "can't be looked into (Permission denied): check that Easeback may read it and all in it"
    }
    told = [one for one in caplog.records if "can't be looked into" in one.getMessage()]
    assert len(told) == len(unseen)
    (public / locked).chmod(0o755)
    app.look()
    assert not any(app.waiting().values())
    app.look()
    assert app.waiting() == {}
    assert app.distances_km(anna) == [6.0, 5.0]


def test_a_pipe_in_place_of_a_file_that_was_listed_blocks_nobody(app: App) -> None:
    """It was swapped after the listing: a pipe without a writer blocks whoever opens it."""
    anna, zoe = app.athlete("Anna"), app.athlete("Zoe")
    app.drop("Anna/a.fit")
    app.drop("Zoe/a.fit", km=7)
    app.look()
    swapped = Swapping(app.services.inbox, lambda: to_a_pipe(app.inbox / "Anna/a.fit"))
    app = App(replace(app.services, inbox=swapped), app.mailer, app.now)
    app.look()
    assert (app.distances_km(anna), app.distances_km(zoe)) == ([], [7.0])
    app.look(2)
    assert app.waiting() == {"Anna/a.fit": NO_FILE}


@pytest.mark.parametrize("swap", ["file", "link", "pipe", "ring of links", "nothing"])
def test_what_a_folder_was_swapped_for_stops_no_other(app: App, tmp_path: Path, swap: str) -> None:
    """Whatever replaces it, nothing outside is read and the others continue."""
    anna, zoe = app.athlete("Anna"), app.athlete("Zoe")
    folder = app.drop("Anna/a.fit").parent
    app.drop("Zoe/a.fit", km=7)
    app.look()
    outside = tmp_path / "outside"
    folder.rename(outside)
    make: dict[str, Callable[[], object]] = {
        "file": lambda: folder.write_bytes(run_file(5)),
        "link": lambda: folder.symlink_to(outside),
        "pipe": lambda: os.mkfifo(folder),
        "ring of links": lambda: folder.symlink_to(folder),
        "nothing": lambda: None,
    }
    make[swap]()
    assert app.services.inbox.scan({"Anna"}) == ()
    app.look(3)
    assert (app.distances_km(anna), app.distances_km(zoe)) == ([], [7.0])


class Swapping(Inbox):
    """An inbox in which something is swapped between the listing and the reading."""

    def __init__(self, inbox: Inbox, swap: Callable[[], object]) -> None:
        super().__init__(inbox.folder, inbox.settings, read_many=inbox.read_many)
        self._swap: Callable[[], object] | None = swap

    def scan(self, folders: Collection[str] | None = None) -> tuple[Snapshot, ...]:
        found = super().scan(folders)
        if self._swap:
            self._swap()
            self._swap = None
        return found


def to_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
