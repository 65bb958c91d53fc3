"""The embedded scheduler: one process that runs every job at its interval, on APScheduler.

APScheduler only wakes the jobs; the store knows what is due. Each job runs in a thread of its own
and never twice at once. One that hangs (a mail server that doesn't answer) doesn't delay others.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from worker.health import CLOCK_TICK, shortage_of
from worker.jobs.leaps import LeapGuard, steady_s
from worker.jobs.registry import Job
from worker.jobs.ticks import record_tick, trouble_of, unset_clock
from worker.metrics import timed_job
from worker.pipeline.services import Clock, Services
from worker.store import StoreError
from worker.store.progress import Tick

log = logging.getLogger(__name__)

END_WITHIN_S = 4.0
CLOCK_CHECK_S = 1.0
STAMP_EVERY_S = 60.0
CLOCK_STEP_S = 5.0
"""A clock that goes back by more than this was set; less is an ordinary adjustment."""


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires an interval after the last time.

    APScheduler's own interval trigger counts from the planned time and lists every missed one:
    two million if the clock leaps forward by two months.
    """

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def get_next_fire_time(self, _: datetime | None, now: datetime) -> datetime:
        return now + self.interval


class _Executor(ThreadPoolExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Gives up if no thread can be started; APScheduler would only log it each time."""

    def __init__(self, threads: int, give_up: Callable[[BaseException], None]) -> None:
        super().__init__(threads)
        self._give_up = give_up

    def _do_submit_job(self, job: object, run_times: object) -> None:
        try:
            super()._do_submit_job(job, run_times)
        except (RuntimeError, MemoryError) as error:
            self._give_up(error)
            raise


def end_at_once(why: str) -> None:
    """End the process with status 1, so that its supervisor starts it again.

    Nothing is lost, as with any kill. Work that was interrupted by a lack of memory may hold
    locks that are never released otherwise.
    """
    with suppress(BaseException):
        log.critical("the worker ends: %(why)s", {"why": why})
    os._exit(1)


class EmbeddedWorker:
    """Runs the jobs until `stop`, and then gives work in progress a few seconds to end.

    While the clock is before `not_before`, no job is run. None means that the clock is simulated,
    and its leaps don't matter. `end` is called with the reason if the worker can't continue.
    """

    def __init__(
        self,
        services: Services,
        clock: Clock,
        *,
        not_before: datetime | None = None,
        end: Callable[[str], None] = end_at_once,
    ) -> None:
        self._end = end
        self._guard = None if not_before is None else _guard(services, clock())
        self._services = replace(services, doubts=self._guard.doubts) if self._guard else services
        self._clock = clock
        self._not_before = not_before
        self._ended = threading.Event()
        self._under_way: dict[str, threading.Lock] = {}
        self._recorded: dict[str, Tick] = {}

    def run(self, jobs: Sequence[Job]) -> bool:
        """Run these jobs until `stop`. True if every run had ended by then."""
        self._services = replace(self._services, began_at=self._clock())
        self._under_way = {job.name: threading.Lock() for job in jobs}
        # The scheduler warns if a job still runs at its next tick, which isn't an error here.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(
            executors={"default": _Executor(len(jobs), self._end_if_short)},
            # A late tick is still run.
            job_defaults={"max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for job in jobs:
            scheduler.add_job(
                self._tick, Every(job.every), args=(job,), id=job.name, next_run_time=_now()
            )
        lead_s, stamped_s = _lead_s(), -STAMP_EVERY_S
        scheduler.start()
        while not self._ended.wait(CLOCK_CHECK_S):
            self._check_leap()
            if steady_s() - stamped_s > STAMP_EVERY_S:
                stamped_s = steady_s()
                with suppress(StoreError):  # every job reports it
                    self._services.store.stamp()
            # The scheduler uses the machine's clock. If that is set back, it would sleep too long.
            before_s, lead_s = lead_s, _lead_s()
            if before_s - lead_s > CLOCK_STEP_S:
                log.warning("the machine's clock was set back: going on by the new time")
                for job in jobs:
                    scheduler.modify_job(job.name, next_run_time=_now())
        scheduler.shutdown(wait=False)
        return self._all_ended()

    def stop(self) -> None:
        """Make `run` return once the work in progress has ended."""
        self._ended.set()

    def _end_if_short(self, error: BaseException) -> None:
        shortage = shortage_of(error)
        if shortage is not None and shortage.is_fatal:
            self._end(shortage.text)

    def _tick(self, job: Job) -> None:
        if self._ended.is_set():
            return
        with self._under_way[job.name]:
            trouble = unset_clock(self._clock(), self._not_before)
            if trouble is None:
                try:
                    self._services.store.assert_held()
                    with timed_job(job.name):
                        job.run(self._services, self._clock, False)
                except Exception as error:  # noqa: BLE001  it must not end the worker
                    self._end_if_short(error)
                    trouble = trouble_of(job.name, error, before=self._recorded.get(job.name))
            self._record(job.name, Tick(self._clock(), trouble))

    def _check_leap(self) -> None:
        """Record the latest certain time, or that the clock has leapt."""
        now = self._clock()
        if self._guard is None or unset_clock(now, self._not_before):
            return
        is_sure = not self._guard.doubts(now)
        if is_sure or self._guard.trouble:
            last = self._recorded.get(CLOCK_TICK)
            at = now if is_sure or last is None else last.at
            self._record(CLOCK_TICK, Tick(at, self._guard.trouble))

    def _record(self, name: str, tick: Tick) -> None:
        try:
            tick = record_tick(self._services, name, tick, before=self._recorded.get(name))
        except StoreError as error:
            log.error("%(job)s: %(why)s", {"job": name, "why": str(error)})  # noqa: TRY400  one line
        except MemoryError as error:
            self._end_if_short(error)
        self._recorded[name] = tick

    def _all_ended(self) -> bool:
        """Wait for the runs in progress, for at most `END_WITHIN_S` in total."""
        until = time.monotonic() + END_WITHIN_S
        for name, lock in self._under_way.items():
            if not lock.acquire(timeout=max(until - time.monotonic(), 0.01)):
                log.warning("%(job)s: still at work, put back", {"job": name})
                return False
        return True


def _guard(services: Services, now: datetime) -> LeapGuard:
    with services.store.reading() as tx:
        sure = tx.progress.tick(CLOCK_TICK)
    return LeapGuard(now, last=sure.at if sure else None)


def _now() -> datetime:
    return datetime.now(UTC)


def _lead_s() -> float:
    """How far the machine's clock is ahead of its steady counter, in seconds."""
    return time.time() - steady_s()
