"""The worker as a process: a clock that ticks, and a clean end.

APScheduler wakes the ticks and knows nothing else: what is due stands in the store, so a tick
that was missed or came twice changes nothing. Each tick runs in a thread of its own and never
beside itself; one that hangs (a mail server that doesn't answer) delays no other.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import FrameType

from worker import pipeline
from worker.pipeline import Clock, Works
from worker.sources import SourceError
from worker.store import StoreError

log = logging.getLogger(__name__)

END_WITHIN_S = 4.0
DELIVER_EVERY = timedelta(seconds=2)
WEEKLY_EVERY = timedelta(seconds=30)
TIDY_EVERY = timedelta(hours=1)
BACKUP_EVERY = timedelta(minutes=10)
"""How often it's looked whether a copy is due; how often one is, stands in the settings."""

CLOCK_LOOK_S = 1.0
CLOCK_STEP_S = 5.0
"""A clock that goes back by more than this was set; less is the machine keeping time."""

PING_EVERY = timedelta(minutes=1)
MAILS_AT_ONCE = 100
"""How many mails a tick sends before it ends, so that a long queue doesn't look like a halt."""

RECORD_EVERY = timedelta(minutes=1)
FIRST_RELEASE = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock that is right says an earlier time; some machines wake up in 1970."""


def clock_from(as_of: datetime | None) -> Clock:
    """The present time, or time that goes on from `as_of`."""
    if as_of is None:
        return lambda: datetime.now(UTC)
    lead = as_of - datetime.now(UTC)
    return lambda: datetime.now(UTC) + lead


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of the work, by name, and how often it is looked at."""

    name: str
    every: timedelta
    work: Callable[[], object]


def jobs(works: Works, clock: Clock) -> tuple[Job, ...]:
    """The ticks of the embedded engine."""
    work = (
        Job("inbox", works.inbox.settings.every, lambda: pipeline.take_in_inbox(works, clock())),
        *(
            Job(source.name, pipeline.SOURCE_EVERY, partial(source.tick, works, clock))
            for source in pipeline.sources_of(works)
        ),
        Job(
            "deliver",
            DELIVER_EVERY,
            lambda: pipeline.deliver(works, clock, at_most=MAILS_AT_ONCE),
        ),
        Job("weekly", WEEKLY_EVERY, lambda: pipeline.tell_weeks(works, clock())),
        Job("housekeeping", TIDY_EVERY, lambda: pipeline.tidy(works, clock())),
        Job("backup", BACKUP_EVERY, lambda: pipeline.keep_copy(works, clock())),
    )
    if works.ping_url is None:
        return work
    every = {job.name: job.every for job in work}
    ping = Job("ping", PING_EVERY, lambda: pipeline.ping(works, clock(), every=every))
    return (*work, ping)


def intervals(inbox_every: timedelta) -> Mapping[str, timedelta]:
    """How often each piece of the work comes round in a running worker."""
    return {
        "inbox": inbox_every,
        **{source.name: pipeline.SOURCE_EVERY for source in pipeline.SOURCES},
        "deliver": DELIVER_EVERY,
        "weekly": WEEKLY_EVERY,
        "housekeeping": TIDY_EVERY,
        "backup": BACKUP_EVERY,
    }


class Worker:
    """Runs the jobs until `stop`, and then gives what is under way a few seconds to end.

    While the clock says a time before `not_before`, it waits for somebody to set it.
    """

    def __init__(self, works: Works, clock: Clock, *, not_before: datetime | None = None) -> None:
        self._works = works
        self._clock = clock
        self._not_before = not_before
        self._ended = threading.Event()
        self._under_way: dict[str, threading.Lock] = {}
        self._recorded: dict[str, pipeline.Tick] = {}

    def run(self, all_jobs: Sequence[Job]) -> bool:
        """Tick until `stop`; True where every piece of work had ended by then."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._under_way = {job.name: threading.Lock() for job in all_jobs}
        # Said by the scheduler when a job still runs at its next tick, which is as it should be.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(len(all_jobs))},
            # A tick that comes late is still wanted, and several missed ones are one.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for job in all_jobs:
            scheduler.add_job(
                self._tick,
                "interval",
                args=(job,),
                id=job.name,
                seconds=job.every.total_seconds(),
                next_run_time=datetime.now(UTC),
            )
        lead = _lead()
        scheduler.start()
        while not self._ended.wait(CLOCK_LOOK_S):
            # The scheduler counts by the machine's clock: set back, it would sleep until then.
            before, lead = lead, _lead()
            if before - lead > CLOCK_STEP_S:
                log.warning("the machine's clock was set back: going on by the new time")
                for job in all_jobs:
                    scheduler.modify_job(job.name, next_run_time=datetime.now(UTC))
        scheduler.shutdown(wait=False)
        return self._all_ended()

    def stop(self) -> None:
        """Let `run` come back once the work under way has ended."""
        self._ended.set()

    def _tick(self, job: Job) -> None:
        if self._ended.is_set():
            return
        with self._under_way[job.name]:
            trouble = unset_clock(self._clock(), self._not_before) or _attempt(job)
            self._record(job, trouble)

    def _record(self, job: Job, trouble: str | None) -> None:
        """Keep how the tick ended: a change of mood at once, that it still ticks now and then."""
        before = self._recorded.get(job.name)
        tick = pipeline.Tick(self._clock(), trouble)
        if before and before.trouble == trouble and abs(tick.at - before.at) < RECORD_EVERY:
            return
        if trouble:
            log.error("%(job)s: %(why)s", {"job": job.name, "why": trouble})
        elif before and before.trouble:
            log.info("%(job)s: works again", {"job": job.name})
        try:
            pipeline.record_tick(self._works, job.name, tick)
        except StoreError as error:
            why = {"job": job.name, "why": str(error)}
            log.error("%(job)s: %(why)s", why)  # noqa: TRY400  one line, no traceback
        self._recorded[job.name] = tick

    def _all_ended(self) -> bool:
        """Wait for the work under way, all in all at most `END_WITHIN_S`."""
        until = time.monotonic() + END_WITHIN_S
        for name, lock in self._under_way.items():
            if not lock.acquire(timeout=max(until - time.monotonic(), 0.01)):
                log.warning("%(job)s: still at work, put back", {"job": name})
                return False
        return True


def unset_clock(now: datetime, not_before: datetime | None) -> str | None:
    """Why nothing is done yet, where the clock says a time that can't be."""
    if not_before is None or now >= not_before:
        return None
    return f"this machine's clock says {now:%Y-%m-%d}: nothing is done until it is set"


def _lead() -> float:
    """How far the machine's clock is ahead of its steady counter, in seconds."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)


def _attempt(job: Job) -> str | None:
    """Do one piece of work; what went wrong, in words, or None."""
    try:
        job.work()
    except (StoreError, SourceError) as error:
        return str(error)
    except Exception as error:
        # One tick's surprise must not end the worker.
        log.exception("%(job)s: unexpected", {"job": job.name})
        return f"unexpected: {error!r}"
    return None


def on_signals(stop: Callable[[], None]) -> None:
    """End cleanly on SIGTERM and Ctrl-C; a second one ends at once."""

    def end(number: int, _: FrameType | None) -> None:
        log.info("stopping on %(signal)s", {"signal": signal.Signals(number).name})
        signal.signal(number, signal.SIG_DFL)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
