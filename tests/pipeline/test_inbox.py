"""The watched folder: when a file is read, whose it is, and that nothing in it is ever touched."""

import gzip
import hashlib
import io
import json
import os
import re
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

import pytest

from simulators.activity_files import Leg, fit_activity, fit_run, gpx, straight
from tests.app import NOW, TODAY, App, run_file
from tests.effort import calls_of
from tests.nobody import nobody
from worker.domain.models import Snapshot
from worker.health import Audience, check_health
from worker.pipeline import scan
from worker.pipeline.exports import MOST_BAD_ROWS
from worker.pipeline.ingest import TakenIn
from worker.pipeline.scan import scan_inbox
from worker.setting_types import InboxSection
from worker.sources import SourceError
from worker.sources.folder import LONGEST_READ_PAUSE, NO_FILE, TORN_FILE_SCANS, Inbox
from worker.sources.formats.child import Reader
from worker.sources.formats.child_serve import _read
from worker.sources.formats.unpack import MIB, Member

DAY = timedelta(days=1)


def entry(app: App, path: str) -> Snapshot:
    """What the database has of a file."""
    with app.services.store.reading() as tx:
        return tx.inbox.at_paths([path])[path]


def restarted(app: App, *, patient: bool = True) -> App:
    """The same application after a restart: it remembers only what the store does."""
    old = app.services.inbox
    inbox = Inbox(old.folder, old.settings, patient=patient, read_many=old.read_many)
    return App(replace(app.services, inbox=inbox), app.mailer, app.now)


# When it is read


def test_a_file_is_read_at_the_second_equal_look(app: App) -> None:
    """Not at the first, and only once."""
    anna = app.athlete()
    app.drop("run.fit")
    assert app.look().imported == 0
    assert app.look().imported == 1
    assert app.look().imported == 0
    assert app.distances_km(anna) == [8.0]


def test_two_looks_may_be_of_two_processes(app: App) -> None:
    """As with `once` from cron."""
    anna = app.athlete()
    app.drop("run.fit")
    app.look()
    assert restarted(app).look().imported == 1
    assert restarted(app).look().imported == 0
    assert app.distances_km(anna) == [8.0]


def test_a_growing_file_is_not_read_before_it_has_come_to_rest(app: App) -> None:
    """Each look that finds it changed starts over."""
    anna = app.athlete()
    content = run_file(8.0)
    for share in (0.3, 0.6, 0.9, 1.0):
        app.drop("run.fit", content[: round(len(content) * share)])
        assert app.look().imported == 0
    assert app.look().imported == 1
    assert app.distances_km(anna) == [8.0]


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(lambda whole: bytes(len(whole)), id="all zeros"),
        pytest.param(lambda whole: whole + bytes(500), id="longer"),
        pytest.param(lambda whole: whole[:99], id="half"),
    ],
)
@pytest.mark.parametrize("looks", [1, 6])
def test_a_file_that_a_share_shows_before_it_is_whole_is_read_in_the_end(
    app: App, seen: Callable[[bytes], bytes], looks: int
) -> None:
    """Even where it stood still for long enough to have a verdict."""
    anna = app.athlete()
    whole = run_file(8.0)
    path = app.drop("run.fit", seen(whole))
    app.look(looks)
    app.drop("run.fit", whole)
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    app.look(3)
    assert app.distances_km(anna) == [8.0]
    assert entry(app, "run.fit").verdict == "imported"


def test_a_torn_file_gets_more_looks_and_then_its_verdict(app: App) -> None:
    """A slow copy stands still for a while and looks just like a torn file."""
    app.athlete()
    app.drop("torn.fit", run_file(8.0)[:40])
    for _ in range(TORN_FILE_SCANS - 1):
        app.look()
        assert entry(app, "torn.fit").verdict == "waiting"
    app.look()
    assert entry(app, "torn.fit").verdict == "failed"


def test_an_impatient_look_takes_a_torn_file_as_it_is(app: App) -> None:
    """`once` twice brings in what is there."""
    app.athlete()
    app.drop("torn.fit", run_file(8.0)[:40])
    hasty = restarted(app, patient=False)
    assert len(hasty.look(2).failed) == 1


