"""Garmin as a source: the calls that Easeback makes.

Most refusals have an empty body, so only the status matters. No sentence here contains a key, a
token or an address with a query.
"""

import base64
import binascii
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from worker.domain.models import SourceName
from worker.setting_types import SourceSection
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    Forbidden,
    ListedActivity,
    Observe,
    Page,
    Unavailable,
    ignore,
    is_one_word,
)
from worker.sources.garmin.parse import parse_garmin_activity
from worker.sources.garmin.section import GarminSection
from worker.sources.rate_limit import RateLimit, Spacing

EXCHANGE = "/personalapitoken-service/personal-api/personal-api-key/token"
SEARCH = "/activitylist-service/activities/search/activities"
DOWNLOAD = "/download-service/files/activity/"

TOKEN_LIFE = timedelta(hours=24)
RENEW_BEFORE = timedelta(minutes=10)

_FIRST_TO_SEE_A_DAY = timedelta(hours=14)
_JWT_PARTS = 3


class Garmin(ApiKey):
    """The Personal API. Keeps connections open.

    The secrets of a credential are the key and, once there is one, the token and its end. No call
    ends a key; athletes do that in Garmin Connect.
    """

    name: ClassVar[SourceName] = "garmin"
    section: ClassVar[type[SourceSection]] = GarminSection
    title: ClassVar[str] = "Garmin"
    off: ClassVar[str] = "Garmin is off: take the line `enabled = false` out of [garmin]"
    about: ClassVar[str] = (
        "Garmin Connect. Free; each athlete makes a key there (Settings, Personal API), and a new\n"
        "one when it runs out: after 30, 90, 180 or 365 days, as chosen."
    )
    limits: ClassVar[type[RateLimit]] = Spacing
    largest_page: ClassVar[int] = 45
    """Garmin fails on larger pages, its own default included."""
    largest_answer_bytes: ClassVar[int] = 64 * 2**20
    """The largest original file as sent; the reader limits its unpacked size."""
    has_files: ClassVar[bool] = True
    calls_at_once: ClassVar[int | None] = 20
    key_page: ClassVar[str] = "https://connect.garmin.com/app/settings/personalApiToken"
    key_menu: ClassVar[str] = "Settings, Personal API"
    key_lives_days: ClassVar[tuple[int, ...]] = (30, 90, 180, 365)
    """The lifetimes that Garmin offers for a key. Neither the key nor the API says which it is."""

    def is_stale(self, credential: Credential, now: datetime) -> bool:
        _, *token = credential.secrets
        return not token or datetime.fromisoformat(token[1]) - now <= RENEW_BEFORE

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """Exchange the key for a token."""
        key = credential.secrets[0]
        try:
            answer = self.ask("POST", EXCHANGE, f"ApiKey {key}", accept="*/*", now=now)
        except (AccessRefused, Forbidden):
            raise self.ended() from None
        token = answer.text.strip().strip('"')
        if not is_one_word(token):
            raise Unavailable("Garmin gave no token for the key")
        # A token that doesn't state its end is valid for a day.
        expires_at = token_end(token) or now + TOKEN_LIFE
        return replace(credential, secrets=(key, token, expires_at.isoformat()))

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
        """Garmin selects by local date only: with `before`, a page may begin a day later."""
        size = min(size, self.largest_page)
        query: dict[str, str | int] = {"start": (page - 1) * size, "limit": size}
        if before is not None:
            query["endDate"] = (before + _FIRST_TO_SEE_A_DAY).date().isoformat()
        bearer = f"Bearer {credential.secrets[1]}"
        return self.page_of(self.ask_json(SEARCH, bearer, query=query, now=now, observe=observe))

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> bytes:
        """The uploaded file, in a zip made by Garmin."""
        path, accept = f"{DOWNLOAD}{int(external_id)}", "application/x-zip-compressed"
        bearer = f"Bearer {credential.secrets[1]}"
        return self.ask("GET", path, bearer, accept=accept, now=now, observe=observe).content

    def parse(self, raw: object) -> ListedActivity:
        return parse_garmin_activity(raw)


def token_end(token: str) -> datetime | None:
    """When a token expires, according to the token itself."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
