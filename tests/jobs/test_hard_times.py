"""The worker as a process, with failing servers on loopback."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from simulators.clock import Clock
from simulators.empty_database import put_empty_database
from simulators.http_server import Server, running
from simulators.smtp_server import SmtpServer
from simulators.strava.service import Service
from tests.app import run_file
from tests.command import ROOT, easeback
from tests.process import Process, running_in
from tests.sources.strava.app import StravaApp, strava_app
from worker.domain.models import Athlete, WeeklyHour
from worker.store import Store, Transaction

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 23, 6, tzinfo=UTC)


def around(home: Path, post: SmtpServer, **more: str) -> dict[str, str]:
    """The environment of a worker in this folder."""
    mine = {name: value for name, value in os.environ.items() if name[:9] != "EASEBACK_"}
    return mine | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "EASEBACK_MAIL__HOST": "127.0.0.1",
        "EASEBACK_MAIL__PORT": str(post.port),
        "EASEBACK_MAIL__SECURITY": "none",
        "EASEBACK_WEB__ENABLED": "false",
        **more,
    }


def weekly_of(post: SmtpServer) -> tuple[str, str]:
    """Subject and text of the weekly mail that the server accepted."""
    mails = [message_from_bytes(mail.content, policy=policy.default) for mail in post.mails]
    (weekly,) = [mail for mail in mails if mail["X-Easeback-Kind"] == "weekly"]
    text = weekly.get_body(("plain",))
    assert text is not None
    return weekly["Subject"], " ".join(text.get_content().split())


def has_weekly(post: SmtpServer) -> bool:
    return any(b"X-Easeback-Kind: weekly" in mail.content for mail in post.mails)


@pytest.fixture
def server() -> Iterator[Server]:
    """Strava, three weeks before the Monday of the tests."""
    with running(Service(clock=Clock(MONDAY - 21 * DAY))) as server:
        yield server


@pytest.fixture
def strava(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    """Mira, connected and synced; then the worker was stopped, and Monday's mail is due."""
    (tmp_path / "data").mkdir()
    with strava_app(server, tmp_path / "data") as made:
        mira, account = made.connected()
        made.turn()
        made.service.clock.step(21 * DAY)
        made.service.diary.add(account, MONDAY - DAY, 9_000)
        due = replace(mira, weekly=WeeklyHour(0, time(5)))
        with made.services.store.transaction() as tx:
            tx.athletes.change(due, now=MONDAY - DAY)
            tx.athletes.weekly_done(mira, next_at=MONDAY - timedelta(hours=1))
        yield made


def of_strava(made: StravaApp) -> Mapping[str, str]:
    application = made.service.application
    return {
        "EASEBACK_STRAVA__CLIENT_ID": application.client_id,
        "EASEBACK_STRAVA__CLIENT_SECRET": application.client_secret,
        "EASEBACK_STRAVA__BASE_URL": made.server.base_url,
    }


def started(home: Path, env: Mapping[str, str]) -> AbstractContextManager[Process]:
    return running_in(home, "--as-of", MONDAY.isoformat(), env=env, ready="easeback runs")


def test_sundays_run_at_a_service_is_read_before_mondays_mail_tells_of_the_week(
    strava: StravaApp, tmp_path: Path
) -> None:
    """The worker starts when the mail is already due."""
    with SmtpServer() as post:
        env = around(tmp_path, post, **of_strava(strava))
        with started(tmp_path, env) as worker:
            worker.wait_for(lambda: has_weekly(post), 60)
            assert worker.end()[0] == 0
        subject, _ = weekly_of(post)
    assert "in 1 run" in subject


