"""The only list of jobs: what to do, how often, for whom, and in which order.

    name           due for                                             runs on
    housekeeping   athletes with overdue judgements or expired data    database
    inbox          athletes whose folders have stable files            inbox folder
    <source>       webhook events, polls, history of each source       the source's server
    weekly         athletes whose weekly hour has come                 database
    deliver        mails in the outbox                                 mail server
    backup         the SQLite file                                     disk
    ping           health, at every interval                           the monitor's server

The embedded scheduler and `once` call a job's `run`, which does everything that is due. A cluster
checks who is due and queues one task for each athlete, or a batch for each sender. The store
finds who is due with one indexed query that has a limit. A repeated task, or one for an athlete
who isn't due any more, changes nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from worker.domain.models import Athlete, SourceName
from worker.jobs.rhythm import Rhythm, rhythms
from worker.ping import ping
from worker.pipeline.backup import back_up
from worker.pipeline.deliver import Delivered, deliver, mails_due, make_ready, send
from worker.pipeline.housekeeping import tidy, tidy_one, tidy_store, untidy
from worker.pipeline.ingest import take_in_inbox, take_in_theirs
from worker.pipeline.scan import folders_with_news
from worker.pipeline.services import Clock, Services
from worker.pipeline.sync import SourceSync
from worker.pipeline.weekly import queue_due_weeklies, queue_weekly, weekly_due
from worker.sources.base import RateLimited, Source, Unavailable
from worker.sources.registry import SOURCES

Where = Sequence[str]
"""Where something is due: folders of the inbox; empty for every other task."""

DueAthletes = Mapping[int, Where]
"""The ids of the athletes for whom a task is due, longest waiting first."""

MAILS_AT_ONCE = 25
MAILS_FOR = timedelta(seconds=20)
"""A tick ends after this many mails or this time, so that a long queue isn't taken for a halt."""

MAILS_PER_BATCH = 50


class Urgency(IntEnum):
    """What goes first if everything is due at once; the highest number."""

    HISTORY = 0
    HOUSEKEEPING = 10
    WEEKLY = 20
    NEWS = 30
    ALERT = 40


