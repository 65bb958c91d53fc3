"""A runner with Strava from connecting on: the first sync, following changes, the tokens."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from simulators.http_server import Server
from simulators.strava.browser import answer_consent
from tests.sources.strava.app import ACTIVITIES, StravaApp, event, note_event, strava_app, subscribe
from worker.pipeline.credentials import encrypt_all_anew, finish_consent
from worker.sources.base import SourceError
from worker.store import Encrypter

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[StravaApp]:
    with strava_app(server, tmp_path) as made:
        yield made


class TestConnecting:
    def test_from_consent_to_the_first_warning(self, app: StravaApp) -> None:
        """Connect, sync without mails, then one run far beyond the others: one mail about it."""
        athlete, account = app.add()
        diary, now = app.service.diary, app.clock()
        for weeks in range(70):
            diary.add(account, now - weeks * 5 * DAY - HOUR, 8_000)
        app.connect(athlete, account)
        app.turn()
        assert len(app.runs(athlete)) == 70
        assert app.mails("alert") == []
        diary.add(account, app.service.clock.step(DAY) - HOUR, 16_000)
        app.turn()
        assert len(app.mails("alert")) == 1

    def test_a_cancelled_consent_changes_nothing(self, app: StravaApp) -> None:
        """The existing grant stays and works."""
        athlete, account = app.connected()
        with pytest.raises(SourceError, match="cancelled"):
            app.connect(athlete, account, button="cancel")
        app.service.diary.add(account, app.clock() - HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 1

    def test_an_unticked_box_is_said_and_changes_nothing(self, app: StravaApp) -> None:
        """Without activities there's no grant; the previous one stays."""
        athlete, account = app.add()
        with pytest.raises(SourceError):
            app.connect(athlete, account, untick=("activity:read_all",))
        with app.services.store.reading() as tx:
            assert tx.source("strava").credential(athlete) is None

    def test_a_state_works_once_and_only_in_the_browser_it_was_made_for(
        self, app: StravaApp
    ) -> None:
        """Another's consent can't be injected, nor a used one reused."""
        athlete, _ = app.add()
        begun = app.begin(athlete)
        back = answer_consent(begun.address)
        finish: Any = lambda cookie: finish_consent(  # noqa: E731  (said three times)
            app.services, "strava", back, cookie=cookie, now=app.clock()
        )
        with pytest.raises(SourceError, match="another browser"):
            finish("forged")
        assert finish(begun.cookie).athlete == athlete
        with pytest.raises(SourceError, match="used before"):
            finish(begun.cookie)

    def test_another_account_replaces_the_first_and_its_runs(self, app: StravaApp) -> None:
        """The first account's runs are deleted; the second's are fetched."""
        athlete, first = app.connected()
        app.service.diary.add(first, app.clock() - HOUR)
        app.turn()
        second = app.service.account("Mira")
        theirs = app.service.diary.add(second, app.clock() - 2 * HOUR, 5_000)
        app.connect(athlete, second)
        app.turn()
        assert app.runs(athlete) == {str(theirs.id): 5_000.0}


