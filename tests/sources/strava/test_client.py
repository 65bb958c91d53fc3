"""Easeback's client against the simulated Strava, through the real stravalib."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from simulators.http_server import FaultKind, Server
from simulators.strava.accounts import Account
from simulators.strava.browser import answer_consent
from simulators.strava.service import Service
from tests.sources.strava.conftest import REDIRECT, connect, impatient
from worker.domain.models import Recording
from worker.sources.base import (
    WRONG_CLIENT,
    AccessRefused,
    Credential,
    CredentialRevoked,
    RateLimited,
    SourceError,
    Unavailable,
)
from worker.sources.strava.client import Strava, StravaSection


class TestConsent:
    def test_gives_a_grant_for_the_runner_who_consented(
        self, strava: Strava, service: Service, runner: Account, grant: Credential
    ) -> None:
        """The grant has the runner's id at Strava and lasts six hours."""
        assert grant.account_id == str(runner.id)
        assert grant.expires_at == service.clock.now + timedelta(hours=6)
        assert strava.missing(grant) is None

    def test_carries_the_state_there_and_back(self, strava: Strava, runner: Account) -> None:
        """The state that was sent comes back beside the code."""
        back = answer_consent(strava.authorize_url(state="only-mine", redirect=REDIRECT))
        assert back["state"] == "only-mine"
        assert "code" in back

    def test_a_cancelled_consent_comes_back_as_an_error(
        self, strava: Strava, runner: Account
    ) -> None:
        """Cancelling sends no code."""
        back = answer_consent(strava.authorize_url(state="s", redirect=REDIRECT), button="cancel")
        assert back == {"state": "s", "error": "access_denied"}

    def test_an_unticked_box_means_no_grant(
        self, strava: Strava, service: Service, runner: Account
    ) -> None:
        """A consent without activities is refused; revoking it would end other grants."""
        with pytest.raises(SourceError, match="unticked"):
            connect(strava, service, untick=("activity:read_all",))
        assert service.calls("/oauth/revoke") == 0

    def test_a_code_works_once(self, strava: Strava, service: Service, runner: Account) -> None:
        """The second exchange of a code is refused."""
        back = answer_consent(strava.authorize_url(state="s", redirect=REDIRECT))
        strava.exchange(back, now=service.clock.now)
        with pytest.raises(SourceError, match="didn't accept the consent"):
            strava.exchange(back, now=service.clock.now)

    def test_the_page_is_shown_to_those_who_consented_before_too(
        self, strava: Strava, grant: Credential
    ) -> None:
        """Consent is never given without asking."""
        address = strava.authorize_url(state="s", redirect=REDIRECT)
        assert "error" in answer_consent(address, button="cancel")

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [({"client_id": "1"}, "client id"), ({"client_secret": "no"}, "client_secret")],
    )
    def test_a_wrong_client_is_said_so(
        self, server: Server, wrong: dict[str, str], words: str
    ) -> None:
        """Both halves of the credentials can be wrong; the message says where to look."""
        strava = impatient(server, **wrong)
        with pytest.raises(SourceError, match=words) as told:
            strava.exchange({"code": "code"}, now=server.service.clock.now)
        assert told.value.permanent
        assert told.value.code == WRONG_CLIENT
        strava.close()


