"""The list of jobs is the only one: schedulers and health checks know these jobs and no others."""

import ast
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.app import App
from tests.command import ROOT
from worker.health import Audience, check_health
from worker.jobs.embedded import EmbeddedWorker
from worker.jobs.registry import AthleteTask, Job, all_jobs, jobs_of, patience_of
from worker.jobs.ticks import begin_ticks
from worker.pipeline.services import Services

NAMES = (
    "housekeeping",
    "inbox",
    "strava",
    "garmin",
    "intervals",
    "weekly",
    "deliver",
    "backup",
    "ping",
)
WATCHED = NAMES[:-1]
JOBS = all_jobs(timedelta(seconds=5))
NOWHERE = "http://127.0.0.1:1/"
SCHEDULERS = ("once", "embedded", "cluster", "cluster_tasks")


def tasks() -> list[AthleteTask]:
    return [task for job in JOBS for task in job.tasks]


def test_the_jobs_keep_the_names_that_stand_in_databases() -> None:
    """Ticks of an earlier version keep their meaning."""
    assert tuple(job.name for job in JOBS) == NAMES
    assert tuple(patience_of(JOBS)) == WATCHED


def test_names_on_the_queue_are_unique() -> None:
    """A batch is queued under its job's name, a task under its own."""
    names = [task.name for task in tasks()] + [job.name for job in JOBS if job.batches]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", SCHEDULERS)
def test_no_scheduler_names_a_job(module: str) -> None:
    """Nor a task: what it runs comes from the list alone."""
    text = (ROOT / "worker" / "jobs" / f"{module}.py").read_text("utf-8")
    said = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert said.isdisjoint({*NAMES, *(task.name for task in tasks())})


def test_a_job_that_is_off_is_run_by_nobody(services: Services) -> None:
    """Sources that aren't set up, and the ping without an address."""
    assert {"strava", "garmin", "intervals", "ping"}.isdisjoint(
        job.name for job in jobs_of(services)
    )
    assert "ping" in {job.name for job in jobs_of(replace(services, ping_url=NOWHERE))}


def test_the_embedded_scheduler_runs_and_records_every_job(services: Services) -> None:
    """Those that are on; after the first round each has its tick."""
    services = replace(services, ping_url=NOWHERE)
    jobs = jobs_of(services)
    left, all_ran = {job.name for job in jobs}, threading.Event()

    def noting(job: Job) -> Job:
        def run(services: Services, clock: object, in_full: bool) -> object:
            outcome = job.run(services, clock, in_full)  # type: ignore[arg-type]  # passed on
            left.discard(job.name)
            if not left:
                all_ran.set()
            return outcome

        return replace(job, run=run)

    worker = EmbeddedWorker(services, App(services, services.mailer).clock)  # type: ignore[arg-type]  # the scripted one
    thread = threading.Thread(target=worker.run, args=([noting(job) for job in jobs],))
    thread.start()
    assert all_ran.wait(20), left
    worker.stop()
    thread.join()
    with services.store.reading() as tx:
        assert set(tx.progress.ticks()) == {job.name for job in jobs}


def test_a_cluster_has_a_check_of_every_job_and_each_of_its_tasks() -> None:
    """And a task for each job that's done in batches."""
    pytest.importorskip("procrastinate")
    from procrastinate.testing import InMemoryConnector

    from worker.jobs.cluster_tasks import WorkerContext, app_of

    with ThreadPoolExecutor(1) as threads:
        context = WorkerContext("one", None, None, None, threads, JOBS)  # type: ignore[arg-type]  # unused
        app = app_of(context, InMemoryConnector(), periodic=True)
    ours = {name for name in app.tasks if "builtin" not in name}
    assert ours == {
        *(f"check-{job.name}" for job in JOBS),
        *(task.name for task in tasks()),
        *(job.name for job in JOBS if job.batches),
    }
    assert len(app.periodic_registry.periodic_tasks) == len(JOBS)


def troubled(app: App) -> Iterator[str]:
    for name in WATCHED:
        with app.services.store.transaction() as tx:
            tx.progress.clear_ticks(but=())
            for other in WATCHED:
                tx.progress.ticked(other, at=app.now, trouble="bad" if other == name else None)
        yield name


def test_status_readyz_and_the_ping_watch_every_job(app: App) -> None:
    """Each of them reports a failing job, and nothing else."""
    for name in troubled(app):
        with app.services.store.reading() as tx:
            for audience in Audience:
                found = check_health(tx, app.now, patience=patience_of(JOBS), audience=audience)
                assert [trouble.text for trouble in found] == [f"{name}: bad"]


def test_a_worker_that_joins_others_keeps_their_ticks(services: Services) -> None:
    """A worker that runs alone starts with none."""
    with services.store.transaction() as tx:
        for name in (*NAMES, "gone"):
            tx.progress.ticked(name, at=App.now)
    begin_ticks(services, shared=NAMES)
    with services.store.reading() as tx:
        assert set(tx.progress.ticks()) == set(NAMES)
    begin_ticks(services)
    with services.store.reading() as tx:
        assert not tx.progress.ticks()
