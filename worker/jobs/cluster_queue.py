"""The cluster's queue: tasks as procrastinate keeps them, and the notifier that adds to it."""

import logging
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from procrastinate import SyncPsycopgConnector, exceptions
from procrastinate.jobs import Job as QueuedJob
from procrastinate.manager import JobManager
from psycopg import Error
from psycopg.conninfo import make_conninfo

from worker.domain.models import SourceName
from worker.jobs.registry import AthleteTask, Job, Where, event_task
from worker.store import Store

log = logging.getLogger(__name__)

LOCAL: Final = "work"
REMOTE: Final = "away"
"""Tasks that wait for somebody else's server; they have threads of their own."""

BATCHES: Final = "mail"

MOST_QUEUED = 500
"""Queued jobs of one task that wait at a time; the rest stays due, and is queued as these end.

So the queue stays short however many athletes there are, and with it every query on it.
"""

CHECK_FIRST: Final = 100
"""A check is short, and everything waits for it."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_WAITS_S = 2.0
_COUNTS_EVERY_S = 1.0


def queued_task(task: AthleteTask, athlete_id: int, where: Where = ()) -> QueuedJob:
    """A task for one athlete: queued once, and no other runs for that athlete meanwhile."""
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
        queue=BATCHES,
        task_name=job.name,
        task_kwargs={"lane": lane},
        lock=lock,
        queueing_lock=lock,
    )


def queued_check(job: Job, *, at: datetime | None = None) -> QueuedJob:
    """The check of what is due of a job, at some instant or now."""
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
    """What the check of a job is called on the queue."""
    return f"check-{job.name}"


def cron(every: timedelta) -> str:
    """An interval as procrastinate wants it: a whole part of a minute, an hour or a day."""
    seconds = max(every.total_seconds(), 1.0)
    if seconds < _MINUTE_S:
        return f"* * * * * */{_part_of(_MINUTE_S, seconds)}"
    if seconds < _HOUR_S:
        return f"*/{_part_of(60, seconds / _MINUTE_S)} * * * * 0"
    if seconds < _DAY_S:
        return f"0 */{_part_of(24, seconds / _HOUR_S)} * * * 0"
    return "0 0 * * * 0"


def _part_of(whole: int, at_most: float) -> int:
    """The largest whole part of it that isn't longer than that."""
    return max(part for part in range(1, whole + 1) if whole % part == 0 and part <= at_most)


def address_of(store: Store) -> str:
    """The store's database as libpq has it."""
    _, named = store.engine.dialect.create_connect_args(store.engine.url)
    named.pop("context", None)  # SQLAlchemy's own, and no word of libpq's
    return make_conninfo(**named)


class WorkerNotifier:
    """Queues tasks from outside a worker, over connections of its own.

    What is due stands in the store by then, so a call that fails costs seconds: the next check
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
        """True while as many wait as may: the checks queue the rest as these end."""
        now = time.monotonic()
        counted_at, is_full = self._counted.get(task.name, (-_COUNTS_EVERY_S, False))
        if now - counted_at >= _COUNTS_EVERY_S:
            is_full = len(queue.list_jobs(task=task.name, status="todo")) >= MOST_QUEUED
            self._counted[task.name] = now, is_full
        return is_full

    def close(self) -> None:
        if self._is_open:
            self._connector.close()