class TestTokens:
    def test_refreshing_brings_a_new_refresh_token_and_kills_the_old(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """Rotation is strict: the old token can't be used again."""
        service.clock.step(timedelta(hours=5, minutes=30))
        fresh = strava.refresh(grant, now=service.clock.now)
        assert fresh.secrets[1] != grant.secrets[1]
        assert fresh.secrets[0] != grant.secrets[0]
        with pytest.raises(CredentialRevoked, match="connect again"):
            strava.refresh(grant, now=service.clock.now)

    def test_keeps_its_scopes_and_owner_over_a_refresh(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """A refresh returns only tokens; the rest comes from the old grant."""
        fresh = strava.refresh(grant, now=service.clock.now)
        assert (fresh.account_id, fresh.scopes) == (grant.account_id, grant.scopes)

    def test_is_stale_ten_minutes_before_its_end(self, strava: Strava, grant: Credential) -> None:
        """Ten minutes before the access token ends it's time to refresh."""
        assert grant.expires_at is not None
        assert not strava.is_stale(grant, grant.expires_at - timedelta(minutes=10, seconds=1))
        assert strava.is_stale(grant, grant.expires_at - timedelta(minutes=10))

    def test_an_ended_access_token_is_refused_and_not_taken_for_a_dead_grant(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """401 for a page means: refresh and try again."""
        now = service.clock.step(timedelta(hours=7))
        with pytest.raises(AccessRefused):
            strava.list_activities(grant, now=now)

    def test_an_access_token_nearly_at_its_end_is_refreshed_into_the_same_one_while_an_hour_is_left(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """With more than an hour left the service returns the same access token."""
        fresh = strava.refresh(grant, now=service.clock.now)
        assert fresh.secrets[0] == grant.secrets[0]

    @pytest.mark.parametrize("hours", [-8, 7])
    def test_a_clock_that_is_off_shows_in_a_fresh_grant(
        self, strava: Strava, grant: Credential, hours: int
    ) -> None:
        """A fresh grant that has already ended, or lasts too long, indicates a wrong clock."""
        assert grant.expires_at is not None
        given_at = grant.expires_at - timedelta(hours=6)
        assert strava.clock_trouble(grant, given_at) is None
        assert strava.clock_trouble(grant, given_at + timedelta(hours=hours)) is not None

    def test_never_shows_its_tokens(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """Tokens and the secret are kept out of texts that may be logged."""
        shown = repr(grant) + repr(strava)
        assert not any(secret in shown for secret in grant.secrets)
        assert service.application.client_secret not in shown


class TestGivingBack:
    def test_revokes_by_the_new_way(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """`oauth/revoke` is enough; the old endpoint isn't used."""
        strava.revoke(grant, now=service.clock.now)
        assert service.tokens.consents == {}
        assert service.calls("/oauth/deauthorize") == 0

    def test_falls_back_to_the_old_way_where_the_new_one_is_unknown(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """If `oauth/revoke` doesn't exist, `deauthorize` is used."""
        service.retired.add("/oauth/revoke")
        strava.revoke(grant, now=service.clock.now)
        assert service.tokens.consents == {}


class TestActivities:
    def test_a_page_is_newest_first_and_knows_the_limits(
        self, strava: Strava, service: Service, runner: Account, grant: Credential
    ) -> None:
        """Rows come newest first, together with the limits from the headers."""
        made = service.diary.weeks_of_runs(runner, service.clock.now, 5)
        now, heard = service.clock.now, dict[str, str]()
        page = strava.list_activities(grant, now=now, observe=heard.update)
        assert [row.external_id for row in page.activities] == [str(a.id) for a in made]
        told = strava.limits.stored(None, now).observe(heard, now)
        assert told.read is not None
        assert (told.read.quarter, told.read.quarter_used) == (100, 1)

    def test_before_leaves_out_what_began_later(
        self, strava: Strava, service: Service, runner: Account, grant: Credential
    ) -> None:
        """`before` excludes the newest."""
        now = service.clock.now
        made = service.diary.weeks_of_runs(runner, now, 5)
        page = strava.list_activities(grant, now=now, before=now - timedelta(days=3))
        assert [row.external_id for row in page.activities] == [str(a.id) for a in made[2:]]

    def test_a_rotten_row_keeps_its_place_with_a_reason_and_spoils_no_other(
        self, strava: Strava, service: Service, runner: Account, grant: Credential
    ) -> None:
        """One row without a distance and one with an unknown sport: the third is read."""
        made = service.diary.weeks_of_runs(runner, service.clock.now, 3)
        made[0].spoilt = {"distance": "far", "average_heartrate": 148.5}
        made[1].spoilt = {"sport_type": "UnicycleHockey", "type": "UnicycleHockey"}
        made[2].spoilt = {"average_heartrate": "fast", "max_watts": 0.5}
        rotten, strange, sound = strava.list_activities(grant, now=service.clock.now).activities
        assert getattr(rotten.parsed, "reason", "") == "a run without a readable distance"
        assert getattr(strange.parsed, "reason", "") == "Strava calls it UnicycleHockey"
        assert isinstance(sound.parsed, Recording)

    def test_one_activity_by_its_id(
        self, strava: Strava, service: Service, runner: Account, grant: Credential
    ) -> None:
        """The detail gives the same recording as the list."""
        made = service.diary.add(runner, service.clock.now, 10_000)
        listed = strava.list_activities(grant, now=service.clock.now).activities[0]
        single = strava.get_activity(grant, str(made.id), now=service.clock.now)
        assert single is not None
        assert single.parsed == listed.parsed

    def test_one_that_is_gone_is_none(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """404 is an answer, not an error."""
        heard: dict[str, str] = {}
        now = service.clock.now
        assert strava.get_activity(grant, "99", now=now, observe=heard.update) is None
        assert heard


class TestRefusals:
    def test_an_application_without_subscription_is_explained(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """403 Inactive: the message names the cost and the alternative, FIT files; refreshing
        works.
        """
        service.application.active = False
        with pytest.raises(SourceError, match=r"subscription.*FIT files") as told:
            strava.list_activities(grant, now=service.clock.now)
        assert told.value.permanent
        assert told.value.for_everybody
        strava.refresh(grant, now=service.clock.now)

    def test_the_rate_limit_says_when_it_opens(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """429: the message and the error have the next quarter, and the usage."""
        service.limits.read.per_quarter = 1
        strava.list_activities(grant, now=service.clock.now)
        heard: dict[str, str] = {}
        with pytest.raises(RateLimited, match="09:15 UTC") as told:
            strava.list_activities(grant, now=service.clock.now, observe=heard.update)
        assert told.value.resets_at == service.clock.now.replace(minute=15)
        assert heard

    def test_a_day_used_up_opens_at_midnight(
        self, strava: Strava, service: Service, grant: Credential
    ) -> None:
        """With the day used up the next quarter would be too early."""
        service.limits.read.per_day = 0
        with pytest.raises(RateLimited, match="00:00 UTC"):
            strava.list_activities(grant, now=service.clock.now)

    @pytest.mark.parametrize(
        ("kind", "for_everybody"),
        [
            ("status", False),
            ("nonsense", False),
            ("cut", False),
            ("cut chunk", False),
            ("reset", True),
            ("hang", True),
            ("slow", True),
        ],
    )
    def test_a_fault_of_the_network_is_one_clear_error_that_passes(
        self,
        strava: Strava,
        server: Server,
        runner: Account,
        grant: Credential,
        kind: FaultKind,
        for_everybody: bool,
    ) -> None:
        """The error is one of ours, not permanent, has no secrets, and the next call works."""
        service = server.service
        service.diary.weeks_of_runs(runner, service.clock.now, 3)
        server.fault(kind, "/api/v3/athlete/activities")
        with pytest.raises(Unavailable) as told:
            strava.list_activities(grant, now=service.clock.now)
        assert not told.value.permanent
        assert told.value.for_everybody is for_everybody
        assert grant.secrets[0] not in str(told.value)
        assert len(strava.list_activities(grant, now=service.clock.now).activities) == 3

    @pytest.mark.parametrize("kind", ["status", "nonsense", "cut", "reset", "lost", "hang"])
    def test_a_fault_while_refreshing_never_passes_for_a_dead_grant(
        self, strava: Strava, server: Server, grant: Credential, kind: FaultKind
    ) -> None:
        """Only Strava's explicit answer makes a grant dead."""
        server.fault(kind, "/oauth/token")
        with pytest.raises(Unavailable):
            strava.refresh(grant, now=server.service.clock.now)

    def test_nothing_at_the_address_is_said_in_words(self, server: Server) -> None:
        """A refused connection has a short message instead of a traceback's."""
        strava = impatient(server, base_url="http://127.0.0.1:9")
        with pytest.raises(Unavailable, match="nothing answers"):
            strava.exchange({"code": "code"}, now=server.service.clock.now)
        strava.close()


class TestWebhooks:
    def test_a_subscription_that_cannot_be_checked_is_explained(
        self, strava: Strava, service: Service
    ) -> None:
        """Strava checks the callback at once; if nothing answers, Strava reports it."""
        with pytest.raises(SourceError, match="reachable from the internet"):
            strava.subscribe("http://127.0.0.1:9/x", verify_token="v", now=service.clock.now)

    def test_subscribes_lists_and_unsubscribes(self, strava: Strava, service: Service) -> None:
        """One subscription at most; removing it twice is fine."""
        service.fetch = lambda _: (200, b'{"hub.challenge": "15f7d1"}')
        now = service.clock.now
        made = strava.subscribe("https://easeback.example/w", verify_token="v", now=now)
        assert [s.id for s in strava.subscriptions(now=now)] == [made]
        with pytest.raises(SourceError, match="already"):
            strava.subscribe("https://easeback.example/w", verify_token="v", now=now)
        strava.unsubscribe(made, now=now)
        strava.unsubscribe(made, now=now)
        assert strava.subscriptions(now=now) == ()


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"client_id": "runner"}, "a number"),
            ({"client_secret": ""}, "client_secret is missing"),
            ({"base_url": "http://strava.example"}, "must be https"),
            ({"api_base_url": "http://strava.example"}, "in the clear"),
            ({"api_base_url": "strava.com"}, "https://"),
            ({"base_url": "https://me:pw@strava.example"}, "a host"),
        ],
    )
    def test_what_cannot_be_right_is_refused(self, wrong: dict[str, str], words: str) -> None:
        """Settings that would leak tokens or never work are refused with the reason."""
        sound = {"client_id": "4711", "client_secret": "s"}
        with pytest.raises(ValueError, match=words):
            Strava(StravaSection.model_validate({**sound, **wrong}))

    def test_what_is_set_to_nothing_is_off(self) -> None:
        """Both lines uncommented, with nothing between the quotes."""
        section = StravaSection.model_validate({"client_id": "", "client_secret": ""})
        assert Strava.set_up(section) is None

    def test_the_api_may_live_on_a_host_of_its_own(
        self, server: Server, service: Service, grant: Credential
    ) -> None:
        """With `api_base_url` API calls go there, and consent stays where it was."""
        strava = impatient(
            server, base_url="http://127.0.0.1:9", api_base_url=f"{server.base_url}/api/v3"
        )
        assert strava.list_activities(grant, now=service.clock.now).activities == ()
        assert strava.authorize_url(state="s", redirect=REDIRECT).startswith("http://127.0.0.1:9/")
        strava.close()


def test_importing_and_asking_leave_the_process_as_it_was(server: Server) -> None:
    """stravalib's import changes warning filters, its clients log through the root logger, and
    credentials in the environment would enable its own refreshing. None of that has an effect.
    """
    script = f"""
import logging, warnings, requests
from datetime import UTC, datetime
before = list(warnings.filters)
from worker.sources.strava.client import Strava
from worker.sources.base import AccessRefused, Credential
from worker.sources.strava.client import StravaSection
strava = Strava(
    StravaSection(client_id="4711", client_secret="s", base_url="{server.base_url}")
)
now = datetime(2026, 3, 2, tzinfo=UTC)
try:
    strava.list_activities(Credential("1", ("a", "r"), now), now=now)
except AccessRefused:
    print(before == warnings.filters, logging.getLogger().handlers)
"""
    credentials = {"STRAVA_CLIENT_ID": "4711", "STRAVA_CLIENT_SECRET": "s"}
    done = subprocess.run(  # noqa: S603  (our own words)
        [sys.executable, "-c", script],
        env=os.environ | credentials,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True []\n", "")
    assert server.service.calls("/oauth") == 0
