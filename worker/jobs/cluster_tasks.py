"""What a cluster's workers run: the check of each job, tasks for one athlete, and batches.

Each runs in a thread, beside others of this process. A task that fails is tried again by
procrastinate, later and later; after that the athlete is due as before, and the next check queues
the task anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from procrastinate import App, JobContext, RetryStrategy, exceptions
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job as QueuedJob
from procrastinate.manager import JobManager

from worker.jobs.clock import unset_clock
from worker.jobs.cluster_queue import (
    BATCHES,
    CHECK_FIRST,
    LOCAL,
    MOST_QUEUED,
    REMOTE,
    check_name,
    cron,
    queued_batch,
    queued_check,
    queued_task,
)
from worker.jobs.registry import AthleteTask, Batches, Job
from worker.jobs.ticks import record_tick, trouble_of
from worker.mail import Mailer
from worker.pipeline import Clock, Services
from worker.sources import SourceError
from worker.store import StoreError, Tick

log = logging.getLogger(__name__)

T = TypeVar("T")

LANES = 64
KEEPS_FAILING = 3
AGAIN = RetryStrategy(max_attempts=6, exponential_wait=2)
CHECKS_AGAIN_IN = timedelta(seconds=1)


@dataclass(slots=True)
class WorkerContext:
    """What the tasks of one session work with, which are under way, and which threads are busy.

    `name` is the worker's among those that share the database. `mailer` makes a mailer of its own
    for each batch. `broken` is set where the session has to begin anew: a mail may have been left
    half-way.
    """

    name: str
    services: Services
    clock: Clock
    mailer: Callable[[], Mailer]
    threads: Executor
    jobs: Sequence[Job]
    not_before: datetime | None = None
    under_way: set[int] = field(default_factory=set)
    blocked: set[object] = field(default_factory=set)
    worker_ids: set[int] = field(default_factory=set)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call what blocks in a thread; it goes on where nobody waits for it any more."""
        ended = object()

        def call() -> T:
            self.blocked.add(ended)
            try:
                return work(*arguments)
            finally:
                self.blocked.discard(ended)

        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    @contextmanager
    def holding(self, queued: QueuedJob) -> Iterator[None]:
        """Know a queued job as one of this process while the block lasts."""
        assert queued.id is not None and queued.worker_id is not None  # noqa: S101, PT018  fetched
        self.under_way.add(queued.id)
        self.worker_ids.add(queued.worker_id)
        try:
            yield
        finally:
            self.under_way.discard(queued.id)


def app_of(context: WorkerContext, connector: BaseConnector, *, periodic: bool) -> App:
    """The procrastinate application that runs these jobs; `periodic`: it also defers the checks."""
    app = App(connector=connector)
    for job in context.jobs:
        _add_check(app, context, job, periodic=periodic)
        for task in job.tasks:
            _add_task(app, context, task)
        if job.batches is not None:
            _add_batches(app, context, job, job.batches)
    return app


# Checks


def _add_check(app: App, context: WorkerContext, job: Job, *, periodic: bool) -> None:
    name = check_name(job)

    async def check(call: JobContext, timestamp: int = 0) -> None:
        del timestamp
        with context.holding(call.job):
            trouble = unset_clock(context.clock(), context.not_before)
            if trouble is None:
                try:
                    trouble = await _check(app.job_manager, context, job, context.clock())
                except exceptions.ConnectorException:
                    raise
                except Exception as error:  # noqa: BLE001  the next check may go well
                    trouble = trouble_of(job.name, error)
            await context.do(_record, context.services, job, Tick(context.clock(), trouble))

    task = app.task(
        name=name,
        queue=LOCAL,
        lock=name,
        queueing_lock=name,
        priority=CHECK_FIRST,
        pass_context=True,
    )(check)
    if periodic:
        app.periodic(cron=cron(job.every))(task)


def _record(services: Services, job: Job, tick: Tick) -> None:
    # The last tick may have been another process's.
    with services.store.reading() as tx:
        before = tx.progress.tick(job.name)
    record_tick(services, job.name, tick, before=before)


async def _check(queue: JobManager, context: WorkerContext, job: Job, now: datetime) -> str | None:
    """Queue what is due of a job, or run it; what is amiss with it, or None."""
    if job.prepare is not None:
        await context.do(job.prepare, context.services, now)
    if job.batches is not None:
        await _queue_batches(queue, context, job, job.batches, now)
    elif not job.tasks:
        await context.do(job.run, context.services, context.clock, False)
    failing, is_full = 0, False
    for task in job.tasks:
        open_jobs = await _open(queue, task.name)
        failing += sum(queued.attempts >= KEEPS_FAILING for queued in open_jobs)
        is_full |= await _queue_task(queue, context, task, open_jobs, now)
    if is_full:
        await _defer(queue, [queued_check(job, at=datetime.now(UTC) + CHECKS_AGAIN_IN)])
    return f"{failing} job(s) keep failing: the log says why" if failing else None


