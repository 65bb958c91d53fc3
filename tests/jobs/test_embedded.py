"""`easeback run` as a process: it mails about dropped files once, and ends when told to."""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from simulators.smtp_server import SmtpServer
from tests.app import ADDED, NOW, TODAY, run_file, steady
from tests.command import ROOT, easeback
from tests.process import Process, running_in
from tests.waiting import wait_until
from worker.cli.context import clock_as_of
from worker.domain.models import Athlete
from worker.health import Audience, check_health
from worker.jobs.embedded import EmbeddedWorker, end_at_once
from worker.jobs.registry import Job, patience_of
from worker.jobs.rhythm import Rhythm
from worker.jobs.ticks import await_ticks
from worker.pipeline.services import Services
from worker.store import Store

ARRIVES_WITHIN_S = 15
ENDS_WITHIN_S = 5


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a database: Anna has run 8 km every second day."""
    data = tmp_path / "data"
    data.mkdir()
    url = f"sqlite:///{data / 'easeback.db'}"
    with closing(Store.open(url)) as store, store.transaction() as tx:
        anna = tx.athletes.add(
            Athlete(0, "Anna", "anna@example.org", ADDED, timezone="Europe/Berlin")
        )
        tx.athletes.weekly_done(anna, next_at=NOW + timedelta(days=3))
        tx.runs.save(anna, steady(), now=NOW, today=TODAY)
    return tmp_path


def environment(home: Path, port: int, **settings: str) -> dict[str, str]:
    """The environment of a worker that sends mail to `port`."""
    around = {name: value for name, value in os.environ.items() if name[:9] != "EASEBACK_"}
    return {
        **around,
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "EASEBACK_MAIL__HOST": "127.0.0.1",
        "EASEBACK_MAIL__PORT": str(port),
        "EASEBACK_MAIL__SECURITY": "none",
        "EASEBACK_WEB__ENABLED": "false",
        **settings,
    }


@contextmanager
def running(home: Path, port: int, **settings: str) -> Iterator[Process]:
    """`easeback run` as of the test's evening, sending mail to `port`; killed if it doesn't end."""
    env = environment(home, port, **settings)
    words = ("--as-of", NOW.isoformat())
    with running_in(home, *words, env=env, ready="easeback runs") as process:
        yield process


def drop(home: Path) -> None:
    """Drop today's spike into the watched folder."""
    (home / "data" / "inbox" / "spike.fit").write_bytes(run_file(12.0))


def column(home: Path, name: str, *, of: str) -> list[str]:
    """One column of a table, oldest first."""
    with closing(sqlite3.connect(home / "data" / "easeback.db", timeout=30)) as database:
        return [row[0] for row in database.execute(f"SELECT {name} FROM {of} ORDER BY rowid")]  # noqa: S608  our own names


def test_a_worker_that_starts_late_reads_before_it_tells_of_the_week(home: Path) -> None:
    """Monday's mail is due; Sunday's run has been in the inbox since."""
    with (
        closing(Store.open(f"sqlite:///{home / 'data' / 'easeback.db'}")) as store,
        store.transaction() as tx,
    ):
        tx.athletes.weekly_done(tx.athletes.all()[0], next_at=NOW - timedelta(days=4))
    (home / "data" / "inbox").mkdir()
    file = home / "data" / "inbox" / "sunday.fit"
    file.write_bytes(run_file(8.5, day=TODAY - timedelta(days=5)))
    with SmtpServer() as server, running(home, server.port) as worker:
        worker.wait_for(lambda: "weekly" in column(home, "kind", of="outbox"), 60)
        worker.wait_for(lambda: "sent" in column(home, "state", of="outbox"), 20)
        worker.end()
    (subject,) = [line for mail in server.mails for line in mail.content.decode().splitlines()
                  if line.startswith("Subject: ")]  # fmt: skip
    assert "longest 8.5" in subject


def test_a_dropped_files_alert_arrives_once_within_fifteen_seconds(home: Path) -> None:
    """With default settings; and SIGTERM ends the worker in time."""
    with SmtpServer() as server, running(home, server.port) as process:
        drop(home)
        process.wait_for(lambda: bool(server.mails), ARRIVES_WITHIN_S)
        (home / "data" / "inbox" / "again.fit").write_bytes(run_file(12.0))
        process.wait_for(lambda: len(column(home, "verdict", of="inbox_file")) == 2, 15)
        status, took_s = process.end()
        assert status == 0, process.lines
        assert took_s < ENDS_WITHIN_S
        assert column(home, "state", of="outbox") == ["sent"]
        assert [mail.recipient for mail in server.mails] == ["anna@example.org"]
        assert b"X-Easeback-Kind: alert" in server.mails[0].content


@pytest.mark.parametrize(("how", "expected"), [(signal.SIGINT, 0), (signal.SIGHUP, 129)])
def test_ctrl_c_and_sighup_end_it_as_cleanly(
    home: Path, how: signal.Signals, expected: int
) -> None:
    """No traceback; SIGHUP ends with a status on which systemd restarts it, with new settings."""
    with SmtpServer() as server, running(home, server.port) as process:
        status, took_s = process.end(how)
        assert status == expected, process.lines
        assert took_s < ENDS_WITHIN_S
        assert not process.said("Traceback")


