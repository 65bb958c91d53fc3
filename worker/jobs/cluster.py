"""The cluster scheduler: several workers on one PostgreSQL database, on procrastinate.

    check ──→ who is due? (store) ──→ a task for each ──→ any free worker ──→ run it for one athlete
    webhook event ──────────────────→ a task for each

The queue contains only hints; our own tables record what is due and what was done. The next check
queues a lost task again, and a duplicate task changes nothing. A check is deferred once however
many workers there are, and a lock lets one task at a time work on an athlete.

This module is one worker: it joins, serves, sends its heartbeat, takes over what dead workers
left, and leaves. A session lasts as long as its connections. If the database goes away (a
restart, a failover), the worker logs one line and joins again under another name once it is back.
What the old session had claimed is put back once none of it is in progress. What another worker
had claimed is put back once its heartbeat has stopped for long enough.

`cluster_tasks` says what is queued, and what the workers run. Both modules are imported only if
`[engine] kind` is "procrastinate".
"""

import asyncio
import logging
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from procrastinate import PsycopgConnector, exceptions
from procrastinate.jobs import Job as QueuedJob
from procrastinate.jobs import Status
from procrastinate.manager import JobManager
from psycopg import Error

from worker.jobs.cluster_tasks import (
    BATCHES,
    LOCAL,
    REMOTE,
    WorkerContext,
    address_of,
    app_of,
    defer,
    install,
    queued_check,
)
from worker.jobs.leaps import LeapGuard, SharedClock
from worker.jobs.registry import jobs_of, patience_of
from worker.jobs.ticks import await_ticks
from worker.mail import Mailer
from worker.pipeline.services import Clock, Services, WorkerIdentity
from worker.store import Store, StoreError

log = logging.getLogger(__name__)

MOST_DEATHS = 6
"""A task during which this many workers died isn't retried until it is due again."""

_CHECKS_S = 0.2
_LONGEST_NAME = 64
_MOST_CONNECTIONS = 8
_CONNECTS_S = 3.0
_GONE = (StoreError, exceptions.ConnectorException, Error, OSError)


@dataclass(frozen=True, slots=True)
class ClusterTiming:
    """How often a heartbeat comes, when a worker counts as dead, how many tasks run at once."""

    heartbeat_every_s: float = 5.0
    stale_s: float = 30.0
    polls_every_s: float = 1.0
    ends_within_s: float = 3.0
    longest_pause_s: float = 10.0
    local_at_once: int = 4
    remote_at_once: int = 4
    batches_at_once: int = 4

    @property
    def threads(self) -> int:
        return self.local_at_once + self.remote_at_once + self.batches_at_once + 2


