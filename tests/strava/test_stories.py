"""What happens to a runner from connecting on: the first sync, what's followed, the tokens."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.strava.browser import answer_consent
from tests.strava.house import ACTIVITIES, House, event, house, note_event, subscribe
from tests.strava.server import Server
from worker.pipeline.credentials import encrypt_all_anew, finish_consent
from worker.sources import SourceError
from worker.store import Encrypter

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Iterator[House]:
    with house(server, tmp_path) as made:
        yield made


class TestConnecting:
    def test_from_consent_to_the_first_warning(self, home: House) -> None:
        """Connect, sync in silence, then one run far beyond the others: one mail about it."""
        athlete, account = home.add()
        diary, now = home.service.diary, home.clock()
        for weeks in range(70):
            diary.add(account, now - weeks * 5 * DAY - HOUR, 8_000)
        home.connect(athlete, account)
        home.turn()
        assert len(home.runs(athlete)) == 70
        assert home.mails("alert") == []
        diary.add(account, home.service.clock.step(DAY) - HOUR, 16_000)
        home.turn()
        assert len(home.mails("alert")) == 1

    def test_a_cancelled_consent_changes_nothing(self, home: House) -> None:
        """The grant that was there stays, and works."""
        athlete, account = home.connected()
        with pytest.raises(SourceError, match="cancelled"):
            home.connect(athlete, account, button="cancel")
        home.service.diary.add(account, home.clock() - HOUR)
        home.turn()
        assert len(home.runs(athlete)) == 1

    def test_an_unticked_box_is_said_and_changes_nothing(self, home: House) -> None:
        """Without activities there's no grant; the one before stays."""
        athlete, account = home.add()
        with pytest.raises(SourceError):
            home.connect(athlete, account, untick=("activity:read_all",))
        with home.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_a_state_works_once_and_only_in_the_browser_it_was_made_for(self, home: House) -> None:
        """Somebody else's consent can't be slipped in, nor a used one be used again."""
        athlete, _ = home.add()
        begun = home.begin(athlete)
        back = answer_consent(begun.address)
        finish: Any = lambda cookie: finish_consent(  # noqa: E731  (said three times)
            home.services, "strava", back, cookie=cookie, now=home.clock()
        )
        with pytest.raises(SourceError, match="another browser"):
            finish("forged")
        assert finish(begun.cookie).athlete == athlete
        with pytest.raises(SourceError, match="used before"):
            finish(begun.cookie)

    def test_another_account_replaces_the_first_and_its_runs(self, home: House) -> None:
        """What the first account told goes; what the second tells comes."""
        athlete, first = home.connected()
        home.service.diary.add(first, home.clock() - HOUR)
        home.turn()
        second = home.service.account("Mira")
        theirs = home.service.diary.add(second, home.clock() - 2 * HOUR, 5_000)
        home.connect(athlete, second)
        home.turn()
        assert home.runs(athlete) == {str(theirs.id): 5_000.0}


