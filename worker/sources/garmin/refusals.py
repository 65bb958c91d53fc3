"""What Garmin's errors mean, in plain words, each with what would mend it. Pure.

Most refusals come with an empty body, so the status says it all. No sentence here ever holds a key,
a token or an address with a query.
"""

# ruff: noqa: N818  (each is named for what happened, as a reader of the log would say it)

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from worker.sources import SourceError, polled
from worker.sources.garmin.grants import KEY_PAGE

PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)


class GarminError(SourceError):
    """Garmin couldn't be used; the message says why and what to do."""


class Unreachable(GarminError, polled.Unreachable):
    """No answer came: no network, no name, no trust, no patience."""


class Unavailable(GarminError, polled.Unavailable):
    """An answer came that's no use: a server's error, half a body, not JSON."""


class RateLimited(GarminError, polled.RateLimited):
    """Too many calls: none until `resets_at`."""

    def __init__(self, resets_at: datetime) -> None:
        super().__init__(
            f"Garmin asks for a pause until {resets_at:%H:%M} UTC; nothing is lost until then",
            resets_at=resets_at,
        )


class DeadGrant(GarminError, polled.DeadGrant):
    """The key is refused: it ran out, was deleted, or was never one."""

    def __init__(self) -> None:
        super().__init__(
            f"Garmin no longer accepts the key (it ran out, or was deleted); make a new one at "
            f"{KEY_PAGE} and connect again",
            permanent=True,
        )


class WrongKey(GarminError):
    """A key that was just given is refused."""

    def __init__(self) -> None:
        super().__init__(
            "Garmin doesn't accept this key: paste it whole, or make a new one at "
            f"{KEY_PAGE}; nothing was changed",
            permanent=True,
        )


class AccessRefused(GarminError, polled.AccessRefused):
    """401 for a token that ought to be good: exchange the key once more and ask again."""

    def __init__(self) -> None:
        super().__init__("Garmin refused the access token")


class Forbidden(GarminError):
    """403: this account may not see that one thing."""

    def __init__(self) -> None:
        super().__init__("Garmin doesn't let this account see that (403)")


class NotThere(GarminError, polled.NotThere):
    """404: no such activity, or no file behind it."""

    def __init__(self) -> None:
        super().__init__("Garmin has no file of it", permanent=True)


def refusal(status: int, *, retry_after: str | None, now: datetime) -> GarminError:
    """The error that a status means."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(now + _pause(retry_after, now))
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessRefused()
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden()
    if status == HTTPStatus.NOT_FOUND:
        return NotThere()
    return Unavailable(f"Garmin has trouble of its own ({status}); asking again later")


def _pause(retry_after: str | None, now: datetime) -> timedelta:
    """How long to ask nothing: what the answer says, a minute at least, four hours at most."""
    try:
        said = timedelta(seconds=float(retry_after or ""))
    except (ValueError, OverflowError):
        said = _until(retry_after, now)
    return min(max(said, PAUSE), LONGEST_PAUSE)


def _until(retry_after: str | None, now: datetime) -> timedelta:
    """As `Retry-After` may also be written: a date."""
    try:
        when = parsedate_to_datetime(retry_after or "")
    except (TypeError, ValueError):
        return PAUSE
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
