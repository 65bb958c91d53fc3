"""Webhook events: forged ones cost little, real ones bring the change in."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.clock import Clock
from simulators.http_server import Server
from simulators.strava.service import Subscription
from tests.counting import counted
from tests.sources.strava.app import ACTIVITIES, StravaApp, event, note_event, strava_app, subscribe
from worker.domain.models import Athlete
from worker.pipeline.housekeeping import tidy
from worker.pipeline.sync import EVENT_CALLS_A_DAY, SourceSync
from worker.store import Store
from worker.store.source_events import EVENTS_KEPT, QUIET

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FORGED = range(9_000_000_000, 9_000_001_200)
"""Ids of activities that don't exist, greater than all real ones."""


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


def test_what_is_wished_again_during_a_look_is_looked_at_again(store: Store) -> None:
    """The first look may have come before the change of the second event."""
    clock = Clock()
    with store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", clock.now))
        tx.source("strava").note_events([(mira.id, "1")], now=clock.now)
    looked_at = clock.now
    later = clock.step(timedelta(seconds=1))
    with store.transaction() as tx:
        tx.source("strava").note_events([(mira.id, "1")], now=later)
        tx.source("strava").event_done(mira, "1", looked_at=looked_at)
        after = later + QUIET
        assert tuple(tx.source("strava").events_due(mira, after)) == ("1",)
        tx.source("strava").event_done(mira, "1", looked_at=after)
        assert tx.source("strava").with_events_due(after) == ()