class TestCalls:
    def test_a_first_sync_of_450_with_short_pages_and_two_rotten_rows(self, home: House) -> None:
        """448 are in, two are told with their reasons, in at most five calls."""
        athlete, account = home.add()
        made = home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 452, every=20 * HOUR)
        made[100].ghost = made[300].ghost = True
        made[10].spoilt = {"distance": None}
        made[200].spoilt = {"start_date": "soon"}
        made[11].spoilt = {"average_heartrate": 148.5, "sport_type": "Run", "type": "Parkrun"}
        home.connect(athlete, account)
        home.turn()
        rotten = {str(made[10].id), str(made[200].id)}
        ghosts = {str(made[100].id), str(made[300].id)}
        assert home.runs(athlete).keys() == {str(a.id) for a in made} - rotten - ghosts
        with home.services.store.reading() as tx:
            told = {one.external_id: one.reason for one in tx.source("strava").unreadable(athlete)}
        assert told.keys() == rotten
        assert home.service.calls(ACTIVITIES) <= 5
        assert home.state(athlete).backlog == 0

    def test_a_quiet_poll_is_one_call_and_none_before_its_time(self, home: House) -> None:
        """Every 15 minutes one call; a pass in between asks nothing."""
        _, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 60)
        home.turn()
        before = home.service.calls()
        home.turn()
        assert home.service.calls() == before
        home.pass_by(2 * HOUR)
        assert home.service.calls() == before + 8

    def test_a_webhooks_new_run_is_one_call(self, home: House) -> None:
        """The event says which; only that one is asked for, before the next poll is due."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 60)
        home.turn()
        subscribe(home)
        made = home.service.diary.add(account, home.clock() - 30 * MINUTE, 9_000)
        before = home.service.calls()
        assert note_event(home, event(home, account.id, made.id), home.clock())
        home.turn()
        assert home.service.calls() == before + 1
        assert home.runs(athlete)[str(made.id)] == 9_000.0


class TestFollowing:
    def test_three_days_down_and_everything_is_there(self, home: House) -> None:
        """One pass after an outage catches up."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock(), 60)
        home.turn()
        for _ in range(3):
            home.service.diary.add(account, home.service.clock.step(DAY) - HOUR)
        home.turn()
        assert len(home.runs(athlete)) == 63

    def test_a_late_upload_is_found_by_the_next_poll(self, home: House) -> None:
        """A run of five days ago, uploaded now."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock(), 60)
        home.turn()
        late = home.service.diary.add(account, home.clock() - 5 * DAY - HOUR, 7_000)
        home.pass_by(15 * MINUTE)
        assert str(late.id) in home.runs(athlete)

    def test_edited_made_private_deleted_or_turned_into_a_ride_within_a_day(
        self, home: House
    ) -> None:
        """Five weeks back, where only the daily look reaches; private runs still count."""
        athlete, account = home.connected()
        made = home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 60)
        home.turn()
        edited, private, deleted, ride = made[14:18]
        edited.distance_m, edited.moving_s = 12_345, 3_700
        private.visibility = "only_me"
        ride.sport_type = "Ride"
        del home.service.diary.activities[deleted.id]
        home.pass_by(DAY, step=HOUR)
        runs = home.runs(athlete)
        assert runs[str(edited.id)] == 12_345.0
        assert str(private.id) in runs
        assert str(deleted.id) not in runs
        assert str(ride.id) not in runs
        assert len(runs) == 58

    def test_an_edit_by_the_athlete_is_believed_over_a_device(self, home: House) -> None:
        """The recording is marked as edited, and stays so."""
        athlete, account = home.connected()
        made = home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 10)
        home.turn()
        made[0].distance_m, made[0].moving_s = 9_999, 3_000
        home.pass_by(45 * MINUTE)
        with home.services.store.reading() as tx:
            told = {r.external_id: r.edited for r in tx.runs.recorded(athlete, "strava")}
        assert told.pop(str(made[0].id))
        assert not any(told.values())

    def test_a_source_that_suddenly_shows_nothing_is_believed_a_day_later(
        self, home: House
    ) -> None:
        """The runs stay while it's doubted, and the doubt is said."""
        athlete, account = home.connected()
        home.service.diary.weeks_of_runs(account, home.clock() - HOUR, 20)
        home.turn()
        home.service.diary.activities.clear()
        home.pass_by(23 * HOUR, step=HOUR)
        assert len(home.runs(athlete)) == 20
        assert "suddenly" in (home.state(athlete).last_error or "")
        home.pass_by(2 * HOUR, step=HOUR)
        assert home.runs(athlete) == {}


