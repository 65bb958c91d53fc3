"""What Strava's errors mean, in plain words, each with a remedy. Pure.

Strava reports most errors as a status and a list of `resource`, `field`, `code`. The same word
can occur with several statuses, so both are considered. No sentence here contains a token, a
secret or an address with a query.
"""

from collections.abc import Callable, Mapping
from typing import Any

from worker.sources.base import (
    CONSENT_REFUSED,
    REDIRECT_MISMATCH,
    WRONG_CLIENT,
    AccessRefused,
    CredentialRevoked,
    NotFound,
    SourceError,
)
from worker.sources.strava.section import API_PAGE

NO_SUBSCRIPTION = (
    "Strava has switched this API application off: since June 2026 the account that owns "
    "it needs a Strava subscription. Subscribe with that account and reactivate the "
    f"application at {API_PAGE}, or do without: FIT files work as well"
)
ATHLETE_LIMIT = (
    'Strava says "Limit of connected athletes exceeded": a new API application may have one '
    "athlete. Ask Strava for more (the Developer Program form), disconnect another athlete, or "
    "let each make an application of their own; FIT files work as well"
)
CLOCK_IS_WRONG = (
    "this machine's clock is wrong: by it, Strava's new tokens would have ended already or "
    "live too long; set the clock (a time server keeps it right)"
)
CODE_REFUSED = (
    "Strava didn't accept the consent, as it was used before or has waited too long; connect again"
)
REVOKED = (
    "Strava no longer accepts the connection (it was withdrawn, or its token was lost); "
    "connect again"
)
MISSING_SCOPE = (
    "Strava doesn't let Easeback see the activities, as the box for them was unticked; "
    "connect again and leave it ticked"
)


def wrong_client(which: str = "client id or client secret") -> SourceError:
    """The client id or secret isn't that of an application."""
    return SourceError(
        f"Strava doesn't know this {which}: compare [strava] client_id and client_secret with "
        f"{API_PAGE}",
        permanent=True,
        for_everybody=True,
        code=WRONG_CLIENT,
    )


def redirect_mismatch(host: str = "") -> SourceError:
    """The redirect address isn't in the application's callback domain."""
    there = f"to {host}" if host else "to the host of base_url"
    return SourceError(
        "Strava refuses to send the browser back to Easeback: set the Authorization Callback "
        f"Domain at {API_PAGE} {there}",
        permanent=True,
        code=REDIRECT_MISMATCH,
    )


def tells_athlete_limit(text: str) -> bool:
    """True if an answer (a page or JSON) mentions the application's athlete limit."""
    return "limit of connected athletes" in text.lower()


def told_by(body: object, *, bearer: bool) -> SourceError | None:
    """The error that a body describes; None if it isn't a known one.

    `bearer` means that the call used an athlete's access token and not the application's secret:
    the service uses the same words if either is wrong.
    """
    for error in _errors(body):
        for pattern, meaning in _MEANINGS:
            if pattern.items() <= error.items():
                meant = meaning(error)
                about_token = bearer and meant.code == WRONG_CLIENT
                return AccessRefused("Strava refused the access token") if about_token else meant
    return None


def _about_webhook(error: Mapping[str, str]) -> str:
    said = f"{error['field']} {error['code']}"
    if "exist" in said:
        return "there is a webhook subscription already; remove it first"
    if "verif" in said or "callback" in said:
        return (
            "Strava couldn't reach Easeback at base_url to check it; it must be reachable from "
            "the internet over https"
        )
    return f"Strava refused the webhook subscription: {said.strip()}"


def _errors(body: object) -> list[dict[str, str]]:
    """The list of errors in lower case; empty if the body has another structure."""
    if not isinstance(body, dict):
        return []
    told: Any = body.get("errors")
    listed = told if isinstance(told, list) else [told]
    return [
        {key: str(one.get(key) or "").lower() for key in ("resource", "field", "code")}
        for one in listed
        if isinstance(one, dict)
    ]


_MEANINGS: tuple[tuple[Mapping[str, str], Callable[[Mapping[str, str]], SourceError]], ...] = (
    (
        {"resource": "application", "field": "status", "code": "inactive"},
        lambda _: SourceError(
            NO_SUBSCRIPTION, permanent=True, for_everybody=True, code=CONSENT_REFUSED
        ),
    ),
    ({"resource": "application", "field": "client_id"}, lambda _: wrong_client("client id")),
    (
        {"resource": "application", "field": "client_secret"},
        lambda _: wrong_client("client secret"),
    ),
    ({"resource": "application", "field": "redirect_uri"}, lambda _: redirect_mismatch()),
    ({"resource": "application", "field": "", "code": "invalid"}, lambda _: wrong_client()),
    ({"resource": "requesttoken"}, lambda _: SourceError(CODE_REFUSED, permanent=True)),
    ({"resource": "authorizationcode"}, lambda _: SourceError(CODE_REFUSED, permanent=True)),
    ({"resource": "refreshtoken"}, lambda _: CredentialRevoked(REVOKED)),
    (
        {"resource": "accesstoken", "code": "missing"},
        lambda _: SourceError(MISSING_SCOPE, permanent=True),
    ),
    (
        {"resource": "pushsubscription", "field": "id"},
        lambda _: NotFound("Strava has no such subscription"),
    ),
    (
        {"resource": "pushsubscription"},
        lambda error: SourceError(_about_webhook(error), permanent=True),
    ),
)
