"""What a cluster queues and runs: the check of each job, tasks for one athlete, and batches.

`install` creates procrastinate's tables once, in the same schema as ours. The comment on its
table of jobs names the last migration that was applied, so that it travels with the database. A
newer procrastinate refuses an older schema, and the message says what to do.

Each task runs in a thread, beside others of this process. procrastinate retries a failed one with
longer and longer pauses. After that, the athlete is due as before, and the next check queues the
task again. `WorkerNotifier` adds tasks from outside a worker.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final, TypeVar

from procrastinate import App, JobContext, RetryStrategy, SyncPsycopgConnector, exceptions
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job as QueuedJob
from procrastinate.jobs import Status
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager
from psycopg import Error
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, text

from worker.domain.models import SourceName
from worker.domain.shown import counted
from worker.jobs.registry import AthleteTask, Batches, Job, Where, event_task
from worker.jobs.ticks import record_tick, trouble_of, unset_clock
from worker.mail import Mailer
from worker.metrics import timed_job
from worker.pipeline.services import Clock, Services
from worker.sources.base import SourceError
from worker.store import Store, StoreError
from worker.store.progress import Tick

log = logging.getLogger(__name__)

T = TypeVar("T")

LOCAL: Final = "work"
REMOTE: Final = "away"
"""The queue of tasks that wait for another server; they have their own threads."""

BATCHES: Final = "mail"

MOST_QUEUED = 500
"""The most jobs of one task that wait in the queue; the rest stays due and is queued later.

The queue, and every query on it, therefore stays short however many athletes there are.
"""

CHECK_FIRST: Final = 100
"""The priority of checks: they are short, and everything else waits for them."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_WAITS_S = 2.0
_COUNTS_EVERY_S = 1.0
LANES = 64
"""The most batches of a job at the same time; each has a lane."""

HELD_UP = timedelta(seconds=10)
"""Work that is due for longer while all lanes are busy may be held up by a batch that hangs."""

KEEPS_FAILING = 3
AGAIN = RetryStrategy(max_attempts=6, exponential_wait=2)
CHECKS_AGAIN_IN = timedelta(seconds=1)
_ADVISORY_KEY = 0x6769_6E65  # "gine" in ASCII, the end of "engine"
_OWN_INDEXES = (
    # For each job, procrastinate asks whether another one with its lock comes first. Each check
    # asks which jobs of a task are open. Neither query may scan the whole queue.
    "CREATE INDEX easeback_lock ON procrastinate_jobs (lock) WHERE status IN ('todo', 'doing')",
    "CREATE INDEX easeback_task ON procrastinate_jobs (task_name, status)",
)


# Tables


def install(store: Store) -> None:
    """Make sure that procrastinate's schema exists and has the installed version.

    If several workers start at once, one creates it and the others wait. Raises `StoreError`.
    """
    with store.transaction() as tx:
        connection = tx.connection
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:key, hashtext(current_schema()))"),
            {"key": _ADVISORY_KEY},
        )
        found = _found(connection)
        if found is None:
            _make(connection)
        elif found != newest_migration():
            raise StoreError(
                f"the engine's tables stand at {found}, and the procrastinate that is installed "
                f"speaks {newest_migration()}: "
                'see "When procrastinate changes" in docs/several-workers.md'
            )


def newest_migration() -> str:
    """The name of procrastinate's last migration."""
    folder = resources.files("procrastinate.sql") / "migrations"
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))
    return names[-1].removesuffix(".sql")


def _found(connection: Connection) -> str | None:
    if connection.execute(text("SELECT to_regclass('procrastinate_jobs')")).scalar() is None:
        return None
    noted = "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')"
    comment: str | None = connection.execute(text(noted)).scalar()
    return comment or "an unknown version"


def _make(connection: Connection) -> None:
    # The script goes to the driver: it has many statements, with characters that SQLAlchemy
    # would interpret.
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  the connection is open
    driver.execute(SchemaManager.get_schema())
    for statement in _OWN_INDEXES:
        connection.execute(text(statement))
    connection.execute(text(f"COMMENT ON TABLE procrastinate_jobs IS '{newest_migration()}'"))


# The queue


def queued_task(task: AthleteTask, athlete_id: int, where: Where = ()) -> QueuedJob:
    """A task for one athlete: queued once, and no other task runs for that athlete meanwhile."""
    return QueuedJob(
        queue=REMOTE if task.remote else LOCAL,
        task_name=task.name,
        task_kwargs={"athlete_id": athlete_id, "about": list(where)},
        lock=f"athlete:{athlete_id}",
        queueing_lock=f"{task.name}:{athlete_id}",
        priority=int(task.urgency),
    )