def test_a_slow_copy_that_goes_on_is_read_whole(app: App) -> None:
    """Torn at three looks, whole at the next ones."""
    anna = app.athlete()
    content = run_file(8.0)
    app.drop("run.fit", content[:40])
    app.look(3)
    app.drop("run.fit", content)
    assert app.look(2).imported == 1
    assert app.distances_km(anna) == [8.0]


# What it comes to


def test_the_same_file_under_two_names_is_one_run(app: App) -> None:
    """In one look or in two."""
    anna = app.athlete()
    for name in ("a.fit", "b.fit"):
        app.drop(name)
    first = app.look(2)
    app.drop("c.fit")
    second = app.look(2)
    assert (first.imported, first.duplicate) == (1, 1)
    assert (second.imported, second.duplicate) == (0, 1)
    assert app.distances_km(anna) == [8.0]


def test_one_run_from_two_devices_is_one_run(app: App) -> None:
    """A watch and a phone recorded the same morning."""
    anna = app.athlete()
    app.drop("watch.fit", run_file(8.0))
    app.drop("phone.fit", run_file(8.1))
    app.look(2)
    assert len(app.distances_km(anna)) == 1


def _tracks(*distances_m: float) -> bytes:
    """A GPX file with a track of each distance, all of the same hour."""
    at = datetime.combine(TODAY, time(6), tzinfo=UTC)
    made = [gpx([straight(at, distance_m=metres, seconds=3000)]) for metres in distances_m]
    track = re.compile(rb"<trk>.*</trk>")
    tracks = b"".join(found[0] for one in made if (found := track.search(one)))
    return track.sub(tracks, made[0])


def _sessions(*distances_m: float) -> bytes:
    """A FIT file with a session of each distance, all of the same hour."""
    at = datetime.combine(TODAY, time(6), tzinfo=UTC)
    return fit_activity([Leg(at, metres, 3000.0, 3000.0) for metres in distances_m], offset_h=1)


@pytest.mark.parametrize(
    ("name", "content", "believed_km"),
    [
        pytest.param("phone.gpx", _tracks(8000.0, 9000.0), 9.0, id="tracks of a GPX file"),
        pytest.param("watch.fit", _sessions(8000.0, 9000.0), 8.0, id="sessions of a FIT file"),
        pytest.param("chained.fit", run_file(8.0) + run_file(9.0), 8.0, id="chained FIT files"),
    ],
)
def test_parts_of_one_file_that_overlap_are_one_run(
    app: App, name: str, content: bytes, believed_km: float
) -> None:
    """One body, one hour: of tracks the fullest is believed, of sessions and files the first."""
    anna = app.athlete()
    app.drop(name, content)
    app.look(2)
    (km,) = app.distances_km(anna)
    assert km == pytest.approx(believed_km, rel=0.01)


def test_a_file_written_over_takes_its_old_run_along(app: App) -> None:
    """The name's content is what counts: the corrected file stands for the first one."""
    anna = app.athlete()
    app.drop("run.fit", km=8.0, day=TODAY - DAY)
    app.look(2)
    app.drop("run.fit", km=12.0)
    app.look(2)
    assert app.distances_km(anna) == [12.0]


def filled(path: Path, content: bytes) -> None:
    """What a copy into a place that was made for it does: same size, same time, other bytes."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize("packed", [False, True], ids=["a file", "an archive"])
def test_a_file_that_was_judged_before_it_was_filled_is_read_again(
    app: App, packed: bool, restarts: bool
) -> None:
    """Its size and its time were those of the whole file from the first byte on."""
    app.now = datetime.now(UTC)
    anna = app.athlete()
    content = run_file(8.0, day=app.now.date() - DAY)
    if packed:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("run.fit", content)
        content = archive.getvalue()
    path = app.drop("run.zip" if packed else "run.fit", bytes(len(content)))
    app.look(2)
    assert entry(app, path.name).verdict == "failed"
    filled(path, content)
    app.now = datetime.now(UTC)
    if restarts:
        app = restarted(app)
    app.look()
    assert app.distances_km(anna) == [8.0]
    assert entry(app, path.name).verdict == "imported"


def test_a_file_of_a_folder_whose_clock_is_ahead_is_judged_once(app: App) -> None:
    """The file will only be changed tomorrow by it; that's no reason to read it at each look."""
    app.now = datetime.now(UTC) - DAY
    app.athlete()
    app.drop("bad.fit", b"no run")
    app.look(2)
    looks = [app.look() for _ in range(3)]
    assert [len(look.failed) for look in looks] == [0, 0, 0]