class TestCalls:
    def test_a_first_sync_of_450_with_short_pages_and_two_rotten_rows(self, app: StravaApp) -> None:
        """448 are stored, two are listed with their reasons, in at most five calls."""
        athlete, account = app.add()
        made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 452, every=20 * HOUR)
        made[100].ghost = made[300].ghost = True
        made[10].spoilt = {"distance": None}
        made[200].spoilt = {"start_date": "soon"}
        made[11].spoilt = {"average_heartrate": 148.5, "sport_type": "Run", "type": "Parkrun"}
        app.connect(athlete, account)
        app.turn()
        rotten = {str(made[10].id), str(made[200].id)}
        ghosts = {str(made[100].id), str(made[300].id)}
        assert app.runs(athlete).keys() == {str(a.id) for a in made} - rotten - ghosts
        with app.services.store.reading() as tx:
            told = {one.external_id: one.reason for one in tx.source("strava").unreadable(athlete)}
        assert told.keys() == rotten
        assert app.service.calls(ACTIVITIES) <= 5
        assert app.state(athlete).backlog == 0

    def test_a_quiet_poll_is_one_call_and_none_before_its_time(self, app: StravaApp) -> None:
        """One call every 15 minutes; a pass in between makes none."""
        _, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 60)
        app.turn()
        before = app.service.calls()
        app.turn()
        assert app.service.calls() == before
        app.pass_by(2 * HOUR)
        assert app.service.calls() == before + 8

    def test_a_webhooks_new_run_is_one_call(self, app: StravaApp) -> None:
        """The event says which; only that one is requested, before the next poll is due."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 60)
        app.turn()
        subscribe(app)
        made = app.service.diary.add(account, app.clock() - 30 * MINUTE, 9_000)
        before = app.service.calls()
        assert note_event(app, event(app, account.id, made.id))
        app.turn()
        assert app.service.calls() == before + 1
        assert app.runs(athlete)[str(made.id)] == 9_000.0


class TestFollowing:
    def test_three_days_down_and_everything_is_there(self, app: StravaApp) -> None:
        """One pass after an outage catches up."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock(), 60)
        app.turn()
        for _ in range(3):
            app.service.diary.add(account, app.service.clock.step(DAY) - HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 63

    def test_a_late_upload_is_found_by_the_next_poll(self, app: StravaApp) -> None:
        """A run of five days ago, uploaded now."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock(), 60)
        app.turn()
        late = app.service.diary.add(account, app.clock() - 5 * DAY - HOUR, 7_000)
        app.pass_by(15 * MINUTE)
        assert str(late.id) in app.runs(athlete)

    def test_edited_made_private_deleted_or_turned_into_a_ride_within_a_day(
        self, app: StravaApp
    ) -> None:
        """Five weeks back, which only the daily look covers; private runs still count."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 60)
        app.turn()
        edited, private, deleted, ride = made[14:18]
        edited.distance_m, edited.moving_s = 12_345, 3_700
        private.visibility = "only_me"
        ride.sport_type = "Ride"
        del app.service.diary.activities[deleted.id]
        app.pass_by(DAY, step=HOUR)
        runs = app.runs(athlete)
        assert runs[str(edited.id)] == 12_345.0
        assert str(private.id) in runs
        assert str(deleted.id) not in runs
        assert str(ride.id) not in runs
        assert len(runs) == 58

    def test_an_edit_by_the_athlete_is_believed_over_a_device(self, app: StravaApp) -> None:
        """The recording is marked as edited, and stays so."""
        athlete, account = app.connected()
        made = app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 10)
        app.turn()
        made[0].distance_m, made[0].moving_s = 9_999, 3_000
        app.pass_by(45 * MINUTE)
        with app.services.store.reading() as tx:
            told = {r.external_id: r.edited for r in tx.runs.recorded(athlete, "strava")}
        assert told.pop(str(made[0].id))
        assert not any(told.values())

    def test_a_source_that_suddenly_shows_nothing_is_believed_a_day_later(
        self, app: StravaApp
    ) -> None:
        """The runs stay while this is doubted, and the doubt is reported."""
        athlete, account = app.connected()
        app.service.diary.weeks_of_runs(account, app.clock() - HOUR, 20)
        app.turn()
        app.service.diary.activities.clear()
        app.pass_by(23 * HOUR, step=HOUR)
        assert len(app.runs(athlete)) == 20
        assert "suddenly" in (app.state(athlete).last_error or "")
        app.pass_by(2 * HOUR, step=HOUR)
        assert app.runs(athlete) == {}