def queued_batch(job: Job, lane: int) -> QueuedJob:
    """A batch of a job. Each lane has one at a time: a hung server stops no other lane."""
    lock = f"{job.name}:{lane}"
    return QueuedJob(
        queue=BATCHES, task_name=job.name, task_kwargs={"lane": lane}, lock=lock, queueing_lock=lock
    )


def queued_check(job: Job, *, at: datetime | None = None) -> QueuedJob:
    """The check of what a job has due, at an instant or now."""
    name = check_name(job)
    return QueuedJob(
        queue=LOCAL,
        task_name=name,
        lock=name,
        queueing_lock=name,
        priority=CHECK_FIRST,
        scheduled_at=at,
    )


def check_name(job: Job) -> str:
    """The name of a job's check on the queue."""
    return f"check-{job.name}"


def cron(every: timedelta) -> str:
    """An interval as a cron expression; it must divide a minute, an hour or a day."""
    seconds = max(every.total_seconds(), 1.0)
    if seconds < _MINUTE_S:
        return f"* * * * * */{_part_of(_MINUTE_S, seconds)}"
    if seconds < _HOUR_S:
        return f"*/{_part_of(60, seconds / _MINUTE_S)} * * * * 0"
    if seconds < _DAY_S:
        return f"0 */{_part_of(24, seconds / _HOUR_S)} * * * 0"
    return "0 0 * * * 0"


def _part_of(whole: int, at_most: float) -> int:
    """The largest divisor of `whole` up to `at_most`."""
    return max(part for part in range(1, whole + 1) if whole % part == 0 and part <= at_most)


def address_of(store: Store) -> str:
    """The store's database as a libpq connection string."""
    _, named = store.engine.dialect.create_connect_args(store.engine.url)
    named.pop("context", None)  # used by SQLAlchemy, unknown to libpq
    return make_conninfo(**named)


class WorkerNotifier:
    """Queues tasks from outside a worker, over its own connections.

    The store already records what is due, so a call that fails costs seconds: the next check
    finds it.
    """

    def __init__(self, store: Store) -> None:
        self._connector = SyncPsycopgConnector(
            conninfo=address_of(store), min_size=0, max_size=2, timeout=_WAITS_S
        )
        self._is_open = False
        self._counted: dict[str, tuple[float, bool]] = {}

    def __call__(self, source: SourceName, athlete_ids: Collection[int]) -> None:
        """Let a worker handle the webhook events of this source for these athletes soon."""
        task = event_task(source)
        try:
            if not self._is_open:
                self._connector.open()
                self._is_open = True
            queue = JobManager(self._connector)
            if self._is_full(queue, task):
                return
            for athlete_id in sorted(athlete_ids):
                try:
                    queue.defer_job(queued_task(task, athlete_id))
                except exceptions.AlreadyEnqueued:
                    continue
        except (exceptions.ConnectorException, Error) as error:
            why = {"why": str(error)}
            log.warning("web: no worker was notified (%(why)s): the next check finds it", why)

    def _is_full(self, queue: JobManager, task: AthleteTask) -> bool:
        """True while the queue holds the maximum; the checks queue the rest later."""
        now = time.monotonic()
        counted_at, is_full = self._counted.get(task.name, (-_COUNTS_EVERY_S, False))
        if now - counted_at >= _COUNTS_EVERY_S:
            is_full = len(queue.list_jobs(task=task.name, status="todo")) >= MOST_QUEUED
            self._counted[task.name] = now, is_full
        return is_full

    def close(self) -> None:
        if self._is_open:
            self._connector.close()


# What the workers run


