"""The first mail to a new athlete: queued once, with the link to their settings."""

from datetime import datetime

from worker.domain.models import Athlete
from worker.notify import WelcomeFacts
from worker.pipeline.services import Services, enqueue
from worker.store import Transaction

WELCOME = "welcome"
"""The prefix of these mails' keys."""


def queue_welcome(
    tx: Transaction, services: Services, athlete: Athlete, *, now: datetime
) -> int | None:
    """Queue an athlete's first mail, after more urgent mail; None if they had one before.

    Called wherever an athlete is added. Athletes from before this mail existed get none.
    """
    email = services.composer.welcome(WelcomeFacts(athlete, services.rules, now))
    key = f"{WELCOME}:{athlete.id}"
    outbox_id = enqueue(tx, services, email, athlete=athlete, key=key, now=now)
    if outbox_id is not None:
        tx.outbox.let_others_first(outbox_id)
    return outbox_id
