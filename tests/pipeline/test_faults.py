"""External faults: disks, mail servers, clocks; what is reported, and what is preserved."""

import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from simulators.smtp_server import SmtpServer
from tests.app import NOW, App, run_file, steady
from tests.command import ROOT, easeback
from worker.config import InboxSection, MailSection
from worker.health import Audience, check_health
from worker.jobs.embedded import EmbeddedWorker
from worker.jobs.registry import jobs_of
from worker.jobs.ticks import record_tick
from worker.mail import MailboxMailer, SendError, SmtpMailer
from worker.ping import ping
from worker.pipeline.forget import forget_athlete
from worker.pipeline.housekeeping import tidy
from worker.pipeline.weekly import queue_due_weeklies
from worker.sources.base import SourceError
from worker.store.file_system import share_under
from worker.store.progress import Tick

MINUTE = timedelta(minutes=1)
PATIENCE = {"inbox": timedelta(seconds=5), "deliver": timedelta(seconds=2)}
PRIVATE = ("unshare", "--map-root-user", "--mount", "sh", "-euc")


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = [*PRIVATE, "mount -t tmpfs tmpfs /mnt"]
    done = subprocess.run(tried, check=False, capture_output=True)  # noqa: S603  fixed words
    return done.returncode == 0


@pytest.mark.parametrize(
    ("breaks", "mends", "words"),
    [
        ("head -c 9m /dev/zero > data/fill || true", "rm data/fill", "is full: make room"),
        ("mount -o remount,ro data", "mount -o remount,rw data", "ead-only"),
    ],
)
def test_a_disk_that_is_full_or_read_only_costs_nothing(
    tmp_path: Path, breaks: str, mends: str, words: str
) -> None:
    """One line while it lasts; afterwards every run is there once."""
    if not can_mount():
        pytest.skip("this machine lets nobody mount a file system of one's own")
    (tmp_path / "data").mkdir()
    (tmp_path / "inbox").mkdir()
    for number in range(1, 9):
        (tmp_path / "inbox" / f"{number}.fit").write_bytes(run_file(number, hour=number + 5))
    command = f"{sys.executable} -m worker"
    script = f"""
        mount -t tmpfs -o size=2m tmpfs data
        {command} athlete add --name Ann --email a@x.org >&2
        {command} once > first 2>&1
        {breaks}
        {command} once > broken 2>&1 && exit 9
        {command} status > /dev/null 2> status || true
        {mends}
        {command} once > /dev/null 2>&1
        {command} once > /dev/null 2>&1
        {command} runs --json > runs
    """
    env = {"PYTHONPATH": str(ROOT), "EASEBACK_INBOX__PATH": "inbox", "PATH": "/usr/bin:/bin:/sbin"}
    done = subprocess.run(  # noqa: S603  our own program
        [*PRIVATE, script], cwd=tmp_path, env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in (tmp_path / "broken").read_text().splitlines() if "easeback:" in line]
    assert len(said) == 1
    assert words in said[0]
    assert "Traceback" not in (tmp_path / "broken").read_text()
    assert "Traceback" not in (tmp_path / "status").read_text()
    runs = json.loads((tmp_path / "runs").read_text())
    assert sorted(run["distance_m"] for run in runs) == [n * 1000.0 for n in range(1, 9)]


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/export /mnt/nas nfs4 rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
tmpfs /mnt/nas/scratch tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/lib/easeback/easeback.db", None),
        ("/mnt/nas/easeback.db", "nfs4"),
        ("/mnt/my share/data/easeback.db", "cifs"),
        ("/mnt/nas/scratch/easeback.db", None),
        ("/mnt/nasty/easeback.db", None),
    ],
)
def test_a_network_file_system_under_the_database_is_seen(file: str, kind: str | None) -> None:
    """By the nearest mount point above it."""
    assert share_under(Path(file), mounts=MOUNTS) == kind


# Mail


def with_smtp(app: App, server: SmtpServer) -> None:
    settings = MailSection(host="127.0.0.1", port=server.port, security="none", username="ann",
                           password="opensesame", sender="easeback@example.org")  # fmt: skip
    app.services = replace(app.services, mailer=SmtpMailer(settings))


def queued(app: App, *names: str) -> None:
    """Queue weekly mails for these athletes, due now."""
    app.now = NOW - timedelta(days=7)
    for name in names:
        app.athlete(name)
    app.now = NOW
    queue_due_weeklies(app.services, app.now)