@dataclass(slots=True)
class WorkerContext:
    """What the tasks of one session share, which are in progress, and what runs in threads.

    `name` is the worker's name among those that share the database. `mailer` makes a separate
    mailer for each batch. `broken` is set if the session has to start again, because a mail may
    have been left unfinished.
    """

    name: str
    services: Services
    clock: Clock
    mailer: Callable[[], Mailer]
    threads: Executor
    jobs: Sequence[Job]
    not_before: datetime | None = None
    under_way: set[int] = field(default_factory=set)
    calls: set[Future[Any]] = field(default_factory=set)
    worker_ids: set[int] = field(default_factory=set)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a blocking function in a thread; it runs to its end even if nobody awaits it."""
        call = self.threads.submit(work, *arguments)
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        return await asyncio.wrap_future(call)

    @contextmanager
    def holding(self, queued: QueuedJob) -> Iterator[None]:
        """Register a queued job as running in this process for the length of the block."""
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
                except Exception as error:  # noqa: BLE001  the next check may succeed
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
    # Another process may have recorded the last tick.
    with services.store.reading() as tx:
        before = tx.progress.tick(job.name)
    record_tick(services, job.name, tick, before=before)


async def _check(queue: JobManager, context: WorkerContext, job: Job, now: datetime) -> str | None:
    """Queue what is due of a job, or run it. Returns what is wrong with it, or None."""
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
        await defer(queue, [queued_check(job, at=datetime.now(UTC) + CHECKS_AGAIN_IN)])
    if not failing:
        return None
    does = "keeps" if failing == 1 else "keep"
    return f"{counted(failing, 'job')} {does} failing: the log says why"


async def _queue_task(
    queue: JobManager,
    context: WorkerContext,
    task: AthleteTask,
    open_jobs: Sequence[QueuedJob],
    now: datetime,
) -> bool:
    """Queue a task for each athlete who is due and has none. True if there may be more of them."""
    known = {queued.task_kwargs["athlete_id"] for queued in open_jobs}
    room = MOST_QUEUED - len(open_jobs)
    if room <= 0:
        return True
    most = room + len(known)
    due = await context.do(task.due, context.services, now, most)
    fresh = [athlete_id for athlete_id in due if athlete_id not in known][:room]
    await defer(queue, [queued_task(task, athlete_id, due[athlete_id]) for athlete_id in fresh])
    return len(due) >= most


async def _queue_batches(
    queue: JobManager, context: WorkerContext, job: Job, batches: Batches, now: datetime
) -> None:
    """Queue as many batches as are due, each in a free lane.

    If something has been due for a while although every lane has a batch in progress, these may
    hang, and one more lane is used.
    """
    due = await context.do(batches.due, context.services, now, LANES * batches.size)
    if not due:
        return
    open_jobs = await _open(queue, job.name)
    busy = {queued.task_kwargs["lane"] for queued in open_jobs}
    lanes = [lane for lane in range(-(-due // batches.size)) if lane not in busy]
    waits = any(queued.status == Status.TODO.value for queued in open_jobs)
    if not lanes and not waits:
        is_late = await context.do(batches.due, context.services, now - HELD_UP, 1)
        lanes = [lane for lane in range(LANES) if lane not in busy][:is_late]
    await defer(queue, [queued_batch(job, lane) for lane in lanes])


async def _open(queue: JobManager, task: str) -> list[QueuedJob]:
    """The jobs of this task that wait or are in progress."""
    return [
        queued
        for status in ("todo", "doing")
        for queued in await queue.list_jobs_async(task=task, status=status)
    ]


async def defer(queue: JobManager, fresh: Sequence[QueuedJob]) -> None:
    """Queue these jobs together, or one by one if another worker has queued one of them."""
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
            with timed_job(task.name):
                task.run(context.services, athlete, where, context.clock)

    async def run(call: JobContext, athlete_id: int, about: list[str]) -> None:
        with context.holding(call.job):
            try:
                await context.do(run_for_one, athlete_id, about)
            except Exception as error:
                _log(call.job, error)
                # procrastinate can't requeue it if the next one of its kind waits already.
                if await _waits(app.job_manager, call.job):
                    return
                raise

    queue = REMOTE if task.remote else LOCAL
    app.task(name=task.name, queue=queue, retry=AGAIN, pass_context=True)(run)


def _log(queued: QueuedJob, error: Exception) -> None:
    if isinstance(error, StoreError | SourceError) or queued.attempts:
        fields = {"job": queued.queueing_lock, "why": str(error), "tries": queued.attempts + 1}
        log.warning("%(job)s: %(why)s (tries: %(tries)d)", fields)
    else:
        log.error("%(job)s: unexpected", {"job": queued.queueing_lock}, exc_info=error)


async def _waits(queue: JobManager, queued: QueuedJob) -> bool:
    waiting = await queue.list_jobs_async(queueing_lock=queued.queueing_lock, status="todo")
    return bool(list(waiting))


def _add_batches(app: App, context: WorkerContext, job: Job, batches: Batches) -> None:
    def run_batch() -> int:
        services = replace(context.services, mailer=context.mailer())
        with timed_job(job.name):
            return batches.run(services, context.clock, batches.size)

    async def run(call: JobContext, lane: int) -> None:
        with context.holding(call.job):
            try:
                sent = await context.do(run_batch)
            except StoreError as error:
                # Mails that it has claimed stay claimed until this session ends.
                log.warning("%(job)s: %(why)s", {"job": job.name, "why": str(error)})
                context.broken.set()
                return
            if sent == batches.size:
                await defer(app.job_manager, [queued_batch(job, lane)])

    app.task(name=job.name, queue=BATCHES, pass_context=True)(run)
