"""The page that confirms a new mail address. GET shows a button; POST acts, once.

Mail servers open links in mails to check them, so a GET confirms nothing. The link opens only this
page, which shows nothing about the athlete to the reader at the new address.
"""

import logging

from starlette.responses import Response

from worker.pipeline.contact import confirm_address
from worker.web.context import PageError, WebContext
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)


def show_address(web: WebContext, visit: LinkVisit) -> Response:
    """Ask for confirmation of the address."""
    with web.store.reading() as tx:
        waiting = tx.addresses.waiting(visit.athlete, now=visit.now)
    if waiting is None or waiting.code != visit.more.get("code"):
        raise PageError(410)
    return _page(web, visit, waiting.address, is_done=False)


def save_address(web: WebContext, visit: LinkVisit) -> Response:
    """Confirm the address."""
    with web.store.transaction() as tx:
        address = confirm_address(tx, visit.athlete, visit.more.get("code", ""), now=visit.now)
    if address is None:
        raise PageError(410)
    log.info("web: athlete %(athlete)d confirmed a new address", {"athlete": visit.athlete.id})
    return _page(web, visit, address, is_done=True)


def _page(web: WebContext, visit: LinkVisit, address: str, *, is_done: bool) -> Response:
    return web.pages.show(
        "address.html",
        locale=visit.locale,
        address=address,
        is_done=is_done,
        here=web.pages.root + visit.request.scope["path"],
    )
