"""The reader's child process: limits hold, the caller survives, the next file is read."""

import gzip
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from simulators.activity_files import definition, fit_file, fit_run
from tests.waiting import wait_until
from worker.sources import NotRead, Unreadable
from worker.sources.formats import Activity, Parsed
from worker.sources.formats.child import Reader
from worker.sources.formats.tables import table_rows
from worker.sources.formats.unpack import MIB, Member

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
FIT = fit_run(START, distance_m=5000, offset_h=1)


@cache
def slow() -> bytes:
    """Sixty million empty records: minutes to parse on any machine, small when compressed."""
    return gzip.compress(fit_file(definition(20, ()) + bytes(60_000_000)), compresslevel=1)


@cache
def big() -> bytes:
    """A hundred megabytes once unpacked."""
    return gzip.compress(b"<gpx>" + bytes(100 * MIB), compresslevel=1)


def packed(**members: bytes) -> bytes:
    """A zip of these members; `_` in their names stands for the dot."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name.replace("_", "."), member)
    return content.getvalue()


def told(found: Iterable[Member]) -> list[tuple[str, str]]:
    """Each member's name, and its reason if it has no run."""
    return [(one.name, getattr(one.parsed, "reason", "")) for one in found]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """One child for all tests that don't end it."""
    with Reader() as shared:
        yield shared


def one(found: Iterator[Member]) -> Member:
    """The only member."""
    (member,) = found
    return member


def pid_of(reader: Reader) -> int:
    """The process id of the current child."""
    assert reader._child is not None
    return reader._child._process.pid


def test_gives_the_same_as_reading_here(reader: Reader, tmp_path: Path) -> None:
    """A run comes back intact from the child, by path and by bytes."""
    path = tmp_path / "run.fit"
    path.write_bytes(FIT)
    member = one(reader.read(path))
    assert member.name == "run.fit"
    assert member.parsed == (Activity(START, timedelta(hours=1), 5000.0, 2700.0, 2700.0, "run"),)
    assert one(reader.read(FIT, name="run.fit")) == member


