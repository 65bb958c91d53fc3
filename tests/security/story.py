"""A story with planted secrets: real commands and a real worker, and all their output.

Every secret that Easeback handles is set to a unique word. Mail servers and Strava are simulated,
and the secrets are really used with them; some steps fail on purpose.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.clock import Clock
from simulators.garmin import SEARCH, Key
from simulators.garmin import Service as Watches
from simulators.http_server import running
from simulators.smtp_server import SmtpServer
from simulators.strava.service import Application, Service
from tests.app import run_file
from tests.command import ROOT, easeback
from tests.waiting import wait_until
from worker.domain.models import Athlete
from worker.links import Signer
from worker.store import Encrypter, Store

MAIL_PASSWORD = "planted-mail-password"
CLIENT_SECRET = "planted-client-secret"
SECRET_KEY = "planted-secret-key-which-is-long"
WEB_TOKEN = "planted-web-token-which-is-long"
WEBHOOK_TOKEN = "planted-webhook-token"
PING_PATH = "planted-ping-path"
GARMIN_KEY = "planted-garmin-key"
LOGIN = "mira@mail.example"


@dataclass
class Told:
    """The output by place, the secrets used, and the reader's environment."""

    log_format: str
    said: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    backup: bytes = b""
    links: tuple[str, ...] = ()
    worker: tuple[str, str] = ("", "")
    """The worker's command line, and those of the processes it started."""

    reader_environment: str = ""
    mails: int = 0
    calls: int = 0
    garmin_calls: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """One installation and the services around it."""

    folder: Path
    port: int
    strava: str
    garmin: str
    mail: int
    log_format: str

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        around = {k: v for k, v in os.environ.items() if not k.startswith("EASEBACK_")}
        return around | {
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "EASEBACK_DATA_DIR": str(self.folder / "data"),
            "EASEBACK_BASE_URL": self.origin,
            "EASEBACK_SECRET_KEY": SECRET_KEY,
            "EASEBACK_LOG__FORMAT": self.log_format,
            "EASEBACK_PING_URL": f"http://127.0.0.1:9/{PING_PATH}",
            "EASEBACK_INBOX__EVERY": "200 ms",
            "EASEBACK_WEB__PORT": str(self.port),
            "EASEBACK_WEB__TOKEN": WEB_TOKEN,
            "EASEBACK_MAIL__HOST": "127.0.0.1",
            "EASEBACK_MAIL__PORT": str(self.mail),
            "EASEBACK_MAIL__SECURITY": "none",
            "EASEBACK_MAIL__USERNAME": LOGIN,
            "EASEBACK_MAIL__PASSWORD": MAIL_PASSWORD,
            "EASEBACK_STRAVA__CLIENT_ID": "4711",
            "EASEBACK_STRAVA__CLIENT_SECRET": CLIENT_SECRET,
            "EASEBACK_STRAVA__BASE_URL": self.strava,
            "EASEBACK_STRAVA__WEBHOOK_TOKEN": WEBHOOK_TOKEN,
            "EASEBACK_GARMIN__BASE_URL": self.garmin,
        }

    def call(self, *arguments: str, given: str = "", **more: str) -> str:
        """Run a command and return its output; `given` is its standard input."""
        done = easeback(*arguments, cwd=self.folder, env=self.environment | more, given=given)
        return done.stdout + done.stderr


def live(folder: Path, *, log_format: str) -> Told:
    """Run the whole story, with this log format."""
    told = Told(log_format)
    clock = Clock(datetime.now(UTC))
    service = Service(clock=clock, application=Application(client_secret=CLIENT_SECRET))
    watches = Watches(clock=clock)
    with (
        running(service) as strava,
        running(watches) as garmin,  # type: ignore[arg-type]  # it answers questions too
        SmtpServer(login=(LOGIN, MAIL_PASSWORD)) as mail,
        SmtpServer(login=(LOGIN, "another password")) as deaf,
    ):
        place = Place(folder, _free_port(), strava.base_url, garmin.base_url, mail.port, log_format)
        with closing(_house(place, service)) as store:
            _garmin(place, watches, told)
            told.secrets = _secrets(service, watches)
            _worker(place, store, told)
            _post(store, "another")
            _commands(place, told, deaf.port)
            told.calls = service.calls()
            told.garmin_calls = watches.calls(SEARCH)
            told.mails = len(mail.mails)
            told.secrets |= _secrets(service, watches)
    return told


def _house(place: Place, service: Service) -> Store:
    """One athlete with an expired access token, and runs at Strava."""
    now = service.clock.now
    account = service.account("Mira")
    service.diary.weeks_of_runs(account, now - timedelta(hours=3), 3)
    consent = service.tokens.exchange(
        service.tokens.consent(account, frozenset({"read", "activity:read_all"}), now), now
    )
    assert consent is not None
    data = place.folder / "data"
    data.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{data / 'easeback.db'}")
    with store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", now - timedelta(days=90)))
        tokens = json.dumps([consent.access.token, consent.refresh_token])
        tx.source("strava").connect(
            mira, account_id=str(account.id),
            encrypted=Encrypter((SECRET_KEY,)).encrypt_text(tokens),
            expires_at=now, scopes=consent.scopes, now=now,
        )  # fmt: skip
    _post(store, "one")
    return store


def _post(store: Store, key: str) -> None:
    """Queue a mail."""
    with store.transaction() as tx:
        [mira] = tx.athletes.all()
        tx.outbox.enqueue(
            mira, kind="notice", key=key, message_id=f"<{key}@example.org>",
            sender="easeback@example.org", recipient=mira.email,
            mime=b"Subject: made\r\n\r\nhello", now=datetime.now(UTC),
        )  # fmt: skip


