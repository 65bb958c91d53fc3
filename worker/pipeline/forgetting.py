"""Forget: everything about one athlete gone, from the store and from the mailbox folder."""

from datetime import datetime
from pathlib import Path

from worker.model import Athlete
from worker.pipeline.strava.grants import disconnect
from worker.pipeline.works import Works


def forget_athlete(works: Works, athlete: Athlete, *, mailbox: Path, now: datetime) -> str | None:
    """Take the athlete out of the store, and their mails out of the mailbox folder.

    A grant is given back first; what couldn't be done about that is returned in words. The files
    in the inbox are the runner's own and stay; they are taken in again only when somebody adds an
    athlete for them.
    """
    trouble = disconnect(works, works.strava, athlete, now=now) if works.strava else None
    for mail in mailbox.glob("*.eml"):
        if _is_to(mail, athlete.email):
            mail.unlink()
    with works.store.transaction() as tx:
        tx.outbox.forget(athlete)
        tx.athletes.remove(athlete)
    works.store.compact()
    return trouble


def _is_to(mail: Path, address: str) -> bool:
    from email import message_from_binary_file, policy
    from email.utils import getaddresses

    with mail.open("rb") as file:
        headers = message_from_binary_file(file, policy=policy.compat32)
    return address in {one for _, one in getaddresses([headers.get("To", "")])}
