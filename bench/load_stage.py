"""The environment of the worker under load: athletes, simulated servers, a folder."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from simulators.clock import Clock
from simulators.http_server import running
from simulators.recordings import recording
from simulators.smtp_server import SmtpServer
from simulators.strava.accounts import Activity
from simulators.strava.limits import Limit, Limits
from simulators.strava.service import Answer, Question, Service
from worker.app import webhook_path
from worker.domain import weeks
from worker.domain.models import Athlete, WeeklyHour
from worker.store import Encrypter, Store, Transaction

ROOT = Path(__file__).parent.parent
WEEKLY_AT = datetime(2026, 11, 23, 7, tzinfo=UTC)
"""A Monday."""

KEY, TOKEN = "a key of the load bench long enough", "a token of the load bench"
WEBHOOK = webhook_path("strava", (KEY,))
SUBSCRIPTION = 7
SHORT_RUN_M = 1500.0
"""Runs at Strava are too short to raise a week by enough for an alert."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule, in seconds after the worker is up."""

    lasts_s: float
    burst_s: float
    bursts_at_s: tuple[float, float]

    @property
    def weekly_at_s(self) -> float:
        return self.bursts_at_s[1]


def plan_of(minutes: float) -> Plan:
    """A day in that many minutes: files and visits throughout, bursts of a minute."""
    lasts_s = minutes * 60
    return Plan(lasts_s=lasts_s, burst_s=60, bursts_at_s=(lasts_s / 8, lasts_s * 3 / 8))


SHORT = Plan(lasts_s=80, burst_s=10, bursts_at_s=(5, 25))


class TimedSink(SmtpServer):
    """A mail server that notes the time of each mail."""

    def __init__(self) -> None:
        # Linting would distort the times, and it fails on the numbers in athletes' names, which
        # only one part of a mail has.
        super().__init__(lints=False)
        self.taken_at: list[float] = []

    async def handle_DATA(self, *about: object) -> str:  # noqa: N802  aiosmtpd's name
        answer = await super().handle_DATA(*about)  # type: ignore[arg-type]  # passed on
        self.taken_at.append(time.time())
        return answer


class GoingClock(Clock):
    """A running clock, ahead of this machine's."""

    def __init__(self, lead: timedelta) -> None:
        self._lead = lead

    @property
    def now(self) -> datetime:  # type: ignore[override]  # it only goes by itself
        return datetime.now(UTC) + self._lead


@dataclass
class TimedService(Service):
    """A simulated Strava that notes when each activity was fetched."""

    looks: list[tuple[str, float]] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        folder, _, name = question.path.rpartition("/")
        if folder == "/api/v3/activities":
            self.looks.append((name, time.time()))
        return super().answer(question)


@dataclass(frozen=True, slots=True)
class Stage:
    """The environment of the worker."""

    folder: Path
    store: Store
    sink: TimedSink
    service: TimedService
    strava_address: str
    port: int
    athletes: tuple[Athlete, ...]
    activities: tuple[tuple[Activity, ...], tuple[Activity, ...]]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("EASEBACK_")},
            "PYTHONPATH": str(ROOT),
            "EASEBACK_DATA_DIR": str(self.folder),
            "EASEBACK_BASE_URL": self.origin,
            "EASEBACK_SECRET_KEY": KEY,
            "EASEBACK_WEB__PORT": str(self.port),
            "EASEBACK_WEB__TOKEN": TOKEN,
            "EASEBACK_MAIL__HOST": "127.0.0.1",
            "EASEBACK_MAIL__PORT": str(self.sink.port),
            "EASEBACK_MAIL__SECURITY": "none",
            "EASEBACK_STRAVA__CLIENT_ID": self.service.application.client_id,
            "EASEBACK_STRAVA__CLIENT_SECRET": self.service.application.client_secret,
            "EASEBACK_STRAVA__BASE_URL": self.strava_address,
        }


