"""The simulated Strava behaves as documented; otherwise the other tests prove nothing."""

from datetime import UTC, datetime, timedelta

from simulators.strava.accounts import Account
from simulators.strava.limits import Limits
from simulators.strava.service import Service
from tests.sources.strava.conftest import connect
from worker.sources.base import Credential
from worker.sources.strava.client import Strava


def ids(strava: Strava, grant: Credential, service: Service, *, number: int = 1) -> list[str]:
    page = strava.list_activities(grant, now=service.clock.now, page=number)
    return [row.external_id for row in page.activities]


def test_a_page_can_be_short_before_the_last(
    strava: Strava, service: Service, runner: Account, grant: Credential
) -> None:
    """A ghost takes a place and isn't shown: 199 of 200, and then more."""
    made = service.diary.weeks_of_runs(runner, service.clock.now, 250, every=timedelta(hours=30))
    made[7].ghost = True
    assert len(ids(strava, grant, service)) == 199
    assert len(ids(strava, grant, service, number=2)) == 50
    assert ids(strava, grant, service, number=3) == []


def test_private_runs_need_the_wider_scope(
    strava: Strava, service: Service, runner: Account, grant: Credential
) -> None:
    """With `activity:read` alone private activities are missing, in the list and individually."""
    secret = service.diary.add(runner, service.clock.now, visibility="only_me")
    assert ids(strava, grant, service) == [str(secret.id)]
    service.tokens.live[grant.secrets[0]].scopes = frozenset({"read", "activity:read"})
    assert ids(strava, grant, service) == []
    assert strava.get_activity(grant, str(secret.id), now=service.clock.now) is None


def test_nobody_sees_anothers_activities(
    strava: Strava, service: Service, grant: Credential
) -> None:
    """A grant opens one account."""
    other = service.account("Timo")
    theirs = service.diary.add(other, service.clock.now)
    assert ids(strava, grant, service) == []
    assert strava.get_activity(grant, str(theirs.id), now=service.clock.now) is None


def test_consenting_anew_ends_the_tokens_before(
    strava: Strava, service: Service, grant: Credential
) -> None:
    """One consent at a time."""
    connect(strava, service)
    assert grant.secrets[0] not in service.tokens.live


def test_windows_turn_at_the_quarters_and_at_midnight_and_refused_calls_count() -> None:
    """The short window turns at :15, the day at 00:00 UTC; calls over the limit still count."""
    limits = Limits()
    limits.read.per_quarter, limits.read.per_day = 2, 4
    at = datetime(2026, 3, 2, 23, 44, 59, tzinfo=UTC)
    assert [limits.count(at) for _ in range(3)] == [True, True, False]
    assert limits.count(at + timedelta(seconds=1))
    assert not limits.count(at + timedelta(seconds=1)), "the refused call counted for the day"
    assert limits.count(datetime(2026, 3, 3, tzinfo=UTC))
    assert limits.headers(at)["X-Readratelimit-Usage"] == "3,5"