def _garmin(place: Place, watches: Watches, told: Told) -> None:
    """Give the key as a script does, and one that doesn't work."""
    account = watches.account("Mira")
    watches.keys[GARMIN_KEY] = Key(account, watches.clock.now + timedelta(days=90))
    watches.weeks_of_runs(account, watches.clock.now - timedelta(hours=3), 2)
    connect = ("--verbose", "connect", "--garmin")
    told.said["a key refused"] = place.call(*connect, given=f"{GARMIN_KEY}x\n")
    told.said["a key given"] = place.call(*connect, given=f"{GARMIN_KEY}\n")


def _secrets(service: Service, watches: Watches) -> dict[str, str]:
    """Every secret by name, also in its encodings on the wire."""
    tokens = service.tokens
    plain = {
        "mail password": MAIL_PASSWORD,
        "client secret": CLIENT_SECRET,
        "secret key": SECRET_KEY,
        "web token": WEB_TOKEN,
        "webhook token": WEBHOOK_TOKEN,
        "ping path": PING_PATH,
        "garmin key": GARMIN_KEY,
        "mail login": _base64(f"\0{LOGIN}\0{MAIL_PASSWORD}"),
        "client login": _base64(f"4711:{CLIENT_SECRET}"),
    }
    refresh = [*tokens.spent, *(one.refresh_token for one in tokens.consents.values())]
    return (
        plain
        | {f"refresh token {n}": one for n, one in enumerate(sorted(refresh))}
        | {f"access token {n}": one for n, one in enumerate(sorted(tokens.live))}
        | {f"garmin token {n}": one for n, one in enumerate(sorted(watches.tokens))}
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _commands(place: Place, told: Told, deaf_port: int) -> None:
    """Commands with all their verbosity, succeeding and failing."""
    copy = place.folder / "copy.db"
    unwell = {"EASEBACK_MAIL__PORT": str(deaf_port)}
    calls: tuple[tuple[str, tuple[str, ...], Mapping[str, str]], ...] = (
        ("a login refused", ("--verbose", "once"), unwell),
        ("status", ("--verbose", "status"), {}),
        ("status --json", ("status", "--json"), {}),
        ("doctor", ("--verbose", "doctor"), {}),
        ("doctor, unwell", ("doctor", "--json"), unwell),
        ("backup", ("--verbose", "backup", str(copy)), {}),
        ("wrong settings", ("status",), {"EASEBACK_MAIL__SECURITY": "nonsense"}),
        (
            "no database",
            ("--verbose", "status"),
            {"EASEBACK_DATABASE_URL": f"postgresql://u:{WEB_TOKEN}@127.0.0.1:9/d"
             f"?password={MAIL_PASSWORD}&connect_timeout=2"},
        ),
    )  # fmt: skip
    for name, arguments, more in calls:
        told.said[name] = place.call(*arguments, **more)
    told.backup = copy.read_bytes()


def _worker(place: Place, store: Store, told: Told) -> None:
    """A running worker: a file, mail, Strava, requests with valid and invalid links."""
    signer = Signer([SECRET_KEY], place.origin)
    with store.reading() as tx:
        athlete = tx.athletes.all()[0]
    links = [
        signer.sign(purpose, athlete, now=datetime.now(UTC), kind="weekly")
        for purpose in ("athlete", "checkin", "unsubscribe", "connect")
    ]
    told.links = tuple(link.rpartition("/")[2] for link in links)
    with (
        (place.folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "worker", "--verbose", "run"], env=place.environment,
            cwd=place.folder, stdout=log, stderr=log,
        ) as worker,
    ):  # fmt: skip
        try:
            wait_until(lambda: _asks(f"{place.origin}/livez") == 200)
            for link in links:
                _asks(link)
                _asks(f"{link}x")
            _asks(f"{place.origin}/status", f"Bearer {WEB_TOKEN}")
            _asks(f"{place.origin}/status", f"Bearer {WEB_TOKEN}x")
            _asks(f"{place.origin}/strava/webhook?hub.verify_token={WEBHOOK_TOKEN}x")
            (place.folder / "data" / "inbox" / "a.fit").write_bytes(run_file(8))
            wait_until(lambda: _imported(store))
            wait_until(lambda: _told_by_garmin(store))
            told.worker, told.reader_environment = _looked_at(worker.pid)
        finally:
            worker.terminate()
            worker.wait(20)
    told.said["the worker's log"] = (place.folder / "log").read_text("utf-8", "replace")


def _imported(store: Store) -> bool:
    with store.reading() as tx:
        return bool(tx.inbox.counts().get("imported"))


def _told_by_garmin(store: Store) -> bool:
    with store.reading() as tx:
        [mira] = tx.athletes.all()
        return bool(tx.runs.recorded(mira, "garmin"))


def _looked_at(pid: int) -> tuple[tuple[str, str], str]:
    """Command lines of the worker and its children, and a child's environment, as in `ps`."""

    def told(of: int, what: str) -> str:
        return Path(f"/proc/{of}/{what}").read_bytes().replace(b"\0", b"\n").decode()

    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    lines = "\n".join(told(child, "cmdline") for child in children)
    return (told(pid, "cmdline"), lines), "\n".join(told(child, "environ") for child in children)


def _asks(address: str, authorization: str = "") -> int:
    """The status of an answer, 0 if there's none. Redirects to another site aren't followed."""
    request = urllib.request.Request(address)  # noqa: S310  loopback
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
            status: int = answer.status
            return status
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code
    except OSError:
        return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
