"""Failures of Strava, the network or ourselves, and tight limits."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from simulators.http_server import Server
from tests.sources.strava.app import ACTIVITIES, StravaApp, event, note_event, strava_app, subscribe
from worker.domain.models import Email
from worker.health import Audience, check_health
from worker.jobs.once import one_pass
from worker.notify import AlertFacts, Composer
from worker.pipeline.sync import SourceSync
from worker.sources.polling import FIRST_TRY_AGAIN, LAST_TRY_AGAIN
from worker.sources.rate_limit import Limit as KnownLimit

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


@pytest.fixture
def past(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    """The application, set to fetch three years of history."""
    with strava_app(server, tmp_path, history=timedelta(days=1100)) as made:
        yield made


def troubles(app: StravaApp) -> list[str]:
    """The problems in `status`."""
    with app.services.store.reading() as tx:
        return [
            str(trouble.text)
            for trouble in check_health(tx, app.clock(), patience={}, audience=Audience.STATUS)
        ]


class TestTrouble:
    def test_no_subscription_is_said_to_everybody_with_one_call(self, app: StravaApp) -> None:
        """The first refusal applies to all; the pauses grow."""
        athletes = [app.connected(name)[0] for name in ("Mira", "Timo", "Jo")]
        app.service.application.active = False
        app.turn()
        assert app.service.calls() == 1
        for athlete in athletes:
            assert app.state(athlete).state == "failing"
            assert "subscription" in (app.state(athlete).last_error or "")
        app.pass_by(DAY, step=HOUR)
        assert app.service.calls() < 15

    def test_what_the_runner_must_mend_stands_in_one_weekly_mail(self, app: StravaApp) -> None:
        """Once while it lasts; when it happens again, once more."""
        app.connected()
        said = []
        for active in (False, False, True, False):
            app.service.application.active = active
            app.pass_by(7 * DAY, step=12 * HOUR)
            one_pass(app.services, app.clock)
            body = message_from_bytes(app.mails("weekly")[-1].read_bytes(), policy=policy.default)
            said.append("needs a Strava subscription" in _flat(body))
        assert len(app.mails("weekly")) == 4
        assert said == [True, False, False, True]

    def test_a_server_in_trouble_is_asked_less_and_less_and_found_again(
        self, app: StravaApp
    ) -> None:
        """Hours of 503: few calls, `waiting` and then `failing`; afterwards all is well."""
        athlete, _ = app.connected()
        app.turn()
        app.server.fault("status", ACTIVITIES, times=6, status=503)
        app.pass_by(4 * HOUR)
        assert app.state(athlete).state == "waiting"
        app.pass_by(20 * HOUR, step=HOUR)
        assert app.state(athlete).state == "ok"

    def test_a_service_that_answers_nobody_is_told_and_asked_again_each_few_minutes(
        self, app: StravaApp
    ) -> None:
        """However long it was away: waiting runs come in soon after, for everybody."""
        athletes = [app.connected(name) for name in ("Mira", "Timo")]
        app.turn()
        app.server.fault("reset", ACTIVITIES, times=100_000)
        app.service.clock.step(20 * MINUTE)
        app.turn()
        assert "strava: the connection to Strava broke; it is asked again soon" in troubles(app)
        app.pass_by(12 * HOUR)
        for _, account in athletes:
            app.service.diary.add(account, app.clock() - HOUR)
        app.server.faults.waiting.clear()
        app.service.clock.step(LAST_TRY_AGAIN)
        app.turn()
        assert [len(app.runs(athlete)) for athlete, _ in athletes] == [1, 1]
        assert troubles(app) == []

    def test_a_short_outage_costs_seconds(self, app: StravaApp) -> None:
        """The next try comes long before the next poll would."""
        athlete, account = app.connected()
        app.turn()
        app.server.fault("reset", ACTIVITIES)
        app.service.clock.step(20 * MINUTE)
        app.service.diary.add(account, app.clock() - HOUR)
        app.turn()
        assert app.runs(athlete) == {}
        app.service.clock.step(FIRST_TRY_AGAIN)
        app.turn()
        assert len(app.runs(athlete)) == 1

    def test_refusals_for_a_day_are_waited_out_by_few_calls(self, app: StravaApp) -> None:
        """429 whatever the headers say: at most one call a quarter, and nothing is missed."""
        athlete, account = app.connected()
        app.turn()
        before = app.service.calls()
        app.server.fault("status", ACTIVITIES, times=100_000, status=429)
        for number in range(8):
            app.service.diary.add(account, app.clock())
            app.pass_by(3 * HOUR, step=5 * MINUTE)
            assert app.runs(athlete) == {}, number
        assert app.service.calls() - before <= 97
        app.server.faults.waiting.clear()
        app.pass_by(30 * MINUTE)
        assert len(app.runs(athlete)) == 8
        assert app.state(athlete).state == "ok"

    def test_a_rate_limit_used_up_by_others_is_waited_out(self, app: StravaApp) -> None:
        """429: no request until the window opens, and then it continues."""
        athlete, account = app.connected()
        app.service.diary.add(account, app.clock() - HOUR)
        for _ in range(100):
            app.service.limits.count(app.clock())
        app.turn()
        refused = app.service.calls()
        app.service.clock.step(MINUTE)
        app.turn()
        assert app.service.calls() == refused == 1
        assert "09:15" in (app.state(athlete).last_error or "")
        app.pass_by(30 * MINUTE, step=MINUTE)
        assert len(app.runs(athlete)) == 1
        assert app.state(athlete).state == "ok"

    def test_a_surprise_over_one_athlete_stops_no_other_and_is_not_asked_for_again_at_once(
        self, app: StravaApp
    ) -> None:
        """Composing one's alert fails: the other is read, and the first is retried later."""
        diary, (mira, first) = app.service.diary, app.connected()
        for number in range(1, 71):
            diary.add(first, app.clock() - number * 5 * DAY, 8_000)
        app.turn()
        diary.add(first, app.service.clock.step(DAY), 16_000)
        timo, second = app.connected("Timo")
        diary.add(second, app.clock() - HOUR)
        broken = replace(app.services, composer=BrokenComposer())
        before = app.service.calls()
        for _ in range(5):
            SourceSync.of(broken, "strava", app.clock).all_due()
        assert len(app.runs(timo)) == 1
        assert "out of ink" in (app.state(mira).last_error or "")
        assert app.service.calls() <= before + 4
        app.pass_by(HOUR)
        assert len(app.mails("alert")) == 1

    def test_a_wrong_clock_is_said(self, app: StravaApp) -> None:
        """Strava's new tokens would already have ended."""
        athlete, _ = app.connected()
        ahead = app.service.clock.now + 12 * HOUR
        app.poll(athlete, lambda: ahead)
        assert "clock is wrong" in (app.state(athlete).last_error or "")

    @pytest.mark.parametrize("is_down", [False, True])
    def test_a_clock_that_was_a_year_ahead_puts_off_no_poll(
        self, app: StravaApp, is_down: bool
    ) -> None:
        """Whether the service answered meanwhile or not, it's polled once the clock is right."""
        athlete, account = app.connected()
        app.turn()
        ahead = app.clock() + 365 * DAY
        if is_down:
            app.server.fault("status", ACTIVITIES, times=10, status=500)
        app.poll(athlete, lambda: ahead)
        app.server.faults.waiting.clear()
        app.service.diary.add(account, app.service.clock.step(HOUR) - MINUTE)
        app.turn()
        app.service.clock.step(HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 1
        with app.services.store.reading() as tx:
            looked_back_at = tx.source("strava").standing(athlete)["looked_back_at"]
        assert looked_back_at <= app.clock()

    def test_a_worker_that_died_with_its_clock_ahead_holds_no_athlete(self, app: StravaApp) -> None:
        """What it was asking for is asked again after the next housekeeping."""
        athlete, account = app.connected()
        app.turn()
        ahead = app.clock() + 365 * DAY
        with app.services.store.transaction() as tx:
            tx.source("strava").lease(athlete, now=ahead, until=ahead + 10 * MINUTE)
        app.service.diary.add(account, app.service.clock.step(DAY) - MINUTE)
        app.turn()
        app.service.clock.step(HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 1


class TestBackfill:
    def test_ten_athletes_with_three_years_each_without_a_429(self, past: StravaApp) -> None:
        """With a tight limit each one's newest run is there within 20 minutes, the rest in time."""
        past.service.limits.read.per_quarter = 20
        athletes = []
        for number in range(10):
            athlete, account = past.add(f"Runner {number}")
            past.service.diary.weeks_of_runs(account, past.clock() - HOUR, 310, every=84 * HOUR)
            past.connect(athlete, account)
            athletes.append(athlete)
        past.turn()
        past.pass_by(15 * MINUTE)
        assert all(past.runs(athlete) for athlete in athletes)
        past.pass_by(75 * MINUTE)
        assert [len(past.runs(athlete)) for athlete in athletes] == [310] * 10
        quarters = {k: v for k, v in past.service.limits.read.used.items() if "T" in k}
        assert max(quarters.values()) <= 18

    def test_a_new_run_comes_in_while_history_waits(self, past: StravaApp) -> None:
        """A fifth of the limit is reserved for new runs."""
        past.service.limits.read.per_quarter = 6
        athlete, account = past.add()
        past.service.diary.weeks_of_runs(account, past.clock() - HOUR, 1_200, every=6 * HOUR)
        past.connect(athlete, account)
        past.turn()
        new = past.service.diary.add(account, past.service.clock.step(5 * MINUTE) - MINUTE)
        subscribe(past)
        note_event(past, event(past, account.id, new.id))
        past.turn()
        assert str(new.id) in past.runs(athlete)
        assert past.state(athlete).backlog > 0

    def test_a_page_of_the_past_that_fails_is_not_asked_for_at_every_turn(
        self, past: StravaApp
    ) -> None:
        """The first page is in; the next is refused, and waits for the next poll."""
        athlete, account = past.add()
        past.service.diary.weeks_of_runs(account, past.clock() - HOUR, 500, every=20 * HOUR)
        past.connect(athlete, account)
        past.poll(athlete, past.clock)
        past.server.fault("status", ACTIVITIES)
        before = past.service.calls(ACTIVITIES)
        past.pass_by(10 * MINUTE, step=MINUTE)
        assert past.service.calls(ACTIVITIES) == before + 1
        past.pass_by(HOUR)
        assert len(past.runs(athlete)) == 500

    def test_the_limits_are_remembered_over_a_restart(self, app: StravaApp) -> None:
        """The window's usage is in the store."""
        app.connected()
        app.turn()
        with app.services.store.reading() as tx:
            known = tx.source("strava").limit()
        assert known is not None
        assert KnownLimit(**known["read"]).quarter_used == app.service.calls()


class BrokenComposer(Composer):
    """A composer that always fails."""

    def alert(self, facts: AlertFacts) -> Email:
        raise RuntimeError("out of ink")


def _flat(mail: EmailMessage) -> str:
    """The text part on one line."""
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())
