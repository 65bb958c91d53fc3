"""The cluster benchmark's environment: a PostgreSQL full of athletes, and a crew's processes."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from bench.cluster_world import Counters, sink_process, strava_process
from worker.app import build_services, webhook_path
from worker.config import Settings
from worker.pipeline.services import Services, WorkerIdentity
from worker.store import Encrypter, Store

ROOT = Path(__file__).parent.parent
DATABASE = "easeback_bench"
KEY = "a key of the cluster bench that is long enough"
WEBHOOK = webhook_path("strava", (KEY,))
SUBSCRIPTION = 7
RUNS_EACH = 312
"""Three runs a week for two years."""

JUMPS = 50
"""One in this many athletes makes a run worth a warning, another one in each storm."""


WORLD = """
INSERT INTO athlete (id, name, folder, email, added_at, timezone, units, week_starts,
    weekly_weekday, weekly_at, pain, wants, next_weekly_at, link_id, matched_by)
SELECT n, 'Athlete ' || n, 'athlete ' || n, 'a' || n || '@example.org', now() - interval '2 years',
    'UTC', 'km', 0, 0, '07:00', '[]', '["alert", "weekly"]', now() + interval '6 days',
    left(md5('link' || n), 16), 1000  -- matched already, by whatever version
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

INSERT INTO source_credential (athlete_id, source, account_id, encrypted, expires_at, scopes,
    version, connected_at, due_at, read_until, failures)
SELECT id, 'strava', id, :sealed, now() + interval '9 days', '["activity:read_all"]', 1, now(),
    now() + interval '20 hours', now(), 0
FROM athlete WHERE id >= :first;

-- Seen lately, or a weekly mail would wait for it to be read first.
INSERT INTO source_state (athlete_id, source, state, last_success_at, backlog)
SELECT id, 'strava', 'ok', now() + interval '1 day', 0 FROM athlete WHERE id >= :first;

INSERT INTO source_subscription VALUES ('strava', 7, :webhook, now(), 0)
ON CONFLICT DO NOTHING;

SELECT setval('run_id_seq', (SELECT max(id) FROM run));
SELECT setval('athlete_id_seq', (SELECT max(id) FROM athlete));
"""


@dataclass(frozen=True, slots=True)
class Plan:
    athletes: int
    events: int
    workers: tuple[int, ...]
    calm_s: int = 30
    is_warm: bool = False
    keeps_busy: bool = False


@dataclass
class Stage:
    """The database and the services around it."""

    plan: Plan
    url: str
    folder: Path
    mails: Counters
    environment: Mapping[str, str]
    engine: Any

    def say(self, line: str) -> None:
        print(line, flush=True)

    def one(self, query: str, **named: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), named).scalar()

    def do(self, statement: str, **named: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), named)


@contextmanager
def staged(plan: Plan, server: str) -> Iterator[Stage]:
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
            "EASEBACK_WEB__PORT": str(free_port()),
        }
        yield Stage(plan, url, Path(made), mails, environment, engine)
        engine.dispose()
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE {DATABASE} WITH (FORCE)"))
    maintenance.dispose()


def load(stage: Stage, athletes: int) -> None:
    """Add athletes up to that number, each with two years of runs, by SQL alone."""
    began = time.monotonic()
    first = (stage.one("SELECT count(*) FROM athlete") or 0) + 1
    sealed = Encrypter((KEY,)).encrypt_text(json.dumps(["access", "refresh"]))
    named = {
        "first": first,
        "last": athletes,
        "runs": RUNS_EACH,
        "sealed": sealed,
        "webhook": f"https://easeback.example{WEBHOOK}",
    }
    for statement in filter(str.strip, WORLD.split(";")):
        stage.do(statement, **{k: v for k, v in named.items() if f":{k}" in statement})
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    runs = stage.one("SELECT count(*) FROM run")
    stage.say(f"{athletes:,} athletes, {runs:,} runs: loaded in {time.monotonic() - began:.0f} s")


@contextmanager
def services_on(stage: Stage) -> Iterator[Services]:
    """The services in this process, to measure single queries."""
    settings = Settings.model_validate({
        "data_dir": stage.folder, "database_url": stage.url, "secret_key": KEY,
        "engine": {"kind": "procrastinate"},
        "strava": {"client_id": "4711", "client_secret": "made",
                   "base_url": stage.environment["EASEBACK_STRAVA__BASE_URL"]},
        "mail": {"host": "127.0.0.1", "port": int(stage.environment["EASEBACK_MAIL__PORT"]),
                 "security": "none"},
    })  # fmt: skip
    services = build_services(settings, None)
    with closing(services.store):
        yield replace(services, identity=WorkerIdentity("bench", timedelta(seconds=30)))


@contextmanager
def process(stage: Stage, role: str) -> Iterator[int]:
    """Start a worker or the web server; yields its process id."""
    log = stage.folder / f"log{role}"
    with (
        log.open("ab") as err,
        subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", "worker", "run", role], env=stage.environment, stderr=err
        ) as process,
    ):
        try:
            yield process.pid
            assert process.poll() is None, log.read_text()[-2000:]
        finally:
            process.terminate()
            process.wait(30)


_LOOP = """
import mmap, os, sys
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
with open(sys.argv[1], "r+b") as file:
    counted = mmap.mmap(file.fileno(), 8)
number = 0
while True:
    for _ in range(10_000):
        pass
    number += 1
    counted[:8] = number.to_bytes(8, "little")
"""


@dataclass(frozen=True, slots=True)
class Loops:
    """Loops that count, one for each core; by them the pace of the cores is known."""

    pids: Sequence[int] = ()
    counts: Sequence[Path] = ()

    def done(self) -> tuple[int, float]:
        """How much they have counted together, and their processor time in milliseconds."""
        counted = sum(int.from_bytes(one.read_bytes(), "little") for one in self.counts)
        return counted, worked_ms(self.pids)


@contextmanager
def busy_cores() -> Iterator[Loops]:
    """Keep every core busy, by loops that give way to any other process, within the block.

    The same work takes less processor time while the other cores are idle. With this, rounds with
    few workers and with many are measured alike.
    """
    with tempfile.TemporaryDirectory(prefix="easeback-loops-") as folder, ExitStack() as loops:
        counts, pids = [], []
        for number in range(os.cpu_count() or 1):
            counts.append(Path(folder, str(number)))
            counts[-1].write_bytes(bytes(8))
            call = [sys.executable, "-c", _LOOP, str(counts[-1])]
            one = loops.enter_context(subprocess.Popen(call))  # noqa: S603
            loops.callback(one.kill)
            pids.append(one.pid)
        yield Loops(pids, counts)


def worked_ms(pids: Sequence[int]) -> float:
    """The processor time of these processes since their start, in milliseconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def wait(happened: Callable[[], bool], within_s: float, *, every_s: float = 0.25) -> None:
    until = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(every_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
