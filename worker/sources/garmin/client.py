"""The questions Easeback asks Garmin, each one call: a token for a key, the list, a file."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from typing import Any

import requests

from worker import __version__
from worker.sources import wire
from worker.sources.garmin.grants import GarminSettings, Grant, Token, token_of
from worker.sources.garmin.refusals import (
    AccessRefused,
    DeadGrant,
    Unavailable,
    Unreachable,
    refusal,
)
from worker.sources.garmin.rows import LARGEST_PAGE, Page, read_row

EXCHANGE = "/personalapitoken-service/personal-api/personal-api-key/token"
SEARCH = "/activitylist-service/activities/search/activities"
DOWNLOAD = "/download-service/files/activity/"

LARGEST_FILE_BYTES = 64 * 2**20
"""Of an original file as it's sent; the reader bounds what it unpacks to."""

_FIRST_TO_SEE_A_DAY = timedelta(hours=14)


class Garmin:
    """The Personal API. Safe to share between threads; keeps connections open.

    Every method raises `GarminError`: its class says what happened, its text what to do. Asking
    for data without a token is answered as the service would, by `AccessRefused`.
    """

    def __init__(self, settings: GarminSettings) -> None:
        self.settings = settings
        self._way = wire.Way(
            "Garmin",
            Unreachable,
            Unavailable,
            ca_file=settings.ca_file,
            silence_s=settings.silence_s,
            answer_s=settings.answer_s,
            largest_bytes=LARGEST_FILE_BYTES,
        )

    @cached_property
    def _session(self) -> requests.Session:
        return wire.session(self._way)

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    def exchange(self, key: str, *, now: datetime) -> Token:
        """A token for a key. Raises `DeadGrant` where Garmin refuses the key."""
        answer = self._ask("POST", EXCHANGE, f"ApiKey {key}", accept="*/*")
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise DeadGrant
        _refuse(answer, now)
        token = token_of(answer.text, now=now)
        if token is None:
            raise Unavailable("Garmin gave no token for the key")
        return token

    def page(
        self,
        grant: Grant,
        *,
        now: datetime,
        number: int = 1,
        size: int = LARGEST_PAGE,
        before: datetime | None = None,
    ) -> Page:
        """A page of the activities, newest first; with `before` from about there on.

        Garmin cuts by the local date alone, so such a page may begin a day later than it's asked
        to. It never holds more than 45, whatever `size` is.
        """
        size = min(size, LARGEST_PAGE)
        asked: dict[str, str | int] = {"start": (number - 1) * size, "limit": size}
        if before is not None:
            asked["endDate"] = (before + _FIRST_TO_SEE_A_DAY).date().isoformat()
        answer = self._data(grant, SEARCH, accept="application/json", now=now, query=asked)
        with wire.plainly(self._way):
            listed = answer.json()
        if not isinstance(listed, list):
            raise Unavailable("Garmin's list of activities isn't a list")
        return Page(tuple(map(read_row, listed)))

    def original(self, grant: Grant, activity_id: str, *, now: datetime) -> bytes:
        """The file that was uploaded, in the zip that Garmin puts it into."""
        path = f"{DOWNLOAD}{int(activity_id)}"
        return self._data(grant, path, accept="application/x-zip-compressed", now=now).content

    def _data(
        self,
        grant: Grant,
        path: str,
        *,
        accept: str,
        now: datetime,
        query: Mapping[str, str | int] | None = None,
    ) -> requests.Response:
        if grant.token is None:
            raise AccessRefused
        bearer = f"Bearer {grant.token.value}"
        answer = self._ask("GET", path, bearer, accept=accept, query=query)
        _refuse(answer, now)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        authorization: str,
        *,
        accept: str,
        query: Mapping[str, str | int] | None = None,
    ) -> requests.Response:
        headers: dict[str, Any] = {
            "Authorization": authorization,
            "Accept": accept,
            "User-Agent": f"easeback/{__version__}",
        }
        address = f"{self.settings.base_url.rstrip('/')}{path}"
        with wire.plainly(self._way):
            return self._session.request(method, address, headers=headers, params=query)


def _refuse(answer: requests.Response, now: datetime) -> None:
    if not answer.ok:
        raise refusal(answer.status_code, retry_after=answer.headers.get("Retry-After"), now=now)
