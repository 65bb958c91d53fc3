"""The end of the key, failures of Garmin or the network, and disconnecting."""

from dataclasses import replace
from datetime import timedelta

import pytest

from simulators.garmin import DOWNLOAD, EXCHANGE, SEARCH
from tests.sources.garmin.app import DAY, HOUR, GarminApp
from worker.domain.models import SourceName
from worker.pipeline.credentials import disconnect_athlete

MINUTE = timedelta(minutes=1)


class TestTheKeysEnd:
    def test_fourteen_days_before_it_is_said_and_after_it_one_mail_asks(
        self, app: GarminApp
    ) -> None:
        """A state in `status` and a line in the weekly mail; then one mail with the page's link."""
        athlete, account = app.connected(days=30)
        app.service.weeks_of_runs(account, app.clock() - HOUR, 8)
        app.turn()
        assert app.state(athlete).state == "ok"
        for _ in range(16):
            app.service.clock.step(DAY)
            app.turn()
        assert app.state(athlete).state == "ok"
        assert not any("Garmin key runs out" in mail for mail in app.mail_texts("weekly"))
        for _ in range(13):
            app.service.clock.step(DAY)
            app.turn()
            assert app.state(athlete).state == "waiting"
            assert "the key runs out on 2026-04-01" in (app.state(athlete).last_error or "")
        warned = [mail for mail in app.mail_texts("weekly") if "Garmin key runs out" in mail]
        assert len(warned) == 2
        assert app.mail_texts("reconnect") == []
        for _ in range(10):
            app.service.clock.step(DAY)
            app.turn()
        [mail] = app.mail_texts("reconnect")
        assert mail.startswith("Please renew your Garmin key")
        assert "/athlete/" in mail
        assert app.state(athlete).state == "failing"

    def test_a_renewed_key_goes_on_where_the_old_one_ended(self, app: GarminApp) -> None:
        """Nothing is fetched again; the runs recorded meanwhile are there."""
        athlete, account = app.connected(days=30)
        app.service.weeks_of_runs(account, app.clock() - HOUR, 4)
        app.turn()
        app.pass_by(35 * DAY, step=DAY)
        app.service.add(account, app.clock() - HOUR)
        app.connect(athlete, account)
        app.turn()
        assert app.state(athlete).state == "ok"
        assert len(app.runs(athlete)) == 5
        assert app.service.calls(DOWNLOAD) == 5

    @pytest.mark.parametrize("how", ["deleted", "unknown"])
    def test_a_refused_key_is_one_mail_and_a_state_and_no_endless_loop(
        self, app: GarminApp, how: str
    ) -> None:
        """401 and 403 of the exchange: noticed when the day's token has ended, mailed once."""
        athlete, _ = app.connected()
        app.turn()
        if how == "deleted":
            for key in app.service.keys.values():
                key.deleted = True
        else:
            app.service.keys.clear()
        app.pass_by(2 * DAY, step=HOUR)
        assert len(app.mail_texts("reconnect")) == 1
        assert app.state(athlete).state == "failing"
        before = app.service.calls()
        app.pass_by(DAY, step=HOUR)
        assert app.service.calls() == before

    def test_a_401_is_answered_by_one_exchange_and_one_more_try(self, app: GarminApp) -> None:
        """The token was invalid early: nobody notices."""
        athlete, account = app.connected()
        app.service.add(account, app.clock() - HOUR)
        app.service.tokens.clear()
        app.turn()
        assert len(app.runs(athlete)) == 1
        assert app.service.calls(EXCHANGE) == 2


class TestTrouble:
    def test_a_429_is_waited_out_by_everybody(self, app: GarminApp) -> None:
        """No request is made by anybody until the pause ends; then it continues."""
        athletes = [app.connected(name) for name in ("Mira", "Timo")]
        for _, account in athletes:
            app.service.add(account, app.clock() - HOUR)
        app.service.busy, app.service.retry_after = 1, "600"
        app.service.clock.step(MINUTE)
        before = app.service.calls()
        app.turn()
        for _ in range(9):
            app.service.clock.step(MINUTE)
            app.turn()
        assert app.service.calls() == before + 1
        app.pass_by(HOUR, step=MINUTE)
        assert [len(app.runs(athlete)) for athlete, _ in athletes] == [1, 1]
        assert [app.state(athlete).state for athlete, _ in athletes] == ["ok", "ok"]

    def test_pauses_grow_while_garmin_goes_on_refusing(self, app: GarminApp) -> None:
        """A minute, two, four: twelve hours of 429 take few calls."""
        athlete, _ = app.connected()
        app.service.busy = 1_000
        before = app.service.calls()
        app.pass_by(2 * HOUR, step=MINUTE)
        app.pass_by(10 * HOUR, step=10 * MINUTE)
        assert app.service.calls() - before < 15
        app.service.busy = 0
        app.pass_by(5 * HOUR)
        assert app.state(athlete).state == "ok"

    def test_a_server_in_trouble_is_asked_less_and_less_and_found_again(
        self, app: GarminApp
    ) -> None:
        """Hours of 503: few calls, `waiting`; afterwards all is well."""
        athlete, _ = app.connected()
        app.turn()
        app.server.fault("status", SEARCH, times=6, status=503)
        app.pass_by(4 * HOUR)
        assert app.state(athlete).state == "waiting"
        app.pass_by(20 * HOUR, step=HOUR)
        assert app.state(athlete).state == "ok"

    def test_files_wait_while_garmin_is_down(self, app: GarminApp) -> None:
        """Two failures in a row end the turn, as they aren't the file's fault."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 6)
        app.server.fault("status", DOWNLOAD, times=4, status=503)
        app.turn()
        assert len(app.runs(athlete)) == 6
        assert app.service.calls(DOWNLOAD) == 2
        app.pass_by(6 * HOUR)
        assert all(r.device for r in app.recorded(athlete).values())

    @pytest.mark.parametrize("is_kept", [True, False])
    def test_runs_stay_after_disconnecting_where_that_is_wanted(
        self, app: GarminApp, is_kept: bool
    ) -> None:
        """Also if Garmin is switched off: its runs can still be kept or deleted."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 3)
        app.turn()
        kept = frozenset[SourceName]({"garmin"} if is_kept else ())
        services = replace(app.services, sources={}, keeps_runs_of=kept)
        disconnect_athlete(services, "garmin", athlete, now=app.clock())
        assert len(app.runs(athlete)) == (3 if is_kept else 0)
        assert app.state(athlete).state == "off"

    def test_disconnecting_leaves_nothing(self, app: GarminApp) -> None:
        """No run, title or key in any stored byte; no more requests are made."""
        athlete, account = app.connected()
        for run in app.service.weeks_of_runs(account, app.clock() - HOUR, 4):
            run.name = "Quiet forest loop"
        app.turn()
        assert b"Quiet forest loop" in app.stored()
        disconnect_athlete(app.services, "garmin", athlete, now=app.clock())
        assert app.runs(athlete) == {}
        assert b"Quiet forest loop" not in app.stored()
        assert app.state(athlete).state == "off"
        before = app.service.calls()
        app.pass_by(HOUR)
        assert app.service.calls() == before