@pytest.mark.parametrize(
    "around",
    ['exec "$@" 2>&-', 'ulimit -n 64 && exec "$@"'],
    ids=["nobody hears it", "it may have 64 files open"],
)
def test_a_worker_in_narrow_circumstances_works_all_the_same(home: Path, around: str) -> None:
    """As under some supervisors: with standard error closed, or few file descriptors."""
    worker = (sys.executable, "-m", "worker", "run", "--as-of", NOW.isoformat())
    with (
        SmtpServer() as server,
        subprocess.Popen(  # noqa: S603  our own program
            ("/bin/sh", "-c", around, "sh", *worker),
            cwd=home,
            env=environment(home, server.port),
        ) as process,
    ):
        try:
            wait_until((home / "data" / "inbox").exists, within_s=30)
            drop(home)
            wait_until(lambda: server.mails or process.poll() is not None, within_s=60)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert len(server.mails) == 1


def test_a_mail_server_that_hangs_keeps_nobody_from_ending(home: Path) -> None:
    """A mail that hung at the dot without being accepted is sent once after the restart."""
    quick = {"EASEBACK_INBOX__EVERY": "200 ms"}
    with SmtpServer() as server:
        server.fail("dot", "hang", times=None)
        with running(home, server.port, **quick) as process:
            drop(home)
            at_dot = ["at_dot"]
            process.wait_for(lambda: column(home, "state", of="outbox") == at_dot, ARRIVES_WITHIN_S)
            status, took_s = process.end()
            assert status == 0, process.lines
            assert took_s < ENDS_WITHIN_S
    assert server.mails == []
    with SmtpServer() as server, running(home, server.port, **quick) as process:
        sent = ["sent"]
        process.wait_for(lambda: column(home, "state", of="outbox") == sent, ARRIVES_WITHIN_S)
        assert process.end()[0] == 0
        assert len(server.mails) == 1


def test_a_port_that_is_taken_at_the_start_is_told_and_taken_later(home: Path) -> None:
    """Mail is sent meanwhile; the pages come once the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken, SmtpServer() as server:
        port = taken.getsockname()[1]
        web = {"EASEBACK_WEB__ENABLED": "true", "EASEBACK_WEB__PORT": str(port)}
        with running(home, server.port, **web) as process:
            drop(home)
            process.wait_for(lambda: bool(server.mails), ARRIVES_WITHIN_S)
            assert any(
                "is taken by another program" in (why or "")
                for why in column(home, "trouble", of="tick")
            )
            status = easeback("status", cwd=home, env={"EASEBACK_DATA_DIR": "data"})
            assert status.returncode == 1
            assert f"web: port {port}" in status.stdout + status.stderr
            taken.close()
            process.wait_for(lambda: process.said("web: pages at"), ARRIVES_WITHIN_S)
            process.wait_for(lambda: not any(column(home, "trouble", of="tick")), ARRIVES_WITHIN_S)
            with urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
                assert answer.status == 200
            assert process.end()[0] == 0
    with (
        SmtpServer() as server,
        socket.create_server(("127.0.0.1", port)),
        running(home, server.port, **web) as process,
    ):
        status_code, took_s = process.end()
        assert status_code == 0
        assert took_s < ENDS_WITHIN_S


@pytest.mark.parametrize("start", range(3))
def test_a_start_with_nobody_there_is_quiet(tmp_path: Path, start: int) -> None:
    """With any settings: no error, nothing locked, ready from the first answer on."""
    del start
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    around = {name: value for name, value in os.environ.items() if name[:9] != "EASEBACK_"}
    env = {
        **around,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "EASEBACK_WEB__PORT": str(port),
    }
    with running_in(tmp_path, env=env, ready="web: pages at") as process:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                assert answer.status == 200
            time.sleep(0.2)
        assert process.end()[0] == 0
        said = "".join(process.lines)
        assert "ERROR" not in said
        assert "locked" not in said
        assert "Traceback" not in said


# Inside the process


def ran(
    services: Services,
    *jobs: Job,
    until: Callable[[], object],
    end: Callable[[str], None] = end_at_once,
) -> bool:
    """Run these jobs until a condition is true; returns whether all had ended."""
    worker = EmbeddedWorker(services, lambda: NOW, end=end)

    def stop() -> None:
        try:
            wait_until(until, within_s=10)
        finally:
            worker.stop()

    watcher = threading.Thread(target=stop)
    watcher.start()
    try:
        return worker.run(jobs)
    finally:
        watcher.join()


SOON = Rhythm(timedelta(milliseconds=20))


def test_a_job_that_fails_is_said_and_goes_on(services: Services) -> None:
    """Its error is in the store, and is removed when it works again."""
    outcomes: list[object] = []

    def work(*_: object) -> None:
        outcomes.append(None)
        if len(outcomes) == 1:
            raise RuntimeError("a bug")

    assert ran(services, Job("inbox", SOON, work), until=lambda: len(outcomes) > 2)
    with services.store.reading() as tx:
        assert tx.progress.ticks()["inbox"].trouble is None


def test_a_job_that_keeps_failing_leaves_its_trouble_in_the_store(services: Services) -> None:
    """`status` shows it."""
    count: list[int] = []

    def work(*_: object) -> None:
        count.append(1)
        raise RuntimeError("a bug")

    ran(services, Job("inbox", SOON, work), until=lambda: len(count) > 1)
    with services.store.reading() as tx:
        assert "a bug" in str(tx.progress.ticks()["inbox"].trouble)


def test_what_nobody_expected_is_logged_in_full_once(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each run, every two seconds, until it's fixed."""
    count: list[int] = []

    def work(*_: object) -> None:
        count.append(1)
        raise ValueError("a bug")

    ran(services, Job("inbox", SOON, work), until=lambda: len(count) > 5)
    assert len([record for record in caplog.records if record.exc_info]) == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError(), "there isn't enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there isn't enough memory"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (OSError(errno.EMFILE, "Too many open files"), None),
    ],
)
def test_a_worker_short_of_memory_ends_and_says_so(
    services: Services, error: Exception, why: str | None
) -> None:
    """Its supervisor restarts it; if only file descriptors are short, the other jobs go on."""
    ended, count = list[str](), list[int]()

    def work(*_: object) -> None:
        count.append(1)
        raise error

    ran(services, Job("inbox", SOON, work), until=lambda: ended or len(count) > 2, end=ended.append)
    if why is None:
        assert ended == []
        with services.store.reading() as tx:
            assert "too many files are open" in str(tx.progress.ticks()["inbox"].trouble)
    else:
        assert why in ended[0]


