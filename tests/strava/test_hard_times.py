"""When Strava, the network or we stumble, and when the limits are tight."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.strava.house import ACTIVITIES, House, event, house, note_event, subscribe
from tests.strava.server import Server
from worker.domain.models import Email
from worker.jobs.once import one_pass
from worker.notify import AlertFacts, Composer
from worker.pipeline import sync_all_due
from worker.sources.rate_limit import Limit as KnownLimit

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Iterator[House]:
    with house(server, tmp_path) as made:
        yield made


@pytest.fixture
def past(server: Server, tmp_path: Path) -> Iterator[House]:
    """A house that wants three years of history."""
    with house(server, tmp_path, history=timedelta(days=1100)) as made:
        yield made


class TestTrouble:
    def test_no_subscription_is_said_to_everybody_with_one_call(self, home: House) -> None:
        """The first refusal tells for all; the pauses grow."""
        athletes = [home.connected(name)[0] for name in ("Mira", "Timo", "Jo")]
        home.service.application.active = False
        home.turn()
        assert home.service.calls() == 1
        for athlete in athletes:
            assert home.state(athlete).state == "failing"
            assert "subscription" in (home.state(athlete).last_error or "")
        home.pass_by(DAY, step=HOUR)
        assert home.service.calls() < 15

    def test_what_the_runner_must_mend_stands_in_one_weekly_mail(self, home: House) -> None:
        """In words, once for as long as it lasts; when it comes back, once again."""
        home.connected()
        said = []
        for active in (False, False, True, False):
            home.service.application.active = active
            home.pass_by(7 * DAY, step=12 * HOUR)
            one_pass(home.services, home.clock)
            body = message_from_bytes(home.mails("weekly")[-1].read_bytes(), policy=policy.default)
            said.append("needs a Strava subscription" in _flat(body))
        assert len(home.mails("weekly")) == 4
        assert said == [True, False, False, True]

    def test_a_server_in_trouble_is_asked_less_and_less_and_found_again(self, home: House) -> None:
        """Hours of 503: few calls, `waiting` and then `failing`; afterwards all is well."""
        athlete, _ = home.connected()
        home.turn()
        home.server.fault("status", ACTIVITIES, times=6, status=503)
        home.pass_by(4 * HOUR)
        assert home.state(athlete).state == "waiting"
        home.pass_by(20 * HOUR, step=HOUR)
        assert home.state(athlete).state == "ok"

    def test_a_rate_limit_used_up_by_others_is_waited_out(self, home: House) -> None:
        """429: nothing is asked until the window opens, and then it goes on."""
        athlete, account = home.connected()
        home.service.diary.add(account, home.clock() - HOUR)
        for _ in range(100):
            home.service.limits.count(home.clock())
        home.turn()
        refused = home.service.calls()
        home.service.clock.step(MINUTE)
        home.turn()
        assert home.service.calls() == refused == 1
        assert "09:15" in (home.state(athlete).last_error or "")
        home.pass_by(30 * MINUTE, step=MINUTE)
        assert len(home.runs(athlete)) == 1
        assert home.state(athlete).state == "ok"

    def test_a_surprise_over_one_athlete_stops_no_other_and_is_not_asked_for_again_at_once(
        self, home: House
    ) -> None:
        """Composing one's alert breaks: the other is read, and the first is asked for later."""
        diary, (mira, first) = home.service.diary, home.connected()
        for number in range(1, 71):
            diary.add(first, home.clock() - number * 5 * DAY, 8_000)
        home.turn()
        diary.add(first, home.service.clock.step(DAY), 16_000)
        timo, second = home.connected("Timo")
        diary.add(second, home.clock() - HOUR)
        broken = replace(home.services, composer=BrokenComposer())
        before = home.service.calls()
        for _ in range(5):
            sync_all_due(broken, "strava", home.clock)
        assert len(home.runs(timo)) == 1
        assert "out of ink" in (home.state(mira).last_error or "")
        assert home.service.calls() <= before + 4
        home.pass_by(HOUR)
        assert len(home.mails("alert")) == 1

    def test_a_wrong_clock_is_said(self, home: House) -> None:
        """Strava's new tokens would have ended already."""
        athlete, _ = home.connected()
        ahead = home.service.clock.now + 12 * HOUR
        home.poll(athlete, lambda: ahead)
        assert "clock is wrong" in (home.state(athlete).last_error or "")


class TestBackfill:
    def test_ten_athletes_with_three_years_each_without_a_429(self, past: House) -> None:
        """On a tight limit the newest run of each is there within 20 minutes, the rest in time."""
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

    def test_a_new_run_comes_in_while_history_waits(self, past: House) -> None:
        """A fifth of the limit is kept for what's new."""
        past.service.limits.read.per_quarter = 6
        athlete, account = past.add()
        past.service.diary.weeks_of_runs(account, past.clock() - HOUR, 1_200, every=6 * HOUR)
        past.connect(athlete, account)
        past.turn()
        new = past.service.diary.add(account, past.service.clock.step(5 * MINUTE) - MINUTE)
        subscribe(past)
        note_event(past, event(past, account.id, new.id), past.clock())
        past.turn()
        assert str(new.id) in past.runs(athlete)
        assert past.state(athlete).backlog > 0

    def test_a_page_of_the_past_that_fails_is_not_asked_for_at_every_turn(
        self, past: House
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

    def test_the_limits_are_remembered_over_a_restart(self, home: House) -> None:
        """What is used of the window stands in the store."""
        home.connected()
        home.turn()
        with home.services.store.reading() as tx:
            known = tx.source("strava").limit()
        assert known is not None
        assert KnownLimit(**known["read"]).quarter_used == home.service.calls()


class BrokenComposer(Composer):
    """One that can't."""

    def alert(self, facts: AlertFacts) -> Email:
        raise RuntimeError("out of ink")


def _flat(mail: EmailMessage) -> str:
    """The text part on one line."""
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())
