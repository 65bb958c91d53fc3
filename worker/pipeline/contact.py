"""Changes an athlete's name or mail address, on the athlete's request.

A new address takes effect once somebody who reads it has confirmed it. Until then, all mail goes
to the old address, which is notified. Mail that waits in the outbox then goes to the new one.
"""

import secrets
from datetime import datetime

from worker.domain.contact import ContactError, checked_address, checked_name
from worker.domain.models import Athlete
from worker.domain.weeks import local_time
from worker.mail import readdressed
from worker.notify import AddressFacts
from worker.pipeline.services import Services, enqueue
from worker.store import NameTakenError, Transaction

_TO_THE_OLD = "address asked"


def rename(tx: Transaction, athlete: Athlete, name: str) -> None:
    """Save another name. Raises `ContactError`, which doesn't reveal other athletes' names."""
    wanted = checked_name(name)
    taken = tx.athletes.named(wanted)
    try:
        if taken is not None and taken.id != athlete.id:
            raise NameTakenError(wanted)
        tx.athletes.save_name(athlete, wanted)
    except NameTakenError as error:
        raise ContactError("this name can't be used here: choose another one") from error


def ask_for_address(
    tx: Transaction, services: Services, athlete: Athlete, address: str, *, now: datetime
) -> None:
    """Mail a link to the new address, and notify the old one. Raises `ContactError`.

    Asking for the current address cancels an earlier request.
    """
    wanted = checked_address(address)
    if wanted == athlete.email:
        tx.addresses.drop(athlete)
        return
    code = secrets.token_urlsafe(12)
    if not tx.addresses.ask(athlete, wanted, code=code, now=now):
        raise ContactError("too many addresses were asked for: try again tomorrow")
    facts = AddressFacts(athlete, wanted, code, local_time(athlete, now))
    composer = services.composer
    for what, email in (
        ("address", composer.address(facts)),
        (_TO_THE_OLD, composer.address_asked(facts)),
    ):
        enqueue(tx, services, email, athlete=athlete, key=f"{what}:{athlete.id}:{code}", now=now)


def confirm_address(tx: Transaction, athlete: Athlete, code: str, *, now: datetime) -> str | None:
    """Make the requested address effective and return it; None if the code isn't valid."""
    tx.athletes.hold(athlete)
    waiting = tx.addresses.waiting(athlete, now=now)
    if waiting is None or not tx.addresses.use(athlete, code):
        return None
    tx.athletes.save_email(athlete, waiting.address)
    for mail in tx.outbox.unsent_to(athlete, athlete.email):
        if not mail.key.startswith(f"{_TO_THE_OLD}:"):
            mime = readdressed(mail.mime, waiting.address)
            tx.outbox.readdress(mail, recipient=waiting.address, mime=mime)
    return waiting.address
