"""intervals.icu as a source: the calls that Easeback makes.

The key is sent with every call by HTTP Basic, with a user name that is the same for everybody.
Bearer tokens are only for OAuth applications. Athlete 0 is the owner of the key.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar

from worker.domain.models import SourceName
from worker.setting_types import SourceSection
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    Forbidden,
    ListedActivity,
    NotFound,
    Observe,
    Page,
    SourceError,
    Unavailable,
    ignore,
)
from worker.sources.intervals.parse import is_hidden, parse_intervals_activity
from worker.sources.intervals.section import IntervalsSection
from worker.sources.rate_limit import RateLimit, Spacing

ATHLETE = "/api/v1/athlete/0"
ACTIVITIES = f"{ATHLETE}/activities"
ACTIVITY = "/api/v1/activity"
HIDDEN_BY_STRAVA = (
    "runs that came to intervals.icu from Strava are hidden by Strava's terms: connect the watch "
    "to intervals.icu directly (Settings there), and the coming ones are seen"
)

_DAY = timedelta(days=1)


class Intervals(ApiKey):
    """intervals.icu, by the athlete's key. Keeps connections open. Keys don't expire."""

    name: ClassVar[SourceName] = "intervals"
    section: ClassVar[type[SourceSection]] = IntervalsSection
    title: ClassVar[str] = "intervals.icu"
    off: ClassVar[str] = "intervals.icu is off: take the line `enabled = false` out of [intervals]"
    about: ClassVar[str] = (
        "intervals.icu. Free; takes runs from Garmin, Polar, Suunto, COROS, Wahoo and others;\n"
        "each athlete makes a key there once (Settings, Developer Settings), which doesn't end."
    )
    limits: ClassVar[type[RateLimit]] = Spacing
    largest_page: ClassVar[int] = 200
    largest_answer_bytes: ClassVar[int] = 64 * 2**20
    has_files: ClassVar[bool] = True
    calls_at_once: ClassVar[int | None] = 20
    key_page: ClassVar[str] = "https://intervals.icu/settings"
    key_menu: ClassVar[str] = "Settings, Developer Settings"

    def is_stale(self, credential: Credential, now: datetime) -> bool:  # noqa: ARG002  `Source`'s
        return not credential.account_id

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """Ask whose key it is, which shows whether it's accepted."""
        try:
            owner = self.ask_json(ATHLETE, _basic(credential), now=now)
        except (AccessRefused, Forbidden):
            raise self.ended() from None
        account_id = owner.get("id") if isinstance(owner, Mapping) else None
        if not isinstance(account_id, str) or not account_id:
            raise Unavailable("intervals.icu doesn't say whose key this is")
        return replace(credential, account_id=account_id[:64])

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
        """The API selects by local date and has no pages: earlier pages are requested again."""
        query: dict[str, str | int] = {
            "oldest": (now - self.reach - _DAY).date().isoformat(),
            "newest": ((before or now) + _DAY).date().isoformat(),
            "limit": page * size,
        }
        listed = self.ask_json(
            ACTIVITIES, _basic(credential), query=query, now=now, observe=observe
        )
        found = self.page_of(listed)
        hidden = any(map(is_hidden, listed))
        return Page(
            found.activities[(page - 1) * size :], note=HIDDEN_BY_STRAVA if hidden else None
        )

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> bytes:
        """The uploaded file, usually compressed with gzip."""
        path = f"{ACTIVITY}/{external_id}/file"
        answer = self.ask("GET", path, _basic(credential), accept="*/*", now=now, observe=observe)
        return answer.content

    def parse(self, raw: object) -> ListedActivity:
        return parse_intervals_activity(raw)

    def refused(self, status: int, headers: Mapping[str, str], now: datetime) -> SourceError:
        """Activities from Strava can't be read one by one (422)."""
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return NotFound("intervals.icu may not show what came from Strava")
        return super().refused(status, headers, now)


def _basic(credential: Credential) -> str:
    word = base64.b64encode(f"API_KEY:{credential.secrets[0]}".encode()).decode()
    return f"Basic {word}"
