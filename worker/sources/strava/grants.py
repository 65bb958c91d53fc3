"""Who may ask Strava for what: the application's settings, and one athlete's grant."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.sources.address import check_address

STRAVA = "https://www.strava.com"
READ_SOME = "activity:read"
READ_ALL = "activity:read_all"
SCOPES = ("read", READ_ALL)
"""Asked for: `read` always belongs to it, `activity:read_all` shows runs only the runner sees."""

TOKEN_LIFE = timedelta(hours=6)
REFRESH_BEFORE = timedelta(minutes=10)
_CLOCK_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class StravaSettings:
    """The operator's API application, and how to treat the service.

    `api_base_url` is for the day when the API moves to a host of its own; None means
    `<base_url>/api/v3`. `retention` None keeps what was fetched until the athlete disconnects.
    `silence_s` is the longest wait for the next piece of an answer, `answer_s` for all of it.
    Raises ValueError with the reason where an address or the client id can't be right.
    """

    client_id: str
    client_secret: str = field(repr=False)
    base_url: str = STRAVA
    api_base_url: str | None = None
    every: timedelta = timedelta(minutes=15)
    history: timedelta = timedelta(days=400)
    retention: timedelta | None = None
    ca_file: str | None = None
    silence_s: float = 30.0
    answer_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.client_id.isascii() and self.client_id.isdecimal()):
            raise ValueError(
                "the client id of a Strava application is a number, as shown at "
                f"https://www.strava.com/settings/api; this is {self.client_id!r}"
            )
        if not self.client_secret:
            raise ValueError("there is a client id for Strava and no client secret")
        for address in filter(None, (self.base_url, self.api_base_url)):
            check_address(address, name="Strava", given_away="tokens")

    @property
    def api_url(self) -> str:
        """Where the API proper lives, without a slash at the end."""
        return (self.api_base_url or f"{self.base_url.rstrip('/')}/api/v3").rstrip("/")

    @property
    def reach(self) -> timedelta:
        """How far back runs are wanted: never further than they may be kept."""
        return self.history if self.retention is None else min(self.history, self.retention)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one athlete allowed, with the tokens for it. `strava_id` is their id at Strava."""

    strava_id: int
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str] = frozenset(SCOPES)

    def is_stale(self, now: datetime) -> bool:
        """True from ten minutes before the access token ends."""
        return self.expires_at - now <= REFRESH_BEFORE

    def clock_seems_off(self, now: datetime) -> bool:
        """True where a grant fresh from Strava would have ended already, or lives impossibly long.

        Strava gives out access tokens with one to six hours left, so anything else means that our
        clock and theirs disagree.
        """
        left = self.expires_at - now
        return not timedelta(hours=1) - _CLOCK_TOLERANCE < left < TOKEN_LIFE + _CLOCK_TOLERANCE


def missing_scopes(granted: Iterable[str]) -> str | None:
    """What the runner won't get for having unticked a box, in words; None where nothing is."""
    scopes = frozenset(granted)
    if READ_ALL in scopes:
        return None
    if READ_SOME in scopes:
        return (
            "activities that only you can see will be missing, as that box was unticked on "
            "Strava's page; connect again and leave it ticked if you have such runs"
        )
    return (
        "Strava didn't allow Easeback to see any activities, as the box for them was unticked; "
        "connect again and leave it ticked"
    )


def sees_activities(granted: Iterable[str]) -> bool:
    """True where the scopes suffice to see at least some activities."""
    return not frozenset(granted).isdisjoint({READ_SOME, READ_ALL})
