"""A crew on PostgreSQL: a club platform's Monday morning and its webhooks, with 1, 2 and 4 workers.

    python bench/cluster.py            10,000 athletes with two years of runs each
    python bench/cluster.py --short    300 of them

Everything runs on this machine: PostgreSQL, the workers, the web face, a mail sink and a made
Strava with no limits. For each number of workers all weekly mails fall due in one instant, then a
calm stretch of webhook events at a steady pace, then the storm: every athlete's activity is told of
again and again, as titles and kudos are edited, as fast as they're answered. Also said: what the
database holds, what each kind of job asks of it, and how many rows each look reads among a tenth of
the athletes and among all.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import create_engine, make_url, text

from bench.cluster_world import Counters, sink_process, strava_process
from tests.cluster.reading import reads
from tests.conftest import POSTGRES_HERE
from worker.config import wiring
from worker.config.settings import Settings
from worker.pipeline import Works
from worker.pipeline.chores import INBOX, STRAVA, TIDY, WEEKLY
from worker.pipeline.deliver import mails_due, make_ready, send
from worker.pipeline.strava.wishes import note_events
from worker.pipeline.take_in import look_at_inbox
from worker.pipeline.works import Membership
from worker.store import Sealer, Store

ROOT = Path(__file__).parent.parent
DATABASE = "easeback_bench"
KEY = "a key of the cluster bench that is long enough"
SUBSCRIPTION = 7
RUNS_EACH = 312
"""Three a week for two years."""

JUMPS = 50
"""One athlete in so many tells of a run that is worth a warning, another one in each storm."""

CALM_PER_S, CALM_LASTS_S = 20, 30
SENDERS = 24
HEAD = (
    b"POST /strava/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


WORLD = """
INSERT INTO athlete (id, name, folder, email, added_at, timezone, units, week_starts,
    weekly_weekday, weekly_at, pain, wants, next_weekly_at)
SELECT n, 'Athlete ' || n, 'athlete ' || n, 'a' || n || '@example.org', now() - interval '2 years',
    'UTC', 'km', 0, 0, '07:00', '[]', '["alert", "weekly"]', now() + interval '6 days'
FROM generate_series(CAST(:first AS int), :last) n;

INSERT INTO run (id, athlete_id, started_at, day, distance_m, moving_s, elapsed_s, sport, is_race)
SELECT n * CAST(1000 AS bigint) + r, n, at, CAST(at AS date), 7500 + (n * 7 + r) % 5 * 100, 2700,
    2700, 'run', false
FROM generate_series(CAST(:first AS int), :last) n, generate_series(1, CAST(:runs AS int)) r,
    LATERAL (SELECT date_trunc('day', now()) - make_interval(days => r * 7 / 3)
        + interval '6 hours' AS at) t;

INSERT INTO recording (athlete_id, run_id, source, external_id, started_at, day, distance_m,
    moving_s, elapsed_s, sport, is_race, device, edited, hidden_start, title, sha256, leg, saved_at)
SELECT athlete_id, id, 'import', digest, started_at, day, distance_m, moving_s, elapsed_s, sport,
    false, true, false, false, '', digest, 0, now()
FROM run, LATERAL (SELECT md5('a' || id) || md5('b' || id) AS digest) t
WHERE athlete_id >= :first;

INSERT INTO strava_grant (athlete_id, strava_id, sealed, expires_at, scopes, version, connected_at,
    due_at, read_until, failures)
SELECT id, id, :sealed, now() + interval '9 days', '["activity:read_all"]', 1, now(),
    now() + interval '9 days', now(), 0
FROM athlete WHERE id >= :first;

INSERT INTO strava_subscription VALUES (7, 'https://easeback.example', now(), 0)
ON CONFLICT DO NOTHING;