def test_a_worker_that_gets_no_thread_ends_and_says_so(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler alone would go on forever without doing anything."""
    ended = list[str]()

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor._adjust_thread_count", refuse)
    job = Job("inbox", SOON, lambda *_: None)
    ran(services, job, until=lambda: ended, end=ended.append)
    assert "no thread can be started" in ended[0]


def test_a_job_that_never_ends_its_first_run_is_missed_by_everybody(services: Services) -> None:
    """It never records an end, so it counts as missing from the worker's start."""
    ended, ran_quick = threading.Event(), list[int]()
    jobs = (
        Job("deliver", SOON, lambda *_: ended.wait(20)),
        Job("inbox", SOON, lambda *_: ran_quick.append(1)),
    )
    worker = EmbeddedWorker(services, lambda: NOW)
    await_ticks(services, patience_of(jobs), at=NOW)
    thread = threading.Thread(target=worker.run, args=(jobs,))
    thread.start()
    try:
        wait_until(lambda: len(ran_quick) > 3)
        later = NOW + timedelta(minutes=4)
        with services.store.transaction() as tx:
            tx.progress.ticked("inbox", at=later)
            for audience in Audience:
                found = check_health(tx, later, patience=patience_of(jobs), audience=audience)
                assert [trouble.name for trouble in found] == ["deliver"]
    finally:
        ended.set()
        worker.stop()
        thread.join(10)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_job_runs_once_the_database_has_gone(services: Services) -> None:
    """Nothing could be recorded; with the database back in place, the work continues."""
    runs: list[int] = []
    worker = EmbeddedWorker(services, lambda: NOW)
    thread = threading.Thread(
        target=worker.run, args=([Job("inbox", SOON, lambda *_: runs.append(1))],)
    )
    file = services.store.file
    assert file is not None
    with services.store.sole_worker():
        thread.start()
        try:
            wait_until(lambda: len(runs) > 1)
            file.rename(file.with_name("elsewhere"))
            threading.Event().wait(10 * SOON.every.total_seconds())
            before = len(runs)
            threading.Event().wait(10 * SOON.every.total_seconds())
            assert len(runs) == before
            file.with_name("elsewhere").rename(file)
            wait_until(lambda: len(runs) > before)
        finally:
            worker.stop()
            thread.join(10)


def test_a_job_never_runs_beside_itself_and_delays_no_other(services: Services) -> None:
    """No other job waits for a slow one."""
    at_work, most, quick = list[int](), list[int](), list[int]()

    def slow(*_: object) -> None:
        at_work.append(1)
        most.append(len(at_work))
        if len(most) == 1:
            wait_until(lambda: len(quick) > 3)
        at_work.pop()

    assert ran(
        services,
        Job("slow", SOON, slow),
        Job("quick", SOON, lambda *_: quick.append(1)),
        until=lambda: len(most) > 1,
    )
    assert set(most) == {1}


def test_a_clock_as_of_goes_on_from_there() -> None:
    """Without one it's the current time."""
    then = datetime(2027, 3, 1, tzinfo=UTC)
    assert timedelta(0) <= clock_as_of(then.isoformat())() - then < timedelta(seconds=5)
    assert abs(clock_as_of(None)() - datetime.now(UTC)) < timedelta(seconds=5)