def test_a_path_counts_from_where_the_caller_stands(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child has another current folder; the caller gets its own paths back."""
    one(reader.read(FIT))
    (tmp_path / "a.fit").write_bytes(FIT)
    monkeypatch.chdir(tmp_path)
    ((path, member),) = reader.read_many([Path("a.fit")])
    assert path == Path("a.fit")
    assert isinstance(member.parsed, tuple)
    assert isinstance(one(reader.read(Path("../") / tmp_path.name / "a.fit")).parsed, tuple)


def test_the_child_stands_in_nobodys_folder_and_sees_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not our current folder, our settings, or variables of Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EASEBACK_MAIL__PASSWORD", "hunter2")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("sys.path", ["", str(tmp_path), *sys.path])
    for name in ("json", "fitparse"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    with Reader() as reader:
        assert isinstance(one(reader.read(FIT)).parsed, tuple)
        proc = Path("/proc") / str(pid_of(reader))
        if proc.exists():  # only on Linux
            assert (proc / "cwd").readlink() == Path("/")
            assert b"-I" in (proc / "cmdline").read_bytes().split(b"\0")
            names = {
                line.partition(b"=")[0] for line in (proc / "environ").read_bytes().split(b"\0")
            }
            assert not [name for name in names if name.startswith((b"EASEBACK", b"PYTHON"))]
    assert not (tmp_path / "canary").exists()


def test_the_child_loads_nothing_but_readers() -> None:
    """It's restarted after a pause; importing settings and services would double the time."""
    loads = (
        "import sys, worker.sources.formats.child_serve; "
        "from worker.sources.formats import fit, gpx, tcx; print(*sys.modules)"
    )
    command = [sys.executable, "-c", loads]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert not {"pydantic", "sqlalchemy", "requests", "http.client"} & set(done.stdout.split())


def test_tells_reasons_as_well(reader: Reader) -> None:
    """Files without a run come back with the reason."""
    assert one(reader.read(b"", name="x")).parsed == Unreadable("an empty file")
    assert one(reader.read(fit_run(START, sport="cycling"))).parsed != ()


def test_reads_many_files_with_one_child(reader: Reader, tmp_path: Path) -> None:
    """Files come back in order, each with its path, from the same process."""
    paths = [tmp_path / f"{number}.fit" for number in range(300)]
    for number, path in enumerate(paths):
        path.write_bytes(fit_run(START + timedelta(days=number), records=2))
    child = pid_of(reader)
    found = list(reader.read_many(paths))
    assert [path for path, _ in found] == paths
    assert [
        member.parsed[0].started_at for _, member in found if isinstance(member.parsed, tuple)
    ] == [START + timedelta(days=number) for number in range(300)]
    assert pid_of(reader) == child


def test_reads_an_archive_with_more_answers_than_a_pipe_holds(reader: Reader) -> None:
    """Thousands of answers block neither the child nor the caller."""
    archive = packed(**{f"{'long' * 30}{number}_fit": b"" for number in range(2000)})
    assert len(list(reader.read(archive, name="big.zip"))) == 2000


def test_a_caller_may_take_its_time_over_an_answer() -> None:
    """Time spent by the caller doesn't count against the file."""
    archive = packed(**{f"{'long' * 30}{number}_fit": b"" for number in range(1500)})
    reasons: list[Parsed] = []
    with Reader(seconds=1, grace_s=0) as reader:
        for member in reader.read(archive, name="big.zip"):
            if not reasons:
                time.sleep(1.5)
            reasons.append(member.parsed)
    assert reasons == [Unreadable("an empty file")] * 1500


def test_a_killed_child_costs_one_file(tmp_path: Path) -> None:
    """After its death the next file is read by another child."""
    with Reader() as reader:
        one(reader.read(FIT))
        os.kill(pid_of(reader), signal.SIGKILL)
        wait_until(lambda: reader._child is None or not reader._child.lives())
        assert isinstance(one(reader.read(FIT)).parsed, tuple)


def stop(reader: Reader) -> None:
    """Stop the child, so that reading seems to take forever through no fault of the file."""
    os.kill(pid_of(reader), signal.SIGSTOP)


def test_a_file_that_takes_too_long_is_given_up() -> None:
    """A file that a new child can't read in time either is given up; the next one is read."""
    with Reader(seconds=2) as reader:
        member = one(reader.read(slow(), name="slow.fit"))
        assert member.parsed == NotRead("reading it took longer than 2 s")
        assert isinstance(one(reader.read(FIT)).parsed, tuple)


def test_a_file_that_met_a_reader_in_trouble_is_read_by_a_fresh_one(tmp_path: Path) -> None:
    """Whatever stopped or killed the child, the file isn't blamed."""
    paths = [tmp_path / f"{number}.fit" for number in range(3)]
    for path in paths:
        path.write_bytes(FIT)
    with Reader(seconds=2) as reader:
        one(reader.read(FIT))
        stop(reader)
        assert told(member for _, member in reader.read_many(paths)) == [
            ("0.fit", ""),
            ("1.fit", ""),
            ("2.fit", ""),
        ]


def test_a_file_whose_readers_are_killed_is_not_judged() -> None:
    """The system's OOM killer ends them repeatedly: the file gets no verdict."""
    is_over = threading.Event()

    def kill() -> None:
        killed = None
        while not is_over.wait(0.05):
            child = reader._child
            if child is not None and child is not killed:
                killed = child
                child._process.kill()

    with Reader() as reader:
        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = [member.parsed for member in reader.read(slow(), name="slow.fit")]
        is_over.set()
        killer.join()
        assert found[0] == NotRead("its reader was killed, most likely for want of memory")
        assert {type(parsed) for parsed in found} == {NotRead}
        assert isinstance(one(reader.read(FIT)).parsed, tuple)


def test_a_table_is_read_by_the_child_a_row_at_a_time(reader: Reader, tmp_path: Path) -> None:
    """By itself or in an archive: the same rows as in this process; an error is its reason."""
    rows = "".join(f"2026-03-{day:02}T07:00:00,{5000 + day}\n" for day in range(1, 29))
    content = f"start_date_local,distance_m\nnever,1\n{rows}".encode()
    (tmp_path / "mine.csv").write_bytes(content)
    (tmp_path / "all.zip").write_bytes(packed(mine_csv=content))
    expected = list(table_rows(io.BytesIO(content), zone=ZoneInfo("Europe/Berlin")))
    assert len(expected) == 29
    for path, member in ((tmp_path / "mine.csv", ""), (tmp_path / "all.zip", "mine.csv")):
        assert list(reader.read_table(path, member=member, zone="Europe/Berlin")) == expected
    assert list(reader.read_table(tmp_path / "all.zip", member="no.csv", zone="UTC")) == [
        Unreadable("can't be read: \"There is no item named 'no.csv' in the archive\"")
    ]
    assert list(reader.read_table(tmp_path / "gone.csv", zone="UTC")) == [
        NotRead("can't be read: No such file or directory")
    ]


def test_a_table_that_takes_too_much_memory_takes_only_the_childs(tmp_path: Path) -> None:
    """It isn't read, and says so; the next file is read."""
    path = tmp_path / "a_summarizedActivities.json"
    path.write_bytes(bytes(60 * MIB))
    with Reader(memory_bytes=100 * MIB) as reader:
        assert list(reader.read_table(path, kind="summaries")) == [
            NotRead("reading it takes more than 100 MB of memory")
        ]
        assert isinstance(one(reader.read(FIT)).parsed, tuple)


def test_the_rest_of_an_archive_is_read_after_a_death() -> None:
    """A member that takes too long doesn't affect those after it."""
    archive = packed(a_fit=FIT, b_fit_gz=slow(), c_fit=FIT)
    with Reader(seconds=2) as reader:
        assert told(reader.read(archive, name="x.zip")) == [
            ("x.zip/a.fit", ""),
            ("x.zip", "reading it took longer than 2 s"),
            ("x.zip/c.fit", ""),
        ]


def test_an_archive_that_kills_reader_after_reader_is_given_up() -> None:
    """Two members in a row, each tried twice, are enough."""
    archive = packed(a_fit=FIT, b_gpx_gz=big(), c_gpx_gz=big(), d_fit=FIT)
    reason = "reading it takes more than 100 MB of memory"
    with Reader(memory_bytes=100 * MIB) as reader:
        assert told(reader.read(archive, name="x.zip")) == [
            ("x.zip/a.fit", ""),
            ("x.zip", reason),
            ("x.zip", f"{reason}; the rest of it is left out"),
        ]


@pytest.mark.parametrize(
    ("name", "content"),
    [("big.gpx.gz", big), ("big.zip", lambda: packed(big_gpx_gz=big()))],
    ids=["file", "in an archive"],
)
def test_a_file_that_takes_too_much_memory_is_given_up(
    name: str, content: Callable[[], bytes], tmp_path: Path
) -> None:
    """Under a limit of 100 MB a file of 100 MB can't be unpacked; a new child reads the next."""
    paths = [tmp_path / "a.fit", tmp_path / name, tmp_path / "z.fit"]
    for path, bytes_ in zip(paths, (FIT, content(), FIT), strict=True):
        path.write_bytes(bytes_)
    with Reader(memory_bytes=100 * MIB) as reader:
        one(reader.read(FIT))
        first = pid_of(reader)
        assert told(member for _, member in reader.read_many(paths)) == [
            ("a.fit", ""),
            (name, "reading it takes more than 100 MB of memory"),
            ("z.fit", ""),
        ]
        assert pid_of(reader) != first


def test_a_request_too_large_for_the_childs_memory_is_that_files_reason() -> None:
    """It doesn't even fit before it's read; the next one does."""
    with Reader(memory_bytes=100 * MIB) as reader:
        refused = told(reader.read(bytes(100 * MIB), name="x.fit"))
        assert refused[0] == ("x.fit", "reading it takes more than 100 MB of memory")
        assert told(reader.read(FIT, name="y.fit")) == [("y.fit", "")]


def test_an_idle_child_leaves_and_another_comes() -> None:
    """No memory is held while no files come."""
    with Reader(idle_s=0.1) as reader:
        one(reader.read(FIT))
        first = reader._child
        assert first is not None
        first._process.wait(timeout=5)
        assert isinstance(one(reader.read(FIT)).parsed, tuple)
        assert reader._child is not first


def test_closing_ends_the_child() -> None:
    """Closing leaves no process, and another file still gets a child."""
    reader = Reader()
    one(reader.read(FIT))
    pid = pid_of(reader)
    reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert isinstance(one(reader.read(FIT)).parsed, tuple)
    reader.close()


def test_closing_ends_though_a_ctrl_c_left_the_processs_lock_taken() -> None:
    """As after one inside `poll`; waiting for that lock would never end."""
    reader = Reader()
    one(reader.read(FIT))
    assert reader._child is not None
    process = reader._child._process
    taken: threading.Lock = vars(process)["_waitpid_lock"]
    taken.acquire()
    closing = threading.Thread(target=reader.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    taken.release()
    assert process.wait(timeout=5) == -signal.SIGKILL


def test_a_reader_that_nobody_closed_leaves_no_process() -> None:
    """A child ends with its reader, even if that was never closed."""
    reader = Reader()
    one(reader.read(FIT))
    pid = pid_of(reader)
    del reader
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_caller_that_stops_half_way_leaves_no_answers_behind(tmp_path: Path) -> None:
    """Results read ahead for one caller aren't given to the next."""
    paths = [tmp_path / f"{number}.fit" for number in range(10)]
    for path in paths:
        path.write_bytes(b"")
    with Reader() as reader:
        asking = reader.read_many(paths)
        assert isinstance(asking, Generator)
        next(asking)
        asking.close()
        assert isinstance(one(reader.read(FIT)).parsed, tuple)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, NotRead("can't be read: No such file or directory")),
        (lambda path: path.mkdir(), NotRead("can't be read: Is a directory")),
        (os.mkfifo, Unreadable("can't be read: not a regular file")),
        (lambda path: path.symlink_to("/etc/hostname"), NotRead("can't be read: it's a link")),
    ],
    ids=["gone", "folder", "pipe", "link"],
)
def test_opens_nothing_but_regular_files(
    reader: Reader, tmp_path: Path, make: object, expected: NotRead | Unreadable
) -> None:
    """A link, pipe or device in the folder is never followed or waited for."""
    path = tmp_path / "it.fit"
    make(path)  # type: ignore[operator]  # one of the lambdas above
    assert one(reader.read(path)).parsed == expected