async def _queue_task(
    queue: JobManager,
    context: WorkerContext,
    task: AthleteTask,
    open_jobs: Sequence[QueuedJob],
    now: datetime,
) -> bool:
    """Queue a task for each who is due and has none; True where there may be more of them."""
    known = {queued.task_kwargs["athlete_id"] for queued in open_jobs}
    room = MOST_QUEUED - len(open_jobs)
    if room <= 0:
        return True
    most = room + len(known)
    due = await context.do(task.due, context.services, now, most)
    fresh = [athlete_id for athlete_id in due if athlete_id not in known][:room]
    await _defer(queue, [queued_task(task, athlete_id, due[athlete_id]) for athlete_id in fresh])
    return len(due) >= most


async def _queue_batches(
    queue: JobManager, context: WorkerContext, job: Job, batches: Batches, now: datetime
) -> None:
    """Queue as many batches as are due, each in a lane that has none."""
    due = await context.do(batches.due, context.services, now, LANES * batches.size)
    if due:
        busy = {queued.task_kwargs["lane"] for queued in await _open(queue, job.name)}
        lanes = range(-(-due // batches.size))
        await _defer(queue, [queued_batch(job, lane) for lane in lanes if lane not in busy])


async def _open(queue: JobManager, task: str) -> list[QueuedJob]:
    """The queued jobs of this task that wait or are under way."""
    return [
        queued
        for status in ("todo", "doing")
        for queued in await queue.list_jobs_async(task=task, status=status)
    ]


async def _defer(queue: JobManager, fresh: Sequence[QueuedJob]) -> None:
    """Queue these at once; where somebody queued one of them meanwhile, one by one."""
    if not fresh:
        return
    try:
        await queue.batch_defer_jobs_async(list(fresh))
    except exceptions.AlreadyEnqueued:
        for queued in fresh:
            try:
                await queue.defer_job_async(queued)
            except exceptions.AlreadyEnqueued:
                continue


# Tasks and batches


def _add_task(app: App, context: WorkerContext, task: AthleteTask) -> None:
    def run_for_one(athlete_id: int, where: list[str]) -> None:
        with context.services.store.reading() as tx:
            athlete = tx.athletes.by_id(athlete_id)
        if athlete is not None:
            task.run(context.services, athlete, where, context.clock)

    async def run(call: JobContext, athlete_id: int, about: list[str]) -> None:
        with context.holding(call.job):
            try:
                await context.do(run_for_one, athlete_id, about)
            except Exception as error:
                _log(call.job, error)
                # procrastinate can't queue it again where the next of its kind waits already.
                if await _waits(app.job_manager, call.job):
                    return
                raise

    queue = REMOTE if task.remote else LOCAL
    app.task(name=task.name, queue=queue, retry=AGAIN, pass_context=True)(run)


def _log(queued: QueuedJob, error: Exception) -> None:
    if isinstance(error, StoreError | SourceError) or queued.attempts:
        told = {"job": queued.queueing_lock, "why": str(error), "tries": queued.attempts + 1}
        log.warning("%(job)s: %(why)s (tried %(tries)d times)", told)
    else:
        log.error("%(job)s: unexpected", {"job": queued.queueing_lock}, exc_info=error)


async def _waits(queue: JobManager, queued: QueuedJob) -> bool:
    waiting = await queue.list_jobs_async(queueing_lock=queued.queueing_lock, status="todo")
    return bool(list(waiting))


def _add_batches(app: App, context: WorkerContext, job: Job, batches: Batches) -> None:
    def run_batch() -> int:
        services = replace(context.services, mailer=context.mailer())
        return batches.run(services, context.clock, batches.size)

    async def run(call: JobContext, lane: int) -> None:
        with context.holding(call.job):
            try:
                sent = await context.do(run_batch)
            except StoreError as error:
                # What it has claimed stays claimed as long as this session lives.
                log.warning("%(job)s: %(why)s", {"job": job.name, "why": str(error)})
                context.broken.set()
                return
            if sent == batches.size:
                await _defer(app.job_manager, [queued_batch(job, lane)])

    app.task(name=job.name, queue=BATCHES, pass_context=True)(run)
