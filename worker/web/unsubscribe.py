"""Unsubscribing: one kind of mail at a time. GET shows a form; POST acts, and can be undone.

A mail provider's one-click POST (RFC 8058) has no cookie, referrer or form of ours, and
`List-Unsubscribe=One-Click` as its body. It does the same as the button. The link never expires,
so it opens only this page. The link in an athlete's first mail stops all kinds of mail.
"""

import logging
from collections.abc import Mapping
from typing import get_args

from starlette.responses import Response

from worker.domain.models import MailKind
from worker.notify.render import masked
from worker.web.context import PageError, WebContext
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)

_KINDS: Mapping[str, frozenset[MailKind]] = {
    **{kind: frozenset({kind}) for kind in get_args(MailKind)},
    "all": frozenset(get_args(MailKind)),
}
"""The kinds of mail that a link can stop, by the link's word for them."""


def show_unsubscribe(web: WebContext, visit: LinkVisit) -> Response:
    kind = _kind(visit)
    wanted = not _KINDS[kind].isdisjoint(visit.athlete.wants)
    return _page(web, visit, kind, wanted=wanted, done=False)


def unsubscribe(web: WebContext, visit: LinkVisit) -> Response:
    """Stop one kind of mail or all of them, or undo that."""
    athlete, kind = visit.athlete, _kind(visit)
    again = visit.form.one("again") == "yes" and not visit.form.one("List-Unsubscribe")
    wants = athlete.wants | _KINDS[kind] if again else athlete.wants - _KINDS[kind]
    if wants != athlete.wants:
        with web.store.transaction() as tx:
            tx.athletes.save_wants(athlete, wants)
        does = "takes up" if again else "stops"
        log.info(
            "web: athlete %(athlete)d %(does)s %(kind)s",
            {"athlete": athlete.id, "does": does, "kind": kind},
        )
    return _page(web, visit, kind, wanted=again, done=True)


def _kind(visit: LinkVisit) -> str:
    kind = visit.more.get("kind", "")
    if kind not in _KINDS:
        raise PageError(403)
    return kind


def _page(web: WebContext, visit: LinkVisit, kind: str, *, wanted: bool, done: bool) -> Response:
    return web.pages.show(
        "unsubscribe.html",
        locale=visit.locale,
        kind=kind,
        address=masked(visit.athlete.email),
        wanted=wanted,
        done=done,
        here=web.pages.root + visit.request.scope["path"],
    )
