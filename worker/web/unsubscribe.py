"""Unsubscribing: one kind of mail at a time. GET shows a form; POST acts, and can be undone.

A mail provider's one-click POST (RFC 8058) comes without cookie, referrer or form of ours, with
`List-Unsubscribe=One-Click` as its body; it means what the button means. The link never expires,
so it opens this page and no other.
"""

import logging
from typing import get_args

from starlette.responses import Response

from worker.domain.models import MailKind
from worker.web.context import PageError, WebContext
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)

_KINDS: tuple[MailKind, ...] = get_args(MailKind)


def show_unsubscribe(web: WebContext, visit: LinkVisit) -> Response:
    kind = _kind(visit)
    return _page(web, visit, kind, wanted=kind in visit.athlete.wants, done=False)


def unsubscribe(web: WebContext, visit: LinkVisit) -> Response:
    """Stops one kind of mail, or takes it up again."""
    athlete, kind = visit.athlete, _kind(visit)
    again = visit.form.one("again") == "yes" and not visit.form.one("List-Unsubscribe")
    wants = athlete.wants | {kind} if again else athlete.wants - {kind}
    if wants != athlete.wants:
        with web.store.transaction() as tx:
            tx.athletes.save_wants(athlete, wants)
        does = "takes up" if again else "stops"
        log.info(
            "web: athlete %(athlete)d %(does)s %(kind)s",
            {"athlete": athlete.id, "does": does, "kind": kind},
        )
    return _page(web, visit, kind, wanted=again, done=True)


def _kind(visit: LinkVisit) -> MailKind:
    for kind in _KINDS:
        if visit.more.get("kind") == kind:
            return kind
    raise PageError(403)


def _page(
    web: WebContext, visit: LinkVisit, kind: MailKind, *, wanted: bool, done: bool
) -> Response:
    return web.pages.show(
        "unsubscribe.html",
        locale=visit.locale,
        kind=kind,
        address=_masked(visit.athlete.email),
        wanted=wanted,
        done=done,
        here=web.pages.root + visit.request.scope["path"],
    )


def _masked(address: str) -> str:
    """Enough to know one's own address by, too little to write to a stranger's."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"
