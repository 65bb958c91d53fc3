"""A worker with two athletes, a Strava and a mail server; measures what an attack costs it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.import_archive import ROOT, peak_mb, readers
from bench.load_stage import (
    KEY,
    SUBSCRIPTION,
    WEBHOOK,
    GoingClock,
    free_port,
    grant,
)
from simulators.http_server import Server, running
from simulators.smtp_server import SmtpServer
from simulators.strava.service import Service
from worker.domain.models import Athlete, Recording
from worker.links import Signer
from worker.store import Store

MIB = 2**20
RUNS = 5_000
LONGEST_S = 150.0
LOOK_EVERY_S = 0.05


@dataclass(slots=True)
class Stage:
    """The environment: Anna, or somebody in her name, attacks while Zoe wants to be served."""

    home: Path
    environment: Mapping[str, str]
    store: Store
    strava: Server
    mail: SmtpServer
    port: int
    anna: Athlete
    zoe: Athlete
    is_crew: bool = False
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def worker(self) -> int:
        """The worker's process id; the first worker's in a crew."""
        return self.processes[0].pid

    def start(self) -> None:
        """Start the worker, or a crew's two, and wait for the pages."""
        log = self.home / "worker.log"
        with log.open("ab") as err:
            for words in (["run"], ["run", "--worker"])[: 1 + self.is_crew]:
                started = subprocess.Popen(  # noqa: S603  our own program
                    [sys.executable, "-m", "worker", *words],
                    cwd=self.home,
                    env=self.environment,
                    stderr=err,
                )
                self.processes.append(started)
        assert until(lambda: ask(self.port, "/livez") == 200), log.read_text()[-2000:]

    def stop(self) -> None:
        """Stop the running workers."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)
        self.processes.clear()

    @property
    def inbox(self) -> Path:
        return self.home / "data" / "inbox"

    def link(self, purpose: str, athlete: Athlete, **more: str) -> str:
        """The path of a signed link."""
        signer = Signer([KEY], f"http://127.0.0.1:{self.port}")
        return f"/{purpose}/{signer.token(purpose, athlete, now=datetime.now(UTC), **more)}"


@dataclass
class Cost:
    """The peak memory and time of a process and its readers while they were watched."""

    took_s: float = 0.0
    own_mb: float = 0.0
    reader_mb: float = 0.0
    temporary_mb: float = 0.0

    def row(self, attack: str, came: str) -> str:
        """As a row of the table."""
        reader = f"{self.reader_mb:.0f}" if self.reader_mb else ""
        return f"| {attack} | {self.took_s:.1f} | {self.own_mb:.0f} | {reader} | {came} |"

    def watch(self, pid: int, ended: threading.Event) -> None:
        """Poll until `ended`: a reader's memory is known only while it runs."""
        while not ended.wait(LOOK_EVERY_S):
            self.own_mb = max(self.own_mb, peak_mb(pid))
            for reader in readers(pid):
                self.reader_mb = max(self.reader_mb, peak_mb(reader))
                self.temporary_mb = max(self.temporary_mb, _temporary_mb(reader))


@contextmanager
def watched(pid: int) -> Iterator[Cost]:
    """The cost of the block; earlier peaks are reset."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    cost, ended = Cost(), threading.Event()
    watcher = threading.Thread(target=cost.watch, args=(pid, ended))
    began = time.monotonic()
    watcher.start()
    try:
        yield cost
    finally:
        cost.took_s = cost.took_s or time.monotonic() - began
        ended.set()
        watcher.join()
        cost.own_mb = max(cost.own_mb, peak_mb(pid))


def _temporary_mb(pid: int) -> float:
    """Megabytes in files that a process has open but that are unlinked."""
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if str(descriptor.readlink()).endswith("(deleted)"):
                held += descriptor.stat().st_size
        except OSError:
            continue
    return held / MIB


def until(is_so: Callable[[], bool], *, most_s: float = LONGEST_S) -> bool:
    """Whether the condition came true in time."""
    began = time.monotonic()
    while not (came := is_so()) and time.monotonic() - began < most_s:
        time.sleep(LOOK_EVERY_S)
    return came


def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    kind: str = "application/x-www-form-urlencoded",
    wait_s: float = LONGEST_S,
) -> int:
    """The status of the answer; 0 if there was none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=wait_s)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if body else {})
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
    return answer.status


@contextmanager
def staged(home: Path, mail: SmtpServer, *, crew_on: str | None = None) -> Iterator[Stage]:
    """A running worker, with Anna and Zoe connected to Strava and 5,000 runs of Anna's.

    `crew_on`: an empty PostgreSQL database for two workers that share it.
    """
    service = Service(clock=GoingClock(timedelta()))
    with running(service) as strava:
        inbox = home / "data" / "inbox"
        inbox.mkdir(parents=True)
        port = free_port()
        environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("EASEBACK_")},
            "PYTHONPATH": str(ROOT),
            "EASEBACK_DATA_DIR": str(home / "data"),
            "EASEBACK_BASE_URL": f"http://127.0.0.1:{port}",
            "EASEBACK_SECRET_KEY": KEY,
            "EASEBACK_INBOX__EVERY": "1s",
            "EASEBACK_WEB__PORT": str(port),
            "EASEBACK_MAIL__HOST": "127.0.0.1",
            "EASEBACK_MAIL__PORT": str(mail.port),
            "EASEBACK_MAIL__SECURITY": "none",
            "EASEBACK_STRAVA__CLIENT_ID": service.application.client_id,
            "EASEBACK_STRAVA__CLIENT_SECRET": service.application.client_secret,
            "EASEBACK_STRAVA__BASE_URL": strava.base_url,
        }
        if crew_on:
            environment |= {
                "EASEBACK_DATABASE_URL": crew_on,
                "EASEBACK_ENGINE__KIND": "procrastinate",
            }
        store = Store.open(crew_on or f"sqlite:///{home / 'data' / 'easeback.db'}")
        anna, zoe = (_seed(store, service, number) for number in range(2))
        for athlete in (anna, zoe):
            (inbox / athlete.name).mkdir()
        stage = Stage(
            home, environment, store, strava, mail, port, anna, zoe, is_crew=crew_on is not None
        )
        try:
            stage.start()
            assert until(lambda: service.calls() > 1), "Strava is never asked"
            yield stage
        finally:
            stage.stop()
            store.close()


def _seed(store: Store, service: Service, number: int) -> Athlete:
    now = datetime.now(UTC)
    name = ("Anna", "Zoe")[number]
    with store.transaction() as tx:
        athlete = tx.athletes.add(Athlete(0, name, f"{name}@example.org".lower(), now))
        runs = [
            Recording("import", f"made-{back}", at, at.date(), 8_000.0, 2_800.0, 2_900.0)
            for back in range((RUNS, 50)[number])
            for at in [now - timedelta(days=3, hours=9 * back)]
        ]
        tx.runs.save(athlete, runs, now=now, today=now.date())
        grant(tx, service, athlete, number, now)
        tx.source("strava").subscribed(SUBSCRIPTION, f"https://easeback.example{WEBHOOK}", now=now)
    return athlete
