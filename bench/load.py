"""A day of 200 athletes in a few minutes: is anything late, is any page slow, does memory grow?

    python bench/load.py                 about nine minutes
    python bench/load.py --minutes 60    the same day in an hour
    python bench/load.py --short         about two minutes

A real `easeback run --as-of` on SQLite, with made athletes, a made Strava and a real mail server.
Beside it goes a day's traffic: files dropped all along, visits to pages all along, a minute of
webhooks at 100 a second, and all weekly mails due in one minute, with a second burst of webhooks
in that very minute. Each visit and event has its appointed time, and what it takes is counted
from there: a worker that stalls isn't let off those who waited. Exit status 1 where a promise is
broken.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from statistics import median
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import select

from tests.house import recording, run_file
from tests.smtp_server import SmtpServer
from tests.strava.accounts import Activity
from tests.strava.clock import Clock
from tests.strava.limits import Limit, Limits
from tests.strava.server import running
from tests.strava.service import Answer, Question, Service
from worker import week
from worker.links import Signer
from worker.model import Athlete, WeeklyHour
from worker.store import Sealer, Store, Transaction, tables

ROOT = Path(__file__).parent.parent
WEEKLY_AT = datetime(2026, 11, 23, 7, tzinfo=UTC)
"""A Monday."""

KEY, TOKEN = "a key of the load bench long enough", "a token of the load bench"
SUBSCRIPTION = 7
FILES_A_DAY = 1.3
SHORT_RUN_M = 1500.0
"""What Strava tells of raises nobody's week by enough for an alert."""

EVENTS_PER_S = 100
VISITS_PER_S = 5
FEWEST_MINUTES = 4
SETTLES_S = 60
"""Given after the last of the traffic for what is under way."""

LATEST_S = 120.0
SLOWEST_PAGE_MS = 200.0
SLOWEST_WEBHOOK_MS = 2000.0
"""So long Strava waits for an answer."""

MOST_GROWTH_MB = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """When what happens, in seconds after the worker is up."""

    lasts_s: float
    burst_s: float
    bursts_at_s: tuple[float, float]

    @property
    def weekly_at_s(self) -> float:
        return self.bursts_at_s[1]


def plan_of(minutes: float) -> Plan:
    """A day in so many minutes: files and visits go on all along, the bursts last their minute."""
    lasts_s = minutes * 60
    return Plan(lasts_s=lasts_s, burst_s=60, bursts_at_s=(lasts_s / 8, lasts_s * 3 / 8))


SHORT = Plan(lasts_s=80, burst_s=10, bursts_at_s=(5, 25))


@dataclass(frozen=True, slots=True)
class Took:
    """What was asked for when, and how long after that the answer had come; None: it failed."""

    what: str
    at: float
    ms: float | None


@dataclass
class Seen:
    """What the outside saw, by its own clock (seconds since the epoch)."""

    dropped: dict[str, float] = field(default_factory=dict)
    announced: dict[str, float] = field(default_factory=dict)
    announced_last: dict[str, float] = field(default_factory=dict)
    there: dict[str, float] = field(default_factory=dict)
    visits: list[Took] = field(default_factory=list)
    events: list[Took] = field(default_factory=list)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)


class TimedSink(SmtpServer):
    """Takes every mail and remembers when."""

    def __init__(self) -> None:
        # It's time that is measured here; and the athletes' names hold numbers, which only one part
        # of a mail tells.
        super().__init__(lints=False)
        self.taken_at: list[float] = []

    async def handle_DATA(self, *about: object) -> str:  # noqa: N802  aiosmtpd's name
        answer = await super().handle_DATA(*about)  # type: ignore[arg-type]  # passed on
        self.taken_at.append(time.time())
        return answer


class GoingClock(Clock):
    """A clock that goes, ahead of this machine's."""

    def __init__(self, lead: timedelta) -> None:
        self._lead = lead

    @property
    def now(self) -> datetime:  # type: ignore[override]  # it only goes by itself
        return datetime.now(UTC) + self._lead