class ClusterWorker:
    """Runs until `stop`; joins again after each outage of the database."""

    def __init__(
        self,
        services: Services,
        clock: Clock,
        *,
        mailer: Callable[[], Mailer],
        not_before: datetime | None = None,
        timing: ClusterTiming = ClusterTiming(),
    ) -> None:
        self._services = services
        self._clock = clock
        self._mailer = mailer
        self._not_before = not_before
        self._timing = timing
        self._ended = threading.Event()
        self._left: set[int] = set()
        self._former: list[WorkerContext] = []
        self._joined_at = math.inf
        # This module logs a lost connection in one line; procrastinate would log many.
        for chatty in ("procrastinate", "psycopg.pool"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL)

    def run(self) -> bool:
        """Serve until `stop`. True if every task had ended by then. Raises `LockedError`."""
        pause_s, is_logged, all_ended = 1.0, False, True
        while not self._ended.is_set():
            self._joined_at = math.inf  # time spent trying to join doesn't count
            error: Exception | None = None
            try:
                all_ended = self._one_session()
            except _GONE as gone:
                error = gone
            lasted_long = time.monotonic() - self._joined_at > self._timing.longest_pause_s
            if error is not None and (lasted_long or not is_logged):
                log.error("%(why)s; going on once it's back", {"why": _first_line(error)})
            is_logged = error is not None
            if self._ended.is_set():
                break
            pause_s = 1.0 if lasted_long else min(2 * pause_s, self._timing.longest_pause_s)
            self._ended.wait(pause_s)
        return all_ended

    def stop(self) -> None:
        """Make `run` return once the tasks in progress have ended, or soon in any case."""
        self._ended.set()

    # One session

    def _one_session(self) -> bool:
        with self._joined() as context:
            self._joined_at = time.monotonic()
            log.info("worker %(name)s has joined", {"name": context.name})
            with asyncio.Runner() as runner:
                runner.get_loop().set_exception_handler(_log_unawaited_error)
                runner.run(self._serve(context))
            return not context.calls

    @contextmanager
    def _joined(self) -> Iterator[WorkerContext]:
        """Join the workers under a unique name for the length of the block."""
        name = f"{place()[: _LONGEST_NAME - 9]} {uuid4().hex[:8]}"
        store = self._services.store
        threads = ThreadPoolExecutor(self._timing.threads, thread_name_prefix="task")
        try:
            with store.cluster_member():
                install(store)
                services = replace(
                    self._services,
                    identity=WorkerIdentity(name, timedelta(seconds=self._timing.stale_s)),
                )
                clock, now = self._clock, _beat(store, name)
                if self._not_before is not None:  # None: a simulated clock
                    clock = SharedClock(now)
                    services = replace(services, doubts=LeapGuard(now).doubts)
                services = replace(services, began_at=clock())
                context = WorkerContext(
                    name,
                    services,
                    clock,
                    self._mailer,
                    threads,
                    jobs_of(services),
                    self._not_before,
                )
                await_ticks(services, patience_of(context.jobs), at=clock())
                self._former.append(context)
                yield context
                with suppress(StoreError):
                    _leave(store, name)
                    self._former.remove(context)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, context: WorkerContext) -> None:
        """Serve until the worker is stopped; raises the error that ended a part of the session."""
        at_once = {
            LOCAL: self._timing.local_at_once,
            REMOTE: self._timing.remote_at_once,
            BATCHES: self._timing.batches_at_once,
        }
        async with queue_connection(context.services.store) as connector:
            manager = JobManager(connector)
            # Tasks of an earlier session of this process needn't wait until they count as stalled.
            for worker_id in self._left:
                await manager.unregister_worker(worker_id)
            self._left.clear()
            # Some jobs are hours apart: a worker that joins checks each of them once.
            await defer(manager, [queued_check(job) for job in context.jobs])
            serving = [
                asyncio.create_task(
                    app_of(context, connector, periodic=queue == LOCAL).run_worker_async(
                        queues=[queue],
                        name=queue,
                        concurrency=number,
                        install_signal_handlers=False,
                        fetch_job_polling_interval=self._timing.polls_every_s,
                        abort_job_polling_interval=60.0,
                        shutdown_graceful_timeout=self._timing.ends_within_s,
                        delete_jobs="always",
                        update_heartbeat_interval=self._timing.heartbeat_every_s,
                        stalled_worker_timeout=self._timing.stale_s,
                    )
                )
                for queue, number in at_once.items()
            ]
            beside = [
                asyncio.create_task(self._heartbeat(context, manager)),
                asyncio.create_task(self._until_stopped()),
                asyncio.create_task(context.broken.wait()),
            ]
            await asyncio.wait([*serving, *beside], return_when=asyncio.FIRST_COMPLETED)
            for part in (*serving, *beside):
                part.cancel()
            ends = await asyncio.gather(*serving, *beside, return_exceptions=True)
            self._left |= context.worker_ids
            wrong = [end for end in ends if isinstance(end, Exception)]
            if self._ended.is_set():
                return
            if wrong:
                raise wrong[0]
            if context.broken.is_set():
                raise StoreError("mail may have been left half-way")

    async def _until_stopped(self) -> None:
        # The event is set in a signal handler, which must not touch the loop.
        while not self._ended.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_CHECKS_S)

    async def _heartbeat(self, context: WorkerContext, manager: JobManager) -> None:
        """Show that this worker lives, and queue again what dead workers left."""
        abandoned: set[int] = set()
        while True:
            now = await context.do(_beat, context.services.store, context.name)
            if isinstance(context.clock, SharedClock):
                context.clock.set(now)
            await context.do(context.services.store.assert_held)
            # The claims of an earlier session of this process needn't wait until they count as
            # stalled either, once none of its calls is in progress.
            for former in [one for one in self._former if one is not context and not one.calls]:
                await context.do(_leave, context.services.store, former.name)
                self._former.remove(former)
            await self._rescue(manager)
            before, abandoned = abandoned, await _not_under_way(manager, context)
            for job_id in before & abandoned:
                with suppress(exceptions.ConnectorException):
                    await manager.finish_job_by_id_async(job_id, Status.FAILED, delete_job=True)
            await asyncio.sleep(self._timing.heartbeat_every_s)

    async def _rescue(self, manager: JobManager) -> None:
        """Requeue the tasks of workers whose heartbeat has stopped."""
        stale_s = self._timing.stale_s
        for queued in await manager.get_stalled_jobs(seconds_since_heartbeat=stale_s):
            await _requeue(manager, queued)
        await manager.prune_stalled_workers(stale_s)


