"""Importing folders and archives: interrupted, changed, and repeated."""

import gzip
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, time
from itertools import islice
from pathlib import Path

import pytest

from simulators.activity_files import fit_run
from tests.app import TODAY, recording, run_file, steady
from tests.nobody import nobody
from tests.pipeline.imports.exports import (
    DAY,
    Importing,
    export,
    findings,
    folder_of,
    packed,
    row,
    runs,
    spiky,
    zipped,
)
from worker.pipeline.imports import ENTRIES_AT_ONCE, Imported, import_entries, recall_for
from worker.pipeline.ingest import IMPORTED
from worker.sources.archive.entries import read_entries
from worker.sources.archive.manifest import manifest_of
from worker.sources.formats.child import Reader
from worker.sources.formats.unpack import MIB


def test_a_folder_gives_its_runs_and_passes_over_what_is_no_activity(
    importing: Importing, tmp_path: Path
) -> None:
    """By content: a run without an extension is found, pictures don't fail, links aren't read."""
    anna = importing.app.athlete()
    folder = folder_of(
        tmp_path / "watch",
        {
            "A.FIT": run_file(8.0, day=TODAY - 3 * DAY),
            "no ending": gzip.compress(run_file(7.0, day=TODAY - 2 * DAY)),
            "ride.fit": fit_run(datetime(2026, 11, 1, tzinfo=UTC), sport="cycling"),
            "torn.fit": b"",
            "picture.jpg": b"\xff\xd8\xff",
            ".hidden.fit": run_file(9.0, day=TODAY),
        },
    )
    (folder / "link.fit").symlink_to(folder / "A.FIT")
    assert importing.by(anna, folder) == {"imported": 2, "skipped": 1, "failed": 1}
    assert importing.app.distances_km(anna) == [8.0, 7.0]
    assert manifest_of([folder]).passed_over == 1


def test_twice_is_once_and_the_second_time_nothing_is_read(
    importing: Importing, tmp_path: Path
) -> None:
    """Files that were read and haven't changed are skipped without opening them."""
    app, anna = importing.app, importing.app.athlete()
    folder = folder_of(tmp_path / "files", spiky(30))
    (folder / "ride.fit").write_bytes(fit_run(datetime(2026, 11, 1, tzinfo=UTC), sport="cycling"))
    assert importing.by(anna, folder) == {"imported": 30, "skipped": 1}
    before = runs(app, anna), findings(app, anna)
    for file in folder.iterdir():
        status = file.stat()
        file.write_bytes(bytes(8) + b".FIT" + bytes(status.st_size - 12))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert importing.by(anna, folder) == {"duplicate": 30, "skipped": 1}
    assert (runs(app, anna), findings(app, anna)) == before


@pytest.mark.parametrize("name", ["a.fit", "a.zip", "activities.csv"])
def test_a_pipe_in_place_of_a_file_that_was_listed_blocks_nobody(
    importing: Importing, tmp_path: Path, name: str
) -> None:
    """It was swapped after the listing: a pipe without a writer blocks whoever opens it."""
    anna = importing.app.athlete()
    files = {"a.fit": run_file(8), "a.zip": zipped({"a.fit": run_file(8)})}
    export(tmp_path / "e", [row(1, TODAY, 8)], {"good.fit": run_file(5, day=TODAY - DAY)})
    path = tmp_path / "e" / name
    if name in files:
        path.write_bytes(files[name])
    found = manifest_of([tmp_path / "e"])
    path.unlink()
    os.mkfifo(path)
    read = read_entries(
        found,
        athlete=anna,
        reader=importing.reader,
        recall=recall_for(importing.app.services, anna),
    )
    verdicts = {one.name: one for one in import_entries(
        importing.app.services, anna, read, clock=importing.app.clock)}  # fmt: skip
    assert verdicts[str(path)].verdict == "failed"
    assert "not a regular file" in verdicts[str(path)].reason
    assert 5.0 in importing.app.distances_km(anna)


def test_links_in_a_ring_are_a_reason(importing: Importing, tmp_path: Path) -> None:
    """It's reported if named directly, and skipped inside a folder."""
    anna = importing.app.athlete()
    ring = tmp_path / "ring.fit"
    ring.symlink_to(ring)
    ((name, reason),) = [(one.name, one.reason) for one in importing.start(anna, ring)]
    assert (name, reason) == (str(ring), "can't be read: it's a link")
    assert importing.by(anna, tmp_path) == Counter()


def test_a_folder_that_only_lists_its_names_is_said(importing: Importing, public: Path) -> None:
    """What can't be opened is named, and the import continues."""
    anna = importing.app.athlete()
    for folder in ("open", "closed"):
        (public / folder).mkdir()
        (public / folder / "a.fit").write_bytes(run_file(8))
    (public / "closed").chmod(0o444)
    with nobody():
        found = manifest_of([public])
    assert [file.path.parent.name for file in found.files] == ["closed", "open"]
    (public / "closed").chmod(0o755)
    assert importing.by(anna, public) == Counter(imported=1, duplicate=1)


def test_a_file_that_changed_is_read_again(importing: Importing, tmp_path: Path) -> None:
    """Another time or size means another file."""
    anna = importing.app.athlete()
    folder = folder_of(tmp_path / "files", {"a.fit": run_file(8.0, day=TODAY - DAY)})
    importing.by(anna, folder)
    (folder / "a.fit").write_bytes(run_file(9.0))
    os.utime(folder / "a.fit", ns=(1, 1))
    assert importing.by(anna, folder) == {"imported": 1}


