"""The pages for connecting a service by consent: to the service's page, and back.

A link opens a page that says for whom it is, and leads from there to the service. So far, only a
cookie is set. Only the callback connects, and only in the same browser.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, TypedDict

from starlette.responses import RedirectResponse, Response

from worker.notify.render import Locale
from worker.pipeline.credentials import begin_consent, finish_consent
from worker.sources.base import STALE_CONSENT, Source, SourceError
from worker.web.context import PageError, WebContext, locale_of
from worker.web.visits import LinkVisit, Visit

log = logging.getLogger(__name__)

COOKIE = "easeback-consent"
COOKIE_OVER_TLS = f"__Host-{COOKIE}"
"""With this prefix, browsers accept the cookie only over TLS and only from this host."""

COOKIE_LIVES = timedelta(minutes=15)


class _Cookie(TypedDict):
    """The arguments for setting the cookie and for deleting it."""

    key: str
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


def begin_visit(services: Mapping[str, Source], web: WebContext, visit: LinkVisit) -> Response:
    """Show for whom the page is, with a link to the service; set the cookie for the callback.

    Otherwise, somebody else who opens an athlete's link could connect their own account by mistake.
    The operator, who has just named the athlete to `easeback connect`, is redirected at once. The
    link contains the service; older links don't.
    """
    client = services.get(visit.more.get("source", next(iter(services), "")))
    if client is None:
        raise PageError(404)
    redirect = f"{web.base_url}/{client.name}/callback"
    try:
        begun = begin_consent(
            web.services, client.name, visit.athlete, redirect=redirect, now=visit.now
        )
    except SourceError as error:
        return _failed(web, client, error, visit.locale)
    answer: Response = (
        RedirectResponse(begun.address, 303)
        if visit.more.get("by") == "operator"
        else web.pages.show(
            "connect.html",
            locale=visit.locale,
            service=client.title,
            athlete=visit.athlete,
            there=begun.address,
        )
    )
    answer.set_cookie(
        value=begun.cookie, max_age=int(COOKIE_LIVES.total_seconds()), **_cookie(web, client)
    )
    return answer


def finish_visit(client: Source, web: WebContext, visit: Visit) -> Response:
    """Store the credential after the service has redirected back."""
    cookie = _cookie(web, client)
    try:
        done = finish_consent(
            web.services,
            client.name,
            dict(visit.request.query_params),
            cookie=visit.request.cookies.get(cookie["key"], ""),
            now=visit.now,
        )
    except SourceError as error:
        answer = _failed(web, client, error, visit.locale)
    else:
        names = {"athlete": done.athlete.id, "source": client.title}
        log.info("web: athlete %(athlete)d connected %(source)s", names)
        answer = web.pages.show(
            "connected.html",
            locale=locale_of(web, visit.request.scope, done.athlete),
            service=client.title,
            athlete=done.athlete,
            missing=done.note,
            trouble="",
        )
    answer.delete_cookie(**cookie)
    return answer


def _cookie(web: WebContext, client: Source) -> _Cookie:
    """A `__Host-` cookie must have the path "/". `lax`, because another site redirects back."""
    is_tls = web.base_url.startswith("https://")
    return {
        "key": COOKIE_OVER_TLS if is_tls else COOKIE,
        "path": "/" if is_tls else f"{web.pages.root}/{client.name}/callback",
        "secure": is_tls,
        "httponly": True,
        "samesite": "lax",
    }


def _failed(web: WebContext, client: Source, error: SourceError, locale: Locale) -> Response:
    log.info("web: a consent came to nothing: %(why)s", {"why": str(error)})
    if error.code != STALE_CONSENT:  # it is unknown whose consent was stale
        web.report(str(error))
    return web.pages.show(
        "connected.html", locale=locale, status=400, service=client.title, trouble=str(error)
    )
