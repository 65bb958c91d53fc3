"""When the key ends, when Garmin or the network stumble, and when a runner leaves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.garmin.house import DAY, HOUR, House
from tests.garmin.service import DOWNLOAD, EXCHANGE, SEARCH
from worker.domain.models import SourceName
from worker.pipeline.credentials import disconnect

MINUTE = timedelta(minutes=1)


class TestTheKeysEnd:
    def test_fourteen_days_before_it_is_said_and_after_it_one_mail_asks(self, home: House) -> None:
        """A state in `status` and a line in the weekly mail; then one mail with the page's link."""
        athlete, account = home.connected(days=30)
        home.service.weeks_of_runs(account, home.clock() - HOUR, 40)
        home.turn()
        assert home.state(athlete).state == "ok"
        for _ in range(16):
            home.service.clock.step(DAY)
            home.turn()
        assert home.state(athlete).state == "ok"
        assert not any("Garmin key runs out" in mail for mail in home.mails("weekly"))
        for _ in range(13):
            home.service.clock.step(DAY)
            home.turn()
            assert home.state(athlete).state == "waiting"
            assert "the key runs out on 2026-04-01" in (home.state(athlete).last_error or "")
        warned = [mail for mail in home.mails("weekly") if "Garmin key runs out" in mail]
        assert len(warned) == 2
        assert home.mails("reconnect") == []
        for _ in range(10):
            home.service.clock.step(DAY)
            home.turn()
        [mail] = home.mails("reconnect")
        assert mail.startswith("Please renew your Garmin key")
        assert "/athlete/" in mail
        assert home.state(athlete).state == "failing"

    def test_a_renewed_key_goes_on_where_the_old_one_ended(self, home: House) -> None:
        """Nothing is fetched again; the run from in between is there."""
        athlete, account = home.connected(days=30)
        home.service.weeks_of_runs(account, home.clock() - HOUR, 40)
        home.turn()
        home.pass_by(35 * DAY, step=DAY)
        home.service.add(account, home.clock() - HOUR)
        home.connect(athlete, account)
        home.turn()
        assert home.state(athlete).state == "ok"
        assert len(home.runs(athlete)) == 41
        assert home.service.calls(DOWNLOAD) == 41

    @pytest.mark.parametrize("how", ["deleted", "unknown"])
    def test_a_refused_key_is_one_mail_and_a_state_and_no_endless_loop(
        self, home: House, how: str
    ) -> None:
        """401 and 403 of the exchange: found when the token of the day is over, told once."""
        athlete, _ = home.connected()
        home.turn()
        if how == "deleted":
            for key in home.service.keys.values():
                key.deleted = True
        else:
            home.service.keys.clear()
        home.pass_by(2 * DAY, step=HOUR)
        assert len(home.mails("reconnect")) == 1
        assert home.state(athlete).state == "failing"
        before = home.service.calls()
        home.pass_by(DAY, step=HOUR)
        assert home.service.calls() == before

    def test_a_401_is_answered_by_one_exchange_and_one_more_try(self, home: House) -> None:
        """The token died early: nobody notices."""
        athlete, account = home.connected()
        home.service.add(account, home.clock() - HOUR)
        home.service.tokens.clear()
        home.turn()
        assert len(home.runs(athlete)) == 1
        assert home.service.calls(EXCHANGE) == 2


class TestTrouble:
    def test_a_429_is_waited_out_by_everybody(self, home: House) -> None:
        """Nothing is asked until the pause ends, by nobody; then it goes on."""
        athletes = [home.connected(name) for name in ("Mira", "Timo")]
        for _, account in athletes:
            home.service.add(account, home.clock() - HOUR)
        home.service.busy, home.service.retry_after = 1, "600"
        home.service.clock.step(MINUTE)
        before = home.service.calls()
        home.turn()
        for _ in range(9):
            home.service.clock.step(MINUTE)
            home.turn()
        assert home.service.calls() == before + 1
        home.pass_by(HOUR, step=MINUTE)
        assert [len(home.runs(athlete)) for athlete, _ in athletes] == [1, 1]
        assert [home.state(athlete).state for athlete, _ in athletes] == ["ok", "ok"]

    def test_pauses_grow_while_garmin_goes_on_refusing(self, home: House) -> None:
        """A minute, two, four: twelve hours of 429 are few calls."""
        athlete, _ = home.connected()
        home.service.busy = 1_000
        before = home.service.calls()
        home.pass_by(12 * HOUR, step=MINUTE)
        assert home.service.calls() - before < 15
        home.service.busy = 0
        home.pass_by(5 * HOUR)
        assert home.state(athlete).state == "ok"

    def test_a_server_in_trouble_is_asked_less_and_less_and_found_again(self, home: House) -> None:
        """Hours of 503: few calls, `waiting`; afterwards all is well."""
        athlete, _ = home.connected()
        home.turn()
        home.server.fault("status", SEARCH, times=6, status=503)
        home.pass_by(4 * HOUR)
        assert home.state(athlete).state == "waiting"
        home.pass_by(20 * HOUR, step=HOUR)
        assert home.state(athlete).state == "ok"

    def test_files_wait_while_garmin_is_down(self, home: House) -> None:
        """Two stumbles in a row end the turn: it isn't the file."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 30)
        home.server.fault("status", DOWNLOAD, times=4, status=503)
        home.turn()
        assert len(home.runs(athlete)) == 30
        assert home.service.calls(DOWNLOAD) == 2
        home.pass_by(6 * HOUR)
        assert all(r.device for r in home.recorded(athlete).values())

    @pytest.mark.parametrize("is_kept", [True, False])
    def test_runs_stay_after_disconnecting_where_that_is_wanted(
        self, home: House, is_kept: bool
    ) -> None:
        """Also where Garmin is off by now: what it brought can still be kept or forgotten."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 3)
        home.turn()
        kept = frozenset[SourceName]({"garmin"} if is_kept else ())
        services = replace(home.services, sources={}, keeps_runs_of=kept)
        disconnect(services, "garmin", athlete, now=home.clock())
        assert len(home.runs(athlete)) == (3 if is_kept else 0)
        assert home.state(athlete).state == "off"

    def test_disconnecting_leaves_nothing(self, home: House) -> None:
        """No run, no title, no key in any byte kept; nothing is asked any more."""
        athlete, account = home.connected()
        for run in home.service.weeks_of_runs(account, home.clock() - HOUR, 20):
            run.name = "Quiet forest loop"
        home.turn()
        assert b"Quiet forest loop" in home.stored()
        disconnect(home.services, "garmin", athlete, now=home.clock())
        assert home.runs(athlete) == {}
        assert b"Quiet forest loop" not in home.stored()
        assert home.state(athlete).state == "off"
        before = home.service.calls()
        home.pass_by(HOUR)
        assert home.service.calls() == before