@dataclass
class TimedService(Service):
    """The made Strava, which remembers when each single activity was looked at."""

    looks: list[tuple[str, float]] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        folder, _, name = question.path.rpartition("/")
        if folder == "/api/v3/activities":
            self.looks.append((name, time.time()))
        return super().answer(question)


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the worker is put into."""

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=8.0, help="what the day is lived in")
    length.add_argument("--short", action="store_true", help="one of 80 seconds, with all of it")
    parser.add_argument("--athletes", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a folder for the worker's log")
    wanted = parser.parse_args()
    if wanted.minutes < FEWEST_MINUTES:
        parser.error(f"--minutes: the two bursts alone need {FEWEST_MINUTES}")
    plan = SHORT if wanted.short else plan_of(wanted.minutes)
    with _stage(plan, wanted.athletes) as stage, _worker(stage, plan, wanted.keep) as worker:
        began = time.time()
        seen = live(stage, plan, worker, began)
        lines = [*judge(stage, plan, seen, began)]
        looks = len(stage.service.looks)
    print(f"{wanted.athletes} athletes on SQLite, {plan.lasts_s:.0f} s of traffic, ", end="")
    print(f"{looks} looks at single activities of Strava")
    for line in lines:
        print(line)
    return int(any(line.broken for line in lines))


# The stage


@contextmanager
def _stage(plan: Plan, athletes: int) -> Iterator[Stage]:
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
            tx.strava.subscribed(SUBSCRIPTION, "https://easeback.example/strava/webhook", now=now)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        activities = tuple(
            tuple(
                service.diary.add(account, today + timedelta(hours=hour), SHORT_RUN_M)
                for account in service.accounts.values()
            )
            for hour in (1, 3)
        )
        yield Stage(
            folder, store, sink, service, strava.base_url, _free_port(), kept,
            (activities[0], activities[1]),
        )  # fmt: skip
        store.close()


def _no_limits() -> Limits:
    """A real Strava would let 200 athletes wait for hours: that is measured elsewhere."""
    return Limits(Limit("Ratelimit", 10**6, 10**7), Limit("Readratelimit", 10**6, 10**7))


def _seed(store: Store, service: Service, number: int, now: datetime) -> Athlete:
    """An athlete with half a year of steady runs, a grant, and the weekly hour that all share."""
    name = f"Athlete {number:03}"
    with store.transaction() as tx:
        athlete = tx.athletes.add(
            Athlete(0, name, f"a{number}@example.org", now - timedelta(days=300), "UTC",
                    weekly=WeeklyHour(WEEKLY_AT.weekday(), WEEKLY_AT.time()))
        )  # fmt: skip
        due = week.next_due(
            now, timezone="UTC", weekly=athlete.weekly, week_starts=athlete.week_starts
        )
        tx.athletes.weekly_done(athlete, next_at=due.due_at)
        runs = [
            recording((now - timedelta(days=back)).date(), 7.5 + number % 3 * 0.2)
            for back in range(2, 182, 2)
        ]
        tx.runs.save(athlete, runs, now=now, today=now.date())
        _grant(tx, service, athlete, number, now)
    return athlete


def _grant(tx: Transaction, service: Service, athlete: Athlete, number: int, now: datetime) -> None:
    account = service.account(athlete.name, timezone="Europe/London")
    scopes = frozenset({"read", "activity:read_all"})
    consent = service.tokens.exchange(service.tokens.consent(account, scopes, now), now)
    assert consent is not None
    sealed = Sealer((KEY,)).seal(json.dumps([consent.access.token, consent.refresh_token]))
    tx.strava.connect(
        athlete, strava_id=account.id, sealed=sealed, expires_at=consent.access.expires_at,
        scopes=scopes, now=now,
    )  # fmt: skip
    # Read to this day, and asked again as everybody is: each quarter of an hour.
    tx.strava.keep_standing(
        athlete,
        {"read_until": now, "read_back_to": now - timedelta(days=500), "looked_back_at": now},
    )
    tx.strava.postpone(athlete, until=now + timedelta(seconds=900 * (number + 1) / 200))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _worker(stage: Stage, plan: Plan, keep: Path | None) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker, up; its weekly hour comes at the plan's time."""
    as_of = WEEKLY_AT - timedelta(seconds=plan.weekly_at_s)
    command = [sys.executable, "-m", "worker", "run", "--as-of", as_of.isoformat()]
    log = (keep or stage.folder) / "load.log"
    with (
        log.open("wb") as err,
        subprocess.Popen(command, env=stage.environment, stderr=err) as worker,  # noqa: S603  ours
    ):
        try:
            until = time.monotonic() + 60
            while not _asks(stage, "GET", "/livez"):
                assert worker.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < until, "the worker doesn't come up"
                time.sleep(0.1)
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


# The traffic


