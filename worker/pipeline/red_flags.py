"""Tells whoever looks after an athlete of red flags, by one mail for each sign while it stands."""

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from worker.domain.checkins import CheckIn, standing_flags
from worker.domain.models import Athlete
from worker.notify import RedFlagFacts
from worker.pipeline.services import Services, enqueue
from worker.store import Transaction

_KEY = "red flag"


def tell_of_red_flags(
    tx: Transaction, services: Services, athlete: Athlete, answer: CheckIn, *, now: datetime
) -> None:
    """Queue a mail about the red flags of an answer just saved of which none was queued yet.

    Whoever is told is `services.therapist`; without one nobody is. A sign that was ticked again
    while it stood isn't told again.
    """
    if services.therapist is None or not answer.flags:
        return
    since = standing_flags(tx.checkins.all(athlete), today=answer.day)
    told = _told(tx.outbox.keys(athlete, kind="notice"))
    untold = tuple(
        flag
        for flag in answer.flags
        if not any(flag in flags and day >= since[flag] for day, flags in told)
    )
    if not untold:
        return
    at = now.astimezone(ZoneInfo(athlete.timezone))
    email = services.composer.red_flag(RedFlagFacts(services.therapist, athlete, untold, at))
    key = f"{_KEY}:{athlete.id}:{answer.day}:{'+'.join(untold)}"
    enqueue(tx, services, email, athlete=athlete, key=key, now=now)


def _told(keys: Iterable[str]) -> list[tuple[date, set[str]]]:
    """Which flags the mails of these keys told of, and on which day."""
    parts = [key.split(":") for key in keys if key.startswith(f"{_KEY}:")]
    return [(date.fromisoformat(day), set(flags.split("+"))) for _, _, day, flags, *_ in parts]
