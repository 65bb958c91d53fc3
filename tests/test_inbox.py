"""The watched folder: when a file is read, whose it is, and that nothing in it is ever touched."""

import hashlib
import io
import os
import unicodedata
import zipfile
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.effort import calls_of
from tests.formats.build import fit_run
from tests.house import NOW, TODAY, House, run_file
from tests.nobody import nobody
from worker.config import InboxSection
from worker.domain.models import Snapshot
from worker.pipeline import TakenIn
from worker.pipeline.ingest import scan_inbox
from worker.sources import SourceError
from worker.sources.folder import NO_FILE, TORN_FILE_SCANS, Inbox

DAY = timedelta(days=1)


def entry(house: House, path: str) -> Snapshot:
    """What the database has of a file."""
    with house.services.store.reading() as tx:
        return tx.inbox.at_paths([path])[path]


def restarted(house: House, *, patient: bool = True) -> House:
    """The same house after the worker was started anew: it remembers only what the store does."""
    old = house.services.inbox
    inbox = Inbox(old.folder, old.settings, patient=patient, read_many=old._read_many)
    return House(replace(house.services, inbox=inbox), house.mailer, house.now)


# When it is read


def test_a_file_is_read_at_the_second_equal_look(house: House) -> None:
    """Not at the first, and only once."""
    anna = house.athlete()
    house.drop("run.fit")
    assert house.look().imported == 0
    assert house.look().imported == 1
    assert house.look().imported == 0
    assert house.distances_km(anna) == [8.0]


def test_two_looks_may_be_of_two_processes(house: House) -> None:
    """As with `once` from cron."""
    anna = house.athlete()
    house.drop("run.fit")
    house.look()
    assert restarted(house).look().imported == 1
    assert restarted(house).look().imported == 0
    assert house.distances_km(anna) == [8.0]


def test_a_growing_file_is_not_read_before_it_has_come_to_rest(house: House) -> None:
    """Each look that finds it changed starts over."""
    anna = house.athlete()
    content = run_file(8.0)
    for share in (0.3, 0.6, 0.9, 1.0):
        house.drop("run.fit", content[: round(len(content) * share)])
        assert house.look().imported == 0
    assert house.look().imported == 1
    assert house.distances_km(anna) == [8.0]


def test_a_torn_file_gets_more_looks_and_then_its_verdict(house: House) -> None:
    """A slow copy stands still for a while and looks just like a torn file."""
    house.athlete()
    house.drop("torn.fit", run_file(8.0)[:40])
    for _ in range(TORN_FILE_SCANS - 1):
        house.look()
        assert entry(house, "torn.fit").verdict == "waiting"
    house.look()
    assert entry(house, "torn.fit").verdict == "failed"


def test_an_impatient_look_takes_a_torn_file_as_it_is(house: House) -> None:
    """`once` twice brings in what is there."""
    house.athlete()
    house.drop("torn.fit", run_file(8.0)[:40])
    hasty = restarted(house, patient=False)
    assert len(hasty.look(2).failed) == 1


def test_a_slow_copy_that_goes_on_is_read_whole(house: House) -> None:
    """Torn at three looks, whole at the next ones."""
    anna = house.athlete()
    content = run_file(8.0)
    house.drop("run.fit", content[:40])
    house.look(3)
    house.drop("run.fit", content)
    assert house.look(2).imported == 1
    assert house.distances_km(anna) == [8.0]


# What it comes to


def test_the_same_file_under_two_names_is_one_run(house: House) -> None:
    """In one look or in two."""
    anna = house.athlete()
    for name in ("a.fit", "b.fit"):
        house.drop(name)
    first = house.look(2)
    house.drop("c.fit")
    second = house.look(2)
    assert (first.imported, first.duplicate) == (1, 1)
    assert (second.imported, second.duplicate) == (0, 1)
    assert house.distances_km(anna) == [8.0]


def test_one_run_from_two_devices_is_one_run(house: House) -> None:
    """A watch and a phone recorded the same morning."""
    anna = house.athlete()
    house.drop("watch.fit", run_file(8.0))
    house.drop("phone.fit", run_file(8.1))
    house.look(2)
    assert len(house.distances_km(anna)) == 1


def test_a_file_written_over_takes_its_old_run_along(house: House) -> None:
    """The name's content is what counts: the corrected file stands for the first one."""
    anna = house.athlete()
    house.drop("run.fit", km=8.0, day=TODAY - DAY)
    house.look(2)
    house.drop("run.fit", km=12.0)
    house.look(2)
    assert house.distances_km(anna) == [12.0]


