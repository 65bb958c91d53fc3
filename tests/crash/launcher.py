"""Forks a warmed interpreter into one worker process after another, to save the imports.

    with Launcher() as launcher:
        end = launcher.live(Life(home, ["once", "--as-of", "2026-03-02T06:00:00Z"], kill_at=17))

Each life is a process that runs the real command line after the errands of its `scene`. One with
`scenes` makes a pass at each instead, like a worker that keeps running. One of a `crew` runs due
work as jobs of the engine for several workers. `late_s` is how long ago its first scene began, if
others died in it. Without `kill_at` or `kill_after_s` it ends by itself.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

CREW_IS_MISSED_S = 1.0

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Life:
    """One process: its command, its folder, and how it's killed."""

    home: str
    command: Sequence[str] = ()
    scene: int | None = None
    late_s: float = 0.0
    scenes: Sequence[int] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    kill_at: int | None = None
    kill_after_s: float | None = None
    mutant: str | None = None
    statements: bool = False
    labels: bool = False
    crew: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a life ended: `killed`, or by itself with `status`; and what a kill left open.

    `in_doubt`: a mail may have been accepted. `in_gap`: fresh tokens may have been on the wire.
    `last`: the boundary at which it was killed, if one was given.
    """

    killed: bool
    status: int
    passed: int
    in_doubt: bool
    in_gap: bool
    last: str
    lasted_s: float
    labels: tuple[str, ...] = ()


class Launcher:
    """The warmed process and a connection to it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def live(self, life: Life) -> End:
        """Run one process to its end."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        labels = tuple(told.pop("labels"))
        return End(**told, labels=labels)


def _serve() -> None:
    from tests.crash.boundaries import Ledger

    _warm()
    gc.freeze()  # otherwise the first collection in a child would copy all memory pages
    for line in sys.stdin:
        life = Life(**json.loads(line))
        home = Path(life.home)
        ledger = Ledger(home / "ledger", new=True)
        (home / "labels").unlink(missing_ok=True)
        began = time.monotonic()
        child = os.fork()
        if not child:
            _live(life, ledger)
        if life.kill_after_s is not None:
            time.sleep(life.kill_after_s)
            os.kill(child, signal.SIGKILL)
        _, ended = os.waitpid(child, 0)
        passed, in_doubt, in_gap = ledger.read()
        labels = json.loads((home / "labels").read_text()) if life.labels else []
        end = {
            "killed": os.WIFSIGNALED(ended),
            "status": os.waitstatus_to_exitcode(ended),
            "passed": passed,
            "in_doubt": in_doubt,
            "in_gap": in_gap,
            "last": ledger.last(),
            "lasted_s": time.monotonic() - began,
            "labels": labels,
        }
        sys.stdout.write(json.dumps(end) + "\n")
        sys.stdout.flush()


def _warm() -> None:
    """Import everything that a pass needs, without opening files.

    Compiled templates are cached from here on, so that the first life has no additional boundaries.
    """
    import alembic.command
    import css_inline
    import fitparse
    import psycopg
    import sqlalchemy.dialects.postgresql.psycopg
    import sqlalchemy.dialects.sqlite.pysqlite
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.schedulers.background import BackgroundScheduler

    import tests.crash.mutants
    import tests.crash.story
    import worker.app
    import worker.cli.app
    import worker.jobs.cluster
    import worker.jobs.cluster_tasks
    import worker.jobs.embedded
    import worker.jobs.once
    import worker.notify.chart
    import worker.notify.render
    import worker.pipeline
    import worker.sources.http
    import worker.sources.strava.client
    import worker.store.migrations
    import worker.web.app

    worker.sources.strava.client.stravalib_protocol()
    worker.notify.render.TemplateLoader().compile()

    del alembic, css_inline, fitparse, psycopg, sqlalchemy, tests, worker
    del ThreadPoolExecutor, BackgroundScheduler


def _live(life: Life, ledger: Any) -> None:
    """In the child: run the worker and exit."""
    from tests.crash import watch
    from tests.crash.boundaries import Boundaries
    from tests.crash.mutants import MUTANTS
    from worker.cli.app import run_command_line

    status = 70
    try:
        home = Path(life.home)
        os.chdir(home)
        os.environ.update(life.settings)
        log = os.open(home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123  for as long as the process lives
        watch.install()
        if life.mutant:
            MUTANTS[life.mutant].install()
        boundaries = Boundaries(ledger, kill_at=life.kill_at, statements=life.statements)
        boundaries.install()
        _run_errands(life)
        status = run_command_line(list(life.command)) if life.command else _go_through(life)
        if life.labels:
            (home / "labels").write_text(json.dumps(boundaries.labels))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_errands(life: Life) -> None:
    """What runners do at their pages before that scene's pass."""
    from tests.crash.runners import town
    from tests.crash.story import scenes
    from worker.cli.context import CommandContext

    if life.scene is None:
        return
    scene = scenes()[life.scene].later(life.late_s)
    if not scene.errands:
        return
    shell = CommandContext()
    here = town(shell.services(), shell.settings, Path.cwd(), scene.at)
    for errand in scene.errands:
        errand(here)
    shell.close()


def _go_through(life: Life) -> int:
    """One pass at every scene, in one process."""
    from tests.crash.runners import town
    from tests.crash.story import scenes
    from worker.cli.context import CommandContext, clock_as_of
    from worker.jobs.once import one_pass

    shell, home = CommandContext(), Path.cwd()
    services = shell.services()
    story = scenes()
    with nullcontext() if life.crew else services.store.sole_worker():
        for number in life.scenes:
            late_s = life.late_s if number == life.scenes[0] else 0.0
            scene = story[number].later(late_s)
            scene.begin(home)
            if scene.errands:
                here = town(services, shell.settings, home, scene.at)
                for errand in scene.errands:
                    errand(here)
            clock = clock_as_of(scene.at.isoformat())
            if life.crew:
                _drain(services, clock)
            else:
                one_pass(services, clock)
    shell.close()
    return 0


def _drain(services: Any, clock: Any) -> None:
    """Run what is due, as a member of a crew whose death is noticed soon."""
    from tests.draining import DrainingWorker
    from worker.app import build_mailer
    from worker.cli.context import CommandContext
    from worker.jobs.cluster import ClusterTiming

    settings = CommandContext().settings
    timing = ClusterTiming(stale_s=CREW_IS_MISSED_S, heartbeat_every_s=0.2, local_at_once=2)
    worker = DrainingWorker(services, clock, mailer=lambda: build_mailer(settings), timing=timing)
    worker.drain()


if __name__ == "__main__":
    _serve()