@asynccontextmanager
async def queue_connection(store: Store) -> AsyncIterator[PsycopgConnector]:
    """Procrastinate's connections. One that isn't made soon means an outage of the database."""
    connector = PsycopgConnector(
        conninfo=address_of(store), min_size=1, max_size=_MOST_CONNECTIONS, timeout=_CONNECTS_S
    )
    await connector.open_async()
    try:
        yield connector
    finally:
        with suppress(*_GONE):
            await connector.close_async()


def place() -> str:
    """Where this process runs, in words."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def stay_seen(store: Store) -> Iterator[None]:
    """Send the heartbeat of a web server beside the workers for the length of the block."""
    name, ended = f"web {uuid4().hex}", threading.Event()
    every_s = ClusterTiming().heartbeat_every_s

    def beat() -> None:
        is_logged = False
        while not ended.is_set():
            try:
                _beat(store, name, is_web=True)
                is_logged = False
            except StoreError as error:
                if not is_logged:
                    why = {"why": str(error)}
                    log.error("%(why)s; going on once it's back", why)  # noqa: TRY400  one line
                is_logged = True
            ended.wait(every_s)

    beating = threading.Thread(target=beat, name="heartbeat")
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(StoreError):
            _leave(store, name)


def _beat(store: Store, name: str, *, is_web: bool = False) -> datetime:
    with store.transaction() as tx:
        return tx.workers.beat(
            name, role="web" if is_web else "worker", place=place()[:_LONGEST_NAME]
        )


def _leave(store: Store, name: str) -> None:
    with store.transaction() as tx:
        tx.workers.leave(name)


async def _not_under_way(manager: JobManager, context: WorkerContext) -> set[int]:
    """The ids of tasks that procrastinate assigns to this worker but that don't run here."""
    held = {
        queued.id
        for worker_id in tuple(context.worker_ids)  # the set may change during the await
        for queued in await manager.list_jobs_async(status="doing", worker_id=worker_id)
    }
    return {job_id for job_id in held if job_id is not None} - context.under_way


async def _requeue(manager: JobManager, queued: QueuedJob) -> None:
    """Requeue a task whose worker died, or drop it if the next of its kind is already queued."""
    if queued.attempts < MOST_DEATHS:
        try:
            await manager.retry_job(queued)
        except exceptions.UniqueViolation:
            pass
        except exceptions.ConnectorException:
            return  # another worker was quicker
        else:
            log.warning("%(job)s: its worker died, another goes on", {"job": queued.queueing_lock})
            return
    else:
        fields = {"job": queued.queueing_lock, "deaths": queued.attempts}
        log.error("%(job)s: given up, its workers died (%(deaths)d)", fields)
    with suppress(exceptions.ConnectorException):
        await manager.finish_job(queued, Status.FAILED, delete_job=True)


def _log_unawaited_error(_loop: asyncio.AbstractEventLoop, found: dict[str, Any]) -> None:
    """Log the error of a task that nothing awaits, such as procrastinate's tasks of jobs.

    A lost connection isn't logged, because the line about the session says it. A heartbeat
    requeues the job that the task couldn't finish.
    """
    error = found.get("exception")
    if isinstance(error, _GONE):
        log.debug("%(what)s: %(why)s", {"what": found["message"], "why": _first_line(error)})
    else:
        log.error("unexpected: %(what)s", {"what": found["message"]}, exc_info=error)


def _first_line(error: BaseException) -> str:
    # procrastinate's own errors hold no details; their cause does.
    is_wrapped = isinstance(error, exceptions.ConnectorException) and error.__cause__ is not None
    words = str(error.__cause__ if is_wrapped else error) or type(error).__name__
    return words.strip().splitlines()[0]
