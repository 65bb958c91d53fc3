"""A cluster does what one worker does: queued once, one job per athlete at a time, no repeats."""

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
from sqlalchemy import text

from tests.app import TODAY, App, ScriptedMailer, recording, refused, run_file, steady
from tests.draining import DrainingWorker
from tests.jobs.cluster.conftest import QUICK
from tests.waiting import wait_until
from worker.domain.weeks import last_weekly_due
from worker.jobs.cluster import ClusterWorker
from worker.jobs.cluster_tasks import WorkerNotifier, cron, install, queued_task
from worker.jobs.registry import INBOX, WEEKLY, Urgency, source_tasks
from worker.jobs.ticks import FIRST_RELEASE
from worker.notify import Composer
from worker.pipeline.deliver import make_ready, send
from worker.pipeline.services import WorkerIdentity
from worker.pipeline.weekly import queue_weekly
from worker.store import LockedError, Store, StoreError

Workers = Callable[[], DrainingWorker]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)


def jobs(store: Store) -> list[Mapping[str, object]]:
    """The open jobs in the order in which they'd be fetched."""
    query = "SELECT * FROM procrastinate_jobs ORDER BY priority DESC, id"
    with store.reading() as tx:
        return [dict(row) for row in tx.connection.execute(text(query)).mappings()]


def test_a_dropped_file_becomes_a_mail_whoever_checks(app: App, worker_in: Workers) -> None:
    """Two checks by independent workers ingest it."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.drop("spike.fit", run_file(12.0))
    first, second = worker_in(), worker_in()
    first.drain()
    assert app.mailer.taken == []
    second.drain()
    first.drain()
    assert app.mailer.kinds() == ["alert"]
    assert app.distances_km(anna)[-1] == 12.0
    assert jobs(app.services.store) == []


def test_a_cluster_of_three_tells_each_week_once(app: App, worker_in: Workers) -> None:
    """Thirty athletes, all due at once, and three workers that start together."""
    names = [f"{first}{second}" for first in "abcdef" for second in "uvxyz"]
    for name in names:
        app.runs(app.athlete(name), steady())
    app.now += WEEK
    workers = [threading.Thread(target=worker_in().drain) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    worker_in().drain()
    told = sorted(str(mail["To"]) for mail in app.mailer.taken)
    assert told == [f"{name}@example.org" for name in names]


def test_what_is_urgent_goes_first(app: App) -> None:
    """A webhook event, then new runs, then a weekly mail, then history."""
    events, poll, history = source_tasks("strava")
    tasks = (events, poll, INBOX, WEEKLY, history)
    urgency = [queued_task(task, 1).priority for task in tasks]
    assert urgency == sorted(urgency, reverse=True)
    assert urgency[0] == Urgency.ALERT


def test_a_due_athlete_is_queued_once_and_touched_by_one_at_a_time(app: App) -> None:
    """However many webhook events: one job waits, under the athlete's own lock."""
    anna = app.athlete()
    notify = WorkerNotifier(app.services.store)
    for _ in range(3):
        notify("strava", {anna.id})
    notify.close()
    (job,) = jobs(app.services.store)
    assert job["lock"] == f"athlete:{anna.id}"
    assert job["queueing_lock"] == f"strava-events:{anna.id}"


