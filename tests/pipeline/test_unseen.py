"""Read first, then mail: what the weekly mail waits for, and what it says that it couldn't read."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from simulators.http_server import running
from simulators.strava.service import Service
from tests.app import App, steady
from tests.sources.strava.app import ACTIVITIES, StravaApp, strava_app
from worker.domain.models import Athlete, WeeklyHour
from worker.pipeline.sync import SourceSync
from worker.pipeline.unseen import READS_FOR
from worker.pipeline.weekly import queue_due_weeklies
from worker.sources.base import SourceError
from worker.store.progress import SourceState

MONDAY = date(2026, 11, 23)
SUNDAY = MONDAY - timedelta(days=1)
NOON = datetime.combine(MONDAY, time(12), tzinfo=UTC)
DAY, WEEK, MINUTE = timedelta(days=1), timedelta(days=7), timedelta(minutes=1)
QUIET = ("that's fine", "without a run", "quiet", "Welcome back")


def started(app: App) -> Athlete:
    """Anna's Monday mail has been due since seven; a worker starts at noon."""
    app.now = NOON - 6 * DAY
    anna = app.athlete()
    app.runs(anna, steady(until=SUNDAY - DAY))
    app.now = NOON
    app.services = replace(app.services, began_at=app.now)
    return anna


def scanned(app: App) -> None:
    """Run the `inbox` job."""
    app.look()
    with app.services.store.transaction() as tx:
        tx.progress.ticked("inbox", at=app.now)


def told(app: App) -> list[str]:
    """The subject and text of each queued weekly mail."""
    queue_due_weeklies(app.services, app.now)
    mails = [message_from_bytes(mail.mime, policy=policy.default) for mail in app.unsent()]
    return [f"{mail['Subject']}\n{mail.get_body(('plain',)).get_content()}"  # type: ignore[union-attr]
            for mail in mails if mail["X-Easeback-Kind"] == "weekly"]  # fmt: skip


def test_a_worker_reads_the_inbox_before_it_tells_of_the_week(app: App) -> None:
    """Sunday's run is in the folder: it takes two looks to get into the mail."""
    started(app)
    app.drop("Anna/sunday.fit", km=9, day=SUNDAY)
    assert told(app) == []
    scanned(app)
    assert told(app) == []
    scanned(app)
    (mail,) = told(app)
    assert "9.0" in mail
    assert "couldn't be seen" not in mail.casefold()


def test_single_passes_tell_of_the_week_once_they_have_read(app: App) -> None:
    """A file takes two passes."""
    started(app)
    app.services = replace(app.services, began_at=None)
    app.drop("Anna/sunday.fit", km=9, day=SUNDAY)
    app.pass_on()
    assert app.mailer.kinds() == []
    app.pass_on()
    (mail,) = [one for one in app.mailer.taken if one["X-Easeback-Kind"] == "weekly"]
    assert "9.0" in str(mail.get_body(("plain",)))


def test_what_waits_for_somebody_else_keeps_no_mail(app: App) -> None:
    """A file of Ben's, and one that waits for another reason."""
    started(app)
    app.athlete("Ben", wants=frozenset())
    scanned(app)
    app.drop("Ben/run.fit", day=SUNDAY)
    app.drop("Nobody/run.fit", day=SUNDAY)
    scanned(app)
    (mail,) = told(app)
    assert "couldn't be read" not in mail


def test_a_file_that_never_ends_is_told_of_after_a_while(app: App) -> None:
    """The file grows at each look."""
    started(app)
    for number in range(3):
        app.drop("sunday.fit", b"x" * (number + 1))
        scanned(app)
        assert told(app) == []
    app.now += READS_FOR
    (mail,) = told(app)
    assert "1 file in the inbox couldn't be read yet" in mail


@pytest.mark.parametrize("how", ["empty mount point", "gone"])
def test_an_inbox_that_is_not_there_is_told_each_week_since_when(app: App, how: str) -> None:
    """After a limited wait; and it isn't called a week without runs."""
    anna = started(app)
    app.drop("Anna/run.fit", day=SUNDAY - 2 * DAY)
    app.look(2)
    app.inbox.rename(app.inbox.with_name("unmounted"))
    if how == "empty mount point":
        app.inbox.mkdir()
    with pytest.raises(SourceError):
        app.look()
    with app.services.store.transaction() as tx:
        tx.progress.ticked("inbox", at=app.now, trouble="not there")
    assert told(app) == []
    for weeks in range(1, 4):
        app.now = NOON + READS_FOR + (weeks - 1) * WEEK
        mails = told(app)
        assert len(mails) == weeks
        assert "of your files since Monday 23 November" in mails[-1]
        assert not any(words in mails[-1] for words in QUIET), mails[-1]
    assert len(app.distances_km(anna)) > 1


