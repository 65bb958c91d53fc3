"""One worker of the crew: joins, serves, is seen, rescues what the dead have left, and leaves.

A session lasts as long as its connections do. When the database goes (a restart, a failover), the
worker says so in one line and joins anew under another name once it's back; what the old session
had claimed is put back like that of any other worker that isn't seen any more.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from procrastinate import PsycopgConnector, exceptions
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg import Error

from worker import daemon
from worker.cluster.jobs import AWAY, MAIL, WORK, job_looking
from worker.cluster.nudge import address_of
from worker.cluster.schema import install
from worker.cluster.tasks import Gear, app_of
from worker.mail import Mailer
from worker.pipeline import Clock, Works
from worker.pipeline.chores import rounds
from worker.pipeline.works import Membership
from worker.store import Store, StoreError

log = logging.getLogger(__name__)

MOST_DEATHS = 6
"""A job that so many workers have died over isn't tried again until it's due anew."""

_LOOKS_S = 0.2
_BETWEEN_DRAINS_S = 0.02
_LONGEST_NAME = 64
_MOST_CONNECTIONS = 8
_CONNECTS_S = 3.0
_GONE = (StoreError, exceptions.ConnectorException, Error, OSError)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker is seen, when it counts as dead, and how many jobs it does at once."""

    seen_every_s: float = 5.0
    stale_s: float = 30.0
    polls_every_s: float = 1.0
    ends_within_s: float = 3.0
    longest_pause_s: float = 10.0
    work_at_once: int = 4
    away_at_once: int = 4
    mail_at_once: int = 4

    @property
    def threads(self) -> int:
        return self.work_at_once + self.away_at_once + self.mail_at_once + 2