def test_a_file_written_over_keeps_its_old_run_where_another_file_has_it(app: App) -> None:
    """The backup beside it still tells of the first run."""
    anna = app.athlete()
    app.drop("run.fit", km=8.0, day=TODAY - DAY)
    app.drop("backup.fit", km=8.0, day=TODAY - DAY)
    app.look(2)
    app.drop("run.fit", km=12.0)
    app.look(2)
    assert app.distances_km(anna) == [8.0, 12.0]


def test_a_file_that_is_touched_stays_the_run_it_was(app: App) -> None:
    """A copy tool that sets a new time changes nothing."""
    anna = app.athlete()
    path = app.drop("run.fit")
    app.look(2)
    os.utime(path, (1, 1))
    app.look(2)
    assert app.distances_km(anna) == [8.0]
    assert entry(app, "run.fit").reason == "the run is known already"


def test_a_run_stays_when_its_file_is_taken_away(app: App) -> None:
    """Tidying up the folder forgets nothing, and neither does bringing the file back."""
    anna = app.athlete()
    path = app.drop("run.fit")
    app.look(2)
    path.unlink()
    app.look(2)
    assert app.distances_km(anna) == [8.0]
    app.drop("run.fit")
    app.look(2)
    assert app.distances_km(anna) == [8.0]


def test_a_folder_of_more_files_than_are_compared_at_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page: all come in, what waits is known, and what left is forgotten."""
    monkeypatch.setattr(scan, "_COMPARED_AT_ONCE", 2)
    anna = app.athlete()
    app.athlete("Bert")
    for number in range(5):
        app.drop(f"Anna/{number}.fit", km=8 + number, day=TODAY - number * DAY)
        app.drop(f"Nobody/{number}.fit")
    app.look(2)
    assert len(app.distances_km(anna)) == 5
    (app.services.inbox.folder / "Nobody" / "3.fit").unlink()
    app.drop("Anna/5.fit", km=20, day=TODAY - 5 * DAY)
    app.look(2)
    assert len(app.distances_km(anna)) == 6
    with app.services.store.reading() as tx:
        waiting = [file.path for file in tx.inbox.with_verdict("waiting")]
    assert waiting == [f"Nobody/{number}.fit" for number in (0, 1, 2, 4)]


def test_a_scan_holds_little_of_each_file_that_waits(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, size and time once, however many there are."""
    monkeypatch.setattr(scan, "_COMPARED_AT_ONCE", 50)
    folder = app.services.inbox.folder / "Nobody"
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number:04}.fit").touch()
    app.look(2)
    tracemalloc.start()
    try:
        scan_inbox(app.services, app.now)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes / 2000 < 600


def test_a_file_that_vanishes_between_look_and_read_leaves_no_verdict(app: App) -> None:
    """It isn't a failure of anything."""
    app.athlete()
    path = app.drop("run.fit")
    app.look()
    stable = [file for file, _ in scan_inbox(app.services, app.now)]
    path.unlink()
    assert list(app.services.inbox.read(stable)) == []
    app.look()
    with app.services.store.reading() as tx:
        assert tx.inbox.with_verdict() == ()


def test_a_file_that_changes_under_the_reader_is_read_again(app: App) -> None:
    """What was half old and half new is nobody's run."""
    anna = app.athlete()
    app.drop("run.fit")
    app.look()
    stable = [file for file, _ in scan_inbox(app.services, app.now)]
    app.drop("run.fit", km=12.0)
    assert list(app.services.inbox.read(stable)) == []
    app.look(2)
    assert app.distances_km(anna) == [12.0]