class TestMany:
    def test_many_events_of_one_athlete_are_one_list_call(self, app: StravaApp) -> None:
        """A watch that was offline for a week uploads everything at once."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - 9 * DAY, 20)
        app.turn()
        subscribe(app)
        made = [app.service.diary.add(account, app.clock() - n * DAY - HOUR) for n in range(7)]
        before = app.service.calls()
        note_event(app, *(event(app, account.id, one.id) for one in made))
        app.turn()
        assert app.service.calls() == before + 1
        assert {str(one.id) for one in made} <= app.runs(athlete).keys()

    def test_of_old_ones_each_is_asked_for(self, app: StravaApp) -> None:
        """The list of the newest doesn't cover last year's edits and deletions."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - 100 * DAY, 40)
        app.turn()
        app.turn()
        subscribe(app)
        made[0].distance_m = 4_321.0
        del app.service.diary.activities[made[1].id]
        note_event(app, *(event(app, account.id, one.id, "update") for one in made[:2]))
        app.turn()
        runs = app.runs(athlete)
        assert runs[str(made[0].id)] == 4_321.0
        assert str(made[1].id) not in runs

    def test_a_history_that_is_uploaded_at_once_comes_with_the_past(self, app: StravaApp) -> None:
        """Forty runs of last winter: fewer calls than runs, and none is missing."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 20)
        app.turn()
        app.turn()
        subscribe(app)
        made = app.service.diary.weeks_of_runs(account, app.clock() - 100 * DAY, 40)
        before = app.service.calls()
        note_event(app, *(event(app, account.id, one.id) for one in made))
        app.turn()
        assert {str(one.id) for one in made} <= app.runs(athlete).keys()
        assert app.service.calls() - before <= 4


class TestForged:
    def test_a_flood_takes_few_calls_and_the_true_run_comes(self, app: StravaApp) -> None:
        """With the real subscription and owner, 1,200 unknown ids, repeatedly."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 20)
        app.turn()
        subscribe(app)
        before = app.service.calls()
        true = app.service.diary.add(account, app.clock() - 30 * MINUTE, 9_000)
        note_event(app, *(event(app, account.id, number) for number in FORGED))
        note_event(app, event(app, account.id, true.id))
        app.turn()
        assert app.runs(athlete)[str(true.id)] == 9_000.0
        for _ in range(8):
            app.service.clock.step(MINUTE)
            note_event(app, *(event(app, account.id, number) for number in FORGED))
            app.turn()
        assert app.service.calls() - before <= 5

    def test_what_is_known_goes_first_and_the_rest_is_cut_off(self, app: StravaApp) -> None:
        """However many are queued, an event about a known run is handled."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - 100 * DAY, 3)
        app.turn()
        app.turn()
        subscribe(app)
        made[0].distance_m = 4_321.0
        note_event(app, event(app, account.id, made[0].id, "update"))
        for start in range(0, len(FORGED), 100):
            note_event(
                app, *(event(app, account.id, number) for number in FORGED[start : start + 100])
            )
        with app.services.store.reading() as tx:
            rows = tx.source("strava")
            assert rows.events_waiting(athlete) == EVENTS_KEPT
            assert next(iter(rows.events_due(athlete, app.clock()))) == str(made[0].id)
        app.turn()
        assert app.runs(athlete)[str(made[0].id)] == 4_321.0

    def test_one_athletes_flood_leaves_the_others_their_polls(self, app: StravaApp) -> None:
        """An event a minute for a day: the others are polled as usual, and nothing stops."""
        _, account = app.connected("Mira")
        other, theirs = app.connected("Timo")
        app.turn()
        subscribe(app)
        before, polled = app.service.calls(), app.service.calls(ACTIVITIES)
        for number in range(180):
            app.service.clock.step(MINUTE)
            note_event(app, event(app, account.id, FORGED[number]))
            app.turn()
        spent = app.service.calls() - before - (app.service.calls(ACTIVITIES) - polled)
        assert spent <= EVENT_CALLS_A_DAY == 48  # as promised in docs/security.md
        true = app.service.diary.add(theirs, app.clock())
        app.pass_by(15 * MINUTE)
        assert str(true.id) in app.runs(other)


class TestTheSecretPath:
    def test_only_the_address_that_the_service_was_told_is_believed(self, app: StravaApp) -> None:
        """Subscription and owner are no secrets; the path is."""
        athlete, account = app.connected()
        subscribe(app)
        told = event(app, account.id, 1)
        for path in ("/strava/webhook", f"{app.strava.webhook_path}x", "/strava/webhook/"):
            assert not note_event(app, told, path=path)
        assert note_event(app, told)
        with app.services.store.reading() as tx:
            ours = tx.source("strava").subscription()
            assert tx.source("strava").events_waiting(athlete) == 1
        assert ours is not None
        assert ours.dropped == 3

    def test_an_older_subscription_is_made_anew_once(self, app: StravaApp) -> None:
        """Until then its own address is accepted; afterwards it isn't."""
        _, account = app.connected()
        plain_subscription(app)
        assert note_event(app, event(app, account.id, 1), path="/strava/webhook")
        app.service.fetch = lambda _: (200, b'{"hub.challenge": "15f7d1"}')
        app.service.clock.step(DAY)
        for _ in range(3):
            tidy(app.services, app.clock())
        assert app.service.subscription is not None
        address = f"https://easeback.example{app.strava.webhook_path}"
        assert app.service.subscription.callback_url == address
        assert app.service.calls("/api/v3/push_subscriptions") == 3
        assert not note_event(app, event(app, account.id, 2), path="/strava/webhook")
        with app.services.store.reading() as tx:
            ours = tx.source("strava").subscription()
        assert ours is not None
        assert (ours.id, ours.callback_url) == (app.service.subscription.id, address)

    def test_one_that_was_made_just_before_a_crash_is_made_once_more(self, app: StravaApp) -> None:
        """The service has its number and we don't; an application has at most one."""
        app.connected()
        plain_subscription(app)
        app.service.subscription = Subscription(8, "https://easeback.example/strava/webhook/x")
        app.service.fetch = lambda _: (200, b'{"hub.challenge": "15f7d1"}')
        app.service.clock.step(DAY)
        tidy(app.services, app.clock())
        with app.services.store.reading() as tx:
            ours = tx.source("strava").subscription()
        assert ours is not None
        assert ours.id == app.service.subscription.id != 8

    def test_where_the_new_address_cannot_be_reached_the_old_one_stays(
        self, app: StravaApp
    ) -> None:
        """A proxy that passes one path only: tried once a day, and events keep coming."""
        _, account = app.connected()
        plain_subscription(app)
        found = (200, b'{"hub.challenge": "15f7d1"}')
        app.service.fetch = lambda address: (
            (404, b"") if app.strava.webhook_path in address else found
        )
        app.service.clock.step(DAY)
        for _ in range(3):
            tidy(app.services, app.clock())
        assert app.service.calls("/api/v3/push_subscriptions") == 4
        assert note_event(
            app, event(app, account.id, 1) | {"subscription_id": 131_300}, path="/strava/webhook"
        )


def plain_subscription(app: StravaApp) -> None:
    """One made before callback paths had secrets."""
    address = "https://easeback.example/strava/webhook"
    app.service.subscription = Subscription(7, address)
    with app.services.store.transaction() as tx:
        tx.source("strava").subscribed(7, address, now=app.clock())