class TestTokens:
    def test_eight_pulls_at_once_refresh_once(self, home: House) -> None:
        """Whoever comes second finds the grant held, and leaves it."""
        athlete, _ = home.connected()
        home.turn()
        home.service.clock.step(5 * HOUR + 55 * MINUTE)
        done: list[bool] = []

        def pull() -> None:
            done.append(home.poll(athlete, home.clock))

        pulls = [threading.Thread(target=pull) for _ in range(8)]
        for one in pulls:
            one.start()
        for one in pulls:
            one.join()
        assert any(done)
        assert home.service.tokens.refreshed == 1

    def test_two_days_of_polls_refresh_about_every_six_hours(self, home: House) -> None:
        """One refresh an expiry, never a dead grant."""
        athlete, _ = home.connected()
        home.pass_by(2 * DAY, step=3 * HOUR)
        assert home.state(athlete).state == "ok"
        assert 7 <= home.service.tokens.refreshed <= 8

    def test_a_refresh_is_kept_before_it_is_used(self, home: House) -> None:
        """The page after it breaks, as if the process had ended: the new token is there already."""
        athlete, account = home.connected()
        home.turn()
        home.service.clock.step(6 * HOUR)
        home.server.fault("reset", ACTIVITIES)
        home.turn()
        with home.services.store.reading() as tx:
            kept = tx.source("strava").credential(athlete)
        assert kept is not None
        alive = home.service.tokens.consents[account.id].refresh_token
        assert json.loads(home.strava.encrypter.open(kept.encrypted))[1] == alive

    def test_a_401_is_answered_by_one_refresh_and_one_more_try(self, home: House) -> None:
        """The access token died early: nobody notices."""
        athlete, account = home.connected()
        home.service.diary.add(account, home.clock() - HOUR)
        home.service.tokens.live.clear()
        consent = home.service.tokens.consents[account.id]
        consent.access.expires_at = home.clock()
        home.turn()
        assert len(home.runs(athlete)) == 1
        assert home.service.tokens.refreshed == 1

    def test_a_dead_grant_is_one_mail_and_a_state_and_no_endless_loop(self, home: House) -> None:
        """The runner withdrew: one mail with the link; connecting again mends it."""
        athlete, account = home.connected()
        home.turn()
        home.service.tokens.revoke(account)
        home.pass_by(2 * DAY, step=HOUR)
        [mail] = home.mails("reconnect")
        body = message_from_bytes(mail.read_bytes(), policy=policy.default).as_string()
        assert "/connect/" in body
        assert home.state(athlete).state == "failing"
        before = home.service.calls("/oauth/token")
        home.pass_by(DAY, step=HOUR)
        assert home.service.calls("/oauth/token") == before
        home.connect(athlete, account)
        home.turn()
        assert home.state(athlete).state == "ok"

    def test_an_answer_lost_on_the_wire_is_found_within_a_cycle_and_told_once(
        self, home: House
    ) -> None:
        """Strava rotated the token and its answer never came: the one gap that can't be closed."""
        athlete, _ = home.connected()
        home.turn()
        home.service.clock.step(6 * HOUR)
        home.server.fault("lost", "/oauth/token")
        home.turn()
        assert home.mails("reconnect") == []
        home.pass_by(HOUR)
        assert len(home.mails("reconnect")) == 1
        assert home.state(athlete).state == "failing"

    def test_keys_rotate_and_the_old_one_can_go(self, home: House) -> None:
        """After resealing, the new key alone opens every grant."""
        athlete, account = home.connected()
        home.service.diary.add(account, home.clock() - HOUR)
        rotating = replace(home.strava, encrypter=Encrypter(["new", *_keys(home)]))
        assert encrypt_all_anew(home.changed(rotating)) == 1
        alone = replace(home.strava, encrypter=Encrypter(["new"]))
        assert home.poll(athlete, home.clock, with_=alone)
        assert len(home.runs(athlete)) == 1

    def test_nothing_secret_stands_in_the_database(self, home: House) -> None:
        """Neither tokens nor states nor cookies can be read from the file."""
        athlete, account = home.add()
        begun = home.begin(athlete)
        home.connect(athlete, account)
        tokens = home.service.tokens.consents[account.id]
        stored = _bytes_of(home)
        for secret in (tokens.refresh_token, tokens.access.token, begun.cookie):
            assert secret.encode() not in stored


def _keys(home: House) -> list[str]:
    return (home.mailbox.parent / "keys").read_text().split()


def _bytes_of(home: House) -> bytes:
    """Every byte the database holds, its log included."""
    return b"".join(p.read_bytes() for p in home.mailbox.parent.glob("easeback.db*"))
