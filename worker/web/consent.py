"""The pages of a service that is connected by a consent: to its page, and back.

A link leads to a page that says whose it is, and from there to the service; that sets a cookie and
nothing else. Only the way back acts, and only in the browser that went.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from worker.domain.models import SourceName
from worker.pipeline.credentials import begin_consent, finish_consent
from worker.pipeline.services import ConnectedSource
from worker.sources.base import STALE_CONSENT, SourceError
from worker.web.context import PageError, WebContext
from worker.web.visits import LinkVisit, Visit, page

log = logging.getLogger(__name__)

COOKIE = "easeback-consent"
COOKIE_OVER_TLS = f"__Host-{COOKIE}"
"""Under this name browsers take it over TLS alone, and from no neighbouring host."""

COOKIE_LIVES = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class ConsentPages:
    """The pages of one service."""

    web: WebContext
    connected: ConnectedSource

    def routes(self) -> tuple[BaseRoute, ...]:
        return (page(self._callback, self.web, self.finish, pool="services"),)

    @property
    def _callback(self) -> str:
        return f"/{self.connected.client.name}/callback"

    @property
    def _is_tls(self) -> bool:
        return self.web.base_url.startswith("https://")

    @property
    def _cookie(self) -> tuple[str, str]:
        """The cookie's name and path: browsers want a `__Host-` cookie to be for the whole host."""
        return (COOKIE_OVER_TLS, "/") if self._is_tls else (COOKIE, self._callback)

    def _failed(self, error: SourceError) -> Response:
        log.info("web: a consent came to nothing: %(why)s", {"why": str(error)})
        if error.code != STALE_CONSENT:  # that one was nobody's
            self.web.report(str(error))
        trouble = f"{str(error)[:1].upper()}{str(error)[1:]}"
        return self.web.pages.show(
            "connected.html", status=400, service=self.connected.client.title, trouble=trouble
        )

    def begin(self, visit: LinkVisit) -> Response:
        """Says whose page it is, with the way to the service; sets the cookie for the way back.

        An athlete's link in the hands of somebody else would show the other's runs to the athlete.
        The operator who runs `easeback connect` has just named the athlete, and is led there.
        """
        client = self.connected.client
        redirect = f"{self.web.base_url}{self._callback}"
        try:
            begun = begin_consent(
                self.web.services, client.name, visit.athlete, redirect=redirect, now=visit.now
            )
        except SourceError as error:
            return self._failed(error)
        answer: Response = (
            RedirectResponse(begun.address, 303)
            if visit.more.get("by") == "operator"
            else self.web.pages.show(
                "connect.html", service=client.title, athlete=visit.athlete, there=begun.address
            )
        )
        name, path = self._cookie
        # `lax`: coming back is a visit from another site.
        answer.set_cookie(
            name,
            begun.cookie,
            max_age=int(COOKIE_LIVES.total_seconds()),
            path=path,
            secure=self._is_tls,
            httponly=True,
            samesite="lax",
        )
        return answer

    def finish(self, _: WebContext, visit: Visit) -> Response:
        name, path = self._cookie
        cookie = visit.request.cookies.get(name, "")
        query = dict(visit.request.query_params)
        try:
            done = finish_consent(
                self.web.services, self.connected.client.name, query, cookie=cookie, now=visit.now
            )
        except SourceError as error:
            answer = self._failed(error)
        else:
            names = {"athlete": done.athlete.id, "source": self.connected.client.title}
            log.info("web: athlete %(athlete)d connected %(source)s", names)
            answer = self.web.pages.show(
                "connected.html",
                service=self.connected.client.title,
                athlete=done.athlete,
                missing=done.note,
                trouble="",
            )
        answer.delete_cookie(name, path=path, secure=self._is_tls, httponly=True, samesite="lax")
        return answer


def begin(pages: Mapping[SourceName, ConsentPages], _: WebContext, visit: LinkVisit) -> Response:
    """Begins the consent of the service that the link names; older links name none."""
    source = visit.more.get("source", next(iter(pages), ""))
    for name, one in pages.items():
        if name == source:
            return one.begin(visit)
    raise PageError(404)
