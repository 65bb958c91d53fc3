"""The effects of webhooks, and what's left after disconnecting."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.http_server import Server
from tests.sources.strava.app import StravaApp, event, note_event, strava_app, subscribe
from worker.pipeline.credentials import disconnect_athlete

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


class TestWebhooks:
    def test_a_delete_is_confirmed_before_it_is_believed(self, app: StravaApp) -> None:
        """A forged delete of an existing run removes nothing; a real one does."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 3)
        app.turn()
        subscribe(app)
        note_event(app, event(app, account.id, made[0].id, "delete"))
        app.turn()
        assert len(app.runs(athlete)) == 3
        del app.service.diary.activities[made[0].id]
        note_event(app, event(app, account.id, made[0].id, "delete"))
        app.turn()
        assert len(app.runs(athlete)) == 2

    def test_a_deauthorisation_is_confirmed_and_then_everything_goes(self, app: StravaApp) -> None:
        """A forged one changes nothing; a real one deletes at once, without a mail to reconnect."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 3)
        app.turn()
        subscribe(app)
        withdrawn = event(app, account.id, account.id, "update", kind="athlete")
        note_event(app, withdrawn)
        app.turn()
        assert len(app.runs(athlete)) == 3
        app.service.tokens.revoke(account)
        note_event(app, withdrawn)
        app.turn()
        assert app.runs(athlete) == {}
        assert app.state(athlete).state == "off"
        assert app.mails("reconnect") == []

    @pytest.mark.parametrize(
        ("strange", "dropped"),
        [
            (None, 0),
            ([], 0),
            ("x", 0),
            ({}, 0),
            ({"owner_id": {}}, 0),
            ({"object_id": "1"}, 0),
            ({"object_id": -1}, 0),
            ({"object_id": True}, 0),
            ({"owner_id": 2**80}, 0),
            ({"object_type": ["activity"]}, 0),
            ({"subscription_id": 1}, 1),
            ({"owner_id": 5}, 1),
        ],
    )
    def test_an_event_that_names_nobody_we_know_is_counted_and_dropped(
        self, app: StravaApp, strange: object, dropped: int
    ) -> None:
        """Unknown subscription or owner; a body that is no event isn't even counted."""
        app.connected()
        subscribe(app)
        if isinstance(strange, dict) and strange:
            strange = event(app, 80_001, 1) | strange
        assert not note_event(app, strange)
        with app.services.store.reading() as tx:
            ours = tx.source("strava").subscription()
            assert tx.source("strava").with_events_due(app.clock()) == ()
        assert ours is not None
        assert ours.dropped == dropped


class TestLeaving:
    def test_disconnecting_gives_back_and_leaves_nothing(self, app: StravaApp) -> None:
        """Revoked at Strava, deleted here: no run, title or token in any stored byte."""
        athlete, account = app.connected()
        for run in app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 60):
            run.name = "Quiet forest loop"
        app.turn()
        assert b"Quiet forest loop" in _bytes_of(app)
        assert disconnect_athlete(app.services, "strava", athlete, now=app.clock()) is None
        assert app.service.tokens.consents == {}
        assert app.runs(athlete) == {}
        assert b"Quiet forest loop" not in _bytes_of(app)
        before = app.service.calls()
        app.pass_by(HOUR)
        assert app.service.calls() == before

    def test_disconnecting_without_network_forgets_here_and_says_so(self, app: StravaApp) -> None:
        """If it couldn't be revoked, the message says where to do that."""
        athlete, _ = app.connected()
        app.server.fault("reset", "/oauth", times=2)
        said = disconnect_athlete(app.services, "strava", athlete, now=app.clock())
        assert said is not None
        assert "My Apps" in said
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_disconnecting_while_strava_is_off_forgets_here_and_says_so(
        self, app: StravaApp
    ) -> None:
        """Without the application in the settings, its data can still be deleted."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 3)
        app.turn()
        said = disconnect_athlete(
            replace(app.services, sources={}), "strava", athlete, now=app.clock()
        )
        assert said is not None
        assert "Strava is off" in said
        assert "My Apps" in said
        assert app.runs(athlete) == {}
        assert app.state(athlete).state == "off"

    def test_runs_may_be_kept(self, server: Server, tmp_path: Path) -> None:
        """If the setting says so."""
        with strava_app(server, tmp_path, keep_runs_on_disconnect=True) as app:
            athlete, account = app.connected()
            app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 3)
            app.turn()
            disconnect_athlete(app.services, "strava", athlete, now=app.clock())
            assert len(app.runs(athlete)) == 3

    def test_what_is_older_than_it_may_be_kept_goes(self, server: Server, tmp_path: Path) -> None:
        """Thirty days: older runs are neither fetched nor kept."""
        with strava_app(server, tmp_path, retention_days=30) as app:
            athlete, account = app.connected()
            app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 60)
            app.turn()
            assert len(app.runs(athlete)) == 15
            app.pass_by(10 * DAY, step=DAY)
            app.turn()
            assert len(app.runs(athlete)) == 10


def _bytes_of(app: StravaApp) -> bytes:
    """All bytes of the database, including its WAL."""
    return b"".join(p.read_bytes() for p in app.folder.glob("easeback.db*"))