@contextmanager
def staged(plan: Plan, athletes: int) -> Iterator[Stage]:
    lead = WEEKLY_AT - timedelta(seconds=plan.weekly_at_s) - datetime.now(UTC)
    service = TimedService(clock=GoingClock(lead), limits=_no_limits())
    with (
        tempfile.TemporaryDirectory(prefix="easeback-load-") as made,
        TimedSink() as sink,
        running(service) as strava,
    ):
        folder = Path(made)
        store = Store.open(f"sqlite:///{folder / 'easeback.db'}")
        now = service.clock.now
        kept = tuple(_seed(store, service, number, now) for number in range(athletes))
        with store.transaction() as tx:
            tx.source("strava").subscribed(
                SUBSCRIPTION, f"https://easeback.example{WEBHOOK}", now=now
            )
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        activities = tuple(
            tuple(
                service.diary.add(account, today + timedelta(hours=hour), SHORT_RUN_M)
                for account in service.accounts.values()
            )
            for hour in (1, 3)
        )
        yield Stage(
            folder, store, sink, service, strava.base_url, free_port(), kept,
            (activities[0], activities[1]),
        )  # fmt: skip
        store.close()


def _no_limits() -> Limits:
    """A real Strava's limits would delay 200 athletes for hours; that's measured elsewhere."""
    return Limits(Limit("Ratelimit", 10**6, 10**7), Limit("Readratelimit", 10**6, 10**7))


def _seed(store: Store, service: Service, number: int, now: datetime) -> Athlete:
    """Add an athlete with half a year of steady runs, a grant, and the same weekly hour as all."""
    name = f"Athlete {number:03}"
    with store.transaction() as tx:
        athlete = tx.athletes.add(
            Athlete(0, name, f"a{number}@example.org", now - timedelta(days=300), "UTC",
                    weekly=WeeklyHour(WEEKLY_AT.weekday(), WEEKLY_AT.time()))
        )  # fmt: skip
        due = weeks.next_weekly_due(athlete, now)
        tx.athletes.weekly_done(athlete, next_at=due.due_at)
        runs = [
            recording((now - timedelta(days=back)).date(), 7.5 + number % 3 * 0.2)
            for back in range(2, 182, 2)
        ]
        tx.runs.save(athlete, runs, now=now, today=now.date())
        grant(tx, service, athlete, number, now)
    return athlete


def grant(tx: Transaction, service: Service, athlete: Athlete, number: int, now: datetime) -> None:
    account = service.account(athlete.name, timezone="Europe/London")
    scopes = frozenset({"read", "activity:read_all"})
    consent = service.tokens.exchange(service.tokens.consent(account, scopes, now), now)
    assert consent is not None
    sealed = Encrypter((KEY,)).encrypt_text(
        json.dumps([consent.access.token, consent.refresh_token])
    )
    tx.source("strava").connect(
        athlete, account_id=str(account.id), encrypted=sealed, expires_at=consent.access.expires_at,
        scopes=scopes, now=now,
    )  # fmt: skip
    # Read up to this day, and polled every quarter of an hour like everybody.
    tx.source("strava").save_standing(
        athlete,
        {"read_until": now, "read_back_to": now - timedelta(days=500), "looked_back_at": now},
        due_at=now + timedelta(seconds=900 * (number + 1) / 200),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def working(stage: Stage, plan: Plan, keep: Path | None) -> Iterator["subprocess.Popen[bytes]"]:
    """The running worker; its weekly hour is that of the plan."""
    as_of = WEEKLY_AT - timedelta(seconds=plan.weekly_at_s)
    command = [sys.executable, "-m", "worker", "run", "--as-of", as_of.isoformat()]
    log = (keep or stage.folder) / "load.log"
    with (
        log.open("wb") as err,
        subprocess.Popen(command, env=stage.environment, stderr=err) as worker,  # noqa: S603  ours
    ):
        try:
            until = time.monotonic() + 60
            while not asks(stage, "GET", "/livez"):
                assert worker.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < until, "the worker doesn't come up"
                time.sleep(0.1)
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


def asks(
    stage: Stage,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    also: int = 0,
) -> bool:
    """One request over a new connection; True if the answer was 200 (or `also`)."""
    connection = HTTPConnection("127.0.0.1", stage.port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return answer.status in (200, also)