def test_one_bad_file_stops_no_other(app: App) -> None:
    """Its reason is kept, the next one is read."""
    anna = app.athlete()
    app.drop("a.fit", b"no FIT file at all, just words")
    app.drop("b.fit")
    taken = app.look(2)
    assert (taken.imported, [file for file, _ in taken.failed]) == (1, ["a.fit"])
    assert entry(app, "a.fit").reason
    assert app.distances_km(anna) == [8.0]


# Whose it is


def test_a_single_athlete_may_use_the_folder_itself_or_a_sub_folder(app: App) -> None:
    """Both ways, as deep as people sort their files."""
    anna = app.athlete("Anna")
    app.drop("root.fit")
    app.drop("Anna/2026/11/deep.fit", km=5.0, day=TODAY - DAY)
    app.look(2)
    assert app.distances_km(anna) == [5.0, 8.0]


def test_several_athletes_have_a_sub_folder_each(app: App) -> None:
    """What lies in the folder itself could be anybody's, and waits."""
    anna, ben = app.athlete("Anna"), app.athlete("Ben")
    app.drop("Anna/a.fit", km=5.0)
    app.drop("Ben/b.fit", km=6.0)
    app.drop("whose.fit", km=7.0)
    app.look(2)
    assert (app.distances_km(anna), app.distances_km(ben)) == ([5.0], [6.0])
    assert "several athletes" in app.waiting()["whose.fit"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        pytest.param("Anna", "ANNA", id="another case"),
        pytest.param("Zoë Öz", unicodedata.normalize("NFD", "Zoë Öz"), id="decomposed"),
        pytest.param("Groß", "GROSS", id="folded"),
    ],
)
def test_a_sub_folder_is_found_however_the_machine_writes_it(
    app: App, name: str, folder: str
) -> None:
    """macOS decomposes, Windows shares shout."""
    app.athlete("Ben")
    who = app.athlete(name)
    app.drop(f"{folder}/run.fit")
    app.look(2)
    assert app.distances_km(who) == [8.0]


def test_an_unknown_sub_folder_waits_until_its_athlete_is_added(app: App) -> None:
    """It says so, and nothing is lost."""
    app.athlete("Anna")
    app.drop("Ben/run.fit")
    app.look(3)
    assert "no athlete is called Ben" in app.waiting()["Ben/run.fit"]
    ben = app.athlete("Ben")
    app.look()
    assert app.distances_km(ben) == [8.0]
    assert app.waiting() == {}


def test_files_wait_for_the_first_athlete(app: App) -> None:
    """A folder filled before anybody was added."""
    app.drop("run.fit")
    app.look(2)
    assert "no athlete yet" in app.waiting()["run.fit"]
    anna = app.athlete("Anna")
    app.look()
    assert app.distances_km(anna) == [8.0]


def test_an_athlete_who_was_forgotten_and_comes_back_has_their_files_read_again(
    app: App,
) -> None:
    """The worker went on running in between."""
    app.drop("Anna/run.fit")
    app.look()
    gone = app.athlete("Anna")
    app.look(2)
    with app.services.store.transaction() as tx:
        tx.athletes.remove(gone)
    app.look()
    back = app.athlete("Anna")
    app.look(2)
    assert app.distances_km(back) == [8.0]


# What is no run's file


def test_each_file_of_an_archive_that_gave_no_run_is_named(app: App) -> None:
    """The archive came in; what inside it couldn't be read, or is no run, isn't lost to sight."""
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
    """Nothing outside the folder is ever read, nothing that blocks is ever opened."""
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
    """It's asked to be renamed; the others are read."""
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
    """Quotes, umlauts, the narrow space of macOS, any ending."""
    anna = app.athlete()
    app.drop(name)
    app.look(2)
    assert app.distances_km(anna) == [8.0]


def test_a_folder_that_goes_away_is_said_and_comes_back(app: App) -> None:
    """A share that isn't mounted is not an empty inbox."""
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
    """An empty folder stands where the share was; returns where the share is now."""
    elsewhere = app.inbox.with_name("unmounted")
    app.inbox.rename(elsewhere)
    app.inbox.mkdir()
    return elsewhere


def test_an_empty_mount_point_is_not_an_empty_inbox(app: App) -> None:
    """It's said, before and after a restart, until the share is back; nothing is lost."""
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
    """The same folder without its files; or another one into which a file came."""
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