def test_a_file_written_over_keeps_its_old_run_where_another_file_has_it(house: House) -> None:
    """The backup beside it still tells of the first run."""
    anna = house.athlete()
    house.drop("run.fit", km=8.0, day=TODAY - DAY)
    house.drop("backup.fit", km=8.0, day=TODAY - DAY)
    house.look(2)
    house.drop("run.fit", km=12.0)
    house.look(2)
    assert house.distances_km(anna) == [8.0, 12.0]


def test_a_file_that_is_touched_stays_the_run_it_was(house: House) -> None:
    """A copy tool that sets a new time changes nothing."""
    anna = house.athlete()
    path = house.drop("run.fit")
    house.look(2)
    os.utime(path, (1, 1))
    house.look(2)
    assert house.distances_km(anna) == [8.0]
    assert entry(house, "run.fit").reason == "the run is known already"


def test_a_run_stays_when_its_file_is_taken_away(house: House) -> None:
    """Tidying up the folder forgets nothing, and neither does bringing the file back."""
    anna = house.athlete()
    path = house.drop("run.fit")
    house.look(2)
    path.unlink()
    house.look(2)
    assert house.distances_km(anna) == [8.0]
    house.drop("run.fit")
    house.look(2)
    assert house.distances_km(anna) == [8.0]


def test_a_file_that_vanishes_between_look_and_read_leaves_no_verdict(house: House) -> None:
    """It isn't a failure of anything."""
    house.athlete()
    path = house.drop("run.fit")
    house.look()
    stable = [file for file, _ in scan_inbox(house.services, house.now)]
    path.unlink()
    assert list(house.services.inbox.read(stable)) == []
    house.look()
    with house.services.store.reading() as tx:
        assert tx.inbox.with_verdict() == ()


def test_a_file_that_changes_under_the_reader_is_read_again(house: House) -> None:
    """What was half old and half new is nobody's run."""
    anna = house.athlete()
    house.drop("run.fit")
    house.look()
    stable = [file for file, _ in scan_inbox(house.services, house.now)]
    house.drop("run.fit", km=12.0)
    assert list(house.services.inbox.read(stable)) == []
    house.look(2)
    assert house.distances_km(anna) == [12.0]


def test_one_bad_file_stops_no_other(house: House) -> None:
    """Its reason is kept, the next one is read."""
    anna = house.athlete()
    house.drop("a.fit", b"no FIT file at all, just words")
    house.drop("b.fit")
    taken = house.look(2)
    assert (taken.imported, [file for file, _ in taken.failed]) == (1, ["a.fit"])
    assert entry(house, "a.fit").reason
    assert house.distances_km(anna) == [8.0]


# Whose it is


def test_a_single_athlete_may_use_the_folder_itself_or_a_sub_folder(house: House) -> None:
    """Both ways, as deep as people sort their files."""
    anna = house.athlete("Anna")
    house.drop("root.fit")
    house.drop("Anna/2026/11/deep.fit", km=5.0, day=TODAY - DAY)
    house.look(2)
    assert house.distances_km(anna) == [5.0, 8.0]


def test_several_athletes_have_a_sub_folder_each(house: House) -> None:
    """What lies in the folder itself could be anybody's, and waits."""
    anna, ben = house.athlete("Anna"), house.athlete("Ben")
    house.drop("Anna/a.fit", km=5.0)
    house.drop("Ben/b.fit", km=6.0)
    house.drop("whose.fit", km=7.0)
    house.look(2)
    assert (house.distances_km(anna), house.distances_km(ben)) == ([5.0], [6.0])
    assert "several athletes" in house.waiting()["whose.fit"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        pytest.param("Anna", "ANNA", id="another case"),
        pytest.param("Zoë Öz", unicodedata.normalize("NFD", "Zoë Öz"), id="decomposed"),
        pytest.param("Groß", "GROSS", id="folded"),
    ],
)
def test_a_sub_folder_is_found_however_the_machine_writes_it(
    house: House, name: str, folder: str
) -> None:
    """macOS decomposes, Windows shares shout."""
    house.athlete("Ben")
    who = house.athlete(name)
    house.drop(f"{folder}/run.fit")
    house.look(2)
    assert house.distances_km(who) == [8.0]


def test_an_unknown_sub_folder_waits_until_its_athlete_is_added(house: House) -> None:
    """It says so, and nothing is lost."""
    house.athlete("Anna")
    house.drop("Ben/run.fit")
    house.look(3)
    assert "no athlete is called Ben" in house.waiting()["Ben/run.fit"]
    ben = house.athlete("Ben")
    house.look()
    assert house.distances_km(ben) == [8.0]
    assert house.waiting() == {}