def test_a_refused_login_pauses_all_mail_and_burns_no_attempt(app: App) -> None:
    """One try in five minutes; once it's repaired, everything is sent."""
    queued(app, "Anna", "Ben")
    with SmtpServer(login=("ann", "opensesame")) as server:
        with_smtp(app, server)
        server.fail("auth", "535 5.7.8 no", times=2)
        app.deliver()
        app.deliver()
        assert server.connections == 1
        assert [letter.attempts for letter in app.unsent()] == [0, 0]
        app.now += 6 * MINUTE
        app.deliver()
        app.now += 6 * MINUTE
        assert app.deliver().sent == 2


def test_a_mail_given_up_is_told_to_the_operator_once_a_day(app: App) -> None:
    """Whose mail, why, and what to do; at most one notice a day, and none about a notice."""
    app.services = replace(app.services, operator="operator@example.org")
    queued(app, "Anna", "Ben")
    no = SendError("550 no such user", permanent=True)
    app.mailer.answers = [no, None, no]  # the notice is sent before the other weekly mail
    app.deliver()
    assert app.mailer.kinds() == ["notice"]
    text = str(app.mailer.taken[0].get_body(("plain",)))
    assert "550 no such user" in text
    assert "outbox retry" in text
    app.now += timedelta(days=7)
    app.mailer.answers = [no, no, no]
    app.pass_on()
    assert [letter.kind for letter in app.unsent() if letter.state == "dead"].count("notice") == 1


def test_without_an_operator_a_mail_given_up_is_told_by_status_alone(app: App) -> None:
    """There is nobody to notify."""
    queued(app, "Anna")
    app.mailer.answers = [SendError("550 no such user", permanent=True)]
    app.deliver()
    assert [letter.state for letter in app.unsent()] == ["dead"]


def test_a_mail_server_that_hangs_delays_nothing_else(app: App) -> None:
    """While it delays a mail, files are still ingested."""
    queued(app, "Anna")
    with SmtpServer() as server:
        server.fail("ehlo", "hang", times=None)
        with_smtp(app, server)
        app.services.inbox.settings = InboxSection(every=MINUTE / 300)
        worker = EmbeddedWorker(app.services, app.clock)
        thread = threading.Thread(target=worker.run, args=(jobs_of(app.services),), daemon=True)
        thread.start()
        try:
            app.drop("new.fit", km=5)
            for _ in range(100):
                threading.Event().wait(0.1)
                with app.services.store.reading() as tx:
                    if tx.runs.any(tx.athletes.all()[0]):
                        break
            else:
                pytest.fail("the file was never taken in")
            assert server.connections == 1
        finally:
            worker.stop()
            server.drop_all()
            thread.join(10)


# Monitoring


@contextmanager
def switchboard() -> Iterator[tuple[str, list[str]]]:
    """A dead man's switch: its address, and the requested paths."""
    fetched: list[str] = []

    class Switch(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Switch)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret-path", fetched
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ticked(app: App, **troubles: str) -> None:
    for name in PATIENCE:
        record_tick(app.services, name, Tick(app.now, troubles.get(name)))


def folder_gone(app: App) -> None:
    shutil.rmtree(app.inbox)
    with pytest.raises(SourceError) as caught:
        app.look()
    ticked(app, inbox=str(caught.value))


def smtp_refuses(app: App) -> None:
    queued(app, "Anna")
    app.mailer.answers = [SendError("535 no", permanent=False, login=True)]
    app.deliver()
    ticked(app)


def no_tick(app: App) -> None:
    ticked(app)
    app.now += 10 * MINUTE


def one_piece_hangs(app: App) -> None:
    ticked(app)
    app.now += 10 * MINUTE
    record_tick(app.services, "inbox", Tick(app.now, None))


def clock_went_back(app: App) -> None:
    ticked(app)
    app.now -= timedelta(hours=3)


BREAKS = {
    folder_gone: "inbox: the inbox",
    smtp_refuses: "mail: 535 no",
    no_tick: "nothing has been done since",
    one_piece_hangs: "deliver: hasn't finished since",
    clock_went_back: "the clock went back",
}


@pytest.mark.parametrize("breaks", BREAKS)
def test_the_dead_mans_switch_hears_of_a_halt(app: App, breaks: Callable[..., None]) -> None:
    """It's pinged while all is well; in any of these states it isn't, and `status` says why."""
    with switchboard() as (url, fetched):
        app.services = replace(app.services, ping_url=url)
        ticked(app)
        assert ping(app.services, app.now, patience=PATIENCE)
        assert fetched == ["/secret-path"]
        breaks(app)
        assert not ping(app.services, app.now, patience=PATIENCE)
        assert fetched == ["/secret-path"]
    with app.services.store.reading() as tx:
        for audience in Audience:
            troubles = check_health(tx, app.now, patience=PATIENCE, audience=audience)
            assert BREAKS[breaks] in troubles[0].text


