"""What webhooks set going, and what's left when a runner leaves."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.strava.house import House, event, house, note_event, subscribe
from tests.strava.server import Server
from worker.pipeline.credentials import disconnect

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Iterator[House]:
    with house(server, tmp_path) as made:
        yield made


class TestWebhooks:
    def test_a_delete_is_confirmed_before_it_is_believed(self, home: House) -> None:
        """A forged delete of a run that's still there removes nothing; a true one does."""
        athlete, account = home.connected()
        made = home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 3)
        home.turn()
        subscribe(home)
        note_event(home, event(home, account.id, made[0].id, "delete"), home.clock())
        home.turn()
        assert len(home.runs(athlete)) == 3
        del home.service.diary.activities[made[0].id]
        note_event(home, event(home, account.id, made[0].id, "delete"), home.clock())
        home.turn()
        assert len(home.runs(athlete)) == 2

    def test_a_deauthorisation_is_confirmed_and_then_everything_goes(self, home: House) -> None:
        """A forged one changes nothing; a true one purges at once, without a reproachful mail."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 3)
        home.turn()
        subscribe(home)
        withdrawn = event(home, account.id, account.id, "update", kind="athlete")
        note_event(home, withdrawn, home.clock())
        home.turn()
        assert len(home.runs(athlete)) == 3
        home.service.tokens.revoke(account)
        note_event(home, withdrawn, home.clock())
        home.turn()
        assert home.runs(athlete) == {}
        assert home.state(athlete).state == "off"
        assert home.mails("reconnect") == []

    @pytest.mark.parametrize(
        "strange",
        [
            None,
            [],
            "x",
            {"subscription_id": 1, "owner_id": 80_001, "object_id": 1, "object_type": "activity"},
            {"subscription_id": 7, "owner_id": 5, "object_id": 1, "object_type": "activity"},
            {"subscription_id": 7, "owner_id": {}, "object_id": 1, "object_type": "activity"},
            {"subscription_id": 7, "owner_id": 80_001, "object_id": "1", "object_type": "activity"},
            {"subscription_id": 7, "owner_id": 80_001, "object_id": -1, "object_type": "activity"},
            {"subscription_id": 7, "owner_id": 2**80, "object_id": 1, "object_type": "activity"},
        ],
    )
    def test_an_event_that_names_nobody_we_know_is_counted_and_dropped(
        self, home: House, strange: object
    ) -> None:
        """Unknown subscription, unknown owner, or no event at all."""
        home.connected()
        subscribe(home)
        assert not note_event(home, strange, home.clock())
        with home.services.store.reading() as tx:
            ours = tx.source("strava").subscription()
            assert tx.source("strava").with_events_due(home.clock()) == ()
        assert ours is not None
        assert ours.dropped == 1


class TestLeaving:
    def test_disconnecting_gives_back_and_leaves_nothing(self, home: House) -> None:
        """Revoked at Strava, forgotten here: no run, no title, no token in any byte kept."""
        athlete, account = home.connected()
        for run in home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 60):
            run.name = "Quiet forest loop"
        home.turn()
        assert b"Quiet forest loop" in _bytes_of(home)
        assert disconnect(home.services, "strava", athlete, now=home.clock()) is None
        assert home.service.tokens.consents == {}
        assert home.runs(athlete) == {}
        assert b"Quiet forest loop" not in _bytes_of(home)
        before = home.service.calls()
        home.pass_by(HOUR)
        assert home.service.calls() == before

    def test_disconnecting_without_network_forgets_here_and_says_so(self, home: House) -> None:
        """What couldn't be given back is said, with where to end it."""
        athlete, _ = home.connected()
        home.server.fault("reset", "/oauth", times=2)
        said = disconnect(home.services, "strava", athlete, now=home.clock())
        assert said is not None
        assert "My Apps" in said
        with home.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_disconnecting_while_strava_is_off_forgets_here_and_says_so(self, home: House) -> None:
        """Whoever took the application out of the settings can still forget what it brought."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 3)
        home.turn()
        said = disconnect(replace(home.services, sources={}), "strava", athlete, now=home.clock())
        assert said is not None
        assert "Strava is off" in said
        assert "My Apps" in said
        assert home.runs(athlete) == {}
        assert home.state(athlete).state == "off"

    def test_runs_may_be_kept(self, server: Server, tmp_path: Path) -> None:
        """Where the setting says so they stay."""
        with house(server, tmp_path, keep_runs_on_disconnect=True) as home:
            athlete, account = home.connected()
            home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 3)
            home.turn()
            disconnect(home.services, "strava", athlete, now=home.clock())
            assert len(home.runs(athlete)) == 3

    def test_what_is_older_than_it_may_be_kept_goes(self, server: Server, tmp_path: Path) -> None:
        """Thirty days: neither fetched from before nor kept for longer."""
        with house(server, tmp_path, retention_days=30) as home:
            athlete, account = home.connected()
            home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 60)
            home.turn()
            assert len(home.runs(athlete)) == 15
            home.pass_by(10 * DAY, step=DAY)
            home.turn()
            assert len(home.runs(athlete)) == 10


def _bytes_of(home: House) -> bytes:
    """Every byte the database holds, its log included."""
    return b"".join(p.read_bytes() for p in home.mailbox.parent.glob("easeback.db*"))