class CrewWorker:
    """Works until `stop`, whatever becomes of the database in between."""

    def __init__(
        self,
        works: Works,
        clock: Clock,
        *,
        mailer: Callable[[], Mailer],
        not_before: datetime | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._works = works
        self._clock = clock
        self._mailer = mailer
        self._not_before = not_before
        self._pace = pace
        self._ended = threading.Event()
        self._left: set[int] = set()
        self._joined_at: float | None = None
        # What the engine has to say of a connection that goes is said here, in one line.
        for chatty in ("procrastinate", "psycopg.pool"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL)

    def run(self) -> bool:
        """Serve until `stop`; True where every job had ended by then. Raises `LockedError`."""
        pause_s, is_said, all_ended = 1.0, False, True
        while not self._ended.is_set():
            self._joined_at = None
            try:
                all_ended = self._one_session()
            except _GONE as error:
                if not is_said:
                    why = {"why": _first_line(error)}
                    log.error("%(why)s; going on once it's back", why)  # noqa: TRY400  one line
                is_said = True
            if self._ended.is_set():
                break
            lasted_long = self._was_joined_for() > self._pace.longest_pause_s
            pause_s = 1.0 if lasted_long else min(2 * pause_s, self._pace.longest_pause_s)
            is_said = is_said and not lasted_long
            self._ended.wait(pause_s)
        return all_ended

    def stop(self) -> None:
        """Let `run` come back once the jobs under way have ended, or soon."""
        self._ended.set()

    def drain(self) -> None:
        """Everything that is due, once and in order, beside whoever else is at work; then leave."""
        with self._joined() as (gear, _):
            asyncio.run(self._drain(gear))

    # One session

    def _was_joined_for(self) -> float:
        """How many seconds the last session had its place; trying to get one doesn't count."""
        return 0.0 if self._joined_at is None else time.monotonic() - self._joined_at

    def _one_session(self) -> bool:
        with self._joined() as (gear, still_holds):
            self._joined_at = time.monotonic()
            crew = gear.works.crew
            log.info("worker %(name)s has joined", {"name": crew.name if crew else ""})
            with asyncio.Runner() as runner:
                runner.run(self._serve(gear, still_holds))
            return not gear.blocked

    @contextmanager
    def _joined(self) -> Iterator[tuple[Gear, Callable[[], None]]]:
        """A place in the crew, under a name of its own; left again where that can be said."""
        name = f"{place()[: _LONGEST_NAME - 9]} {uuid4().hex[:8]}"
        store = self._works.store
        threads = ThreadPoolExecutor(self._pace.threads, thread_name_prefix="job")
        try:
            with store.crew_member() as still_holds:
                install(store)
                gear = self._gear(name, threads)
                _beat(store, name)
                yield gear, still_holds
                with suppress(StoreError), store.transaction() as tx:
                    tx.crew.leave(name)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _gear(self, name: str, threads: ThreadPoolExecutor) -> Gear:
        stale = timedelta(seconds=self._pace.stale_s)
        works = replace(self._works, crew=Membership(name, stale))
        return Gear(
            works=works,
            clock=self._clock,
            mailer=self._mailer,
            threads=threads,
            rounds=rounds(works, weekly_every=daemon.WEEKLY_EVERY, tidy_every=daemon.TIDY_EVERY),
            ping_every=daemon.PING_EVERY,
            deliver_every=daemon.DELIVER_EVERY,
            not_before=self._not_before,
        )

    async def _serve(self, gear: Gear, still_holds: Callable[[], None]) -> None:
        """Until the worker is stopped; raises what keeps a part of the session from going on."""
        connector = _connector(gear.works.store)
        hands = ((WORK, self._pace.work_at_once), (AWAY, self._pace.away_at_once),
                 (MAIL, self._pace.mail_at_once))  # fmt: skip
        await connector.open_async()
        try:
            engine = JobManager(connector)
            await self._give_up_old_places(engine)
            # Some looks are hours apart: a worker that joins looks at everything once.
            for name in gear.every:
                await _look_now(engine, name)
            serving = [
                asyncio.create_task(self._work(gear, connector, queue, at_once))
                for queue, at_once in hands
            ]
            beside = [
                asyncio.create_task(self._be_seen(gear, engine, still_holds)),
                asyncio.create_task(self._until_stopped()),
                asyncio.create_task(gear.broken.wait()),
            ]
            await asyncio.wait([*serving, *beside], return_when=asyncio.FIRST_COMPLETED)
            for part in (*serving, *beside):
                part.cancel()
            ends = await asyncio.gather(*serving, *beside, return_exceptions=True)
            self._left |= gear.worker_ids
            wrong = [end for end in ends if isinstance(end, Exception)]
            if self._ended.is_set():
                return
            if wrong:
                raise wrong[0]
            if gear.broken.is_set():
                raise StoreError("mail may have been left half-way")
        finally:
            with suppress(*_GONE):
                await connector.close_async()

    def _work(
        self, gear: Gear, connector: PsycopgConnector, queue: str, at_once: int
    ) -> Coroutine[None, None, None]:
        app = app_of(gear, connector, ticks=queue == WORK)
        return app.run_worker_async(
            queues=[queue],
            name=queue,
            concurrency=at_once,
            install_signal_handlers=False,
            fetch_job_polling_interval=self._pace.polls_every_s,
            abort_job_polling_interval=60.0,
            shutdown_graceful_timeout=self._pace.ends_within_s,
            delete_jobs="always",
            update_heartbeat_interval=self._pace.seen_every_s,
            stalled_worker_timeout=self._pace.stale_s,
        )

    async def _until_stopped(self) -> None:
        # Set from a signal's handler, which may touch nothing of the loop.
        while not self._ended.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_LOOKS_S)

    async def _be_seen(
        self, gear: Gear, engine: JobManager, still_holds: Callable[[], None]
    ) -> None:
        """Show that this worker lives, and queue again what those that don't have left."""
        assert gear.works.crew is not None  # noqa: S101  it has joined
        forsaken: set[int] = set()
        while True:
            await gear.do(_beat, gear.works.store, gear.works.crew.name)
            await gear.do(still_holds)
            await self._rescue(engine)
            before, forsaken = forsaken, await _not_under_way(engine, gear)
            for job_id in before & forsaken:
                with suppress(exceptions.ConnectorException):
                    await engine.finish_job_by_id_async(job_id, Status.FAILED, delete_job=True)
            await asyncio.sleep(self._pace.seen_every_s)

    async def _rescue(self, engine: JobManager) -> None:
        """Queue the jobs of workers that aren't seen any more again."""
        stale_s = self._pace.stale_s
        for job in await engine.get_stalled_jobs(seconds_since_heartbeat=stale_s):
            await _again(engine, job)
        await engine.prune_stalled_workers(stale_s)

    async def _give_up_old_places(self, engine: JobManager) -> None:
        """What an earlier session of this process had under way needn't wait to be missed."""
        for worker_id in self._left:
            await engine.unregister_worker(worker_id)
        self._left.clear()

    # A whole pass

    async def _drain(self, gear: Gear) -> None:
        connector = _connector(gear.works.store)
        await connector.open_async()
        try:
            app = app_of(gear, connector, ticks=False)
            for name in gear.every:
                await _look_now(app.job_manager, name)
                while await _is_open(app.job_manager):
                    await self._rescue(app.job_manager)
                    await app.run_worker_async(
                        wait=False,
                        concurrency=self._pace.work_at_once,
                        install_signal_handlers=False,
                        listen_notify=False,
                        delete_jobs="always",
                        stalled_worker_timeout=self._pace.stale_s,
                        update_heartbeat_interval=self._pace.seen_every_s,
                    )
                    # What's left is in the hands of others, or of one that has just died.
                    await asyncio.sleep(_BETWEEN_DRAINS_S)
        finally:
            await connector.close_async()


