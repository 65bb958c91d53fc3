"""Scheduled backups, and what follows a restore.

A copy is only made of a sound database, so that there is an earlier copy if damage is found late.
The names of the copies say when they were made; there is no other list.

A copy doesn't know what was sent after it was made. After a restore, waiting mail is therefore
held until the operator releases it, weeks up to now count as mailed, findings about days up to
now are saved without mail, and the links to pages are closed. The files in the inbox are ingested
again.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.domain import weeks
from worker.domain.history import week_start
from worker.domain.models import Athlete
from worker.domain.shown import counted
from worker.domain.weeks import local_day
from worker.pipeline.services import Services
from worker.setting_types import BackupSection
from worker.store import StoreError, Transaction
from worker.store.progress import RESTORED
from worker.store.restore import athletes_in

log = logging.getLogger(__name__)

_NAME = "easeback-%Y%m%dT%H%M%SZ.db"
_PATTERN = "easeback-*.db"
# A clock that was ahead for a while must not leave a copy that counts as the newest for years.
_AHEAD = timedelta(minutes=5)

HELD = "a backup was restored: this may have been sent since it was made"
_WEEK = timedelta(days=7)


def back_up(services: Services, now: datetime) -> Path | None:
    """Check the database and copy it, if that is due; returns the new copy, or None.

    Raises `StoreError` if the database isn't sound or the copy can't be written; the older
    copies stay. Does nothing on PostgreSQL, which has its own tools (`pg_dump`).
    """
    folder, backup = services.backups_path, services.backup
    if folder is None or not backup.keep or services.store.file is None:
        return None
    taken = copies(folder)
    if any(now - backup.every < at <= now + _AHEAD for at in taken):
        return None
    services.store.check()
    copy = folder / backup_name(now)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for torn in folder.glob(f".{_PATTERN}.part"):
            torn.unlink()
        services.store.copy_to(copy)
        services.store.empty_log()
        _thin_out(folder, backup, copy, now)
    except OSError as error:
        raise StoreError(
            f"the copies in {folder} can't be kept ({error.strerror}): make room, or give "
            "Easeback the right to write there"
        ) from error
    log.info("backup: %(copy)s, %(mb).1f MB", {"copy": copy.name, "mb": copy.stat().st_size / 1e6})
    return copy


def renew_backups(services: Services, now: datetime) -> None:
    """Replace every copy by a new one, because the older ones contain deleted data."""
    folder = services.backups_path
    if folder is None or services.store.file is None:
        return
    old = list(folder.glob(_PATTERN))
    if not old:
        return
    fresh = folder / backup_name(now)
    services.store.copy_to(fresh)
    for copy in old:
        if copy != fresh:
            copy.unlink(missing_ok=True)


def backup_name(at: datetime) -> str:
    """The file name of a copy made at this instant."""
    return at.astimezone(UTC).strftime(_NAME)


def copies(folder: Path) -> dict[datetime, Path]:
    """The existing scheduled copies by the instant they were made, oldest first."""
    found: dict[datetime, Path] = {}
    for path in sorted(folder.glob(_PATTERN)):
        try:
            found[datetime.strptime(path.name, _NAME).replace(tzinfo=UTC)] = path
        except ValueError:
            continue  # not one of our files
    return found


def _thin_out(folder: Path, backup: BackupSection, newest: Path, now: datetime) -> None:
    """Delete surplus and old copies, but not the last ones that contain more athletes.

    Athletes who were deleted on purpose are gone from every copy. An athlete whom only an older
    copy contains was therefore lost with the database, and that copy is all that remains.
    """
    taken, known = copies(folder), athletes_in(newest)
    lost = [at for at, copy in taken.items() if athletes_in(copy) - known][-backup.keep :]
    ahead = [at for at in taken if at > now + _AHEAD]
    past = [at for at in taken if at not in ahead and at not in lost]
    old = [at for at in past if at < now - backup.keep_for]
    for at in {*ahead, *old, *past[: -backup.keep]} - {*lost}:
        taken[at].unlink()


# After a restore


def notice_older_copy(services: Services, now: datetime) -> None:
    """If an older copy has replaced the database, make sure that nothing is sent again.

    The only worker on the database calls this before anything else.
    """
    mark = services.store.later_mark()
    if mark is None:
        return
    with services.store.transaction() as tx:
        marked = mark_restored(tx, now=now)
        tx.outbox.count_handed_over(at_least=mark)
    log.warning(
        "an older copy was put in the place of the database: taken as `easeback restore` takes it, "
        "%(mails)s held (`easeback outbox list`), %(weeks)s told already",
        {"mails": counted(marked.held, "mail"), "weeks": counted(marked.weeks, "week")},
    )


@dataclass(frozen=True, slots=True)
class Marked:
    """How many mails are held, and how many weeks count as mailed."""

    held: int
    weeks: int


def mark_restored(tx: Transaction, *, now: datetime) -> Marked:
    """Hold all mail from before `now`, and close all links from before `now`.

    It isn't known which links were closed since the copy was made, so all are closed, except
    those that unsubscribe. Nor is it known who withdrew consent to copies of alerts, so all
    consents end.
    """
    held = tx.outbox.hold_all(why=HELD)
    weeks = sum(_count_as_mailed(tx, athlete, now=now) for athlete in tx.athletes.all())
    tx.athletes.close_links(None, now=now)
    tx.therapists.close_links()
    tx.therapists.end_consents()
    tx.progress.ticked(RESTORED, at=now)
    return Marked(held, weeks)


def _count_as_mailed(tx: Transaction, athlete: Athlete, *, now: datetime) -> int:
    due = weeks.last_weekly_due(athlete, now)
    upcoming = weeks.next_weekly_due(athlete, now)
    tx.progress.forget_weeks_after(athlete, due.week_starts_on)
    tx.athletes.weekly_done(athlete, next_at=upcoming.due_at)
    added_on = local_day(athlete, athlete.added_at)
    last = tx.progress.last_week(athlete)
    missed = last + _WEEK if last else week_start(added_on, athlete.week_starts)
    number = 0
    while missed <= due.week_starts_on:
        tx.progress.save_week(athlete, missed, state="skipped")
        missed += _WEEK
        number += 1
    return number