def test_a_file_that_could_not_be_read_is_tried_again(importing: Importing, tmp_path: Path) -> None:
    """The cause may be gone; a repaired file is ingested."""
    anna = importing.app.athlete()
    folder = folder_of(tmp_path / "files", {"a.fit": b"\x0e\x10"})
    assert importing.by(anna, folder) == {"failed": 1}
    assert importing.by(anna, folder) == {"failed": 1}


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_an_import_that_was_stopped_goes_on_where_it_was(
    importing: Importing, tmp_path: Path, as_zip: bool
) -> None:
    """The first batch is stored; restarted, the rest follows, with the same result as in one go."""
    app, anna, ben = importing.app, importing.app.athlete(), importing.app.athlete("Ben")
    path = folder_of(tmp_path / "files", spiky(ENTRIES_AT_ONCE + 40))
    if as_zip:
        path = packed(tmp_path / "files.zip", path)
    stopped = importing.start(anna, path)
    assert len(list(islice(stopped, 5))) == 5
    close(stopped)
    assert len(runs(app, anna)) == ENTRIES_AT_ONCE
    assert app.findings(anna) == ()
    assert importing.by(anna, path) == {"duplicate": ENTRIES_AT_ONCE, "imported": 40}
    importing.by(ben, path)
    assert runs(app, anna) == runs(app, ben)
    assert findings(app, anna) == findings(app, ben) != set()


def close(started: Iterable[Imported]) -> None:
    """As the command does on Ctrl-C."""
    started.close()  # type: ignore[attr-defined]  # it's a generator


def test_what_a_stopped_import_left_unjudged_is_judged_by_the_next_pass(
    importing: Importing, tmp_path: Path
) -> None:
    """Without mails, though its last run was today; the weekly mail and `alerts` include it."""
    app, anna = importing.app, importing.app.athlete()
    app.runs(anna, steady())
    more = {
        f"{n:04}.fit": run_file(8.0, day=TODAY - n * DAY) for n in range(1, ENTRIES_AT_ONCE + 9)
    }
    path = folder_of(tmp_path / "files", {"0000.fit": run_file(20.0), **more})
    stopped = importing.start(anna, path)
    next(stopped)
    close(stopped)
    assert app.findings(anna) == ()
    app.pass_on()
    assert TODAY in {one.day for one in app.findings(anna)}
    assert set(app.silences(anna)) == {IMPORTED}
    assert app.mailer.taken == []


def test_a_run_that_arrives_beside_a_stopped_import_tells_nothing_of_it(
    importing: Importing, tmp_path: Path
) -> None:
    """The watch's own run of today is small; the long one was imported and isn't mailed."""
    app, anna = importing.app, importing.app.athlete()
    app.runs(anna, steady())
    more = {
        f"{n:04}.fit": run_file(8.0, day=TODAY - n * DAY) for n in range(1, ENTRIES_AT_ONCE + 9)
    }
    stopped = importing.start(
        anna, folder_of(tmp_path / "files", {"0000.fit": run_file(20.0), **more})
    )
    next(stopped)
    close(stopped)
    app.arrive(anna, recording(km=2.0, at=time(17)))
    app.deliver()
    assert set(app.silences(anna)) == {IMPORTED}
    assert app.mailer.taken == []


@pytest.mark.parametrize("as_zip", [False, True], ids=["files", "archive"])
def test_what_could_not_be_read_is_read_by_the_next_import(
    importing: Importing, tmp_path: Path, as_zip: bool
) -> None:
    """A reader without memory gives no verdict; the other files are already known then."""
    anna = importing.app.athlete()
    heavy = gzip.compress(run_file(8.0) + bytes(100 * MIB), compresslevel=1)
    path = folder_of(
        tmp_path / "files", {"a.fit": run_file(5.0, day=TODAY - DAY), "b.fit.gz": heavy}
    )
    if as_zip:
        path = packed(tmp_path / "files.zip", path)
    with Reader(memory_bytes=100 * MIB) as short_of_memory:
        first = Importing(importing.app, short_of_memory).by(anna, path)
    assert first == {"imported": 1, "unread": 1}
    assert importing.by(anna, path) == {"imported": 1, "duplicate": 1}
    assert importing.app.distances_km(anna) == [5.0, 8.0]


def test_the_order_of_files_changes_nothing(importing: Importing, tmp_path: Path) -> None:
    """Newest first or oldest first: the same runs and findings."""
    files = spiky(90)
    outcomes = []
    for name, order in (("Anna", sorted(files)), ("Ben", sorted(files, reverse=True))):
        renamed = {f"{n:04} {was}": files[was] for n, was in enumerate(order)}
        athlete = importing.app.athlete(name)
        importing.by(athlete, folder_of(tmp_path / name, renamed))
        outcomes.append(
            ({run for run, _ in runs(importing.app, athlete)}, findings(importing.app, athlete))
        )
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1]


def test_names_that_are_no_text_are_told_plainly(importing: Importing, tmp_path: Path) -> None:
    """Undecodable bytes are escaped; everything else is left until it's shown."""
    anna = importing.app.athlete()
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a\u202eb.fit").write_bytes(run_file(8.0))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xe9.fit")).write_bytes(b"torn")
    outcome = {one.verdict: one.name for one in importing.start(anna, folder)}
    assert outcome["imported"].endswith("a\u202eb.fit")
    assert outcome["failed"].endswith("\\udce9.fit")
