"""Mails red flags to those who look after an athlete, once for each sign while it holds."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from email.utils import parseaddr
from typing import NamedTuple

from worker.domain.checkins import CheckIn, standing_flags
from worker.domain.models import Athlete
from worker.domain.weeks import local_time
from worker.notify import RedFlagFacts
from worker.pipeline.services import Services, enqueue
from worker.store import Transaction
from worker.store.tables import COPY_KEY

_KEY = "red flag"


class Watcher(NamedTuple):
    """Somebody who is mailed an athlete's red flags; the athlete's pages show the `name`.

    `therapist_id` is None for the address of the settings. An empty `language` means the default.
    """

    name: str
    address: str
    therapist_id: int | None = None
    language: str = ""


def watchers(tx: Transaction, services: Services, athlete: Athlete) -> Sequence[Watcher]:
    """Everybody to whom this athlete's red flags are reported, each address once.

    These are the address of the settings and, if the athlete agreed to copies and the practice
    wants them, the practice's therapists.
    """
    if not services.tells_red_flags:
        return ()
    found = []
    if services.copies_alerts:
        found += [
            Watcher(one.name, one.email, one.id, one.language)
            for one in tx.therapists.copied_about(athlete)
        ]
    if services.therapist is not None:
        address = parseaddr(services.therapist)[1]
        if address.casefold() not in {one.address.casefold() for one in found}:
            found.insert(0, Watcher(address, services.therapist))
    return found


def tell_of_red_flags(
    tx: Transaction, services: Services, athlete: Athlete, answer: CheckIn, *, now: datetime
) -> None:
    """Queue a mail to each watcher about the red flags of an answer that was just saved.

    A sign that was ticked again while it holds isn't reported to the same person again.
    """
    if not answer.flags:
        return
    since = standing_flags(tx.checkins.all(athlete), today=answer.day)
    keys = tx.outbox.keys(athlete, kind="notice")
    at = local_time(athlete, now)
    for watcher in watchers(tx, services, athlete):
        told = _told(keys, watcher)
        untold = tuple(
            flag
            for flag in answer.flags
            if not any(flag in flags and day >= since[flag] for day, flags in told)
        )
        if not untold:
            continue
        facts = RedFlagFacts(watcher.address, athlete, untold, at, watcher.language)
        email = services.composer.red_flag(facts)
        key = _key(athlete, answer.day, untold, watcher)
        enqueue(tx, services, email, athlete=athlete, key=key, now=now)


def _key(athlete: Athlete, day: date, flags: Iterable[str], watcher: Watcher) -> str:
    """The key of a mail. A therapist's is a copy, dropped with the consent or the therapist."""
    key = f"{_KEY}:{athlete.id}:{day}:{'+'.join(flags)}"
    if watcher.therapist_id is None:
        return key
    return f"{COPY_KEY}:{key}:{watcher.therapist_id}"


def _told(keys: Iterable[str], watcher: Watcher) -> list[tuple[date, set[str]]]:
    """Which flags the mails with these keys reported to a watcher, and on which day."""
    is_copy = watcher.therapist_id is not None
    begin = f"{COPY_KEY}:{_KEY}:" if is_copy else f"{_KEY}:"
    end = f":{watcher.therapist_id}" if is_copy else ""
    mine = [key.removeprefix(begin) for key in keys if key.startswith(begin) and key.endswith(end)]
    parts = [key.split(":") for key in mine]
    return [(date.fromisoformat(day), set(flags.split("+"))) for _, day, flags, *_ in parts]