@pytest.mark.parametrize(
    ("changes", "most"), [({"name": "Along the river"}, 9), ({"distance_m": 9_000.0}, 13)]
)
def test_following_an_edit_takes_two_commits(
    app: StravaApp, changes: dict[str, object], most: int
) -> None:
    """One before the call: lease, budget and rate limit; one after it: all changes.

    One statement looks for a run before the season, which these athletes don't have.
    """
    athlete, account = app.connected()
    made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 20)
    app.turn()
    app.turn()
    subscribe(app)
    for name, value in changes.items():
        setattr(made[-1], name, value)
    note_event(app, event(app, account.id, made[-1].id, "update"))
    sync = SourceSync.of(app.services, "strava", app.clock)
    calls = app.service.calls()
    with counted(app.services.store) as told:
        sync.handle_events(athlete)
    assert app.service.calls() == calls + 1
    assert told["commits"] == 2
    assert told["statements"] <= most
    assert sync.events_due() == ()
    with app.services.store.reading() as tx:
        (kept,) = [
            r for r in tx.runs.recorded(athlete, "strava") if r.external_id == str(made[-1].id)
        ]
    for name, value in changes.items():
        assert getattr(kept, {"name": "title"}.get(name, name)) == value


class TestQuiet:
    """For a minute after a look, events about the same activity cause one more look."""

    @staticmethod
    def told(store: Store) -> tuple[Clock, Athlete]:
        """Mira, with an event about activity 1 that was just handled."""
        clock = Clock()
        with store.transaction() as tx:
            mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", clock.now))
            rows = tx.source("strava")
            rows.note_events([(mira.id, "1")], now=clock.now)
            assert tuple(rows.events_due(mira, clock.now)) == ("1",)
            rows.event_done(mira, "1", looked_at=clock.now)
            assert rows.events_waiting(mira) == 0
        return clock, mira

    def test_what_comes_within_a_minute_is_one_more_look_after_it(self, store: Store) -> None:
        clock, mira = self.told(store)
        with store.transaction() as tx:
            rows = tx.source("strava")
            for _ in range(9):
                now = clock.step(timedelta(seconds=6))
                rows.note_events([(mira.id, "1")], now=now)
                assert rows.with_events_due(now) == ()
            assert rows.events_waiting(mira) == 1
            due = rows.events_due(mira, clock.step(timedelta(seconds=6)))
            assert tuple(due) == ("1",)
            rows.event_done(mira, "1", looked_at=clock.now)
            assert rows.with_events_due(clock.step(DAY)) == ()

    def test_another_activity_is_looked_at_at_once(self, store: Store) -> None:
        clock, mira = self.told(store)
        with store.transaction() as tx:
            rows = tx.source("strava")
            rows.note_events([(mira.id, "2"), (mira.id, "1")], now=clock.now)
            assert tuple(rows.events_due(mira, clock.now)) == ("2",)

    def test_what_comes_during_the_look_after_it_is_not_lost(self, store: Store) -> None:
        """The look may have come before the change."""
        clock, mira = self.told(store)
        with store.transaction() as tx:
            rows = tx.source("strava")
            rows.note_events([(mira.id, "1")], now=clock.step(timedelta(seconds=30)))
            looked_at = clock.step(timedelta(seconds=30))
            rows.note_events([(mira.id, "1")], now=clock.step(timedelta(seconds=1)))
            rows.event_done(mira, "1", looked_at=looked_at)
            assert rows.with_events_due(clock.now) == ()
            due = rows.events_due(mira, clock.step(timedelta(seconds=59)))
            assert tuple(due) == ("1",)

    def test_a_minute_later_an_event_is_due_at_once(self, store: Store) -> None:
        clock, mira = self.told(store)
        with store.transaction() as tx:
            rows = tx.source("strava")
            rows.note_events([(mira.id, "1")], now=clock.step(timedelta(seconds=60)))
            assert tuple(rows.events_due(mira, clock.now)) == ("1",)

    def test_a_single_pass_waits_for_nothing(self, app: StravaApp) -> None:
        """It won't be running at the end of the minute."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 2)
        app.turn()
        subscribe(app)
        for title in ("one", "two"):
            made[-1].name = title
            note_event(app, event(app, account.id, made[-1].id, "update"))
            app.turn()
            with app.services.store.reading() as tx:
                assert title in {r.title for r in tx.runs.recorded(athlete, "strava")}