SELECT setval('run_id_seq', (SELECT max(id) FROM run));
SELECT setval('athlete_id_seq', (SELECT max(id) FROM athlete));
"""


@dataclass(frozen=True, slots=True)
class Plan:
    athletes: int
    events: int
    workers: tuple[int, ...]


@dataclass
class Stage:
    """The database, and the world around it."""

    plan: Plan
    url: str
    folder: Path
    mails: Counters
    environment: Mapping[str, str]
    engine: Any
    told: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        print(line, flush=True)

    def one(self, query: str, **named: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), named).scalar()

    def do(self, statement: str, **named: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), named)


def main() -> int:
    options = _options()
    short = Plan(300, 3000, (1, 2))
    full = Plan(10_000, 100_000, (1, 2, 4))
    plan = short if options.short else full
    plan = replace(plan, athletes=options.athletes or plan.athletes,
                   events=options.events or plan.events,
                   workers=options.workers or plan.workers)  # fmt: skip
    with _stage(plan, options.postgres) as stage:
        _load(stage, plan.athletes // 10)
        few = _rows_read(stage)
        _load(stage, plan.athletes)
        many = _rows_read(stage)
        _tell_size(stage, "after loading")
        _tell_reads(stage, few, many)
        _tell_jobs(stage)
        rows = [_round(stage, number, count) for number, count in enumerate(plan.workers)]
        _tell_rounds(stage, rows)
        _tell_size(stage, "after all rounds")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="300 athletes, 1 and 2 workers")
    parser.add_argument("--athletes", type=int)
    parser.add_argument("--events", type=int)
    parser.add_argument("--workers", type=lambda told: tuple(map(int, told.split(","))))
    parser.add_argument("--postgres", default=POSTGRES_HERE, metavar="URL")
    return parser.parse_args()


# The stage


@contextmanager
def _stage(plan: Plan, server: str) -> Iterator[Stage]:
    maintenance = create_engine(server, isolation_level="AUTOCOMMIT")
    url = make_url(server).set(database=DATABASE).render_as_string(hide_password=False)
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {DATABASE}"))
    mails = Counters.make()
    with (
        tempfile.TemporaryDirectory(prefix="easeback-cluster-") as made,
        sink_process(mails) as smtp_port,
        strava_process(JUMPS) as strava_port,
    ):
        Store.open(url).close()
        engine = create_engine(url)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("EASEBACK_")},
            "PYTHONPATH": str(ROOT),
            "EASEBACK_DATA_DIR": made,
            "EASEBACK_DATABASE_URL": url,
            "EASEBACK_ENGINE__KIND": "procrastinate",
            "EASEBACK_SECRET_KEY": KEY,
            "EASEBACK_MAIL__HOST": "127.0.0.1",
            "EASEBACK_MAIL__PORT": str(smtp_port),
            "EASEBACK_MAIL__SECURITY": "none",
            "EASEBACK_STRAVA__CLIENT_ID": "4711",
            "EASEBACK_STRAVA__CLIENT_SECRET": "made",
            "EASEBACK_STRAVA__BASE_URL": f"http://127.0.0.1:{strava_port}",
            "EASEBACK_WEB__PORT": str(_free_port()),
        }
        yield Stage(plan, url, Path(made), mails, environment, engine)
        engine.dispose()
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE {DATABASE} WITH (FORCE)"))
    maintenance.dispose()


def _load(stage: Stage, athletes: int) -> None:
    """Athletes up to that number, each with two years of runs; made by the database itself."""
    began = time.monotonic()
    first = (stage.one("SELECT count(*) FROM athlete") or 0) + 1
    sealed = Sealer((KEY,)).seal(json.dumps(["access", "refresh"]))
    named = {"first": first, "last": athletes, "runs": RUNS_EACH, "sealed": sealed}
    for statement in filter(str.strip, WORLD.split(";")):
        stage.do(statement, **{k: v for k, v in named.items() if f":{k}" in statement})
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    runs = stage.one("SELECT count(*) FROM run")
    stage.say(f"{athletes:,} athletes, {runs:,} runs: loaded in {time.monotonic() - began:.0f} s")


@contextmanager
def _works(stage: Stage) -> Iterator[Works]:
    """The works in this process, to look at single questions."""
    settings = Settings.model_validate({
        "data_dir": stage.folder, "database_url": stage.url, "secret_key": KEY,
        "engine": {"kind": "procrastinate"},
        "strava": {"client_id": "4711", "client_secret": "made",
                   "base_url": stage.environment["EASEBACK_STRAVA__BASE_URL"]},
        "mail": {"host": "127.0.0.1", "port": int(stage.environment["EASEBACK_MAIL__PORT"]),
                 "security": "none"},
    })  # fmt: skip
    works = wiring.build(settings, None)
    with closing(works.store):
        yield replace(works, crew=Membership("bench", timedelta(seconds=30)))


def _rows_read(stage: Stage) -> dict[str, tuple[int, int]]:
    """For each look: its statements, and the rows that they read."""
    now = datetime.now(UTC)
    with _works(stage) as works:
        looks: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.due(works, now, 500),
            "tidy": lambda: TIDY.due(works, now, 500),
            "inbox": lambda: look_at_inbox(works, now),
            "mails": lambda: (make_ready(works, now), mails_due(works, now, most=3200)),
            **{c.name: (lambda c=c: c.due(works, now, 500)) for c in STRAVA.chores},
        }
        found = {}
        for name, look in looks.items():
            with reads(works.store) as told:
                look()
            found[name] = (told.statements, told.rows)
    return found


def _tell_reads(
    stage: Stage, few: Mapping[str, tuple[int, int]], many: Mapping[str, tuple[int, int]]
) -> None:
    tenth = stage.plan.athletes // 10
    stage.say(f"\nrows read by each look, nobody due: among {tenth:,} and {tenth * 10:,} athletes")
    for name, (statements, rows) in many.items():
        stage.say(f"  {name:12} {statements} statements, {few[name][1]:6,} and {rows:6,} rows")


def _tell_jobs(stage: Stage) -> None:
    """What one job of each kind asks of the database, beside the engine's own three statements."""
    stage.say("\none job of each kind: statements, commits, rows read, ms")
    with _works(stage) as works:
        with works.store.reading() as tx:
            (athlete,) = tx.athletes.first(1)
        event = _event(athlete.id, round_number=9)
        jobs: dict[str, Callable[[], object]] = {
            "weekly": lambda: WEEKLY.one(works, athlete, (), _now),
            "mail": lambda: send(works, _now, at_most=1),
            "event kept": lambda: note_events(works, [event], _now()),
            "strava-wish": lambda: STRAVA.chores[0].one(works, athlete, (), _now),
            "tidy": lambda: TIDY.one(works, athlete, (), _now),
            "inbox": lambda: INBOX.one(works, athlete, (), _now),
        }
        for name, job in jobs.items():
            with reads(works.store) as told:
                job()
            began = time.perf_counter()
            job()
            took_ms = (time.perf_counter() - began) * 1000
            stage.say(
                f"  {name:12} {told.statements:3} {told.commits:3} {told.rows:6,} {took_ms:7.1f}"
            )
    stage.do("DELETE FROM weekly")
    stage.do("DELETE FROM outbox")


