"""The watched folder: when a file is read, whose it is, and that no file is ever changed."""

import hashlib
import io
import os
import re
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from simulators.activity_files import Leg, fit_activity, gpx, straight
from tests.app import TODAY, App, run_file
from tests.effort import calls_of
from tests.pipeline.looking import entry, restarted
from worker.pipeline import scan
from worker.pipeline.ingest import TakenIn
from worker.pipeline.scan import scan_inbox
from worker.sources.folder import TORN_FILE_SCANS

DAY = timedelta(days=1)


# When a file is read


def test_a_file_is_read_at_the_second_equal_look(app: App) -> None:
    """Not at the first look, and only once."""
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
    """Even if it stayed unchanged long enough to get a verdict."""
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
    """A slow copy that pauses looks just like a torn file."""
    app.athlete()
    app.drop("torn.fit", run_file(8.0)[:40])
    for _ in range(TORN_FILE_SCANS - 1):
        app.look()
        assert entry(app, "torn.fit").verdict == "waiting"
    app.look()
    assert entry(app, "torn.fit").verdict == "failed"


def test_an_impatient_look_takes_a_torn_file_as_it_is(app: App) -> None:
    """`once` run twice ingests what is there."""
    app.athlete()
    app.drop("torn.fit", run_file(8.0)[:40])
    hasty = restarted(app, patient=False)
    assert len(hasty.look(2).failed) == 1


def test_a_slow_copy_that_goes_on_is_read_whole(app: App) -> None:
    """Torn at three looks, complete at the next ones."""
    anna = app.athlete()
    content = run_file(8.0)
    app.drop("run.fit", content[:40])
    app.look(3)
    app.drop("run.fit", content)
    assert app.look(2).imported == 1
    assert app.distances_km(anna) == [8.0]


# The outcome of a file


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
    """A GPX file with a track of each distance, all at the same hour."""
    at = datetime.combine(TODAY, time(6), tzinfo=UTC)
    made = [gpx([straight(at, distance_m=metres, seconds=3000)]) for metres in distances_m]
    track = re.compile(rb"<trk>.*</trk>")
    tracks = b"".join(found[0] for one in made if (found := track.search(one)))
    return track.sub(tracks, made[0])


def _sessions(*distances_m: float) -> bytes:
    """A FIT file with a session of each distance, all at the same hour."""
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
    """Nobody runs twice at once: the fullest track is used; of sessions and files the first."""
    anna = app.athlete()
    app.drop(name, content)
    app.look(2)
    (km,) = app.distances_km(anna)
    assert km == pytest.approx(believed_km, rel=0.01)


def test_a_file_written_over_takes_its_old_run_along(app: App) -> None:
    """The content at a path counts: the corrected file replaces the first one."""
    anna = app.athlete()
    app.drop("run.fit", km=8.0, day=TODAY - DAY)
    app.look(2)
    app.drop("run.fit", km=12.0)
    app.look(2)
    assert app.distances_km(anna) == [12.0]


def filled(path: Path, content: bytes) -> None:
    """A copy into a preallocated file: same size, same time, other bytes."""
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
    """It had the complete file's size and time from the first byte on."""
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
    """Its time won't look settled until tomorrow; that's no reason to read it at each look."""
    app.now = datetime.now(UTC) - DAY
    app.athlete()
    app.drop("bad.fit", b"no run")
    app.look(2)
    looks = [app.look() for _ in range(3)]
    assert [len(look.failed) for look in looks] == [0, 0, 0]


def test_a_file_written_over_keeps_its_old_run_where_another_file_has_it(app: App) -> None:
    """The backup beside it still has the first run."""
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
    """Neither tidying up the folder nor bringing the file back changes the run."""
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
    """In pages: all are ingested, waiting ones are recorded, removed ones are dropped."""
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
    """Its name, size and time, once."""
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
    """It isn't a failure."""
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
    """A mix of old and new content is discarded."""
    anna = app.athlete()
    app.drop("run.fit")
    app.look()
    stable = [file for file, _ in scan_inbox(app.services, app.now)]
    app.drop("run.fit", km=12.0)
    assert list(app.services.inbox.read(stable)) == []
    app.look(2)
    assert app.distances_km(anna) == [12.0]


def test_one_bad_file_stops_no_other(app: App) -> None:
    """Its reason is stored, and the next one is read."""
    anna = app.athlete()
    app.drop("a.fit", b"no FIT file at all, just words")
    app.drop("b.fit")
    taken = app.look(2)
    assert (taken.imported, [file for file, _ in taken.failed]) == (1, ["a.fit"])
    assert entry(app, "a.fit").reason
    assert app.distances_km(anna) == [8.0]


# Whose file it is


def test_a_single_athlete_may_use_the_folder_itself_or_a_sub_folder(app: App) -> None:
    """Both work, at any depth of folders."""
    anna = app.athlete("Anna")
    app.drop("root.fit")
    app.drop("Anna/2026/11/deep.fit", km=5.0, day=TODAY - DAY)
    app.look(2)
    assert app.distances_km(anna) == [5.0, 8.0]


def test_several_athletes_have_a_sub_folder_each(app: App) -> None:
    """Files in the folder itself could be anybody's, so they wait."""
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
    """macOS decomposes names; Windows shares use upper case."""
    app.athlete("Ben")
    who = app.athlete(name)
    app.drop(f"{folder}/run.fit")
    app.look(2)
    assert app.distances_km(who) == [8.0]


def test_an_unknown_sub_folder_waits_until_its_athlete_is_added(app: App) -> None:
    """It's reported, and nothing is lost."""
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
    """The worker kept running in between."""
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


# Nothing is changed, and scans are fast


def test_the_runners_files_are_never_changed(app: App) -> None:
    """Names, bytes and times are the same after every possible outcome."""
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
    """A whole club's archive with one waiting file: a scan stats each file once and reads nothing
    else about the others from the database.
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
    """No athlete has the name of such a folder."""
    anna = app.athlete("Anna")
    app.drop(f"{folder}/run.fit")
    app.look(2)
    assert app.distances_km(anna) == [8.0]


@pytest.mark.parametrize(
    "name", ["run.fit.!sync", "run.fit.aria2", "run.FIT.Part", "desktop.ini", "Thumbs.db",
             "#snapshot/run.fit", "$RECYCLE.BIN/run.fit", "System Volume Information/x"],
)  # fmt: skip
def test_what_programs_leave_is_passed_over(app: App, name: str) -> None:
    """Unfinished files and what file managers write."""
    app.athlete("Anna")
    app.drop(name)
    assert app.look(2) == TakenIn()
    assert app.waiting() == {}
