"""Who may ask Garmin for what: the settings, an athlete's key, and the token it's exchanged for."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.sources.address import check_address

GARMIN = "https://personal.connectapi.garmin.com"
KEY_PAGE = "https://connect.garmin.com/app/settings/personalApiToken"

KEY_LIVES_DAYS = (30, 90, 180, 365)
"""What Garmin lets choose when a key is made. Neither the key nor the API tells which it was."""

TOKEN_LIFE = timedelta(hours=24)
RENEW_BEFORE = timedelta(minutes=10)
WARN_BEFORE = timedelta(days=14)
_LONGEST_KEY = 4096
_LONGEST_LIFE = timedelta(days=366)
_JWT_PARTS = 3


@dataclass(frozen=True, slots=True)
class GarminSettings:
    """How to treat the service.

    `silence_s` is the longest wait for the next piece of an answer, `answer_s` for all of it.
    Raises ValueError with the reason where the address can't be right.
    """

    base_url: str = GARMIN
    every: timedelta = timedelta(hours=1)
    history: timedelta = timedelta(days=400)
    ca_file: str | None = None
    silence_s: float = 30.0
    answer_s: float = 60.0

    def __post_init__(self) -> None:
        check_address(self.base_url, name="Garmin", given_away="your key")


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the data for a day."""

    value: str = field(repr=False)
    expires_at: datetime

    def is_stale(self, now: datetime) -> bool:
        """True from ten minutes before its end."""
        return self.expires_at - now <= RENEW_BEFORE


@dataclass(frozen=True, slots=True)
class Grant:
    """An athlete's key, until when it lives by what they said, and the token of today, if any."""

    key: str = field(repr=False)
    expires_at: datetime
    token: Token | None = None


def read_key(text: str) -> str:
    """A key as it was pasted; raises ValueError, without showing it, where it can't be one."""
    key = text.strip().removeprefix("ApiKey ").strip()
    if not key:
        raise ValueError("no key was given; nothing was changed")
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > _LONGEST_KEY:
        raise ValueError("that isn't a key: paste the one line that Garmin showed, and no more")
    return key


def read_expiry(text: str, *, now: datetime, timezone: str) -> datetime:
    """When a key ends: days from today, as Garmin offers them, or a date; raises ValueError.

    The key lives to the end of that day on the athlete's calendar.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    said = text.strip().lower()
    days = said.removesuffix("days").removesuffix("d").strip()
    try:
        until = today + timedelta(days=int(days)) if days.isdecimal() else date.fromisoformat(said)
    except (ValueError, OverflowError) as error:
        offered = ", ".join(map(str, KEY_LIVES_DAYS))
        raise ValueError(
            f"{text.strip()!r} isn't when a key ends: say the days that you chose at Garmin "
            f"({offered}), or the date, such as {today + timedelta(days=90)}"
        ) from error
    if until < today:
        raise ValueError(f"a key that ended on {until} opens nothing: make a new one at {KEY_PAGE}")
    if until > today + _LONGEST_LIFE:
        raise ValueError(f"no key lives until {until}: Garmin gives a year at most")
    return datetime.combine(until, time(23, 59, 59), ZoneInfo(timezone)).astimezone(UTC)


def token_of(answer: str, *, now: datetime) -> Token | None:
    """The token in an answer of the exchange, None where it holds none.

    Its end stands in the token itself; one that doesn't tell lives a day.
    """
    value = answer.strip().strip('"')
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        return None
    return Token(value, _end_of(value) or now + TOKEN_LIFE)


def _end_of(token: str) -> datetime | None:
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