def place() -> str:
    """Where this process runs, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def keep_seen(store: Store, *, pace: Pace = Pace()) -> Iterator[None]:
    """Let a web face be seen beside the crew for the length of the block."""
    name, ended = f"web {uuid4().hex}", threading.Event()

    def beat() -> None:
        is_said = False
        while not ended.is_set():
            try:
                _beat(store, name, is_web=True)
                is_said = False
            except StoreError as error:
                if not is_said:
                    why = {"why": str(error)}
                    log.error("%(why)s; going on once it's back", why)  # noqa: TRY400  one line
                is_said = True
            ended.wait(pace.seen_every_s)

    beating = threading.Thread(target=beat, name="seen")
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(StoreError), store.transaction() as tx:
            tx.crew.leave(name)


def _connector(store: Store) -> PsycopgConnector:
    """The engine's own connections; one that doesn't come soon means that the database has gone."""
    return PsycopgConnector(
        conninfo=address_of(store), min_size=1, max_size=_MOST_CONNECTIONS, timeout=_CONNECTS_S
    )


def _beat(store: Store, name: str, *, is_web: bool = False) -> None:
    with store.transaction() as tx:
        tx.crew.beat(name, role="web" if is_web else "worker", place=place()[:_LONGEST_NAME])


async def _look_now(engine: JobManager, name: str) -> None:
    with suppress(exceptions.AlreadyEnqueued):
        await engine.defer_job_async(job_looking(name))


async def _not_under_way(engine: JobManager, gear: Gear) -> set[int]:
    """Jobs that the engine holds to be this worker's, and that nobody here is doing."""
    held = {
        job.id
        for worker_id in gear.worker_ids
        for job in await engine.list_jobs_async(status="doing", worker_id=worker_id)
    }
    return {job_id for job_id in held if job_id is not None} - gear.under_way


async def _again(engine: JobManager, job: Job) -> None:
    """Queue a job whose worker died; it goes where the next one of its kind waits already."""
    if job.attempts < MOST_DEATHS:
        try:
            await engine.retry_job(job)
        except exceptions.UniqueViolation:
            pass
        except exceptions.ConnectorException:
            return  # another worker was quicker
        else:
            log.warning("%(job)s: its worker died, another goes on", {"job": job.queueing_lock})
            return
    else:
        told = {"job": job.queueing_lock, "deaths": job.attempts}
        log.error("%(job)s: %(deaths)d workers died over it", told)
    with suppress(exceptions.ConnectorException):
        await engine.finish_job(job, Status.FAILED, delete_job=True)


async def _is_open(engine: JobManager) -> bool:
    """True while a job is under way, or could be."""
    doing = list(await engine.list_jobs_async(status="doing"))
    todo = await engine.list_jobs_async(status="todo")
    return bool(doing) or any(job.scheduled_at is None for job in todo)


def _first_line(error: BaseException) -> str:
    # The engine's own errors say only that there was one; what it was, their cause tells.
    is_engines = isinstance(error, exceptions.ConnectorException) and error.__cause__ is not None
    told = str(error.__cause__ if is_engines else error) or type(error).__name__
    return told.strip().splitlines()[0]
