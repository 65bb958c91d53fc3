"""Links to the practice's pages: a therapist's, and one for an operator with the token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from worker.domain.models import Athlete
from worker.domain.practice import Therapist
from worker.web.context import LOCALE, PageError, WebContext
from worker.web.operator import require_operator
from worker.web.visits import LINK, LINK_LIVES, Visit, page

OPERATOR_LINK_LIVES: Final = timedelta(hours=12)
_OPERATOR: Final = "operator"
_TOKEN = "token"  # noqa: S105  a field's name


@dataclass(frozen=True, slots=True)
class _Operator:
    """The owner of the operator's links. Therapists' random ids are longer than this one."""

    link_id: str = _OPERATOR


@dataclass(frozen=True, slots=True)
class PracticeVisit(Visit):
    """A visit to the practice's pages by a signed link: a therapist's, or the operator's if None.

    `lives` is how long such a link is valid.
    """

    therapist: Therapist | None
    lives: timedelta

    @property
    def who(self) -> str:
        """The visitor, for the log, which contains no names."""
        return f"therapist {self.therapist.id}" if self.therapist else "the operator"

    @property
    def path(self) -> str:
        """The path of the list of athletes, with the same token."""
        return f"/practice/{self.request.path_params['token']}"

    def path_of(self, athlete: Athlete) -> str:
        """The path of an athlete's page, with the same token."""
        return f"{self.path}/athletes/{athlete.link_id}"


PracticeAct = Callable[[WebContext, PracticeVisit], Response]


def practice_route(
    web: WebContext, act: PracticeAct, path: str = "", *, posts: bool = False
) -> Route:
    """A route at `/practice/<token>path` that requires a link of the practice."""
    return page(
        f"/practice/{{token}}{path}",
        web,
        lambda web, visit: act(web, _opened(web, visit)),
        posts=posts,
    )


def lead_to_practice(web: WebContext, visit: Visit) -> Response:
    """Redirect the operator to a signed link, with which forms can be sent."""
    require_operator(web, visit.request)
    known = {_TOKEN: web.signer.fingerprint(web.token or "")}
    token = web.signer.token("practice", _Operator(), now=visit.now, **known)
    return RedirectResponse(f"{web.pages.root}/practice/{token}", 303)


def _opened(web: WebContext, visit: Visit) -> PracticeVisit:
    """The visit by the link's owner; raises `PageError` if the link is closed."""
    link = visit.request.scope[LINK]
    therapist = None
    lives = LINK_LIVES["practice"] or OPERATOR_LINK_LIVES
    if link.athlete == _OPERATOR:
        lives = OPERATOR_LINK_LIVES
        is_token = compare_digest(
            link.more.get(_TOKEN, ""), web.signer.fingerprint(web.token or "")
        )
        is_young = link.signed_at is not None and visit.now - link.signed_at <= lives
        is_open = is_token and is_young
    else:
        with web.store.reading() as tx:
            therapist = tx.therapists.of_link(str(link.athlete))
        is_open = therapist is not None
    if not is_open:
        raise PageError(410)
    language = therapist.language if therapist else ""
    locale = visit.locale._replace(
        language=language if language in web.pages.languages else visit.locale.language,
        rules=web.rules,
    )
    visit.request.scope[LOCALE] = locale
    return PracticeVisit(visit.request, visit.form, visit.now, locale, therapist, lives)