class TestTokens:
    def test_eight_pulls_at_once_refresh_once(self, app: StravaApp) -> None:
        """A second worker finds the grant locked, and leaves it."""
        athlete, _ = app.connected()
        app.turn()
        app.service.clock.step(5 * HOUR + 55 * MINUTE)
        done: list[bool] = []

        def pull() -> None:
            done.append(app.poll(athlete, app.clock))

        pulls = [threading.Thread(target=pull) for _ in range(8)]
        for one in pulls:
            one.start()
        for one in pulls:
            one.join()
        assert any(done)
        assert app.service.tokens.refreshed == 1

    def test_two_days_of_polls_refresh_about_every_six_hours(self, app: StravaApp) -> None:
        """One refresh per expiry, and never a dead grant."""
        athlete, _ = app.connected()
        app.pass_by(2 * DAY, step=3 * HOUR)
        assert app.state(athlete).state == "ok"
        assert 7 <= app.service.tokens.refreshed <= 8

    def test_a_refresh_is_kept_before_it_is_used(self, app: StravaApp) -> None:
        """The next page fails as if the process had ended: the new token is already stored."""
        athlete, account = app.connected()
        app.turn()
        app.service.clock.step(6 * HOUR)
        app.server.fault("reset", ACTIVITIES)
        app.turn()
        with app.services.store.reading() as tx:
            kept = tx.source("strava").credential(athlete)
        assert kept is not None
        alive = app.service.tokens.consents[account.id].refresh_token
        assert json.loads(app.strava.encrypter.decrypt(kept.encrypted))[1] == alive

    def test_a_401_is_answered_by_one_refresh_and_one_more_try(self, app: StravaApp) -> None:
        """The access token was invalid early: nobody notices."""
        athlete, account = app.connected()
        app.service.diary.add(account, app.clock() - HOUR)
        app.service.tokens.live.clear()
        consent = app.service.tokens.consents[account.id]
        consent.access.expires_at = app.clock()
        app.turn()
        assert len(app.runs(athlete)) == 1
        assert app.service.tokens.refreshed == 1

    def test_a_dead_grant_is_one_mail_and_a_state_and_no_endless_loop(self, app: StravaApp) -> None:
        """The runner withdrew access: one mail with the link; connecting again repairs it."""
        athlete, account = app.connected()
        app.turn()
        app.service.tokens.revoke(account)
        app.pass_by(2 * DAY, step=HOUR)
        [mail] = app.mails("reconnect")
        body = message_from_bytes(mail.read_bytes(), policy=policy.default).as_string()
        assert "/connect/" in body
        assert app.state(athlete).state == "failing"
        before = app.service.calls("/oauth/token")
        app.pass_by(DAY, step=HOUR)
        assert app.service.calls("/oauth/token") == before
        app.connect(athlete, account)
        app.turn()
        assert app.state(athlete).state == "ok"

    def test_whose_mail_is_paused_is_not_asked_to_connect_again(self, app: StravaApp) -> None:
        """The practice sees that the source fails."""
        athlete, account = app.connected()
        app.turn()
        with app.services.store.transaction() as tx:
            tx.athletes.pause(athlete, since=app.clock())
        app.service.tokens.revoke(account)
        app.pass_by(DAY, step=HOUR)
        assert app.mails("reconnect") == []
        assert app.state(athlete).state == "failing"

    def test_an_answer_lost_on_the_wire_is_found_within_a_cycle_and_told_once(
        self, app: StravaApp
    ) -> None:
        """Strava rotated the token and its answer was lost: the one gap that can't be closed."""
        athlete, _ = app.connected()
        app.turn()
        app.service.clock.step(6 * HOUR)
        app.server.fault("lost", "/oauth/token")
        app.turn()
        assert app.mails("reconnect") == []
        app.pass_by(HOUR)
        assert len(app.mails("reconnect")) == 1
        assert app.state(athlete).state == "failing"

    def test_keys_rotate_and_the_old_one_can_go(self, app: StravaApp) -> None:
        """After resealing, the new key alone opens every grant."""
        athlete, account = app.connected()
        app.service.diary.add(account, app.clock() - HOUR)
        rotating = replace(app.strava, encrypter=Encrypter(["new", *_keys(app)]))
        assert encrypt_all_anew(app.changed(rotating)) == 1
        alone = replace(app.strava, encrypter=Encrypter(["new"]))
        assert app.poll(athlete, app.clock, with_=alone)
        assert len(app.runs(athlete)) == 1

    def test_nothing_secret_stands_in_the_database(self, app: StravaApp) -> None:
        """Neither tokens, states nor cookies can be read from the file."""
        athlete, account = app.add()
        begun = app.begin(athlete)
        app.connect(athlete, account)
        tokens = app.service.tokens.consents[account.id]
        stored = _bytes_of(app)
        for secret in (tokens.refresh_token, tokens.access.token, begun.cookie):
            assert secret.encode() not in stored


def _keys(app: StravaApp) -> list[str]:
    return (app.folder / "keys").read_text().split()


def _bytes_of(app: StravaApp) -> bytes:
    """All bytes of the database, including its WAL."""
    return b"".join(p.read_bytes() for p in app.folder.glob("easeback.db*"))