def test_a_service_that_let_us_in_no_more_is_told_as_blindness_and_not_as_a_quiet_week(
    strava: StravaApp, tmp_path: Path
) -> None:
    """And since when nothing could be read."""
    strava.service.tokens.consents.clear()
    strava.service.tokens.live.clear()
    with SmtpServer() as post:
        env = around(tmp_path, post, **of_strava(strava))
        with started(tmp_path, env) as worker:
            worker.wait_for(lambda: has_weekly(post), 60)
            assert worker.end()[0] == 0
        subject, text = weekly_of(post)
    assert subject == "Your week: not all of it could be seen"
    assert "Nothing could be seen at Strava since Monday 2 November" in text
    assert "quiet" not in text


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Anna, with a run of today in her inbox."""
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    put_empty_database(tmp_path / "data" / "easeback.db")
    with writing_into(tmp_path) as tx:
        tx.athletes.add(Athlete(0, "Anna", "anna@example.org", datetime.now(UTC)))
    return tmp_path


LEAPS = """
import datetime, signal, sys, time_machine
from worker.__main__ import main
behind = time_machine.travel(datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=60))
behind.start()
signal.signal(signal.SIGUSR1, lambda *_: behind.stop())
sys.argv = ["easeback", "run"]
main()
"""


def test_after_a_leap_of_sixty_days_the_work_goes_on_without_sweat(home: Path) -> None:
    """Later files are still read; little CPU and memory is used; SIGTERM works."""
    with SmtpServer() as post:
        env = around(home, post, EASEBACK_INBOX__EVERY="1 s")
        with running_in(home, env=env, ready="easeback runs", program=("-c", LEAPS)) as worker:
            worker.popen.send_signal(signal.SIGUSR1)
            worker.wait_for(lambda: "leapt" in trouble(home, "clock"), 30)
            (home / "data" / "inbox" / "new.fit").write_bytes(
                run_file(8, day=datetime.now(UTC).date())
            )
            worker.wait_for(lambda: imported(home) == 1, 15)
            assert cpu_s(worker) < 10
            assert most_mb(worker) < 200
            assert worker.end()[0] == 0


@contextmanager
def writing_into(home: Path) -> Iterator[Transaction]:
    url = f"sqlite:///{home / 'data' / 'easeback.db'}"
    with closing(Store.at(url)) as store, store.transaction() as tx:
        yield tx


@contextmanager
def looking_into(home: Path) -> Iterator[Transaction]:
    url = f"sqlite:///{home / 'data' / 'easeback.db'}"
    with closing(Store.at(url)) as store, store.reading() as tx:
        yield tx


def trouble(home: Path, tick: str) -> str:
    with looking_into(home) as tx:
        found = tx.progress.ticks().get(tick)
    return (found.trouble if found else None) or ""


def imported(home: Path) -> int:
    with looking_into(home) as tx:
        return tx.inbox.counts().get("imported", 0)


def cpu_s(worker: Process) -> float:
    """Its processor time in seconds, as reported by Linux."""
    fields = Path(f"/proc/{worker.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_mb(worker: Process) -> float:
    """Its peak memory in MB."""
    lines = Path(f"/proc/{worker.popen.pid}/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) / 1024


def test_a_sender_that_is_refused_keeps_its_mail_and_is_said(home: Path) -> None:
    """A daily limit: the mail waits, `status` says why, and it's sent once it's accepted."""
    with writing_into(home) as tx:
        tx.outbox.enqueue(
            tx.athletes.all()[0], kind="weekly", key="w", message_id="<w@example.org>",
            sender="e@example.org", recipient="anna@example.org", mime=b"Subject: x\r\n\r\nx\r\n",
            now=datetime.now(UTC),
        )  # fmt: skip
    with SmtpServer() as post:
        post.fail("rcpt", "550 5.4.5 Daily user sending limit exceeded", times=None)
        env = around(home, post)
        with running_in(home, env=env, ready="easeback runs") as worker:
            worker.wait_for(lambda: worker.said("not sent"), 60)
            done = easeback("status", "--json", cwd=home, env=env)
            assert done.returncode == 1
            told = json.loads(done.stdout)
            assert (told["outbox"]["retrying"], told["outbox"]["dead"]) == (1, 0)
            assert any("sending limit" in line for line in told["attention"])
            post.mend("rcpt")
            assert easeback("outbox", "retry", "--all", cwd=home, env=env).returncode == 0
            worker.wait_for(lambda: worker.said("mail weekly to athlete 1 sent"), 60)
            assert worker.end()[0] == 0
