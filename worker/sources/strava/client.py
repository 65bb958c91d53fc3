"""Strava as a source: the calls that Easeback makes, through stravalib.

stravalib sets no time-out, knows one host, takes the application's credentials from the
environment, sleeps when its limiter says so, and warns through the root logger. It is therefore
given a session that limits every answer in time and size and connects to the configured address,
a limiter that only observes, and the credentials with each call. It is imported late, because
that takes half a second and changes the process's warning filters.
"""

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from worker.domain.models import SourceName
from worker.setting_types import SourceSection
from worker.sources.base import (
    CONSENT_REFUSED,
    REDIRECT_MISMATCH,
    WRONG_CLIENT,
    AccessRefused,
    Credential,
    CredentialRevoked,
    ListedActivity,
    NotFound,
    OAuth2,
    Observe,
    Page,
    ServiceEvent,
    SourceError,
    Subscription,
    Unavailable,
    Webhook,
    ignore,
)
from worker.sources.rate_limit import RateLimit, Windows
from worker.sources.strava import errors
from worker.sources.strava.parse import parse_strava_activity
from worker.sources.strava.section import StravaSection

STRAVA = "https://www.strava.com"
READ_SOME = "activity:read"
READ_ALL = "activity:read_all"
SCOPES = ("read", READ_ALL)
"""The requested scopes: `read` is required, `activity:read_all` includes private runs."""

REFRESH_BEFORE = timedelta(minutes=10)
_CLOCK_TOLERANCE = timedelta(minutes=10)
_SHORTEST_LIFE, _LONGEST_LIFE = timedelta(hours=1), timedelta(hours=6)
"""The range of lifetimes of the access tokens that Strava issues."""

_importing = threading.Lock()


