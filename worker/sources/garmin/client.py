"""Garmin as a source: what Easeback asks it, each one call.

Most refusals come with an empty body, so the status says it all. No sentence here ever holds a
key, a token or an address with a query.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from worker import __version__
from worker.domain.models import SourceName
from worker.setting_types import Duration, SourceSection
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    CredentialRevoked,
    Forbidden,
    ListedActivity,
    NotFound,
    OAuth2,
    Observe,
    Page,
    RateLimited,
    SourceError,
    Unavailable,
    Webhook,
    ignore,
)
from worker.sources.garmin.parse import parse_garmin_activity
from worker.sources.rate_limit import LONGEST_PAUSE, Spacing

if TYPE_CHECKING:
    import requests

KEY_PAGE = "https://connect.garmin.com/app/settings/personalApiToken"
EXCHANGE = "/personalapitoken-service/personal-api/personal-api-key/token"
SEARCH = "/activitylist-service/activities/search/activities"
DOWNLOAD = "/download-service/files/activity/"

TOKEN_LIFE = timedelta(hours=24)
RENEW_BEFORE = timedelta(minutes=10)
PAUSE = timedelta(minutes=1)

LARGEST_DOWNLOAD_BYTES = 64 * 2**20
"""Of an original file as it's sent; the reader bounds what it unpacks to."""

_FIRST_TO_SEE_A_DAY = timedelta(hours=14)
_LONGEST_KEY = 4096
_JWT_PARTS = 3


class GarminSection(SourceSection):
    """Nothing is needed here: each athlete gives a key of their own."""

    enabled: bool = True
    base_url: str = "https://personal.connectapi.garmin.com"
    every: Duration = timedelta(hours=1)


