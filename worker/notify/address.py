"""The mails about a new address: one asks it to confirm, one notifies the old address."""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Athlete, Email
from worker.domain.rules import Rules
from worker.notify.render import Renderer, clean, masked


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """An athlete asked for their mails to be sent to `address`; `at` is in their local time.

    `code` is part of the link, so that it only works for this address, and once.
    """

    athlete: Athlete
    address: str
    code: str
    at: datetime


def compose_address(renderer: Renderer, facts: AddressFacts) -> Email:
    """The mail to the new address. It names nobody: a mistyped address may be a stranger's."""
    links = {}
    if renderer.signer is not None:
        links["address"] = renderer.signer.sign(
            "address", facts.athlete, now=facts.at, code=facts.code
        )
    locale = renderer.locale(facts.athlete, Rules())
    return renderer.email("address", None, {}, locale=locale, recipient=facts.address, links=links)


def compose_address_asked(renderer: Renderer, facts: AddressFacts) -> Email:
    """The mail to the old address, whose owner can notice and stop an unwanted change."""
    athlete = facts.athlete
    context = {
        "who": clean(athlete.name),
        "address": clean(masked(facts.address), longest=254),
        "at": facts.at,
    }
    return renderer.email(
        "address_asked",
        None,
        context,
        locale=renderer.locale(athlete, Rules()),
        recipient=athlete.email,
        links=renderer.web_links(athlete, facts.at),
    )
