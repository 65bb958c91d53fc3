"""Deletes everything about one athlete from the store and from the files that we wrote."""

from datetime import datetime
from pathlib import Path

from worker.domain.models import Athlete
from worker.mail import file_digest
from worker.pipeline.credentials import give_everything_back
from worker.pipeline.imports import FAILURES
from worker.pipeline.services import Services
from worker.pipeline.uploads import remove_uploads
from worker.store.progress import DELETED, FORGOTTEN

_OTHERS = (
    FAILURES,
    f".{FAILURES}.part",
    "preview/*",
    # Partial copies that a kill left, and the log of a database that was replaced by a restore.
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

    Deleted rows are overwritten. `housekeeping.remove_traces` handles the scheduled copies, and
    traces of rows that SQLite has moved.
    """
    trouble = give_everything_back(services, athlete, now=now)
    with services.store.reading() as tx:
        theirs = {file_digest(message_id) for message_id in tx.outbox.message_ids(athlete)}
    mailbox = data_dir / "mailbox"
    # A kill may have left an incomplete file; notices to the operator are about the athlete too.
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