def _now() -> datetime:
    return datetime.now(UTC)


def _tell_size(stage: Stage, when: str) -> None:
    size = stage.one("SELECT pg_database_size(current_database())")
    stage.say(f"\ndatabase {when}: {size / 1e9:.2f} GB, {size / stage.plan.athletes / 1e3:.0f} kB "
              "an athlete")  # fmt: skip
    rows = ("run", "recording", "outbox", "procrastinate_jobs")
    for name in rows:
        told = stage.one("SELECT pg_total_relation_size(to_regclass(:name))", name=name)
        if told:
            stage.say(f"  {name:20} {told / 1e6:8.1f} MB")


# One round


@dataclass
class Round:
    workers: int
    mails_s: float = 0.0
    mails: int = 0
    calm_ms: Sequence[float] = ()
    answered_ms: Sequence[float] = ()
    posted_s: float = 0.0
    storm_s: float = 0.0
    storm_ms: Sequence[float] = ()
    jobs: int = 0
    connections: int = 0


def _round(stage: Stage, number: int, workers: int) -> Round:
    done = Round(workers)
    with ExitStack() as crew:
        crew.enter_context(_process(stage, "--web"))
        for _ in range(workers):
            crew.enter_context(_process(stage, "--worker"))
        _wait(lambda: stage.one("SELECT count(*) FROM crew WHERE seen_at > now() - interval '9 s'")
              == workers + 1, 90)  # fmt: skip
        _monday(stage, done)
        _webhooks(stage, done, number)
        done.connections = stage.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
    return done


