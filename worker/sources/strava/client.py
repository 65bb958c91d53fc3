"""The questions Easeback asks Strava, each one call: consent, tokens, activities, webhooks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from worker.sources.strava import budget, wire
from worker.sources.strava.budget import Budget
from worker.sources.strava.grants import (
    SCOPES,
    STRAVA,
    Grant,
    StravaSettings,
    sees_activities,
)
from worker.sources.strava.refusals import (
    AccessRefused,
    DeadGrant,
    MissingScope,
    NotThere,
    RedirectMismatch,
    StravaError,
    Unavailable,
    WrongClient,
    refusal,
)
from worker.sources.strava.rows import LARGEST_PAGE, Page, Single, read_row


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook subscription as Strava keeps it."""

    id: int
    callback_url: str


@dataclass(slots=True)
class _Heard:
    """The headers of the last answer."""

    headers: Mapping[str, str] | None = None

    def listen(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def told(self, now: datetime) -> Budget | None:
        return budget.told_by(self.headers, now) if self.headers is not None else None


class Strava:
    """Strava, for one application. Safe to share between threads; keeps connections open.

    Every method raises `StravaError`: its class says what happened, its text what to do. An error
    that came with rate-limit headers has them as `told`.
    """

    def __init__(self, settings: StravaSettings) -> None:
        self.settings = settings

    @cached_property
    def _session(self) -> requests.Session:
        return wire.session(self.settings)

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    # Consent and tokens

    def authorize_url(self, *, state: str, redirect: str) -> str:
        """Where the runner's browser goes to consent.

        The page is shown to those who consented before as well: a link that somebody else opens
        for them must not connect anything in passing.
        """
        query = urlencode(self._consent(state=state, redirect=redirect))
        return f"{self.settings.base_url.rstrip('/')}/oauth/authorize?{query}"

    def check_redirect(self, redirect: str, *, now: datetime) -> None:
        """Ask for the consent page as a browser would that nobody is logged in with.

        Raises `RedirectMismatch` or `WrongClient` where Strava shows an error in its place. Any
        other answer, a log-in first of all, is taken for a good one.
        """
        with self._asking(None, now):
            answer = self._session.get(
                f"{STRAVA}/oauth/authorize",
                params=self._consent(state="", redirect=redirect),
                allow_redirects=False,
            )
            try:
                answer.raise_for_status()
            except requests.HTTPError as error:
                meant = _refused(error, now, None)
                if isinstance(meant, RedirectMismatch):
                    raise RedirectMismatch(urlsplit(redirect).hostname or "") from None
                if isinstance(meant, WrongClient):
                    raise meant from None

    def _consent(self, *, state: str, redirect: str) -> dict[str, str]:
        return {
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "response_type": "code",
            "approval_prompt": "force",
            "scope": ",".join(SCOPES),
            "state": state,
        }

    def exchange(self, code: str, *, scope: str, now: datetime) -> Grant:
        """The grant for a consent's code. `scope` is what came back beside the code.

        Raises `MissingScope` where no activity may be seen. Such a grant isn't given back: that
        would end a better one that the runner gave before.
        """
        with self._asking(None, now) as (api, _):
            access, athlete = api.exchange_code_for_token(
                client_id=int(self.settings.client_id),
                client_secret=self.settings.client_secret,
                code=code,
                return_athlete=True,
            )
            scopes = frozenset(scope.replace(" ", ",").split(",")) - {""}
            grant = _grant(access, strava_id=int((athlete or {}).get("id", 0)), scopes=scopes)
        if not sees_activities(grant.scopes):
            raise MissingScope
        return grant if grant.strava_id else replace(grant, strava_id=self._whose(grant, now))

    def refresh(self, grant: Grant, *, now: datetime) -> Grant:
        """A grant with fresh tokens. Keep it before using it: the old refresh token is dead."""
        with self._asking(None, now) as (api, _):
            try:
                access = api.refresh_access_token(
                    client_id=int(self.settings.client_id),
                    client_secret=self.settings.client_secret,
                    refresh_token=grant.refresh_token,
                )
            except requests.HTTPError as error:
                # Whatever a 401 names, here it's about the one token that was sent.
                if isinstance(_refused(error, now, None), AccessRefused):
                    raise DeadGrant from None
                raise
            return _grant(access, strava_id=grant.strava_id, scopes=grant.scopes)

    def revoke(self, grant: Grant, *, now: datetime) -> None:
        """Give the grant back: by `oauth/revoke`, or where that isn't known by `deauthorize`."""
        with self._asking(grant, now) as (api, _):
            answer = self._session.post(
                f"{STRAVA}/oauth/revoke",
                data={"token": grant.refresh_token, "token_type_hint": "refresh_token"},
                auth=(self.settings.client_id, self.settings.client_secret),
            )
            if answer.status_code in {404, 405, 410}:
                api.post(f"{STRAVA}/oauth/deauthorize")
            else:
                answer.raise_for_status()

    # Activities

    def page(
        self,
        grant: Grant,
        *,
        now: datetime,
        number: int = 1,
        size: int = LARGEST_PAGE,
        before: datetime | None = None,
    ) -> Page:
        """A page of the activities that began before `before`, newest first.

        `after` is never sent: it would turn the order round, and newest first is what lets a page
        prove how far back it has shown everything.
        """
        asked: dict[str, int] = {"page": number, "per_page": size}
        if before is not None:
            asked["before"] = int(before.timestamp())
        with self._asking(grant, now) as (api, heard):
            listed = api.get("/athlete/activities", **asked)
        if not isinstance(listed, list):
            raise Unavailable("Strava's list of activities isn't a list")
        return Page(tuple(map(read_row, listed)), heard.told(now))

    def one(self, grant: Grant, activity_id: str, *, now: datetime) -> Single:
        """One activity by its id."""
        with self._asking(grant, now) as (api, heard):
            try:
                found = api.get("/activities/{id}", id=int(activity_id))
            except requests.HTTPError as error:
                if not isinstance(_refused(error, now, grant), NotThere):
                    raise
                return Single(None, heard.told(now))
        return Single(read_row(found), heard.told(now))

    # Webhooks

    def subscribe(self, callback_url: str, *, verify_token: str, now: datetime) -> int:
        """Ask Strava to post events to an address, which it checks at once; the id."""
        with self._asking(None, now) as (api, _):
            made = api.post(
                "/push_subscriptions",
                data={
                    **self._credentials,
                    "callback_url": callback_url,
                    "verify_token": verify_token,
                },
            )
            return int(made["id"])

    def subscriptions(self, *, now: datetime) -> tuple[Subscription, ...]:
        """The application's subscriptions; there's one at most."""
        with self._asking(None, now) as (api, _):
            listed = api.get("/push_subscriptions", **self._credentials)
            return tuple(Subscription(int(s["id"]), str(s["callback_url"])) for s in listed)

    def unsubscribe(self, subscription_id: int, *, now: datetime) -> None:
        """No more events. A subscription that's gone already is fine."""
        with self._asking(None, now) as (api, _):
            try:
                api.delete("/push_subscriptions/{id}", id=subscription_id, data=self._credentials)
            except requests.HTTPError as error:
                if not isinstance(_refused(error, now, None), NotThere):
                    raise

    @property
    def _credentials(self) -> dict[str, str]:
        return {
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
        }

    def _whose(self, grant: Grant, now: datetime) -> int:
        with self._asking(grant, now) as (api, _):
            return int(api.get("/athlete")["id"])

    @contextmanager
    def _asking(self, grant: Grant | None, now: datetime) -> Iterator[tuple[Any, _Heard]]:
        """A stravalib client for one question; errors leave as `StravaError`."""
        heard = _Heard()
        access_token = grant.access_token if grant is not None else None
        try:
            with wire.plainly():
                yield wire.api(self._session, access_token, heard.listen), heard
        except requests.HTTPError as error:
            raise _refused(error, now, grant, heard.told(now)) from None


def _refused(
    error: requests.HTTPError, now: datetime, grant: Grant | None, told: Budget | None = None
) -> StravaError:
    """What a refusal means. Only the response tells: stravalib's classes lump most of it."""
    response = error.response
    if response is None:
        return Unavailable("Strava refused without an answer")
    resets_at = (told or Budget(now)).resets_at(now)
    meant = refusal(
        response.status_code, _json(response), resets_at=resets_at, bearer=grant is not None
    )
    meant.told = told
    return meant


def _json(response: requests.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None


def _grant(access: Mapping[str, Any], *, strava_id: int, scopes: frozenset[str]) -> Grant:
    tokens = access["access_token"], access["refresh_token"]
    if not all(isinstance(token, str) and token for token in tokens):
        raise Unavailable("Strava gave no tokens")
    return Grant(
        strava_id=strava_id,
        access_token=tokens[0],
        refresh_token=tokens[1],
        expires_at=datetime.fromtimestamp(int(access["expires_at"]), UTC),
        scopes=scopes,
    )
