"""A made-up instance for tests of the pages: a runner's winter and ramp in a real store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

from starlette.testclient import TestClient

from simulators.empty_database import put_empty_database
from simulators.shared_reader import with_shared_reader
from worker.app import build_services
from worker.config import Settings
from worker.domain import detector
from worker.domain.checkins import CheckIn
from worker.domain.history import History
from worker.domain.models import Athlete, Recording, SourceName
from worker.domain.rules import Rules
from worker.links import Signer
from worker.store import Store, StoredFinding, Transaction
from worker.store.progress import SourceState
from worker.web import WebContext, build_app
from worker.web.pages import Pages
from worker.web.rate_limiter import ClientRateLimiter

NOW = datetime(2026, 2, 21, 15, 30, tzinfo=UTC)
TODAY = date(2026, 2, 21)
BASE_URL = "http://127.0.0.1:8765"
PATIENCE = {"inbox": timedelta(minutes=3), "deliver": timedelta(minutes=3)}

# Days before TODAY and kilometres: an easy winter, a break over Christmas, a ramp with a jump.
WINTER: tuple[tuple[int, float], ...] = (
    (88, 6.0), (84, 7.2), (79, 5.5), (72, 5.1), (67, 6.4), (61, 4.8), (30, 4.0), (28, 4.4),
    (25, 5.2), (23, 5.0), (20, 6.1), (18, 5.4), (15, 7.5), (13, 6.0), (10, 8.1), (8, 6.2),
    (6, 8.9), (4, 5.0), (2, 7.0), (0, 14.2),
)  # fmt: skip


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Instance:
    """A store, its web server and signed links."""

    store: Store
    clock: Clock
    signer: Signer
    web: WebContext

    def client(self, *, burst: float = 1e6, **more: object) -> TestClient:
        """A visitor on this machine. Exceptions become error answers, as in production."""
        app = build_app(
            replace(self.web, **more), rate_limiter=ClientRateLimiter(burst=burst, per_s=0.5)
        )  # type: ignore[arg-type]  # fields of WebContext
        return TestClient(
            app,
            base_url=BASE_URL,
            client=("127.0.0.1", 50_000),
            raise_server_exceptions=False,
            follow_redirects=False,
        )

    def add(self, name: str = "Mira", **more: object) -> Athlete:
        new = Athlete(0, name, "mira@example.org", NOW - timedelta(days=100))
        with self.store.transaction() as tx:
            return tx.athletes.add(replace(new, **more))  # type: ignore[arg-type]  # fields of Athlete

    def athlete(self, athlete: Athlete) -> Athlete:
        """The athlete as stored now."""
        with self.store.reading() as tx:
            kept = tx.athletes.by_id(athlete.id)
        assert kept is not None
        return kept

    def diary(self, athlete: Athlete) -> tuple[CheckIn, ...]:
        with self.store.reading() as tx:
            return tx.checkins.all(athlete)

    def answer(self, athlete: Athlete, *answers: CheckIn) -> None:
        with self.store.transaction() as tx:
            for one in answers:
                tx.checkins.save(athlete, one, now=NOW)

    def link(self, purpose: str, athlete: Athlete, **more: str) -> str:
        """The path of a signed link."""
        ages = None if purpose == "unsubscribe" else self.clock.now
        return f"/{purpose}/{self.signer.token(purpose, athlete, now=ages, **more)}"


@cache
def _pages() -> Pages:
    """Shared by all instances: templates are slow to load and hold no state of a visit."""
    return Pages()


def instance(folder: Path) -> Instance:
    """An empty instance on a SQLite file in `folder`, whose sources don't answer."""
    put_empty_database(folder / "easeback.db")
    nobody = "http://127.0.0.1:1"
    settings = Settings(
        data_dir=folder,
        strava={"client_id": "1", "client_secret": "made", "base_url": nobody},
        garmin={"base_url": nobody},
    )
    services = with_shared_reader(build_services(settings, None))
    clock, signer = Clock(), Signer(["a made key"], BASE_URL)
    services.composer.signer = signer
    web = WebContext(services, signer, clock, BASE_URL, folder, pages=_pages(), patience=PATIENCE)
    return Instance(services.store, clock, signer, web)


def run_winter(
    instance: Instance, athlete: Athlete, kilometres: Sequence[tuple[int, float]] = WINTER
) -> None:
    """Store the runs of a winter, judge their days and set the sources' states."""
    rules = Rules()
    with instance.store.transaction() as tx:
        tx.runs.save(athlete, map(made_recording, kilometres), now=NOW, today=TODAY)
        history = History.of(tx.runs.counted(athlete), rules=rules)
        verdicts = [detector.judge_day(history, day, rules=rules) for day in history.days()]
        found = [finding for verdict in verdicts for finding in verdict.findings]
        risen = tx.findings.reconcile(athlete, since=date.min, found=found, now=NOW)
        tx.findings.silence(risen, "the run was 5 days ago (mail_within_days = 3)")
        _tell(tx, athlete, risen[-2:])
        for name, state in _SOURCES.items():
            tx.progress.save_source(athlete, name, state)


def _tell(tx: Transaction, athlete: Athlete, found: Sequence[StoredFinding]) -> None:
    """Queue a mail as for the newest day's single run."""
    outbox_id = tx.outbox.enqueue(
        athlete,
        kind="alert",
        key=f"alert:{athlete.id}",
        message_id=f"<made.{athlete.id}@example.org>",
        sender="easeback@example.org",
        recipient=athlete.email,
        mime=b"made",
        now=NOW,
    )
    letter = tx.outbox.claim(NOW)
    assert letter is not None
    assert letter.id == outbox_id
    tx.outbox.sent(letter, now=NOW)
    for one in found:
        if one.finding.kind == "run":
            tx.findings.mark_notified(one, outbox_id=letter.id, on=TODAY)


_SOURCES: Mapping[SourceName, SourceState] = {
    "inbox": SourceState("ok", last_success_at=NOW - timedelta(hours=2)),
    "strava": SourceState(
        "failing", NOW - timedelta(days=3), "Strava no longer lets Easeback in: connect again"
    ),
}


def made_recording(run: tuple[int, float]) -> Recording:
    """A run of that many kilometres, that many days ago."""
    back, kilometres = run
    day = TODAY - timedelta(days=back)
    return Recording(
        source="inbox",
        external_id=f"made-{back}",
        started_at=datetime.combine(day, time(8), UTC),
        day=day,
        distance_m=kilometres * 1000,
        moving_s=kilometres * 345,
        elapsed_s=kilometres * 350,
    )