def test_a_storm_of_webhooks_leaves_the_queue_short(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a full queue, a later check finds the events once there's room."""
    monkeypatch.setattr("worker.jobs.cluster_tasks.MOST_QUEUED", 2)
    monkeypatch.setattr("worker.jobs.cluster_tasks._COUNTS_EVERY_S", 0.0)
    athletes = [app.athlete(name) for name in ("Anna", "Ben", "Cleo", "Dora")]
    notify = WorkerNotifier(app.services.store)
    for athlete in athletes:
        notify("strava", {athlete.id})
    notify.close()
    assert len(jobs(app.services.store)) == 2


def test_a_notification_that_fails_is_only_logged(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """The events are in the store, and the next check finds them."""
    with app.services.store.transaction() as tx:
        tx.connection.execute(text("DROP TABLE procrastinate_jobs CASCADE"))
    notify = WorkerNotifier(app.services.store)
    notify("strava", {1})
    notify.close()
    assert "no worker was notified" in caplog.text


def test_a_worker_whose_machine_is_days_ahead_goes_by_the_databases_clock(app: App) -> None:
    """It expires no other mail and sends no weekly mail early."""
    app.now = datetime.now(UTC)
    anna = app.athlete(timezone="UTC")
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)
    queue_weekly(app.services, anna, app.now)
    app.mailer.answers = [refused()]
    worker = ClusterWorker(
        app.services,
        lambda: datetime.now(UTC) + 8 * DAY,
        mailer=lambda: app.mailer,
        not_before=FIRST_RELEASE,
        timing=QUICK,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: app.mailer.tries > 0)
        wait_until(lambda: app.unsent()[0].state == "retry")
    finally:
        worker.stop()
        thread.join(10)
    (mail,) = app.unsent()
    assert mail.due_at < datetime.now(UTC) + HOUR
    with app.services.store.reading() as tx:
        assert tx.athletes.next_weekly_at(anna) < app.now + 8 * DAY


def test_a_batch_that_hangs_holds_up_no_mail_of_another_lane(app: App) -> None:
    """Mails waiting behind it use one more lane, and only one."""
    athletes = [app.athlete(name, timezone="UTC") for name in ("Anna", "Ben", "Cleo")]
    for athlete in athletes:
        with app.services.store.transaction() as tx:
            tx.athletes.weekly_done(athlete, next_at=app.now)
        queue_weekly(app.services, athlete, app.now)
    app.now += timedelta(minutes=1)
    well_again = threading.Event()
    hanging: list[str] = []

    class Hanging(ScriptedMailer):
        def send(self, *args: Any, recipient: str, **more: Any) -> None:
            if not hanging:
                hanging.append(recipient)
                assert well_again.wait(30)
            app.mailer.send(*args, recipient=recipient, **more)

    worker = ClusterWorker(app.services, app.clock, mailer=Hanging, timing=QUICK)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: len(app.mailer.taken) == 2)
        assert {str(mail["To"]) for mail in app.mailer.taken}.isdisjoint(hanging)
    finally:
        well_again.set()
        wait_until(lambda: len(app.mailer.taken) == 3)
        worker.stop()
        thread.join()


def test_a_week_that_is_due_is_told_once_the_inbox_is_read(app: App) -> None:
    """Whichever worker sends the mail, and whichever reads."""
    app.now = datetime.now(UTC)
    anna = app.athlete(timezone="UTC")
    app.runs(anna, steady(until=app.now.date() - 8 * DAY))
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)
    starts_on = last_weekly_due(anna, app.now).week_starts_on
    app.drop("Anna/run.fit", km=8.5, day=starts_on + 6 * DAY)
    worker = ClusterWorker(
        app.services,
        lambda: datetime.now(UTC),
        mailer=lambda: app.mailer,
        not_before=FIRST_RELEASE,
        timing=QUICK,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: "weekly" in app.mailer.kinds(), within_s=240)
    finally:
        worker.stop()
        thread.join(240)
    assert not thread.is_alive()
    (mail,) = [mail for mail in app.mailer.taken if mail["X-Easeback-Kind"] == "weekly"]
    assert "longest 8.5" in mail["Subject"]


class BrokenComposer(Composer):
    """A composer that always fails."""

    def email(self, *_: object, **__: object) -> NoReturn:
        raise RuntimeError("out of paper")


def test_what_fails_is_tried_again_later_and_later_and_stops_nobody(
    app: App, worker_in: Workers
) -> None:
    """procrastinate keeps the job for a second try; other weekly mails are sent."""
    app.runs(app.athlete("Anna"), steady())
    app.now += WEEK
    composer = app.services.composer
    app.services = replace(app.services, composer=BrokenComposer())
    worker_in().drain()
    (job,) = jobs(app.services.store)
    assert (job["task_name"], job["attempts"], job["status"]) == ("weekly", 1, "todo")
    assert job["scheduled_at"] is not None
    app.services = replace(app.services, composer=composer)
    app.runs(app.athlete("Ben", added_at=app.now - 4 * WEEK), steady(until=TODAY + WEEK))
    with app.services.store.transaction() as tx:
        tx.connection.execute(text("UPDATE athlete SET next_weekly_at = added_at"))
        # A slow machine must not get to the second try, two seconds later, in this test.
        tx.connection.execute(
            text("UPDATE procrastinate_jobs SET scheduled_at = scheduled_at + interval '1 hour'")
        )
    worker_in().drain()
    assert [str(mail["To"]) for mail in app.mailer.taken] == ["ben@example.org"]


# Mail


def as_worker(app: App, name: str) -> App:
    """The application as one of several workers."""
    services = replace(app.services, identity=WorkerIdentity(name, timedelta(seconds=1.5)))
    with services.store.transaction() as tx:
        tx.workers.beat(name, role="worker", place="here")
    return App(services, app.mailer, app.now)


