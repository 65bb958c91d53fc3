"""Deletes everything about one athlete, from the store and from everything else that we wrote."""

from datetime import datetime
from pathlib import Path

from worker.domain.models import Athlete
from worker.mail import file_digest
from worker.pipeline.credentials import give_everything_back
from worker.pipeline.imports import FAILURES
from worker.pipeline.services import Services
from worker.pipeline.uploads import remove_uploads
from worker.store import DELETED, FORGOTTEN

_OTHERS = (
    FAILURES,
    f".{FAILURES}.part",
    "preview/*",
    # What a kill left of a copy, and the log of a database that a restored one replaced.
    "backups/.easeback-*.db.part*",
    "backups/easeback-*.db-*",
)
"""Other files below `data_dir` that may be about an athlete, except the scheduled copies."""


def forget_athlete(
    services: Services, athlete: Athlete, *, data_dir: Path, now: datetime
) -> str | None:
    """Remove the athlete from the store, and everything about them from `data_dir`.

    Credentials are revoked at their services first; what failed is returned in words. Uploads are
    deleted. The other files in the inbox are the runner's own and stay, and are imported again
    only if an athlete is added for them. Lists and previews of all athletes are deleted, because
    they are made again when needed.

    Their rows are overwritten. `housekeeping.remove_traces` handles what SQLite left of rows that
    it moved, and the scheduled copies.
    """
    trouble = give_everything_back(services, athlete, now=now)
    with services.store.reading() as tx:
        theirs = {file_digest(one.message_id) for one in tx.outbox.all()
                  if one.athlete_id == athlete.id}  # fmt: skip
    mailbox = data_dir / "mailbox"
    # A kill may have left an incomplete one; a notice to the operator is about them too.
    for mail in (*mailbox.glob("*.eml"), *mailbox.glob(".*.eml.part")):
        if any(digest in mail.name for digest in theirs) or _is_to(mail, athlete.email):
            mail.unlink()
    for pattern in _OTHERS:
        for path in data_dir.glob(pattern):
            path.unlink(missing_ok=True)
    if services.store.file is not None:
        for path in services.store.file.parent.glob(f".{services.store.file.name}.restored.part*"):
            path.unlink(missing_ok=True)
    remove_uploads(services, athlete)
    with services.store.transaction() as tx:
        tx.inbox.forget(athlete)
        tx.outbox.forget(athlete)
        tx.athletes.remove(athlete)
        for tick in (DELETED, FORGOTTEN):
            tx.progress.ticked(tick, at=now)
    services.store.empty_log()
    return trouble


def _is_to(mail: Path, address: str) -> bool:
    from email import message_from_binary_file, policy
    from email.utils import getaddresses

    with mail.open("rb") as file:
        headers = message_from_binary_file(file, policy=policy.compat32)
    return address in {one for _, one in getaddresses([headers.get("To", "")])}