class Strava(OAuth2, Webhook):
    """Strava, for one application. Keeps connections open."""

    name: ClassVar[SourceName] = "strava"
    section: ClassVar[type[SourceSection]] = StravaSection
    title: ClassVar[str] = "Strava"
    off: ClassVar[str] = (
        "Strava is off: set [strava] client_id and client_secret, as shown at "
        "https://www.strava.com/settings/api"
    )
    about: ClassVar[str] = (
        "Strava. Needs an API application (https://www.strava.com/settings/api), whose owner\n"
        "needs a paid subscription."
    )
    asked_for: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")
    no_consent_hint: ClassVar[str] = (
        "where Strava's page spoke of an invalid redirect_uri, set the Authorization Callback "
        "Domain at https://www.strava.com/settings/api to the host of base_url; where it spoke of "
        "a limit of connected athletes, ask Strava for more or make an application of your own"
    )
    ends_at_service: ClassVar[str | None] = "end it there in Settings → My Apps"
    limits: ClassVar[type[RateLimit]] = Windows
    largest_page: ClassVar[int] = 200

    def __init__(
        self, settings: StravaSection, *, ca_file: str | None = None, answer_s: float = 60.0
    ) -> None:
        super().__init__(settings, ca_file=ca_file, answer_s=answer_s)
        secret = settings.client_secret
        self.client_id = settings.client_id or ""
        self._client_secret = secret.get_secret_value() if secret is not None else ""
        self._api_url = settings.api_base_url or f"{self.base_url}/api/v3"
        if settings.retention_days is not None:
            self.retention = timedelta(days=settings.retention_days)
            self.reach = min(self.reach, self.retention)

    # Consent and tokens: the secrets are an access token and a refresh token

    def authorize_url(self, *, state: str, redirect: str) -> str:
        """The page is shown even to athletes who consented before.

        Otherwise, opening somebody else's link could connect an account without asking.
        """
        query = urlencode(self._consent(state=state, redirect=redirect))
        return f"{self.base_url}/oauth/authorize?{query}"

    def check_redirect(self, redirect: str, *, now: datetime) -> None:
        """Ask for the consent page as a browser without a login would.

        A login page counts as success. Raises `Unavailable` for a page that isn't shown to us but
        may be shown to a browser.
        """
        with self._asking(None, now):
            answer = self.session.get(
                f"{STRAVA}/oauth/authorize",
                params=self._consent(state="", redirect=redirect),
                allow_redirects=False,
            )
        if answer.ok:
            return
        meant = self._refusal(answer, now, bearer=False)
        if meant.code == REDIRECT_MISMATCH:
            raise errors.redirect_mismatch(urlsplit(redirect).hostname or "")
        if meant.code in (WRONG_CLIENT, CONSENT_REFUSED):
            raise meant
        raise Unavailable(f"Strava's page of consent answers with status {answer.status_code}")

    def exchange(self, query: Mapping[str, str], *, now: datetime) -> Credential:
        """A credential that may see no activities isn't revoked.

        That would end a better one that the athlete gave before.
        """
        refused = query.get("error", "")
        if refused == "access_denied":
            raise SourceError("you cancelled on Strava's page; nothing was changed", permanent=True)
        if "redirect" in refused:
            raise errors.redirect_mismatch()
        if refused or not query.get("code"):
            raise SourceError("Strava sent no consent back; nothing was changed", permanent=True)
        with self._asking(None, now) as api:
            access, athlete = api.exchange_code_for_token(
                client_id=int(self.client_id),
                client_secret=self._client_secret,
                code=query["code"],
                return_athlete=True,
            )
            scopes = frozenset(query.get("scope", "").replace(" ", ",").split(",")) - {""}
            credential = _credential(access, str((athlete or {}).get("id", "")), scopes)
        if scopes.isdisjoint({READ_SOME, READ_ALL}):
            raise SourceError(errors.MISSING_SCOPE, permanent=True)
        if credential.account_id:
            return credential
        with self._asking(credential, now) as api:
            return replace(credential, account_id=str(int(api.get("/athlete")["id"])))

    def missing(self, credential: Credential) -> str | None:
        if READ_ALL in credential.scopes:
            return None
        return (
            "activities that only you can see will be missing, as that box was unticked on "
            "Strava's page; connect again and leave it ticked if you have such runs"
        )

    def is_stale(self, credential: Credential, now: datetime) -> bool:
        return credential.expires_at is None or credential.expires_at - now <= REFRESH_BEFORE

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """The refresh token changes each time, and the old one becomes invalid."""
        try:
            with self._asking(None, now) as api:
                access = api.refresh_access_token(
                    client_id=int(self.client_id),
                    client_secret=self._client_secret,
                    refresh_token=credential.secrets[1],
                )
                return _credential(access, credential.account_id, credential.scopes)
        except AccessRefused:
            # Whatever a 401 names, here it concerns the one token that was sent.
            raise CredentialRevoked(errors.REVOKED) from None

    def clock_trouble(self, fresh: Credential, now: datetime) -> str | None:
        if fresh.expires_at is None:
            return None
        left = fresh.expires_at - now
        is_sound = _SHORTEST_LIFE - _CLOCK_TOLERANCE < left < _LONGEST_LIFE + _CLOCK_TOLERANCE
        return None if is_sound else errors.CLOCK_IS_WRONG

    def revoke(self, credential: Credential, *, now: datetime) -> None:
        """Uses `oauth/revoke`, or `deauthorize` if the server doesn't know that."""
        with self._asking(credential, now) as api:
            answer = self.session.post(
                f"{STRAVA}/oauth/revoke",
                data={"token": credential.secrets[1], "token_type_hint": "refresh_token"},
                auth=(self.client_id, self._client_secret),
            )
            if answer.status_code in {404, 405, 410}:
                api.post(f"{STRAVA}/oauth/deauthorize")
            else:
                answer.raise_for_status()

    # Activities

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
        """`after` is never sent, because it would reverse the order.

        Only pages that are newest first prove how far back everything was shown.
        """
        asked: dict[str, int] = {"page": page, "per_page": size}
        if before is not None:
            asked["before"] = int(before.timestamp())
        with self._asking(credential, now, observe) as api:
            listed = api.get("/athlete/activities", **asked)
        return self.page_of(listed)

    def get_activity(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> ListedActivity | None:
        try:
            with self._asking(credential, now, observe) as api:
                return parse_strava_activity(api.get("/activities/{id}", id=int(external_id)))
        except NotFound:
            return None

    def parse(self, raw: object) -> ListedActivity:
        return parse_strava_activity(raw)

    # Webhooks

    def subscribe(self, callback_url: str, *, verify_token: str, now: datetime) -> int:
        with self._asking(None, now) as api:
            made = api.post(
                "/push_subscriptions",
                data={
                    **self._application,
                    "callback_url": callback_url,
                    "verify_token": verify_token,
                },
            )
            return int(made["id"])

    def subscriptions(self, *, now: datetime) -> tuple[Subscription, ...]:
        """There is at most one."""
        with self._asking(None, now) as api:
            listed = api.get("/push_subscriptions", **self._application)
            return tuple(Subscription(int(s["id"]), str(s["callback_url"])) for s in listed)

    def unsubscribe(self, subscription_id: int, *, now: datetime) -> None:
        try:
            with self._asking(None, now) as api:
                api.delete("/push_subscriptions/{id}", id=subscription_id, data=self._application)
        except NotFound:
            return

    def read_event(self, event: object) -> ServiceEvent | None:
        if not isinstance(event, Mapping):
            return None
        names = ("subscription_id", "owner_id", "object_id")
        ids = [i for name in names if type(i := event.get(name)) is int and 0 <= i < 2**63]
        kind = event.get("object_type")
        if len(ids) != len(names) or kind not in ("activity", "athlete"):
            return None
        subscription_id, owner, number = ids
        return ServiceEvent(subscription_id, str(owner), str(number) if kind == "activity" else "")

    @property
    def _application(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self._client_secret}

    def _consent(self, *, state: str, redirect: str) -> dict[str, str]:
        return {
            "client_id": self.client_id,
            "redirect_uri": redirect,
            "response_type": "code",
            "approval_prompt": "force",
            "scope": ",".join(SCOPES),
            "state": state,
        }

    def route(self, address: str) -> str:
        """The configured address for the one that stravalib hard-codes."""
        rest = address.removeprefix(STRAVA)
        if rest.startswith("/api/v3/"):
            return self._api_url + rest.removeprefix("/api/v3")
        return self.base_url + rest

    @contextmanager
    def _asking(
        self, credential: Credential | None, now: datetime, observe: Observe = ignore
    ) -> Iterator[Any]:
        """A stravalib client for one call; every error is raised as `SourceError`."""
        import requests

        from worker.sources.http import network_errors

        api = stravalib_protocol().ApiV3(
            access_token=credential.secrets[0] if credential else None,
            requests_session=self.session,
            rate_limiter=lambda headers, _: observe(headers),
        )
        # Otherwise, credentials in the environment would enable its own refresh, which loses the
        # new tokens.
        api.client_id = api.client_secret = None
        try:
            with network_errors("Strava"):
                yield api
        except requests.HTTPError as error:
            raise self._refusal(error.response, now, bearer=credential is not None) from None
        except (KeyError, TypeError, AttributeError, ValueError):
            raise Unavailable("Strava answered in a form that nobody documented") from None

    def _refusal(self, response: Any, now: datetime, *, bearer: bool) -> SourceError:
        """What a refusal means, according to the response, because stravalib's classes combine
        most errors.
        """
        try:
            body = response.json()
        except ValueError:
            body = None
        if errors.tells_athlete_limit(response.text):
            return SourceError(errors.ATHLETE_LIMIT, permanent=True, code=CONSENT_REFUSED)
        told = errors.told_by(body, bearer=bearer)
        return told or self.refused(response.status_code, response.headers, now)

    def refused(self, status: int, headers: Mapping[str, str], now: datetime) -> SourceError:
        """Strava's headers show which window is used up, and thus when it opens again."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self.rate_limited(Windows(now).observe(headers, now).resets_at(now))
        return super().refused(status, headers, now)


@cache
def stravalib_protocol() -> ModuleType:
    """Import stravalib's protocol module without its warnings and logs."""
    with _importing, warnings.catch_warnings():
        # Without this, each client warns through the root logger about missing credentials:
        # https://stravalib.readthedocs.io/en/latest/reference/api/stravalib.client.Client.html
        os.environ.setdefault("SILENCE_TOKEN_WARNINGS", "true")
        from stravalib import protocol

    # Two webhook calls carry the client secret in the address, and urllib3 logs addresses.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    return protocol


def _credential(access: Mapping[str, Any], account_id: str, scopes: frozenset[str]) -> Credential:
    tokens = access["access_token"], access["refresh_token"]
    if not all(isinstance(token, str) and token for token in tokens):
        raise Unavailable("Strava gave no tokens")
    expires_at = datetime.fromtimestamp(int(access["expires_at"]), UTC)
    return Credential(account_id, tokens, expires_at, scopes=scopes)