# One folder stops no other


class NobodysInbox(Inbox):
    """Looks at the folder as somebody whom a mode can keep out."""

    def scan(self, folders: Collection[str] | None = None) -> tuple[Snapshot, ...]:
        with nobody():
            return super().scan(folders)


def kept_out(app: App, folder: Path) -> App:
    """The same application, with an inbox there that is looked at by nobody."""
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
    """The others go on; the log says it once; opened again, its files come at the next looks."""
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
    """Swapped after the look: a pipe has no end, and nobody at the other one."""
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
    """Whatever comes in its place, nothing outside is read and the others go on."""
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
    """An inbox in which something is swapped between the listing and what comes of it."""

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


# What can't be read now is read later


@cache
def heavy() -> bytes:
    """A sound run that takes more memory to read than a reader in need has."""
    return gzip.compress(run_file(8.0) + bytes(100 * MIB), compresslevel=1)


class SlowDisk(Reader):
    """A reader that is short of memory until it is `mended`, and counts how often it is asked."""

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
    """It isn't the file's fault; nothing is said of what it holds, and `status` isn't well."""
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
    """At the next scan, 10 seconds later, 20 later; six hours at most."""
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
    """Written over with what can't be read yet: the old run goes when the new one is there."""
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
    """The others come in at once; the archive stays what it was, and is read again for that one."""
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
    """The runner took it away: nobody waits for it any more."""
    app, _ = short_of_memory
    app.athlete()
    path = app.drop("run.fit.gz", heavy())
    app.look(2)
    path.unlink()
    app.look()
    with app.services.store.reading() as tx:
        assert tx.inbox.with_verdict() == ()


def read_as_nobody(paths: Iterable[Path]) -> Iterator[tuple[Path, Member]]:
    """As the child does, by somebody whom a mode can keep out."""
    for path in paths:
        with nobody():
            answers = list(_read({"name": path.name, "skip": 0, "table": None, "path": path}))
        yield from ((path, answer) for answer in answers if isinstance(answer, Member))


def test_a_file_without_permission_is_read_once_there_is_one(app: App, public: Path) -> None:
    """Same time, same size: the mode alone has changed, and no pause holds it back."""
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


# Nothing is touched, and it's quick


def test_the_runners_files_are_never_changed(app: App) -> None:
    """Names, bytes and times are the same after all that can come of a file."""
    app.athlete("Anna")
    app.drop("good.fit")
    app.drop("again.fit")
    app.drop("bad.fit", b"words")
    app.drop("torn.fit", run_file(9.0)[:40])
    app.drop("nobody/run.fit")
    before = footprint(app.inbox)
    app.look(TORN_FILE_SCANS)
    assert footprint(app.inbox) == before