def live(stage: Stage, plan: Plan, worker: "subprocess.Popen[bytes]", began: float) -> Seen:
    """Let the day go by."""
    seen = Seen()
    ended = threading.Event()
    watches = [
        threading.Thread(target=_watch_memory, args=(worker.pid, seen, began, ended)),
        threading.Thread(target=_watch_runs, args=(stage, seen, ended)),
    ]
    for watch in watches:
        watch.start()
    parts = [
        threading.Thread(target=_drop_files, args=(stage, plan, seen, began)),
        threading.Thread(target=_visit, args=(stage, plan, seen, began)),
        threading.Thread(target=_announce, args=(stage, plan, seen, began)),
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    _settle(stage, seen)
    ended.set()
    for watch in watches:
        watch.join()
    return seen


def _settle(stage: Stage, seen: Seen) -> None:
    """Wait for what is under way, but not for ever."""
    until = time.time() + SETTLES_S
    while time.time() < until:
        with stage.store.reading() as tx:
            files = sum(tx.inbox.counts().get(one, 0) for one in ("imported", "failed"))
            wishes = sum(tx.strava.wished(athlete) for athlete in stage.athletes)
            if files >= len(seen.dropped) and not wishes and not tx.outbox.counts():
                return
        time.sleep(1)


def _drop_files(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """A day's files, evenly; every tenth holds a jump, which wants an alert."""
    number_of_files = round(len(stage.athletes) * FILES_A_DAY)
    day = WEEKLY_AT.date()
    for number in range(number_of_files):
        _wait_until(began + plan.lasts_s * number / number_of_files)
        athlete = stage.athletes[number % len(stage.athletes)]
        again = number // len(stage.athletes)
        km = 14.0 if number % 10 == 0 else 7.5
        folder = stage.folder / "inbox" / athlete.name
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{number}.part"
        part.write_bytes(run_file(km, day=day, hour=5 + again, minutes=km * 4))
        name = f"{number}-{'jump' if km > 10 else 'steady'}.fit"
        part.replace(folder / name)
        seen.dropped[f"{athlete.name}/{name}"] = time.time()


def _visit(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """Visits to pages, evenly over athletes and pages; each athlete from their own address."""
    signer = Signer([KEY], stage.origin)
    pages = ("athlete", "checkin", "answer", "unsubscribe", "status", "readyz", "json")

    def ask(number: int) -> tuple[str, bool]:
        page = pages[number % len(pages)]
        athlete = stage.athletes[number * 37 % len(stage.athletes)]
        purpose = {"json": "athlete", "answer": "checkin"}.get(page, page)
        path, body, headers = f"/{page}", None, {"Authorization": f"Bearer {TOKEN}"}
        if page not in ("status", "readyz"):
            named: dict[str, str | int] = {"athlete": athlete.id, "kind": "weekly"}
            now = WEEKLY_AT - timedelta(days=1)
            path = urlsplit(signer.sign(purpose, named, now=now)).path
            headers = {"X-Forwarded-For": f"10.0.{athlete.id // 250}.{athlete.id % 250}"}
        if page == "json":
            path += "/easeback.json"
        if page == "answer":
            body = urlencode({"feels": "fine"})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        method = "POST" if body else "GET"
        return page, _asks(stage, method, path, body, headers, also=503 if page == "readyz" else 0)

    total = int(plan.lasts_s * VISITS_PER_S)
    seen.visits += _paced(total, VISITS_PER_S, began, ask, threads=4)


def _announce(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """Two bursts of webhooks: each activity is told of again and again, as titles are edited."""
    dice = random.Random(1)
    for at_s, activities in zip(plan.bursts_at_s, stage.activities, strict=True):
        total = int(plan.burst_s * EVENTS_PER_S)
        order = [activities[number % len(activities)] for number in range(total)]
        dice.shuffle(order)

        def ask(number: int, order: Sequence[Activity] = order) -> tuple[str, bool]:
            activity = order[number]
            seen.announced.setdefault(str(activity.id), time.time())
            seen.announced_last[str(activity.id)] = time.time()
            event = {
                "subscription_id": SUBSCRIPTION, "owner_id": activity.owner.id,
                "object_id": activity.id, "object_type": "activity",
                "aspect_type": "update", "event_time": int(time.time()), "updates": {},
            }  # fmt: skip
            return "webhook", _asks(stage, "POST", "/strava/webhook", json.dumps(event))

        seen.events += _paced(total, EVENTS_PER_S, began + at_s, ask, threads=16)


def _paced(
    total: int,
    per_s: float,
    began: float,
    ask: Callable[[int], tuple[str, bool]],
    *,
    threads: int,
) -> list[Took]:
    """Ask `total` times, each at its appointed time whatever became of those before."""
    took: list[Took] = []
    numbers, lock = count(), threading.Lock()

    def go() -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= total:
                return
            at = began + number / per_s
            _wait_until(at)
            what, well = ask(number)
            took.append(Took(what, at, (time.time() - at) * 1000 if well else None))

    workers = [threading.Thread(target=go) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return took


def _asks(
    stage: Stage,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    also: int = 0,
) -> bool:
    """One request over a connection of its own; True where the answer was 200 (or `also`)."""
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


def _wait_until(at: float) -> None:
    time.sleep(max(0.0, at - time.time()))


def _watch_memory(pid: int, seen: Seen, began: float, ended: threading.Event) -> None:
    """The worker's memory each second, without its reader's, which comes and goes."""
    status = Path(f"/proc/{pid}/status")
    while not ended.wait(1.0):
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                seen.memory_mb.append((time.time() - began, int(line.split()[1]) / 1024))


def _watch_runs(stage: Stage, seen: Seen, ended: threading.Event) -> None:
    """When each run that Strava told of is first there, to the half second."""
    query = select(tables.recording.c.external_id).where(tables.recording.c.source == "strava")
    while not ended.wait(0.5):
        with stage.store.reading() as tx:
            for external_id in tx.connection.execute(query).scalars():
                seen.there.setdefault(external_id, time.time())


# The verdict


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `broken` where the promise isn't kept."""

    what: str
    figures: str
    broken: bool

    def __str__(self) -> str:
        return f"{'BROKEN' if self.broken else 'held  '}  {self.what:34} {self.figures}"


def judge(stage: Stage, plan: Plan, seen: Seen, began: float) -> Iterator[Line]:
    """What the store and the mail server say of it."""
    with stage.store.reading() as tx:
        letters = [one for one in tx.outbox.all() if one.state == "sent" and one.sent_at]
        rows = tx.connection.execute(select(tables.inbox_file)).all()
        looked = {row.path: row.looked_at.timestamp() for row in rows if row.verdict == "imported"}
    sent_at = sorted(one.sent_at.timestamp() for one in letters if one.sent_at)
    # The worker's clock goes as ours does; how far it's ahead shows in mails that both have seen.
    lead = median(a - b for a, b in zip(sent_at, sorted(stage.sink.taken_at), strict=False))
    taken_in = [looked[path] - lead - at for path, at in seen.dropped.items() if path in looked]
    yield _late("files, until taken in", len(seen.dropped), taken_in)
    there = [seen.there[one] - at for one, at in seen.announced.items() if one in seen.there]
    yield _late("webhooks, until the run is there", len(seen.announced), there)
    last = [
        min(looks) - at
        for one, at in seen.announced_last.items()
        if (looks := [when for name, when in stage.service.looks if name == one and when >= at])
    ]
    yield _late("webhooks, until the last was heard", len(seen.announced), last)
    weeklies = [
        (one.sent_at - WEEKLY_AT).total_seconds()
        for one in letters
        if one.kind == "weekly" and one.sent_at
    ]
    yield _late("weekly mails, until accepted", len(stage.athletes), weeklies)
    jumps = {path.partition("/")[0]: at for path, at in seen.dropped.items() if "jump" in path}
    names = {athlete.id: athlete.name for athlete in stage.athletes}
    told = {
        names[one.athlete_id]: one.sent_at.timestamp()
        for one in letters
        if one.kind == "alert" and one.athlete_id and one.sent_at
    }
    warned = [told[name] - lead - at for name, at in jumps.items() if name in told]
    yield _late("alerts, from the file dropped", len(jumps), warned)
    yield _quick("webhooks answered", seen.events, most_ms=SLOWEST_WEBHOOK_MS)
    yield _quick("pages, all", seen.visits)
    busy = [began + at_s for at_s in plan.bursts_at_s]
    yield _quick("pages, while webhooks come",
                 [one for one in seen.visits
                  if any(at <= one.at < at + plan.burst_s for at in busy)])  # fmt: skip
    yield _flat(seen.memory_mb, since_s=plan.weekly_at_s + plan.burst_s + 20)


def _late(what: str, wanted: int, late_s: Sequence[float]) -> Line:
    worst = max(late_s, default=0.0)
    figures = (
        f"{len(late_s)} of {wanted}, median {median(late_s or [0]):.1f} s, latest {worst:.1f} s"
    )
    return Line(what, figures, broken=len(late_s) < wanted or worst > LATEST_S)


def _quick(what: str, took: Sequence[Took], *, most_ms: float = SLOWEST_PAGE_MS) -> Line:
    well = sorted(one.ms for one in took if one.ms is not None)
    p99 = well[min(len(well) * 99 // 100, len(well) - 1)] if well else 0.0
    figures = (
        f"{len(well)} of {len(took)}, median {median(well or [0]):.0f} ms, p99 {p99:.0f} ms, "
        f"slowest {max(well, default=0):.0f} ms"
    )
    return Line(what, figures, broken=len(well) < len(took) or p99 > most_ms)


def _flat(memory_mb: Sequence[tuple[float, float]], *, since_s: float) -> Line:
    """Flat: after the burst and the weekly mails, the rest of the day adds nothing to speak of."""
    after = [mb for at, mb in memory_mb if at >= since_s]
    half = len(after) // 2
    growth = median(after[half:] or [0]) - median(after[:half] or [0])
    most = max(mb for _, mb in memory_mb)
    figures = (
        f"{memory_mb[0][1]:.0f} MB at first, {most:.0f} at most, {memory_mb[-1][1]:.0f} at last, "
        f"{growth:+.1f} in the second half of the rest"
    )
    return Line("memory of the worker", figures, broken=not half or growth > MOST_GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