@pytest.mark.parametrize(
    "state",
    [
        SourceState("failing", NOON - 20 * DAY, "connect again"),
        SourceState("waiting", NOON - 20 * DAY, "no answer"),
        None,
    ],
    ids=["failing", "waiting", "never read"],
)
def test_a_service_that_is_not_read_is_told_every_week(app: App, state: SourceState | None) -> None:
    """Also one that was switched off. What to do is said once, that runs are missing every week."""
    app.now = NOON - 20 * DAY
    anna = app.athlete()
    with app.services.store.transaction() as tx:
        tx.source("strava").connect(anna, account_id="1", encrypted=b"x", now=app.now)
        if state:
            tx.progress.save_source(anna, "strava", state)
    app.now = NOON
    for weeks in range(1, 4):
        app.now = NOON + (weeks - 1) * WEEK
        mails = told(app)
        assert len(mails) == weeks
        assert "at Strava since Tuesday 3 November" in mails[-1]
        assert not any(words in mails[-1] for words in QUIET), mails[-1]
        assert ("connect again" in mails[-1]) == (
            weeks == 1 and state is not None and state.state == "failing"
        )


def test_who_was_read_since_the_week_ended_is_told_of_it_as_ever(app: App) -> None:
    """A week without runs at a working service is a quiet one."""
    app.now = NOON - 20 * DAY
    anna = app.athlete()
    app.runs(anna, steady(until=NOON.date() - 21 * DAY))
    with app.services.store.transaction() as tx:
        tx.source("strava").connect(anna, account_id="1", encrypted=b"x", now=app.now)
        tx.progress.save_source(anna, "strava", SourceState("ok", NOON - 12 * MINUTE))
    app.now = NOON
    (mail,) = told(app)
    assert "a quiet one, no runs" in mail


@pytest.fixture
def mira(tmp_path: Path) -> Iterator[StravaApp]:
    with running(Service()) as server, strava_app(server, tmp_path) as made:
        yield made


class TestAtAService:
    def start(self, mira: StravaApp) -> StravaApp:
        """Connected three weeks ago; a worker starts when the weekly mail is due, a run unread."""
        athlete, account = mira.connected()
        mira.turn()
        mira.service.clock.step(21 * DAY)
        mira.service.diary.add(account, mira.clock() - 3 * DAY, 9_000)
        due = replace(athlete, weekly=WeeklyHour(mira.clock().weekday(), time(0, 1)))
        with mira.services.store.transaction() as tx:
            tx.athletes.change(due, now=mira.clock())
            tx.athletes.weekly_done(athlete, next_at=mira.clock())
            tx.progress.ticked("inbox", at=mira.clock())
        mira.services = replace(mira.services, began_at=mira.clock())
        return mira

    def queued(self, mira: StravaApp) -> list[str]:
        queue_due_weeklies(mira.services, mira.clock())
        with mira.services.store.reading() as tx:
            mimes = [one.mime for one in tx.outbox.unsent() if one.kind == "weekly"]
        return [str(message_from_bytes(mime, policy=policy.default)["Subject"]) for mime in mimes]

    def test_it_is_asked_first(self, mira: StravaApp) -> None:
        """Unread for three weeks, and then the run is there."""
        self.start(mira)
        assert self.queued(mira) == []
        SourceSync.of(mira.services, "strava", mira.clock).all_due()
        (subject,) = self.queued(mira)
        assert "in 1 run" in subject

    def test_one_that_does_not_answer_is_told_of_after_a_bounded_try(self, mira: StravaApp) -> None:
        """It isn't called a week without runs."""
        self.start(mira)
        mira.server.fault("status", ACTIVITIES, times=99)
        SourceSync.of(mira.services, "strava", mira.clock).all_due()
        assert self.queued(mira) == []
        mira.service.clock.step(READS_FOR)
        assert self.queued(mira) == ["Your week: not all of it could be seen"]
