"""What a mail and a job cost the worker, beside what they cost at another commit, in one run.

    python bench/cost.py [--against COMMIT] [--rounds N] [--postgres URL]

Measures the processor time of the worker alone; the mail server, the simulated Strava and
PostgreSQL are separate processes. Each round measures the other commit, in a git worktree, and then
this tree. The figures are medians over the rounds, each of which is a median too. The numbers of
statements and commits are the same on any machine.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
ATHLETES = 16
COMPOSED = 40
FIRST_MAIL = """
import sys, time
from simulators import mail_facts
from worker.links import Signer
from worker.notify import Composer
facts = mail_facts.weekly_facts()
began = time.process_time()
Composer(signer=Signer(["made for the bench"], "https://easeback.example.org")).weekly(facts)
print((time.process_time() - began) * 1000)
"""

Figures = dict[str, dict[str, float]]


def main() -> None:
    """Measure both and print the table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--against", default="HEAD~1", metavar="COMMIT")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--postgres", default=SERVER, metavar="URL")
    options.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measured(given.postgres)))
        return
    rounds: dict[str, list[Figures]] = {"before": [], "now": []}
    with tree_at(given.against) as before:
        for _ in range(given.rounds):
            rounds["before"].append(measured_in(before, given.postgres))
            rounds["now"].append(measured_in(ROOT, given.postgres))
    print(f"{'processor time of the worker':40} {'before':>10} {'now':>10} {'ratio':>6}   asked")
    for name in rounds["now"][0]:
        before_ms, now_ms = (
            statistics.median(one[name]["ms"] for one in rounds[which]) for which in rounds
        )
        asked = " → ".join(
            f"{one['statements']:.0f} statements, {one['commits']:.0f} commits"
            for one in (rounds[which][0][name] for which in rounds)
            if "statements" in one
        )
        ratio = now_ms / before_ms
        print(f"{name:40} {before_ms:7.1f} ms {now_ms:7.1f} ms {ratio:6.2f}   {asked}")


@contextmanager
def tree_at(commit: str) -> Iterator[Path]:
    """A worktree of that commit within the block."""
    with tempfile.TemporaryDirectory(prefix="easeback-cost-") as folder:
        tree = Path(folder, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), commit], check=True)  # noqa: S603
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)  # noqa: S603


def measured_in(tree: Path, server: str) -> Figures:
    """The figures of one tree, measured by a process that imports that tree's packages."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, __file__, "--one", "--postgres", server],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def measured(server: str) -> Figures:
    """The figures of the tree that this process imports."""
    figures = {"weekly mail composed": _composed("weekly"), "alert composed, two charts": {}}
    figures["alert composed, two charts"] = _composed("alert")
    figures |= _jobs(server)
    figures["first mail of a process"] = {"ms": _first_mail()}
    figures["start of the worker, and one pass"] = {"ms": _pass()}
    return figures


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of this process's own processor time."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def _composed(kind: str) -> dict[str, float]:
    from simulators import mail_facts
    from worker.links import Signer
    from worker.notify import Composer

    composer = Composer(signer=Signer(["made for the bench"], "https://easeback.example.org"))
    facts = mail_facts.alert_facts() if kind == "alert" else mail_facts.week_after_the_jump()
    taken = [cpu_ms(lambda: getattr(composer, kind)(facts)) for _ in range(COMPOSED)]
    return {"ms": statistics.median(taken[1:])}


def _jobs(server: str) -> Figures:
    """Jobs on PostgreSQL, each for every athlete in turn; the first run is a warm-up."""
    from bench import cluster_stage
    from bench.cluster_rounds import event_about
    from worker.jobs.registry import WEEKLY, event_task
    from worker.pipeline.deliver import send
    from worker.sources.base import ServiceEvent

    # Earlier commits have it in the engine's module.
    here = "webhooks" if find_spec("worker.pipeline.webhooks") else "sync"
    note_events = import_module(f"worker.pipeline.{here}").note_events

    cluster_stage.DATABASE = f"easeback_cost_{os.getpid()}"
    plan = cluster_stage.Plan(ATHLETES, 0, (1,))
    later = datetime.now(UTC) + timedelta(days=8)
    figures: Figures = {}
    with cluster_stage.staged(plan, server) as stage:
        stage_say, stage.say = stage.say, lambda _: None  # type: ignore[method-assign]
        cluster_stage.load(stage, ATHLETES)
        stage.say = stage_say  # type: ignore[method-assign]
        with cluster_stage.services_on(stage) as services:
            with services.store.reading() as tx:
                athletes = tx.athletes.first(ATHLETES)

            clock = datetime.now(UTC)

            def follow(athlete: Any) -> None:
                event_task("strava").run(services, athlete, (), lambda: clock)

            def told(before: str = "") -> None:
                nonlocal clock
                clock += timedelta(minutes=2)  # events that arrive sooner are gathered
                for athlete in athletes:
                    activity = str(event_about(athlete.id, round_number=3)["object_id"])
                    event = ServiceEvent(cluster_stage.SUBSCRIPTION, str(athlete.id), activity)
                    note_events(services, "strava", [event], clock, cluster_stage.WEBHOOK)
                if before:
                    stage.do(f"UPDATE recording SET {before} WHERE source = 'strava'")  # noqa: S608

            told()
            figures["new run from Strava: called, saved, judged"] = _each(
                services, athletes, follow
            )
            told("distance_m = distance_m + 10")
            figures["event about a run, distance edited"] = _each(services, athletes, follow)
            told("title = 'another'")
            figures["event about a run, title edited"] = _each(services, athletes, follow)
            figures["weekly mail, due to queued"] = _each(
                services, athletes, lambda one: WEEKLY.run(services, one, (), lambda: later)
            )
            number = stage.one("SELECT count(*) FROM outbox WHERE state = 'queued'")
            send(services, lambda: later, at_most=1)
            took = cpu_ms(lambda: send(services, lambda: later, at_most=number - 1))
            figures["mail sent: claimed, dialogue, settled"] = {"ms": took / (number - 1)}
    return figures


def _each(services: Any, athletes: Any, work: Callable[[Any], object]) -> dict[str, float]:
    """The median over the athletes, and the statements of the last one's job."""
    from simulators.query_reads import reads

    *timed, counted = athletes
    taken = [cpu_ms(lambda: work(one)) for one in timed]  # noqa: B023  called at once
    with reads(services.store) as asked:
        work(counted)
    return {
        "ms": statistics.median(taken[1:]),
        "statements": asked.statements,
        "commits": asked.commits,
    }


def _first_mail() -> float:
    """Milliseconds of a second process's first mail; the first process may compile."""
    for _ in range(2):
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-c", FIRST_MAIL], stdout=subprocess.PIPE, text=True, check=True
        )
    return float(done.stdout)


def _pass() -> float:
    """`easeback once` with nothing due, from interpreter start to exit."""
    with tempfile.TemporaryDirectory(prefix="easeback-cost-") as home:
        environment = {**os.environ, "EASEBACK_DATA_DIR": str(Path(home, "data"))}
        taken = []
        for words in (["athlete", "add", "--name", "Ann", "--email", "ann@example.org"], ["once"],
                      ["once"], ["once"], ["once"]):  # fmt: skip
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(  # noqa: S603  our own program
                [sys.executable, "-m", "worker", *words], env=environment, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return statistics.median(taken[2:]) * 1000


if __name__ == "__main__":
    main()
