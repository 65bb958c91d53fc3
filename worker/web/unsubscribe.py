"""Unsubscribing: one kind of mail at a time. GET shows a form; POST acts, and can be undone.

A mail provider's one-click POST (RFC 8058) comes without cookie, referrer or form of ours, with
`List-Unsubscribe=One-Click` as its body; it means what the button means. The link never expires,
so it opens this page and no other.
"""

import logging
from typing import get_args

from starlette.responses import Response

from worker.model import Athlete, MailKind
from worker.web.desk import Desk, RefusedError, Visit, opened

log = logging.getLogger(__name__)


def show(desk: Desk, visit: Visit) -> Response:
    athlete, kind = _meant(desk, visit)
    return _page(desk, visit, athlete, kind, wanted=kind in athlete.wants, done=False)


def act(desk: Desk, visit: Visit) -> Response:
    athlete, kind = _meant(desk, visit)
    again = visit.form.one("again") == "yes" and not visit.form.one("List-Unsubscribe")
    wants = athlete.wants | {kind} if again else athlete.wants - {kind}
    if wants != athlete.wants:
        with desk.store.transaction() as tx:
            tx.athletes.want(athlete, wants)
        does = "takes up" if again else "stops"
        log.info(
            "web: athlete %(athlete)d %(does)s %(kind)s",
            {"athlete": athlete.id, "does": does, "kind": kind},
        )
    return _page(desk, visit, athlete, kind, wanted=again, done=True)


def _meant(desk: Desk, visit: Visit) -> tuple[Athlete, MailKind]:
    athlete, payload = opened(desk, visit, "unsubscribe")
    for kind in get_args(MailKind):
        if payload.get("kind") == kind:
            return athlete, kind
    raise RefusedError(403)


def _page(
    desk: Desk, visit: Visit, athlete: Athlete, kind: MailKind, *, wanted: bool, done: bool
) -> Response:
    return desk.pages.show(
        "unsubscribe.html",
        kind=kind,
        address=_masked(athlete.email),
        wanted=wanted,
        done=done,
        here=visit.request.url.path,
    )


def _masked(address: str) -> str:
    """Enough to know one's own address by, too little to write to a stranger's."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"