def test_files_wait_for_the_first_athlete(house: House) -> None:
    """A folder filled before anybody was added."""
    house.drop("run.fit")
    house.look(2)
    assert "no athlete yet" in house.waiting()["run.fit"]
    anna = house.athlete("Anna")
    house.look()
    assert house.distances_km(anna) == [8.0]


def test_an_athlete_who_was_forgotten_and_comes_back_has_their_files_read_again(
    house: House,
) -> None:
    """The worker went on running in between."""
    house.drop("Anna/run.fit")
    house.look()
    gone = house.athlete("Anna")
    house.look(2)
    with house.services.store.transaction() as tx:
        tx.athletes.remove(gone)
    house.look()
    back = house.athlete("Anna")
    house.look(2)
    assert house.distances_km(back) == [8.0]


# What is no run's file


def test_each_file_of_an_archive_that_gave_no_run_is_named(house: House) -> None:
    """The archive came in; what inside it couldn't be read, or is no run, isn't lost to sight."""
    house.athlete()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ok.fit", run_file(8.0))
        archive.writestr("bad.fit", b"xx")
        archive.writestr("ride.fit", fit_run(NOW, sport="cycling"))
    house.drop("week.zip", packed.getvalue())
    taken = house.look(2)
    assert (taken.imported, taken.skipped, [path for path, _ in taken.failed]) == (
        1,
        1,
        ["week.zip/bad.fit"],
    )
    assert house.look(2) == TakenIn()


def test_links_and_pipes_wait_and_hidden_files_are_passed_over(
    house: House, tmp_path: Path
) -> None:
    """Nothing outside the folder is ever read, nothing that blocks is ever opened."""
    anna = house.athlete()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.fit").write_bytes(run_file(8.0))
    (house.inbox / "link.fit").symlink_to(outside / "secret.fit")
    (house.inbox / "linked").symlink_to(outside)
    os.mkfifo(house.inbox / "pipe.fit")
    for name in (
        "._run.fit", ".hidden.fit", ".syncthing.run.fit.tmp", "~syncthing~run.fit",
        "run.sync-conflict-20261120-061530-ABCDEFG.fit", "run.fit.part", "run.fit.crdownload",
        "@eaDir/run.fit", "#recycle/run.fit", ".stversions/run.fit",
    ):  # fmt: skip
        house.drop(name)
    assert house.look(3).imported == 0
    assert house.waiting() == dict.fromkeys(("link.fit", "linked", "pipe.fit"), NO_FILE)
    assert house.distances_km(anna) == []


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
def test_a_file_whose_name_cannot_be_shown_waits_and_stops_no_other(
    house: House, name: bytes
) -> None:
    """It's asked to be renamed; the others are read."""
    anna = house.athlete()
    path = os.path.join(os.fsencode(house.inbox), name)  # noqa: PTH118  a name that isn't text
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103,PTH120  as above
    with open(path, "wb") as file:  # noqa: PTH123  as above
        file.write(run_file(8.0))
    house.drop("good.fit", km=5.0)
    house.look(3)
    assert house.distances_km(anna) == [5.0]
    ((shown, reason),) = house.waiting().items()
    assert shown.isprintable()
    assert "rename it" in reason


@pytest.mark.parametrize("name", ["ärzte & läufer (1)'\";--.fit", "no\u00a0break\u202fspace.FIT"])
def test_unusual_names_that_can_be_shown_are_read(house: House, name: str) -> None:
    """Quotes, umlauts, the narrow space of macOS, any ending."""
    anna = house.athlete()
    house.drop(name)
    house.look(2)
    assert house.distances_km(anna) == [8.0]


def test_a_folder_that_goes_away_is_said_and_comes_back(house: House) -> None:
    """A share that isn't mounted is not an empty inbox."""
    anna = house.athlete()
    house.drop("run.fit")
    house.look()
    elsewhere = house.inbox.with_name("unmounted")
    house.inbox.rename(elsewhere)
    with pytest.raises(SourceError, match="can't be read"):
        house.look()
    elsewhere.rename(house.inbox)
    assert house.look().imported == 1
    assert house.distances_km(anna) == [8.0]


# One folder stops no other


class NobodysInbox(Inbox):
    """Looks at the folder as somebody whom a mode can keep out."""

    def scan(self, folders: Collection[str] | None = None) -> tuple[Snapshot, ...]:
        with nobody():
            return super().scan(folders)


def kept_out(house: House, folder: Path) -> House:
    """The same house, with an inbox there that is looked at by nobody."""
    inbox = NobodysInbox(folder, InboxSection(), read_many=house.services.inbox._read_many)
    return House(replace(house.services, inbox=inbox), house.mailer, house.now)