def test_a_switch_that_does_not_answer_harms_nothing(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """It's logged without its address, which is a secret."""
    app.services = replace(app.services, ping_url="http://127.0.0.1:1/secret-path")
    ticked(app)
    with caplog.at_level(logging.DEBUG):
        assert not ping(app.services, app.now, patience=PATIENCE)
    assert "ping: not told" in caplog.text
    assert "secret-path" not in caplog.text


def test_status_goes_bad_when_the_worker_has_stopped(tmp_path: Path) -> None:
    """After single passes it's well, as no further pass is expected."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@x.org", cwd=tmp_path)
    assert easeback("status", cwd=tmp_path).returncode == 0
    store_tick(tmp_path)
    done = easeback("status", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert not json.loads(done.stdout)["ok"]
    assert "nothing has been done since 2026-11-20" in done.stderr
    easeback("once", cwd=tmp_path)
    assert easeback("status", cwd=tmp_path).returncode == 0


def store_tick(cwd: Path) -> None:
    from worker.store import Store

    store = Store.open(f"sqlite:///{cwd / 'data' / 'easeback.db'}")
    with store.transaction() as tx:
        tx.progress.ticked("deliver", at=NOW)
    store.close()


# Confidentiality


def test_no_secret_stands_in_logs_errors_or_status(tmp_path: Path) -> None:
    """Passwords, tokens, keys and mail texts aren't logged, not even with --verbose."""
    planted = {
        "EASEBACK_MAIL__PASSWORD": "planted-password",
        "EASEBACK_SECRET_KEY": "planted-signing-key-which-is-long",
        "EASEBACK_STRAVA__CLIENT_ID": "1",
        "EASEBACK_STRAVA__CLIENT_SECRET": "planted-client-secret",
        "EASEBACK_WEB__TOKEN": "planted-web-token",
        "EASEBACK_PING_URL": "http://127.0.0.1:1/planted-path",
        "EASEBACK_MAIL__USERNAME": "planted-login",
        "EASEBACK_MAIL__HOST": "127.0.0.1",
    }
    with SmtpServer(login=("somebody", "else")) as server:
        env = {
            **planted,
            "EASEBACK_MAIL__PORT": str(server.port),
            "EASEBACK_MAIL__SECURITY": "none",
        }
        easeback("athlete", "add", "--name", "Ann", "--email", "a@x.org", cwd=tmp_path, env=env)
        said = ""
        for command in (("once", "--as-of", "2027-06-07T12:00:00Z"), ("status", "--json"),
                        ("outbox", "list", "--json"), ("backup", "no/where.db")):  # fmt: skip
            done = easeback("--verbose", *command, cwd=tmp_path, env=env)
            said += done.stdout + done.stderr
    assert "refused the login" in said
    assert [secret for secret in planted.values() if "planted" in secret and secret in said] in (
        [], ["planted-login"],
    )  # fmt: skip
    assert "Unsubscribe" not in said


def test_nothing_of_who_was_forgotten_is_left(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Name, address, file and title are gone from the database, its WAL, mailbox and log."""
    if app.services.store.file is None:
        pytest.skip("what PostgreSQL keeps on its disks can't be read from here")
    mailbox = tmp_path / "mailbox"
    app.services = replace(
        app.services, mailer=MailboxMailer(mailbox), operator="operator@example.org"
    )
    with caplog.at_level(logging.INFO):
        quentin = app.athlete("Quentin", email="quentin@planted.org")
        app.athlete("Anna")
        app.runs(quentin, [replace(one, title="Planted title") for one in steady()])
        app.drop("Quentin/planted-file.fit", km=16)
        app.look(2)
        app.pass_on()
        app.now += timedelta(days=3)
        app.drop("Quentin/planted-later.fit", km=3)
        app.pass_on()
        assert list(mailbox.glob("*.eml"))
        (mailbox / f".{next(mailbox.glob('*alert*.eml')).name}.part").write_bytes(
            b"To: quentin@planted.org\r\n\r\nhalf"
        )
        forget_athlete(app.services, quentin, data_dir=tmp_path, now=app.now)
        tidy(app.services, app.now)
    kept = b"".join(
        path.read_bytes()
        for path in [*mailbox.iterdir(), *tmp_path.glob("easeback.db*")]
    ) + caplog.text.encode()  # fmt: skip
    for planted in (b"Quentin", b"quentin@planted.org", b"planted-file", b"planted-later",
                    b"Planted title"):  # fmt: skip
        assert planted not in kept, planted
