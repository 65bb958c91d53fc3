"""The page that confirms a new mail address. GET shows a button; POST acts, once.

Mail servers open links in mails to check them, so a GET confirms nothing. The link opens only this
page, which shows nothing about the athlete to the reader at the new address.
"""

import logging

from starlette.responses import Response

from worker.pipeline.contact import confirm_address
from worker.web.context import WebContext
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)


def show_address(web: WebContext, visit: LinkVisit) -> Response:
    """Ask for confirmation of the address."""
    with web.store.reading() as tx:
        waiting = tx.addresses.waiting(visit.athlete, now=visit.now)
    if waiting is None or waiting.code != visit.more.get("code"):
        return _over(web, visit)
    return _page(web, visit, "asked", waiting.address)


def save_address(web: WebContext, visit: LinkVisit) -> Response:
    """Confirm the address."""
    with web.store.transaction() as tx:
        address = confirm_address(tx, visit.athlete, visit.more.get("code", ""), now=visit.now)
    if address is None:
        return _over(web, visit)
    log.info("web: athlete %(athlete)d confirmed a new address", {"athlete": visit.athlete.id})
    return _page(web, visit, "done", address)


def _over(web: WebContext, visit: LinkVisit) -> Response:
    """The link was used, or another address was saved since; which one isn't known any more."""
    return _page(web, visit, "over", status=410)


def _page(
    web: WebContext, visit: LinkVisit, state: str, address: str = "", *, status: int = 200
) -> Response:
    return web.pages.show(
        "address.html",
        status=status,
        locale=visit.locale,
        address=address,
        state=state,
        here=web.pages.root + visit.request.scope["path"],
    )