class Garmin:
    """The Personal API. Keeps connections open.

    The secrets of a credential are the key, and once there is one the token and when it ends.
    """

    name: ClassVar[SourceName] = "garmin"
    section: ClassVar[type[SourceSection]] = GarminSection
    title: ClassVar[str] = "Garmin"
    off: ClassVar[str] = "Garmin is off: take the line `enabled = false` out of [garmin]"
    about: ClassVar[str] = (
        "Garmin Connect. Free; each athlete makes a key there (Settings, Personal API), and a new\n"
        "one when it runs out: after 30, 90, 180 or 365 days, as chosen."
    )
    asked_for: ClassVar[tuple[str, ...]] = ()
    ends_at_service: ClassVar[str | None] = None
    precedence: ClassVar[int] = 1
    largest_page: ClassVar[int] = 45
    """Garmin fails on larger ones, its own default included."""
    has_files: ClassVar[bool] = True
    calls_at_once: ClassVar[int | None] = 20
    key_page: ClassVar[str] = KEY_PAGE
    key_menu: ClassVar[str] = "Settings, Personal API"
    key_lives_days: ClassVar[tuple[int, ...]] = (30, 90, 180, 365)
    """What Garmin lets choose when a key is made. Neither the key nor the API tells which."""

    def __init__(
        self,
        settings: GarminSection,
        *,
        ca_file: str | None = None,
        silence_s: float = 30.0,
        answer_s: float = 60.0,
    ) -> None:
        """`silence_s` is the longest wait for the next piece of an answer, `answer_s` for all.

        Raises ValueError with the reason where the address can't be right.
        """
        from worker.sources.http import HttpOptions, check_address

        check_address(settings.base_url, title="Garmin", given_away="your key")
        self._base_url = settings.base_url.rstrip("/")
        self._http = HttpOptions(
            "Garmin", ca_file, silence_s, answer_s, largest_bytes=LARGEST_DOWNLOAD_BYTES
        )
        self.every = settings.every
        self.reach = settings.history
        self.retention: timedelta | None = None
        self.auth: OAuth2 | ApiKey = self
        self.webhook: Webhook | None = None

    @classmethod
    def set_up(cls, settings: GarminSection, *, ca_file: str | None = None) -> "Garmin | None":
        """None where it isn't enabled."""
        try:
            return cls(settings, ca_file=ca_file) if settings.enabled else None
        except ValueError as error:
            raise ValueError(f"base_url: {error}") from error

    @cached_property
    def _session(self) -> "requests.Session":
        from worker.sources.http import http_session

        return http_session(self._http)

    def close(self) -> None:
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    def rate_limit(self, state: Mapping[str, Any] | None, now: datetime) -> Spacing:  # noqa: ARG002  `Source`'s
        return Spacing.stored(state)

    def rate_limited(self, resets_at: datetime) -> RateLimited:
        return RateLimited(
            f"Garmin asks for a pause until {resets_at:%H:%M} UTC; nothing is lost until then",
            resets_at=resets_at,
        )

    # Key and token

    def with_key(self, key: str, *, ends_at: datetime | None) -> Credential:
        pasted = key.strip().removeprefix("ApiKey ").strip()
        if not pasted:
            raise ValueError("no key was given; nothing was changed")
        if (
            not pasted.isascii()
            or not pasted.isprintable()
            or " " in pasted
            or len(pasted) > _LONGEST_KEY
        ):
            raise ValueError("that isn't a key: paste the one line that Garmin showed, and no more")
        return Credential("", (pasted,), ends_at=ends_at)

    def wrong_key(self) -> SourceError:
        return SourceError(
            "Garmin doesn't accept this key: paste it whole, or make a new one at "
            f"{KEY_PAGE}; nothing was changed",
            permanent=True,
        )

    def ended(self) -> CredentialRevoked:
        return CredentialRevoked(
            "Garmin no longer accepts the key (it ran out, or was deleted); make a new one at "
            f"{KEY_PAGE} and connect again"
        )

    def is_stale(self, credential: Credential, now: datetime) -> bool:
        _, *token = credential.secrets
        return not token or datetime.fromisoformat(token[1]) - now <= RENEW_BEFORE

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """Exchange the key for a token."""
        key = credential.secrets[0]
        answer = self._ask("POST", EXCHANGE, f"ApiKey {key}", accept="*/*", observe=ignore)
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self.ended()
        self._refuse(answer, now)
        token = answer.text.strip().strip('"')
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Unavailable("Garmin gave no token for the key")
        # A token that doesn't tell when it ends lives a day.
        expires_at = token_end(token) or now + TOKEN_LIFE
        return replace(credential, secrets=(key, token, expires_at.isoformat()))

    def clock_trouble(self, fresh: Credential, now: datetime) -> str | None:  # noqa: ARG002  `Source`'s
        return None

    def revoke(self, credential: Credential, *, now: datetime) -> None:
        """There is no call that ends a key: that is done in Garmin Connect."""

    # Activities and files

    def list_activities(
        self,
        credential: Credential,
        *,
        now: datetime,
        observe: Observe = ignore,
        page: int = 1,
        size: int = largest_page,
        before: datetime | None = None,
    ) -> Page:
        """Garmin cuts by the local date alone: with `before` a page may begin a day later."""
        size = min(size, self.largest_page)
        asked: dict[str, str | int] = {"start": (page - 1) * size, "limit": size}
        if before is not None:
            asked["endDate"] = (before + _FIRST_TO_SEE_A_DAY).date().isoformat()
        answer = self._data(credential, SEARCH, "application/json", now, observe, query=asked)
        try:
            listed = answer.json()
        except ValueError:
            raise Unavailable("Garmin answered with something that isn't its API") from None
        if not isinstance(listed, list):
            raise Unavailable("Garmin's list of activities isn't a list")
        return Page(tuple(map(parse_garmin_activity, listed)))

    def get_activity(self, *_: object, **__: object) -> ListedActivity | None:
        return None  # asked for after webhook events, and Garmin sends none

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> bytes:
        """The file that was uploaded, in the zip that Garmin puts it into."""
        path = f"{DOWNLOAD}{int(external_id)}"
        return self._data(credential, path, "application/x-zip-compressed", now, observe).content

    def parse(self, raw: object) -> ListedActivity:
        return parse_garmin_activity(raw)

    def _data(
        self,
        credential: Credential,
        path: str,
        accept: str,
        now: datetime,
        observe: Observe,
        query: Mapping[str, str | int] | None = None,
    ) -> "requests.Response":
        """Asking without a token is answered as the service would, by `AccessRefused`."""
        if len(credential.secrets) == 1:
            raise AccessRefused("Garmin refused the access token")
        bearer = f"Bearer {credential.secrets[1]}"
        answer = self._ask("GET", path, bearer, accept=accept, observe=observe, query=query)
        self._refuse(answer, now)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        authorization: str,
        *,
        accept: str,
        observe: Observe,
        query: Mapping[str, str | int] | None = None,
    ) -> "requests.Response":
        from worker.sources.http import network_errors

        headers = {
            "Authorization": authorization,
            "Accept": accept,
            "User-Agent": f"easeback/{__version__}",
        }
        with network_errors("Garmin"):
            answer = self._session.request(
                method, f"{self._base_url}{path}", headers=headers, params=query
            )
        observe(answer.headers)
        return answer

    def _refuse(self, answer: "requests.Response", now: datetime) -> None:
        """Raise the error that the status of an answer means, if it means one."""
        status = answer.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise self.rate_limited(now + pause(answer.headers.get("Retry-After"), now))
        if status == HTTPStatus.UNAUTHORIZED:
            raise AccessRefused("Garmin refused the access token")
        if status == HTTPStatus.FORBIDDEN:
            raise Forbidden("Garmin doesn't let this account see that (403)")
        if status == HTTPStatus.NOT_FOUND:
            raise NotFound("Garmin has no file of it")
        if not answer.ok:
            raise Unavailable(f"Garmin has trouble of its own ({status}); asking again later")


def token_end(token: str) -> datetime | None:
    """When a token ends, which stands in the token itself."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def pause(retry_after: str | None, now: datetime) -> timedelta:
    """How long to ask nothing: what `Retry-After` says, a minute at least, four hours at most."""
    asked = PAUSE
    try:
        asked = timedelta(seconds=float(retry_after or ""))
    except (ValueError, OverflowError):
        try:
            until = parsedate_to_datetime(retry_after or "")
            asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
        except (TypeError, ValueError):
            pass
    return min(max(asked, PAUSE), LONGEST_PAUSE)