def _monday(stage: Stage, done: Round) -> None:
    """All weekly mails are due at the next look's very instant."""
    stage.do("DELETE FROM weekly")
    stage.do("DELETE FROM outbox")
    stage.mails.reset()
    now = time.time()
    due = (now // 30 + 1) * 30 + (30 if now % 30 > 20 else 0)
    stage.do("UPDATE athlete SET next_weekly_at = to_timestamp(:due)", due=due)
    _wait(lambda: stage.mails.count >= stage.plan.athletes, 3600)
    done.mails, done.mails_s = stage.mails.count, stage.mails.last_at - due
    stage.say(f"\n{done.workers} worker(s): {done.mails:,} weekly mails in {done.mails_s:.1f} s, "
              f"{done.mails / done.mails_s:.1f} a second")  # fmt: skip


def _webhooks(stage: Stage, done: Round, number: int) -> None:
    port = int(stage.environment["EASEBACK_WEB__PORT"])
    calm = [_event(1 + n * 7 % stage.plan.athletes, round_number=2 * number)
            for n in range(CALM_PER_S * CALM_LASTS_S)]  # fmt: skip
    watch = _Watch(stage)
    asyncio.run(_post(port, calm, per_s=CALM_PER_S, watch=watch))
    _until_idle(stage, watch)
    done.calm_ms = watch.took_ms()
    order = [_event(1 + n % stage.plan.athletes, round_number=2 * number + 1)
             for n in range(stage.plan.events)]  # fmt: skip
    watch = _Watch(stage)
    began = time.time()
    done.answered_ms = asyncio.run(_post(port, order, per_s=None, watch=watch))
    done.posted_s = time.time() - began
    _until_idle(stage, watch)
    done.storm_s = time.time() - began
    done.storm_ms = watch.took_ms()
    done.jobs = watch.there
    stage.say(f"  {len(order):,} events answered in {done.posted_s:.1f} s, "
              f"{watch.there:,} runs there after {done.storm_s:.1f} s")  # fmt: skip


def _event(athlete: int, *, round_number: int) -> dict[str, object]:
    """About one activity an athlete and round, whose id says whose it is and when."""
    return {
        "subscription_id": SUBSCRIPTION, "owner_id": athlete,
        "object_id": athlete * 100 + round_number, "object_type": "activity",
        "aspect_type": "update", "event_time": int(time.time()), "updates": {},
    }  # fmt: skip


class _Watch:
    """When each event was posted first, and when its run or finding was first seen there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._posted: dict[int, float] = {}
        self._found: dict[int, float] = {}
        self._last = stage.one("SELECT coalesce(max(id), 0) FROM finding") or 0
        self._recorded = stage.one("SELECT coalesce(max(id), 0) FROM recording") or 0

    def posted(self, event: Mapping[str, Any]) -> None:
        self._posted.setdefault(event["owner_id"], time.time())

    def look(self) -> None:
        with self._stage.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT id, athlete_id FROM finding WHERE id > :last ORDER BY id"),
                {"last": self._last},
            ).all()
        for row in rows:
            self._last = row.id
            self._found.setdefault(row.athlete_id, time.time())

    @property
    def there(self) -> int:
        number: int = self._stage.one(
            "SELECT count(*) FROM recording WHERE id > :first", first=self._recorded
        )
        return number

    def took_ms(self) -> list[float]:
        return [1000 * (at - self._posted[who]) for who, at in self._found.items()
                if who in self._posted]  # fmt: skip


async def _post(
    port: int, events: Sequence[Mapping[str, object]], *, per_s: float | None, watch: _Watch
) -> list[float]:
    """Post them over connections that stay; how long each answer took, in milliseconds."""
    took: list[float] = []
    waiting, began = iter(enumerate(events)), time.time()
    ended = asyncio.Event()

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, event in waiting:
            if per_s:
                await asyncio.sleep(max(0.0, began + number / per_s - time.time()))
            body = json.dumps(event).encode()
            asked = time.perf_counter()
            watch.posted(event)
            writer.write(HEAD % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n", 1)[0], head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append((time.perf_counter() - asked) * 1000)
        writer.close()

    async def looker() -> None:
        while not ended.is_set():
            await asyncio.to_thread(watch.look)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(looker())
    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    ended.set()
    await looking
    return took


def _until_idle(stage: Stage, watch: _Watch) -> None:
    def is_idle() -> bool:
        watch.look()
        return not stage.one("SELECT count(*) FROM strava_wish")

    _wait(is_idle, 3600, every_s=0.1)
    time.sleep(0.5)
    watch.look()


@contextmanager
def _process(stage: Stage, role: str) -> Iterator[None]:
    log = stage.folder / f"log{role}"
    with (
        log.open("ab") as err,
        subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", "worker", "run", role], env=stage.environment, stderr=err
        ) as process,
    ):
        try:
            yield
            assert process.poll() is None, log.read_text()[-2000:]
        finally:
            process.terminate()
            process.wait(30)


def _wait(happened: Callable[[], bool], within_s: float, *, every_s: float = 0.25) -> None:
    until = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(every_s)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tell_rounds(stage: Stage, rounds: Sequence[Round]) -> None:
    cores = multiprocessing.cpu_count()
    stage.say(f"\n{stage.plan.athletes:,} athletes, all on {cores} cores")
    base = rounds[0]
    for one in rounds:
        mails, events = one.mails / one.mails_s, one.jobs / one.storm_s
        ratio = mails / (base.mails / base.mails_s), events / (base.jobs / base.storm_s)
        answered = len(one.answered_ms)
        lines = (
            f"{one.workers} worker(s), {one.connections} connections",
            (
                f"  weekly mails     {mails:7.1f} a second (x{ratio[0]:.2f}), "
                f"the last {one.mails_s:.1f} s after they were due"
            ),
            (
                f"  events           {answered:,} about {stage.plan.athletes:,} activities, "
                f"{answered / one.posted_s:.0f} a second answered: {_spread(one.answered_ms)}"
            ),
            (
                f"  their jobs       {events:7.1f} a second (x{ratio[1]:.2f}), "
                f"the last {one.storm_s:.1f} s after the first event"
            ),
            f"  event to finding, {CALM_PER_S} a second  {_spread(one.calm_ms)}",
            f"  event to finding, in the storm  {_spread(one.storm_ms)}",
        )
        stage.say("\n".join(lines))


def _spread(took_ms: Sequence[float]) -> str:
    if not took_ms:
        return "none"
    well = sorted(took_ms)
    p99 = well[min(len(well) * 99 // 100, len(well) - 1)]
    return f"p50 {median(well):.0f} ms, p99 {p99:.0f} ms ({len(well):,})"


if __name__ == "__main__":
    sys.exit(main())