def footprint(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_known_files_are_listed_and_never_opened(app: App) -> None:
    """A whole club's archive, with one file that waits: a scan asks once for each file, and reads
    nothing of the others from the database.
    """
    anna = app.athlete()
    for number in range(1_000):
        (app.inbox / f"{number}.fit").touch()
    app.drop("Nobody/run.fit")
    app.look()
    verdicts = [
        file._replace(verdict="skipped", athlete_id=anna.id)
        for file in app.services.inbox.scan()
        if not file.path.startswith("Nobody/")
    ]
    with app.services.store.transaction() as tx:
        tx.inbox.save(verdicts, now=app.now)
    app.look(2)
    assert list(app.waiting()) == ["Nobody/run.fit"]
    scans = calls_of(app.services.inbox.scan)
    looks = calls_of(app.look)
    assert scans["open"] == 2  # the folders themselves
    assert scans["scandir"] == 2
    assert scans["stat"] + scans["lstat"] <= 1_000 + 5
    assert scans.total() < 30 * 1_000
    assert looks.total() < scans.total() + 4 * 1_000


@pytest.mark.parametrize("folder", ["GARMIN/Activity", "2026/05", "Strava"])
def test_a_tree_of_a_watch_or_of_years_is_the_single_athletes(app: App, folder: str) -> None:
    """Nobody is called that."""
    anna = app.athlete("Anna")
    app.drop(f"{folder}/run.fit")
    app.look(2)
    assert app.distances_km(anna) == [8.0]


@pytest.mark.parametrize(
    "name", ["run.fit.!sync", "run.fit.aria2", "run.FIT.Part", "desktop.ini", "Thumbs.db",
             "#snapshot/run.fit", "$RECYCLE.BIN/run.fit", "System Volume Information/x"],
)  # fmt: skip
def test_what_programs_leave_is_passed_over(app: App, name: str) -> None:
    """Unfinished files and what file managers write for themselves."""
    app.athlete("Anna")
    app.drop(name)
    assert app.look(2) == TakenIn()
    assert app.waiting() == {}


HEADER = (
    "Activity ID,Activity Date,Activity Name,Activity Type,Activity Description,Elapsed Time,"
    "Distance,Max Heart Rate,Relative Effort,Commute,Activity Private Note,Activity Gear,Filename,"
    "Athlete Weight,Bike Weight,Elapsed Time,Moving Time,Distance,Max Speed,Competition\n"
)


def account_row(number: int, day: date, km: float, *, kind: str = "Run", file: str = "",
                s: int = 2160) -> str:  # fmt: skip
    at = f"{day:%b %d, %Y}, 6:00:00 AM"
    return f'{number},"{at}",x,{kind},,{s},{km},,,false,,,{file},,,{s},{s},{km * 1000},4.0,\n'


ACCOUNT = {
    "activities.csv": (
        HEADER
        + account_row(1, TODAY - timedelta(days=3), 7.0)
        + account_row(2, TODAY - timedelta(days=2), 10.0, file="activities/2.fit", s=2880)
        + account_row(3, TODAY - timedelta(days=1), 6.0, kind="Walk", file="activities/3.fit")
        + account_row(4, TODAY, 30.0, kind="Ride")
        + account_row(5, TODAY, 5.0).replace("2026", "soon")
    ).encode(),
    "activities/2.fit": run_file(8.0, day=TODAY - timedelta(days=2)),
    "activities/3.fit": run_file(6.0, day=TODAY - timedelta(days=1)),
}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "unpacked"])
def test_an_accounts_export_in_the_inbox_has_its_rows(app: App, as_zip: bool) -> None:
    """As `import` reads it: a row without a file, a correction, a walk; a bad row is told."""
    anna = app.athlete()
    if as_zip:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, held in ACCOUNT.items():
                archive.writestr(name, held)
        app.drop("export_1.zip", content.getvalue())
    else:
        for name, held in ACCOUNT.items():
            app.drop(f"Anna/export_1/{name}", held)
    app.look(2)
    assert app.distances_km(anna) == [7.0, 10.0]
    with app.services.store.reading() as tx:
        failed = tx.inbox.with_verdict("failed")
    assert [one.path.rpartition("/")[2] for one in failed] == ["line 6"]
    assert "is not a date" in failed[0].reason
    assert app.look(2).imported == 0
    assert app.distances_km(anna) == [7.0, 10.0]


def test_an_archive_with_nothing_but_a_table_gives_its_runs(app: App) -> None:
    """A Garmin account without files: its summaries are the runs."""
    anna = app.athlete()
    at = datetime.combine(TODAY, time(6), tzinfo=UTC).timestamp() * 1000
    told = {"activityId": 1, "activityType": "running", "beginTimestamp": at, "duration": 2_880_000,
            "distance": 800_000}  # fmt: skip
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "DI-Connect-Fitness/a_0_summarizedActivities.json",
            json.dumps([{"summarizedActivitiesExport": [told]}]),
        )
    app.drop("garmin.zip", content.getvalue())
    assert app.look(2).imported == 1
    assert app.distances_km(anna) == [8.0]


def test_bad_rows_without_end_are_told_up_to_a_bound(app: App) -> None:
    """A stranger's table doesn't fill the list of failures."""
    app.athlete()
    rows = "".join(account_row(n, TODAY, 5.0).replace("2026", "soon") for n in range(500))
    app.drop("activities.csv", (HEADER + rows).encode())
    app.look(2)
    with app.services.store.reading() as tx:
        assert len(tx.inbox.with_verdict("failed")) <= MOST_BAD_ROWS + 1