@dataclass(frozen=True, slots=True)
class AthleteTask:
    """A part of a job that is done for one athlete at a time.

    `due(services, now, most)` finds for whom, up to `most`. `run` does it for one of them.
    `remote` means that it waits for another server.
    """

    name: str
    urgency: Urgency
    due: Callable[[Services, datetime, int], DueAthletes]
    run: Callable[[Services, Athlete, Where, Clock], object]
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Batches:
    """A job that several senders share, each sending a batch at a time, for any athletes.

    `due(services, now, most)` counts what is due, up to `most`. `run(services, clock, most)`
    sends at most that many and returns how many it sent.
    """

    size: int
    due: Callable[[Services, datetime, int], int]
    run: Callable[[Services, Clock, int], int]


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of the list.

    `name` is its name in the ticks, in `status`, and on the queue. `run(services, clock, in_full)`
    does everything that is due or, if not `in_full`, stops before other jobs wait for too long.
    A cluster calls `prepare` at each check, then queues `tasks` or `batches`; a job that has
    neither is run by the check itself. A job that `reports` is about the others: it isn't watched
    itself, and isn't part of a whole pass.
    """

    name: str
    rhythm: Rhythm
    run: Callable[[Services, Clock, bool], object]
    is_on: Callable[[Services], bool] = lambda _: True
    tasks: tuple[AthleteTask, ...] = ()
    prepare: Callable[[Services, datetime], object] | None = None
    batches: Batches | None = None
    reports: bool = False

    @property
    def every(self) -> timedelta:
        return self.rhythm.every


def all_jobs(inbox_every: timedelta) -> tuple[Job, ...]:
    """Every job, enabled or not, in the order of a whole pass."""
    rhythm = rhythms(inbox_every)
    return (
        Job(
            "housekeeping",
            rhythm["housekeeping"],
            lambda services, clock, _: tidy(services, clock()),
            tasks=(HOUSEKEEPING,),
            prepare=tidy_store,
        ),
        Job(
            "inbox",
            rhythm["inbox"],
            lambda services, clock, _: take_in_inbox(services, clock()),
            tasks=(INBOX,),
        ),
        *(_source_job(kind, rhythm[kind.name]) for kind in SOURCES),
        Job(
            "weekly",
            rhythm["weekly"],
            lambda services, clock, _: queue_due_weeklies(services, clock()),
            tasks=(WEEKLY,),
        ),
        Job(
            "deliver",
            rhythm["deliver"],
            _deliver,
            prepare=make_ready,
            batches=Batches(
                MAILS_PER_BATCH,
                due=lambda services, now, most: mails_due(services, now, most=most),
                run=lambda services, clock, most: send(services, clock, at_most=most).sent,
            ),
        ),
        Job(
            "backup",
            rhythm["backup"],
            lambda services, clock, _: back_up(services, clock()),
            is_on=lambda services: services.store.file is not None,
        ),
        Job(
            "ping",
            Rhythm(timedelta(minutes=1)),
            lambda services, clock, _: ping(
                services, clock(), patience=patience_of(jobs_of(services))
            ),
            is_on=lambda services: services.ping_url is not None,
            reports=True,
        ),
    )


def jobs_of(services: Services) -> tuple[Job, ...]:
    """The enabled jobs, in the order of a whole pass."""
    every = services.inbox.settings.every
    return tuple(job for job in all_jobs(every) if job.is_on(services))


def patience_of(jobs: Iterable[Job]) -> Mapping[str, timedelta]:
    """How long each of the jobs that health watches may go without ending a run, by name."""
    return {job.name: job.rhythm.patience for job in jobs if not job.reports}


def _deliver(services: Services, clock: Clock, in_full: bool) -> Delivered:
    if in_full:
        return deliver(services, clock)
    until_s = time.monotonic() + MAILS_FOR.total_seconds()
    while True:
        done = deliver(services, clock, at_most=MAILS_AT_ONCE)
        if done.sent < MAILS_AT_ONCE or time.monotonic() > until_s:
            return done


INBOX = AthleteTask(
    "inbox",
    Urgency.NEWS,
    due=lambda services, now, _: folders_with_news(services, now),
    run=lambda services, athlete, folders, clock: take_in_theirs(
        services, athlete, folders, clock()
    ),
)
WEEKLY = AthleteTask(
    "weekly",
    Urgency.WEEKLY,
    due=lambda services, now, most: _due(weekly_due(services, now, most=most)),
    run=lambda services, athlete, _, clock: queue_weekly(services, athlete, clock()),
)
HOUSEKEEPING = AthleteTask(
    "housekeeping",
    Urgency.HOUSEKEEPING,
    due=lambda services, now, most: _due(untidy(services, now, most=most)),
    run=lambda services, athlete, _, clock: tidy_one(services, athlete, clock()),
)


def _due(athletes: Iterable[Athlete]) -> DueAthletes:
    return {athlete.id: () for athlete in athletes}


# The sources


def _source_job(kind: type[Source], rhythm: Rhythm) -> Job:
    """The job of one source: webhook events first, then what is new, then the history."""
    name = kind.name
    return Job(
        name,
        rhythm,
        lambda services, clock, in_full: SourceSync.of(services, name, clock).all_due(
            None if in_full else kind.calls_at_once
        ),
        is_on=lambda services: name in services.sources,
        tasks=source_tasks(name),
    )


def source_tasks(source: SourceName) -> tuple[AthleteTask, ...]:
    """What is done for one athlete at one source, the most urgent first."""

    def task(
        name: str,
        urgency: Urgency,
        due: Callable[[SourceSync, int], Sequence[int]],
        run: Callable[[SourceSync, Athlete], object],
    ) -> AthleteTask:
        return AthleteTask(
            f"{source}-{name}",
            urgency,
            due=lambda services, now, most: dict.fromkeys(
                due(SourceSync.of(services, source, lambda: now), most), ()
            ),
            run=lambda services, athlete, _, clock: run(
                SourceSync.of(services, source, clock), athlete
            ),
            remote=True,
        )

    return (
        task("events", Urgency.ALERT, SourceSync.events_due, _handle_events),
        task("poll", Urgency.NEWS, SourceSync.polls_due, _unless_paused(SourceSync.poll)),
        task(
            "history",
            Urgency.HISTORY,
            SourceSync.history_due,
            _unless_paused(SourceSync.read_history),
        ),
    )


def event_task(source: SourceName) -> AthleteTask:
    """The task that becomes due by a webhook event of this source."""
    return source_tasks(source)[0]


def _unless_paused(
    run: Callable[[SourceSync, Athlete], object],
) -> Callable[[SourceSync, Athlete], None]:
    """A queued task that does nothing during an outage of its service; it stays due then."""

    def run_unless_paused(sync: SourceSync, athlete: Athlete) -> None:
        if not sync.is_paused():
            run(sync, athlete)

    return run_unless_paused


def _handle_events(sync: SourceSync, athlete: Athlete) -> None:
    # The events stay due, and a later check finds them.
    with suppress(RateLimited, Unavailable):
        sync.handle_events(athlete)
