"""The embedded scheduler: one process that runs every job at its interval, on APScheduler.

APScheduler wakes the jobs and knows nothing else: what is due stands in the store. Each job runs
in a thread of its own and never beside itself; one that hangs (a mail server that doesn't answer)
delays no other.
"""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from worker.jobs.registry import Job
from worker.jobs.ticks import record_tick, trouble_of, unset_clock
from worker.pipeline.services import Clock, Services
from worker.store import StoreError, Tick

log = logging.getLogger(__name__)

END_WITHIN_S = 4.0
CLOCK_CHECK_S = 1.0
CLOCK_STEP_S = 5.0
"""A clock that goes back by more than this was set; less is the machine keeping time."""


class EmbeddedWorker:
    """Runs the jobs until `stop`, and then gives what is under way a few seconds to end.

    While the clock is before `not_before`, no job is run.
    """

    def __init__(
        self, services: Services, clock: Clock, *, not_before: datetime | None = None
    ) -> None:
        self._services = services
        self._clock = clock
        self._not_before = not_before
        self._ended = threading.Event()
        self._under_way: dict[str, threading.Lock] = {}
        self._recorded: dict[str, Tick] = {}

    def run(self, jobs: Sequence[Job]) -> bool:
        """Run these jobs until `stop`; True where every run had ended by then."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._under_way = {job.name: threading.Lock() for job in jobs}
        # The scheduler warns when a job still runs at its next tick, which is no error here.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(len(jobs))},
            # A tick that comes late is still wanted, and several missed ones are one.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for job in jobs:
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
        while not self._ended.wait(CLOCK_CHECK_S):
            # The scheduler counts by the machine's clock: set back, it would sleep until then.
            before, lead = lead, _lead()
            if before - lead > CLOCK_STEP_S:
                log.warning("the machine's clock was set back: going on by the new time")
                for job in jobs:
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
            trouble = unset_clock(self._clock(), self._not_before)
            if trouble is None:
                try:
                    job.run(self._services, self._clock, False)
                except Exception as error:  # noqa: BLE001  it must not end the worker
                    trouble = trouble_of(job.name, error)
            tick, before = Tick(self._clock(), trouble), self._recorded.get(job.name)
            try:
                tick = record_tick(self._services, job.name, tick, before=before)
            except StoreError as error:
                why = {"job": job.name, "why": str(error)}
                log.error("%(job)s: %(why)s", why)  # noqa: TRY400  one line, no traceback
            self._recorded[job.name] = tick

    def _all_ended(self) -> bool:
        """Wait for the runs under way, all in all at most `END_WITHIN_S`."""
        until = time.monotonic() + END_WITHIN_S
        for name, lock in self._under_way.items():
            if not lock.acquire(timeout=max(until - time.monotonic(), 0.01)):
                log.warning("%(job)s: still at work, put back", {"job": name})
                return False
        return True


def _lead() -> float:
    """How far the machine's clock is ahead of its steady counter, in seconds."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
