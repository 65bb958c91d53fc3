"""What Strava's errors mean, in plain words, each with what would mend it.

Pure. The service says most things with a status and a list of `resource`, `field`, `code`; the
same word can stand under several statuses, so both are looked at. No sentence here ever holds a
token, a secret or an address with a query.
"""

# ruff: noqa: N818  (each is named for what happened, as a reader of the log would say it)

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from worker.sources import SourceError, polled
from worker.sources.strava.budget import Budget

API_PAGE = "https://www.strava.com/settings/api"


class StravaError(SourceError):
    """Strava couldn't be used; the message says why and what to do.

    `told` is what the refusal's headers said of the rate limits, where it had any.
    """

    told: Budget | None = None


class Unreachable(StravaError, polled.Unreachable):
    """No answer came: no network, no name, no trust, no patience."""


class Unavailable(StravaError, polled.Unavailable):
    """An answer came that's no use: a server's error, half a body, not JSON."""


class RateLimited(StravaError, polled.RateLimited):
    """The calls of this window are used up until `resets_at`."""

    def __init__(self, resets_at: datetime) -> None:
        super().__init__(
            f"Strava's rate limit is used up; it opens again at {resets_at:%H:%M} UTC and nothing "
            "is lost until then",
            resets_at=resets_at,
        )


class NoSubscription(StravaError):
    """403 Inactive: the application's owner has no Strava subscription."""

    def __init__(self) -> None:
        super().__init__(
            "Strava has switched this API application off: since June 2026 the account that owns "
            "it needs a Strava subscription. Subscribe with that account and reactivate the "
            f"application at {API_PAGE}, or do without: FIT files work as well",
            permanent=True,
        )


class WrongClient(StravaError):
    """Client id or secret aren't those of an application."""

    def __init__(self, which: str = "client id or client secret") -> None:
        super().__init__(
            f"Strava doesn't know this {which}: compare [strava] client_id and client_secret with "
            f"{API_PAGE}",
            permanent=True,
        )


class RedirectMismatch(StravaError):
    """The address to come back to isn't in the application's callback domain."""

    def __init__(self, host: str = "") -> None:
        there = f"to {host}" if host else "to the host of base_url"
        super().__init__(
            "Strava refuses to send the browser back to Easeback: set the Authorization Callback "
            f"Domain at {API_PAGE} {there}",
            permanent=True,
        )


class ClockOff(StravaError):
    """Our clock and Strava's disagree by far."""

    def __init__(self) -> None:
        super().__init__(
            "this machine's clock is wrong: by it, Strava's new tokens would have ended already or "
            "live too long; set the clock (a time server keeps it right)"
        )


class CodeRefused(StravaError):
    """The code of a consent was used before, or is too old."""

    def __init__(self) -> None:
        super().__init__(
            "Strava didn't accept the consent, as it was used before or has waited too long; "
            "connect again",
            permanent=True,
        )


class NoConsent(StravaError):
    """The runner's browser came back without a consent that could be used."""

    def __init__(self, why: str) -> None:
        super().__init__(why, permanent=True)


class StaleConsent(NoConsent):
    """Used before, too old, or from another browser: nobody's consent."""

    def __init__(self) -> None:
        super().__init__(
            "this page was used before, has waited too long, or was opened in another browser; "
            "begin again with the link"
        )


class DeadGrant(StravaError, polled.DeadGrant):
    """The refresh token is dead: only the runner can mend that, by connecting again."""

    def __init__(self) -> None:
        super().__init__(
            "Strava no longer accepts the connection (it was withdrawn, or its token was lost); "
            "connect again",
            permanent=True,
        )


class AccessRefused(StravaError, polled.AccessRefused):
    """401 for an access token that ought to be good: refresh once and ask again."""

    def __init__(self) -> None:
        super().__init__("Strava refused the access token")


class MissingScope(StravaError):
    """The runner didn't allow what was asked for."""

    def __init__(self) -> None:
        super().__init__(
            "Strava doesn't let Easeback see the activities, as the box for them was unticked; "
            "connect again and leave it ticked",
            permanent=True,
        )


class NotThere(StravaError, polled.NotThere):
    """404: no such activity, or none that this grant may see."""

    def __init__(self) -> None:
        super().__init__("Strava has no such activity, or doesn't show it", permanent=True)


class WebhookRefused(StravaError):
    """A subscription couldn't be made."""

    def __init__(self, why: str) -> None:
        super().__init__(why, permanent=True)


def refusal(status: int, body: object, *, resets_at: datetime, bearer: bool) -> StravaError:
    """The error that a status and a body mean.

    `resets_at` is when the rate limit opens again. `bearer` says that the question was asked with
    an athlete's access token and not with the application's secret: the service uses the same
    words for either being wrong.
    """
    errors = _errors(body)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(resets_at)
    for error in errors:
        for pattern, meaning in _MEANINGS:
            if pattern.items() <= error.items():
                meant = meaning(error)
                about_token = bearer and isinstance(meant, WrongClient)
                return AccessRefused() if about_token else meant
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessRefused()
    if status == HTTPStatus.NOT_FOUND:
        return NotThere()
    if status == HTTPStatus.FORBIDDEN:
        return StravaError("Strava forbids it and doesn't say why (403)")
    return Unavailable(f"Strava has trouble of its own ({status}); asking again later")


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
    """The list of errors in lower case; empty where the body is of another make."""
    if not isinstance(body, dict):
        return []
    told: Any = body.get("errors")
    listed = told if isinstance(told, list) else [told]
    return [
        {key: str(one.get(key) or "").lower() for key in ("resource", "field", "code")}
        for one in listed
        if isinstance(one, dict)
    ]


_MEANINGS: tuple[tuple[Mapping[str, str], Callable[[Mapping[str, str]], StravaError]], ...] = (
    (
        {"resource": "application", "field": "status", "code": "inactive"},
        lambda _: NoSubscription(),
    ),
    ({"resource": "application", "field": "client_id"}, lambda _: WrongClient("client id")),
    ({"resource": "application", "field": "client_secret"}, lambda _: WrongClient("client secret")),
    ({"resource": "application", "field": "redirect_uri"}, lambda _: RedirectMismatch()),
    ({"resource": "application", "field": "", "code": "invalid"}, lambda _: WrongClient()),
    ({"resource": "requesttoken"}, lambda _: CodeRefused()),
    ({"resource": "authorizationcode"}, lambda _: CodeRefused()),
    ({"resource": "refreshtoken"}, lambda _: DeadGrant()),
    ({"resource": "accesstoken", "code": "missing"}, lambda _: MissingScope()),
    ({"resource": "pushsubscription", "field": "id"}, lambda _: NotThere()),
    ({"resource": "pushsubscription"}, lambda error: WebhookRefused(_about_webhook(error))),
)