@pytest.mark.parametrize(
    ("locked", "mode"),
    [("Anna", 0o000), ("Anna/2026", 0o000), ("Anna", 0o444)],
    ids=["a folder", "a folder below", "a folder that only lists its names"],
)
def test_a_folder_that_cannot_be_looked_into_is_named_and_stops_no_other(
    house: House, public: Path, caplog: pytest.LogCaptureFixture, locked: str, mode: int
) -> None:
    """The others go on; the log says it once; opened again, its files come at the next looks."""
    house = kept_out(house, public)
    anna, zoe = house.athlete("Anna"), house.athlete("Zoe")
    house.drop("Anna/2026/a.fit", km=5)
    house.drop("Anna/b.fit", km=6, day=TODAY - DAY)
    house.drop("Zoe/a.fit", km=7)
    (public / locked).chmod(mode)
    house.look(5)
    assert house.distances_km(zoe) == [7.0]
    unseen = house.waiting()
    assert unseen
    assert all(name.startswith(locked) for name in unseen)
    assert set(unseen.values()) == {
        "can't be looked into (Permission denied): check that Easeback may read it and all in it"
    }
    told = [one for one in caplog.records if "can't be looked into" in one.getMessage()]
    assert len(told) == len(unseen)
    (public / locked).chmod(0o755)
    house.look()
    assert not any(house.waiting().values())
    house.look()
    assert house.waiting() == {}
    assert house.distances_km(anna) == [6.0, 5.0]


def test_a_pipe_in_place_of_a_file_that_was_listed_blocks_nobody(house: House) -> None:
    """Swapped after the look: a pipe has no end, and nobody at the other one."""
    anna, zoe = house.athlete("Anna"), house.athlete("Zoe")
    house.drop("Anna/a.fit")
    house.drop("Zoe/a.fit", km=7)
    house.look()
    swapped = Swapping(house.services.inbox, lambda: to_a_pipe(house.inbox / "Anna/a.fit"))
    house = House(replace(house.services, inbox=swapped), house.mailer, house.now)
    house.look()
    assert (house.distances_km(anna), house.distances_km(zoe)) == ([], [7.0])
    house.look(2)
    assert house.waiting() == {"Anna/a.fit": NO_FILE}


@pytest.mark.parametrize("swap", ["file", "link", "pipe", "ring of links", "nothing"])
def test_what_a_folder_was_swapped_for_stops_no_other(
    house: House, tmp_path: Path, swap: str
) -> None:
    """Whatever comes in its place, nothing outside is read and the others go on."""
    anna, zoe = house.athlete("Anna"), house.athlete("Zoe")
    folder = house.drop("Anna/a.fit").parent
    house.drop("Zoe/a.fit", km=7)
    house.look()
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
    assert house.services.inbox.scan({"Anna"}) == ()
    house.look(3)
    assert (house.distances_km(anna), house.distances_km(zoe)) == ([], [7.0])


class Swapping(Inbox):
    """An inbox in which something is swapped between the listing and what comes of it."""

    def __init__(self, inbox: Inbox, swap: Callable[[], object]) -> None:
        super().__init__(inbox.folder, inbox.settings, read_many=inbox._read_many)
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


# Nothing is touched, and it's quick


def test_the_runners_files_are_never_changed(house: House) -> None:
    """Names, bytes and times are the same after all that can come of a file."""
    house.athlete("Anna")
    house.drop("good.fit")
    house.drop("again.fit")
    house.drop("bad.fit", b"words")
    house.drop("torn.fit", run_file(9.0)[:40])
    house.drop("nobody/run.fit")
    before = footprint(house.inbox)
    house.look(TORN_FILE_SCANS)
    assert footprint(house.inbox) == before


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


def test_known_files_are_listed_and_never_opened(house: House) -> None:
    """A whole club's archive, with one file that waits: a scan asks once for each file, and reads
    nothing of the others from the database.
    """
    anna = house.athlete()
    for number in range(1_000):
        (house.inbox / f"{number}.fit").touch()
    house.drop("Nobody/run.fit")
    house.look()
    verdicts = [
        file._replace(verdict="skipped", athlete_id=anna.id)
        for file in house.services.inbox.scan()
        if not file.path.startswith("Nobody/")
    ]
    with house.services.store.transaction() as tx:
        tx.inbox.save(verdicts, now=house.now)
    house.look(2)
    assert list(house.waiting()) == ["Nobody/run.fit"]
    scans = calls_of(house.services.inbox.scan)
    looks = calls_of(house.look)
    assert scans["open"] == 2  # the folders themselves
    assert scans["scandir"] == 2
    assert scans["stat"] + scans["lstat"] <= 1_000 + 5
    assert scans.total() < 30 * 1_000
    assert looks.total() < scans.total() + 4 * 1_000
