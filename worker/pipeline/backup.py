"""Keeping: the database is looked at whole and copied by schedule; few copies, and none for long.

A copy is made only of a sound database, so that damage found late has a copy from before. What
copies there are is told by their names; there is no other list.
"""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.pipeline.services import Services
from worker.setting_types import BackupSection
from worker.store import StoreError

log = logging.getLogger(__name__)

_NAME = "easeback-%Y%m%dT%H%M%SZ.db"
_PATTERN = "easeback-*.db"
# A clock that was ahead for a while must not leave a copy that counts as the newest for years.
_AHEAD = timedelta(minutes=5)


def back_up(services: Services, now: datetime) -> Path | None:
    """Check the database and copy it, where that is due; the new copy, or None.

    Raises `StoreError` where the database isn't sound or the copy can't be written; the older
    copies stay. PostgreSQL has its own ways (`pg_dump`), and nothing is done.
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
        services.store.compact_log()
        _thin_out(folder, backup, now)
    except OSError as error:
        raise StoreError(
            f"the copies in {folder} can't be kept ({error.strerror}): make room, or give "
            "Easeback the right to write there"
        ) from error
    log.info("backup: %(copy)s, %(mb).1f MB", {"copy": copy.name, "mb": copy.stat().st_size / 1e6})
    return copy


def renew_backups(services: Services, now: datetime) -> None:
    """Replace every copy by one made now: the older ones know what must be forgotten."""
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
    """What a copy made at this instant is called."""
    return at.astimezone(UTC).strftime(_NAME)


def copies(folder: Path) -> dict[datetime, Path]:
    """The scheduled copies there are, by the instant each was made, oldest first."""
    found: dict[datetime, Path] = {}
    for path in sorted(folder.glob(_PATTERN)):
        try:
            found[datetime.strptime(path.name, _NAME).replace(tzinfo=UTC)] = path
        except ValueError:
            continue  # somebody's own file, which is none of ours
    return found


def _thin_out(folder: Path, backup: BackupSection, now: datetime) -> None:
    taken = copies(folder)
    ahead = [at for at in taken if at > now + _AHEAD]
    past = [at for at in taken if at not in ahead]
    old = [at for at in past if at < now - backup.keep_for]
    for at in {*ahead, *old, *past[: -backup.keep]}:
        taken[at].unlink()