class Killed(BaseException):
    """Simulates the end of the process."""


def dies_over_a_mail(app: App, *, at_dot: bool) -> None:
    """Let a worker claim Anna's alert and die."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.arrive(anna, recording(km=12.0))
    dying = as_worker(app, "dying")
    app.mailer.answers = [("dot", Killed()) if at_dot else Killed()]
    with pytest.raises(Killed):
        send(dying.services, dying.clock)


def test_what_a_living_worker_sends_is_nobody_elses(app: App) -> None:
    """Another worker that makes mails ready releases nothing and claims nothing."""
    dies_over_a_mail(app, at_dot=False)
    other = as_worker(app, "other")
    make_ready(other.services, other.now)
    assert send(other.services, other.clock).sent == 0


@pytest.mark.parametrize("at_dot", [False, True])
def test_what_a_dead_worker_sent_goes_out_once_more(app: App, at_dot: bool) -> None:
    """Flagged only if the final dot may have been sent before."""
    dies_over_a_mail(app, at_dot=at_dot)
    other = as_worker(app, "other")
    with app.services.store.transaction() as tx:
        tx.connection.execute(text("UPDATE crew SET seen_at = seen_at - interval '1 minute' "
                                   "WHERE name = 'dying'"))  # fmt: skip
    make_ready(other.services, other.now)
    assert send(other.services, other.clock).sent == 1
    with app.services.store.reading() as tx:
        assert [one.perhaps_twice for one in tx.outbox.all()] == [at_dot]


def test_a_worker_that_was_given_up_too_early_sends_no_dot(app: App) -> None:
    """It wakes from a long sleep and finds its claim taken by another."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.arrive(anna, recording(km=12.0))
    with app.services.store.transaction() as tx:
        letter = tx.outbox.claim(app.now, by="slow")
        assert letter is not None
        tx.outbox.put_back(but_of=["other"])
        assert tx.outbox.claim(app.now, by="other") is not None
        assert not tx.outbox.at_dot(letter)


# Which workers may run together


def test_several_workers_and_one_that_works_alone_keep_each_other_out(cluster_store: Store) -> None:
    """Each refusal is one line that names the running worker."""
    with cluster_store.cluster_member(), cluster_store.cluster_member():
        cluster_store.assert_held()
        with pytest.raises(LockedError, match=r"several workers \(.*\) are at work"):
            cluster_store.sole_worker().__enter__()
    with (
        cluster_store.sole_worker(),
        pytest.raises(LockedError, match=r"works alone .* is at work.*procrastinate"),
    ):
        cluster_store.cluster_member().__enter__()


def test_procrastinates_tables_are_made_once_and_in_our_schema(
    cluster_store: Store, postgres_url: str
) -> None:
    """Also by several that start at once; their version is stored with them."""

    def start() -> None:
        with closing(Store.open(postgres_url)) as store:
            install(store)

    others = [threading.Thread(target=start) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    with cluster_store.transaction() as tx:
        schemas = tx.connection.execute(
            text("SELECT schemaname FROM pg_tables WHERE tablename = 'procrastinate_jobs' "
                 "AND schemaname = current_schema()")
        ).all()  # fmt: skip
        assert len(schemas) == 1
        tx.connection.execute(text("COMMENT ON TABLE procrastinate_jobs IS '02.00.00_old'"))
    with pytest.raises(StoreError, match="When procrastinate changes"):
        install(cluster_store)


@pytest.mark.parametrize(
    ("every", "written"),
    [
        (timedelta(milliseconds=200), "* * * * * */1"),
        (timedelta(seconds=2), "* * * * * */2"),
        (timedelta(seconds=7), "* * * * * */6"),
        (timedelta(seconds=30), "* * * * * */30"),
        (timedelta(minutes=1), "*/1 * * * * 0"),
        (timedelta(minutes=25), "*/20 * * * * 0"),
        (timedelta(hours=1), "0 */1 * * * 0"),
        (timedelta(days=3), "0 0 * * * 0"),
    ],
)
def test_checks_come_round_at_least_as_often_as_wanted(every: timedelta, written: str) -> None:
    """A minute, an hour and a day are divided evenly."""
    assert cron(every) == written


def test_quick_timing_keeps_the_order_of_things() -> None:
    """A living worker is seen several times before it could count as dead."""
    assert QUICK.heartbeat_every_s * 3 < QUICK.stale_s
