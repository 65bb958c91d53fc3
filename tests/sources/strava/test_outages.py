"""Outages of Strava: noticed soon, recovery noticed soon, and few calls meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.http_server import FaultKind, Server
from tests.sources.strava.app import ACTIVITIES, StravaApp, event, note_event, strava_app, subscribe
from worker.health import Audience, check_health
from worker.jobs.registry import event_task
from worker.pipeline import session
from worker.sources.polling import FIRST_TRY_AGAIN, LAST_TRY_AGAIN, fails_alone
from worker.sources.rate_limit import Windows

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EVER = 1_000_000


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


@pytest.fixture
def hasty(app: StravaApp) -> StravaApp:
    """While a call waits, another is made after half a second."""
    app.strava = replace(app.strava, another_every_s=0.5)
    app.services = app.changed(app.strava)
    return app


def faults_left(app: StravaApp) -> int:
    return sum(fault.times for fault in app.server.faults.waiting)


def away(app: StravaApp) -> list[str]:
    with app.services.store.reading() as tx:
        found = check_health(tx, app.clock(), patience={}, audience=Audience.PING)
    return [trouble.text for trouble in found]


class TestACallThatHangs:
    @pytest.mark.parametrize("kind", ["hang", "slow head", "slow chunk line"])
    def test_is_overtaken_by_another(self, hasty: StravaApp, kind: FaultKind) -> None:
        """Its own deadline is a minute away; each call is counted."""
        athlete, account = hasty.connected()
        hasty.turn()
        hasty.service.clock.step(20 * MINUTE)
        hasty.service.diary.add(account, hasty.clock() - HOUR)
        hasty.server.longest_fault_s = 600
        hasty.server.fault(kind, ACTIVITIES)
        hasty.turn()
        assert len(hasty.runs(athlete)) == 1
        assert used_today(hasty) == hasty.service.calls(ACTIVITIES) + 1
        assert away(hasty) == []

    def test_is_overtaken_by_a_refusal_too(self, hasty: StravaApp) -> None:
        """A 429 is an answer."""
        athlete, _ = hasty.connected()
        hasty.turn()
        hasty.service.clock.step(20 * MINUTE)
        hasty.server.fault("hang", ACTIVITIES)
        hasty.server.fault("status", ACTIVITIES, status=429)
        hasty.turn()
        assert "rate limit" in (hasty.state(athlete).last_error or "")

    def test_goes_on_where_the_other_hangs_too(
        self, hasty: StravaApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that answers a byte at a time, but correctly, is read to the end."""
        monkeypatch.setattr(session, "ANOTHER_WITHIN_S", 0.05)
        athlete, _ = hasty.connected()
        hasty.server.fault("slow", ACTIVITIES)
        hasty.server.fault("hang", ACTIVITIES, times=EVER)
        hasty.turn()
        assert hasty.state(athlete).state == "ok"

    def test_is_not_repeated_for_a_token(
        self, hasty: StravaApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first may have used up the old one. It ends early instead, and is reported."""
        monkeypatch.setattr(session, "TOKEN_WITHIN_S", 0.5)
        hasty.connected()
        hasty.turn()
        hasty.service.clock.step(12 * HOUR)
        hasty.server.fault("hang", "/oauth/token", times=EVER)
        hasty.turn()
        assert faults_left(hasty) == EVER - 1
        assert away(hasty) == ["strava: Strava didn't answer in time; it is asked again soon"]


def used_today(app: StravaApp) -> int:
    """The number of counted reads."""
    with app.services.store.reading() as tx:
        limit = session.known_limit(tx, app.strava, app.clock())
    assert isinstance(limit, Windows)
    assert limit.read
    return limit.read.day_used


class TestAnOutage:
    def test_is_over_a_moment_after_its_end(self, app: StravaApp) -> None:
        """After ten minutes of it as after one, whoever waits."""
        athletes = [app.connected(name) for name in ("Mira", "Timo", "Jo")]
        app.turn()
        app.service.clock.step(20 * MINUTE)
        app.server.fault("reset", ACTIVITIES, times=EVER)
        app.pass_by(10 * MINUTE, step=5 * SECOND)
        for _, account in athletes:
            app.service.diary.add(account, app.clock() - HOUR)
        app.server.faults.waiting.clear()
        app.pass_by(FIRST_TRY_AGAIN + 5 * SECOND, step=5 * SECOND)
        assert [len(app.runs(athlete)) for athlete, _ in athletes] == [1, 1, 1]
        assert away(app) == []

    def test_of_a_day_costs_less_than_half_of_the_calls_of_a_day(self, app: StravaApp) -> None:
        """Often in the first hour, then every five minutes, however many wait."""
        for name in ("Mira", "Timo", "Jo"):
            app.connected(name)
        app.turn()
        app.service.clock.step(20 * MINUTE)
        app.server.fault("reset", ACTIVITIES, times=EVER)
        app.pass_by(15 * MINUTE, step=10 * SECOND)
        assert EVER - faults_left(app) <= 45
        app.pass_by(45 * MINUTE, step=20 * SECOND)
        assert EVER - faults_left(app) <= 180
        app.pass_by(23 * HOUR, step=LAST_TRY_AGAIN)
        assert 400 < EVER - faults_left(app) <= 500

    def test_that_events_meet_first_costs_one_call_and_is_told(self, app: StravaApp) -> None:
        """Their runs are there with the first poll that is answered."""
        subscribe(app)
        athletes = [app.connected(name) for name in ("Mira", "Timo", "Jo")]
        app.turn()
        app.service.clock.step(MINUTE)
        runs = [app.service.diary.add(account, app.clock() - HOUR) for _, account in athletes]
        for (_, account), run in zip(athletes, runs, strict=True):
            note_event(app, event(app, account.id, run.id))
        app.server.fault("reset", "/api", times=EVER)
        app.pass_by(MINUTE, step=10 * SECOND)
        assert EVER - faults_left(app) <= 4
        assert away(app) != []
        app.server.faults.waiting.clear()
        app.pass_by(5 * MINUTE, step=20 * SECOND)
        assert [len(app.runs(athlete)) for athlete, _ in athletes] == [1, 1, 1]

    def test_leaves_what_is_queued_among_several_workers(self, app: StravaApp) -> None:
        """The first task fails quietly, the others make no call."""
        subscribe(app)
        athletes = [app.connected(name) for name in ("Mira", "Timo", "Jo")]
        app.turn()
        app.service.clock.step(MINUTE)
        for _, account in athletes:
            run = app.service.diary.add(account, app.clock() - HOUR)
            note_event(app, event(app, account.id, run.id))
        app.server.fault("reset", "/api", times=EVER)
        for athlete, _ in athletes:
            event_task("strava").run(app.services, athlete, (), app.clock)
        assert EVER - faults_left(app) == 1
        app.server.faults.waiting.clear()
        app.service.clock.step(FIRST_TRY_AGAIN)
        app.turn()
        assert [len(app.runs(athlete)) for athlete, _ in athletes] == [1, 1, 1]

    def test_of_one_athlete_alone_holds_up_no_other(self, app: StravaApp) -> None:
        """An athlete whose calls alone fail is polled less and less often."""
        first, _ = app.connected("Mira")
        others = [app.connected(name) for name in ("Timo", "Jo")]
        app.turn()
        app.service.clock.step(20 * MINUTE)
        app.server.fault("reset", ACTIVITIES)
        app.turn()
        for _, account in others:
            app.service.diary.add(account, app.clock() - HOUR)
        app.service.clock.step(FIRST_TRY_AGAIN)
        app.turn()
        assert [len(app.runs(athlete)) for athlete, _ in others] == [1, 1]
        assert app.state(first).state == "ok"

    def test_is_told_from_the_failures_of_one_athlete(self, app: StravaApp) -> None:
        """By whether the failures fit into the time since the service last answered."""
        since, now = app.clock(), app.clock() + 10 * FIRST_TRY_AGAIN
        assert not fails_alone(11, now, away_since=since)
        assert fails_alone(12, now, away_since=since)
        assert not fails_alone(1, since, away_since=since)
        assert fails_alone(2, since, away_since=since)
