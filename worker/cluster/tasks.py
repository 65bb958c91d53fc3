"""What the engine's jobs do: looks, which queue; chores, for one athlete; mails, a batch at a time.

A job runs in a thread of its own, beside others of this process. What goes wrong in a chore is
tried again by the engine, later and later; after that the athlete is due as before, and the next
look queues them anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from procrastinate import App, JobContext, RetryStrategy, exceptions
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from worker import pipeline
from worker.cluster.jobs import (
    AWAY,
    LOOK_FIRST,
    MAIL,
    MOST_QUEUED,
    SEND,
    WORK,
    cron,
    job_for,
    job_looking,
    job_sending,
    look_name,
)
from worker.daemon import unset_clock
from worker.mail import Mailer
from worker.pipeline import Clock, Works
from worker.pipeline.chores import Chore, Round
from worker.pipeline.deliver import mails_due, make_ready, send
from worker.pipeline.housekeeping import note_tick
from worker.sources import SourceError
from worker.store import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAILS_AT_ONCE = 50
LANES = 64
KEEPS_FAILING = 3
AGAIN = RetryStrategy(max_attempts=6, exponential_wait=2)
LOOKS_AGAIN_IN = timedelta(seconds=1)


@dataclass(slots=True)
class Gear:
    """What the jobs of one session work with, which are under way, and whose threads still work.

    `mailer` makes a mailer of its own for each batch. `broken` tells that the session has to begin
    anew: a mail may have been left half-way.
    """

    works: Works
    clock: Clock
    mailer: Callable[[], Mailer]
    threads: Executor
    rounds: Sequence[Round]
    ping_every: timedelta | None = None
    deliver_every: timedelta = timedelta(seconds=2)
    not_before: datetime | None = None
    under_way: set[int] = field(default_factory=set)
    blocked: set[object] = field(default_factory=set)
    worker_ids: set[int] = field(default_factory=set)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, work: Callable[..., T], *about: Any) -> T:
        """Work that blocks, in a thread; which goes on where nobody waits for it any more."""
        ended = object()

        def work_on() -> T:
            self.blocked.add(ended)
            try:
                return work(*about)
            finally:
                self.blocked.discard(ended)

        return await asyncio.get_running_loop().run_in_executor(self.threads, work_on)

    @property
    def every(self) -> dict[str, timedelta]:
        """How often each look comes round."""
        looks = {one.name: one.every for one in self.rounds}
        return looks | {"deliver": self.deliver_every}


def app_of(gear: Gear, connector: BaseConnector, *, ticks: bool) -> App:
    """The engine with everything that can be done; `ticks` where it also defers the looks."""
    app = App(connector=connector)
    for one in gear.rounds:
        _add_look(app, gear, one.name, one.every, _looker(app, gear, one), ticks=ticks)
        for chore in one.chores:
            _add_chore(app, gear, chore)
    _add_look(app, gear, "deliver", gear.deliver_every, _mail_looker(app, gear), ticks=ticks)
    _add_sender(app, gear)
    if gear.works.ping_url is not None and gear.ping_every is not None:

        async def ping(now: datetime) -> str | None:
            await gear.do(lambda: pipeline.ping(gear.works, now, every=gear.every))
            return None

        _add_look(app, gear, "ping", gear.ping_every, ping, ticks=ticks)
    return app


# Looks

Look = Callable[[datetime], Awaitable[str | None]]
"""Looks at what is due; says what is amiss, or None."""


def _add_look(
    app: App, gear: Gear, name: str, every: timedelta, look: Look, *, ticks: bool
) -> None:
    lock = look_name(name)

    async def tick(context: JobContext, timestamp: int = 0) -> None:
        del timestamp
        with _under_way(gear, context):
            trouble = unset_clock(gear.clock(), gear.not_before)
            if trouble is None:
                try:
                    trouble = await look(gear.clock())
                except (StoreError, SourceError) as error:
                    trouble = str(error)
                except exceptions.ConnectorException:
                    raise
                except Exception as error:
                    log.exception("%(job)s: unexpected", {"job": name})
                    trouble = f"unexpected: {error!r}"
            told = pipeline.Tick(gear.clock(), trouble)
            await gear.do(note_tick, gear.works, name, told)

    task = app.task(
        name=lock, queue=WORK, lock=lock, queueing_lock=lock, priority=LOOK_FIRST, pass_context=True
    )(tick)
    if ticks:
        app.periodic(cron=cron(every))(task)


def _looker(app: App, gear: Gear, one: Round) -> Look:
    async def look(now: datetime) -> str | None:
        if one.also is not None:
            await gear.do(one.also, gear.works, now)
        failing, is_full = 0, False
        for chore in one.chores:
            open_jobs = await _open(app.job_manager, chore.name)
            failing += sum(job.attempts >= KEEPS_FAILING for job in open_jobs)
            is_full |= await _queue(app.job_manager, gear, chore, open_jobs, now)
        if is_full:
            soon = datetime.now(UTC) + LOOKS_AGAIN_IN
            await _defer(app.job_manager, [job_looking(one.name, at=soon)])
        return f"{failing} job(s) keep failing: the log says why" if failing else None

    return look


async def _queue(
    engine: JobManager, gear: Gear, chore: Chore, open_jobs: Sequence[Job], now: datetime
) -> bool:
    """Queue a job for each who is due and has none; True where there may be more of them."""
    known = {job.task_kwargs["athlete_id"] for job in open_jobs}
    room = MOST_QUEUED - len(open_jobs)
    if room <= 0:
        return True
    asked = room + len(known)
    due = await gear.do(chore.due, gear.works, now, asked)
    fresh = [one for one in due if one not in known][:room]
    await _defer(engine, [job_for(chore, one, due[one]) for one in fresh])
    return len(due) >= asked


async def _open(engine: JobManager, task: str) -> list[Job]:
    """The jobs of this task that wait or are under way."""
    return [
        job
        for status in ("todo", "doing")
        for job in await engine.list_jobs_async(task=task, status=status)
    ]


async def _defer(engine: JobManager, jobs: Sequence[Job]) -> None:
    """Queue these at once; where somebody queued one of them meanwhile, one by one."""
    if not jobs:
        return
    try:
        await engine.batch_defer_jobs_async(list(jobs))
    except exceptions.AlreadyEnqueued:
        for job in jobs:
            try:
                await engine.defer_job_async(job)
            except exceptions.AlreadyEnqueued:
                continue


# Chores


def _add_chore(app: App, gear: Gear, chore: Chore) -> None:
    async def one(context: JobContext, athlete_id: int, about: list[str]) -> None:
        with _under_way(gear, context):
            try:
                await gear.do(_for_one, gear, chore, athlete_id, about)
            except Exception as error:
                _log(context.job, error)
                # The engine can't queue it again where the next one of its kind waits already.
                if await _waits(app.job_manager, context.job):
                    return
                raise

    app.task(name=chore.name, queue=AWAY if chore.away else WORK, retry=AGAIN, pass_context=True)(
        one
    )


def _for_one(gear: Gear, chore: Chore, athlete_id: int, about: list[str]) -> None:
    with gear.works.store.reading() as tx:
        athlete = tx.athletes.by_id(athlete_id)
    if athlete is not None:
        chore.one(gear.works, athlete, about, gear.clock)


def _log(job: Job, error: Exception) -> None:
    if isinstance(error, StoreError | SourceError) or job.attempts:
        told = {"job": job.queueing_lock, "why": str(error), "tries": job.attempts + 1}
        log.warning("%(job)s: %(why)s (tried %(tries)d times)", told)
    else:
        log.error("%(job)s: unexpected", {"job": job.queueing_lock}, exc_info=error)


async def _waits(engine: JobManager, job: Job) -> bool:
    waiting = await engine.list_jobs_async(queueing_lock=job.queueing_lock, status="todo")
    return bool(list(waiting))


# Mail


def _mail_looker(app: App, gear: Gear) -> Look:
    async def look(now: datetime) -> str | None:
        await gear.do(make_ready, gear.works, now)
        most = LANES * MAILS_AT_ONCE
        due = await gear.do(lambda: mails_due(gear.works, now, most=most))
        if due:
            busy = {job.task_kwargs["lane"] for job in await _open(app.job_manager, SEND)}
            lanes = range(-(-due // MAILS_AT_ONCE))
            await _defer(app.job_manager, [job_sending(n) for n in lanes if n not in busy])
        return None

    return look


def _add_sender(app: App, gear: Gear) -> None:
    def send_some() -> int:
        works = replace(gear.works, mailer=gear.mailer())
        done = send(works, gear.clock, at_most=MAILS_AT_ONCE)
        return done.sent

    async def sender(context: JobContext, lane: int) -> None:
        with _under_way(gear, context):
            try:
                sent = await gear.do(send_some)
            except StoreError as error:
                # What it has claimed stays claimed as long as this session lives.
                log.warning("deliver: %(why)s", {"why": str(error)})
                gear.broken.set()
                return
            if sent == MAILS_AT_ONCE:
                await _defer(app.job_manager, [job_sending(lane)])

    app.task(name=SEND, queue=MAIL, pass_context=True)(sender)


@contextmanager
def _under_way(gear: Gear, context: JobContext) -> Iterator[None]:
    """Know the job as one of this process while the block lasts."""
    job = context.job
    assert job.id is not None and job.worker_id is not None  # noqa: S101, PT018  it was fetched
    gear.under_way.add(job.id)
    gear.worker_ids.add(job.worker_id)
    try:
        yield
    finally:
        gear.under_way.discard(job.id)
