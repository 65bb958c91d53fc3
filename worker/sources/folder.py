"""The watched folder: lists its files, finds the athlete of each, and reads those that are stable.

It scans, because change notifications don't work on network shares and bind mounts, and elsewhere
fire on the first byte. A file is stable once two consecutive scans found the same size and time.
A file whose header promises more bytes than there are gets extra scans, because a slow copy looks
the same. Only regular files count, no link is followed, and nothing in the folder is ever moved,
changed or deleted. A folder that can't be listed is reported as a snapshot, and the others are
read. The state of the files at the last scan is in the database.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from worker.domain.files import Snapshot
from worker.domain.matching import plain_file_name
from worker.domain.models import Athlete, Recording, SourceName, folder_name
from worker.domain.shown import printable
from worker.setting_types import InboxSection
from worker.sources import Reading, Unreadable
from worker.sources.base import SourceError
from worker.sources.formats.clocks import day_of_run
from worker.sources.formats.unpack import Member, refused
from worker.sources.safe_open import open_file, open_folder

if TYPE_CHECKING:
    from worker.sources.formats.child import Reader

STABLE_SCANS = 2
TORN_FILE_SCANS = 6
LARGEST_INBOX_FILE_BYTES = 256 * 2**20
DEEPEST_FOLDER = 8
FIRST_READ_PAUSE = timedelta(seconds=10)
LONGEST_READ_PAUSE = timedelta(hours=6)
LONGEST_FILE_NAME = 200
NO_FILE = "a link or a device: put the file itself here"

_NS_PER_S = 1_000_000_000

# Values in place of a size.
NOT_REGULAR = -1
UNLISTED = -2

_UNSHOWABLE = "\ufffd"
# Names of files that programs are still writing: browsers, wget, curl and aria2, rsync,
# WinSCP and FileZilla, Syncthing, Resilio, Nextcloud, Dropbox, Google Drive, torrent clients.
_PASSED_OVER_SUFFIXES = (
    ".part", ".partial", ".crdownload", ".download", ".opdownload", ".tmp", ".temp", ".filepart",
    ".aria2", ".!sync", ".bts", ".rsls", ".!ut", ".!qb", ".!bt", ".incomplete", ".unfinished",
    ".inprogress", ".uploading", ".downloading", ".fuse_hidden", ".gstmp", ".tmp.drivedownload",
    ".tmp.driveupload", ".swp", ".swx", "~",
)  # fmt: skip
_PASSED_OVER_PREFIXES = (".", "~syncthing~", "~$", "._")
# Files that file managers create for themselves.
_PASSED_OVER_NAMES = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db",
                                "icon\r"})  # fmt: skip
# Folders named by a watch, an app or the calendar. If there is one athlete, they are theirs.
_NO_NAME = re.compile(
    r"\d[\d._ -]*|garmin|activit(y|ies)|coros|polar|suunto|wahoo|zwift|strava|amazfit|zepp|huawei"
    r"|samsung.*|apple.*|healthfit|workoutdoors|gadgetbridge|opentracks|fitotrack|runnerup|runkeeper"
    r"|runtastic|adidas.*|nike.*|fit|gpx|tcx|exports?|files?|runs?|running|tracks?|workouts?|sync"
    r"|syncthing|downloads?|inbox|uploads?|archives?|backups?|old|new",
    re.IGNORECASE,
)
_PASSED_OVER_FOLDERS = frozenset(
    {"@eadir", "#recycle", "#snapshot", "lost+found", "$recycle.bin", "system volume information",
     "__macosx", "@recycle", "@recently-snapshot", "recycler", "~snapshot"}
)  # fmt: skip

ReadMany = Callable[[Iterable[Path]], Iterable[tuple[Path, Member]]]
"""Reads files: the members of each, one or (for an archive) many, in the order of the files."""


@dataclass(frozen=True, slots=True)
class Pause:
    """When an unreadable file is tried again, and when its mode last changed."""

    until: datetime
    length: timedelta
    changed_ns: int


@dataclass
class Inbox:
    """One watched folder.

    `read_many` reads files, and `reader` the tables of accounts if there is one. `patient` gives
    a truncated file extra scans. `settled` is a fingerprint of the last scan of which the
    database had every verdict, so that the same scan needs no comparison; it is None until then.
    `listed` is the identity of the folder that was scanned last. Only this process knows
    `pauses`: after a restart, everything that couldn't be read is due. The same applies to
    `judged`, which has the time of the file's last change for each bad path.
    """

    folder: Path
    settings: InboxSection
    read_many: ReadMany
    patient: bool = True
    reader: "Reader | None" = None
    settled: int | None = None
    listed: str | None = None
    pauses: dict[str, "Pause"] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)

    def scan(self, folders: Collection[str] | None = None) -> tuple[Snapshot, ...]:
        """Returns the files in the top `folders`, or in all of them, sorted by path.

        "" is the inbox itself. Raises `SourceError` if the inbox can't be listed.
        """
        root = self.folder
        found: list[Snapshot] = []
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if folders is None or "" in folders:
                    found += _scan_folder(descriptor, "", DEEPEST_FOLDER)
                for name in sorted(set(folders or ()) - {""}):
                    if Path(name).name == name:
                        found += _scan_inside(descriptor, name, f"{name}/", DEEPEST_FOLDER - 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._not_listed(error) from error
        found.sort()
        return tuple(found)

    def identity(self) -> tuple[str, bool]:
        """An identifier of the folder, whatever its path, and whether the folder is empty.

        Raises `SourceError` as `scan` does.
        """
        try:
            status = self.folder.stat()
            with os.scandir(self.folder) as entries:
                is_empty = all(entry.name.startswith(".") for entry in entries)
        except OSError as error:
            raise self._not_listed(error) from error
        return f"{status.st_dev}:{status.st_ino}", is_empty

    def _not_listed(self, error: OSError) -> SourceError:
        return SourceError(
            f"the inbox {self.folder} can't be read ({error.strerror or error}): "
            "check that it is there (mounted?), and that Easeback may read it"
        )

    def judge(self, file: Snapshot, athletes: Sequence[Athlete]) -> Athlete | Snapshot:
        """Returns the athlete of a file that can be read now, else its snapshot with the reason.

        `file` was found unchanged `file.scans` times in a row. `athletes` are those of its folder,
        and at least two if several athletes exist.
        """
        if file.size == UNLISTED:
            return file._replace(scans=STABLE_SCANS)
        whose = _whose(file.path, athletes) if file.size != NOT_REGULAR else NO_FILE
        if isinstance(whose, str):
            return file._replace(scans=STABLE_SCANS, reason=whose)
        wanted = STABLE_SCANS
        if (
            self.patient
            and file.scans < TORN_FILE_SCANS
            and _torn(self.folder / file.path, file.size)
        ):
            wanted = TORN_FILE_SCANS
        return whose if file.scans >= wanted else file

    def read(self, files: Sequence[Snapshot]) -> Iterator[tuple[Snapshot, list[Member]]]:
        """Reads stable files: the members of each, one or (for an archive) many.

        A problem with a file is its only member. A file that changed while it was read is left
        out; the next scan finds it changed.
        """
        paths = [self.folder / file.path for file in files]
        members: dict[Path, list[Member]] = {path: [] for path in paths}
        for path, member in self.read_many(
            path
            for path, file in zip(paths, files, strict=True)
            if file.size <= LARGEST_INBOX_FILE_BYTES
        ):
            members[path].append(member)
        for path, file in zip(paths, files, strict=True):
            try:
                status = path.stat(follow_symlinks=False)
            except OSError:
                continue
            is_same = (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
            if not is_same or not stat.S_ISREG(status.st_mode):
                continue
            if file.size > LARGEST_INBOX_FILE_BYTES:
                most_mb = LARGEST_INBOX_FILE_BYTES // 2**20
                yield file, [refused(path.name, f"too large: at most {most_mb} MB are read")]
            else:
                yield file, members[path] or [refused(path.name, "nothing could be read")]

    def note(self, file: Snapshot, now: datetime, *, unread: bool, is_bad: bool = False) -> None:
        """Note that a file was read, or (`unread`) that it or a member of it couldn't be.

        Such a file is due at the next scan, and then after longer and longer pauses. `is_bad`: it
        was read, and it or a member of it isn't valid.
        """
        if is_bad:
            self.judged[file.path] = self._changed_ns(file.path)
        else:
            self.judged.pop(file.path, None)
        if not unread:
            self.pauses.pop(file.path, None)
            return
        before = self.pauses.get(file.path)
        length = min(before.length * 2, LONGEST_READ_PAUSE) if before else timedelta(0)
        if before and not length:
            length = FIRST_READ_PAUSE
        self.pauses[file.path] = Pause(now + length, length, self._changed_ns(file.path))

    def is_due(self, file: Snapshot, now: datetime) -> bool:
        """False during the pause of an unreadable file; a change of its mode ends the pause."""
        pause = self.pauses.get(file.path)
        if pause is None or now >= pause.until:
            return True
        return pause.changed_ns != self._changed_ns(file.path)

    def was_filled(self, path: str, judged_at: datetime) -> bool:
        """True if a file was changed since it was judged bad, whatever time it has.

        A copy into preallocated space, as by a download or `rsync --inplace`, ends with the size
        and the time that it had while half of it was zeros. If a folder's clock is ahead, a file
        is read once more in each process, but not more often.
        """
        changed_ns = self._changed_ns(path)
        if changed_ns == self.judged.get(path):
            return False
        return changed_ns > judged_at.timestamp() * _NS_PER_S

    def _changed_ns(self, path: str) -> int:
        """When the file's content or mode last changed, by the folder's clock."""
        try:
            return (self.folder / path).stat(follow_symlinks=False).st_ctime_ns
        except OSError:
            return 0


def recordings(member: Member, *, athlete: Athlete, source: SourceName) -> Reading:
    """A file's activities as this athlete's recordings, on their calendar, with stable ids."""
    parsed, sha256 = member.parsed, member.sha256
    if not isinstance(parsed, tuple):
        return parsed
    if sha256 is None:
        return Unreadable("its content has no digest")
    zone, file_name = ZoneInfo(athlete.timezone), plain_file_name(member.name)
    found: list[Recording] = []
    for one in parsed:
        day, doubt = day_of_run(one.started_at, offset=one.offset, zone=zone, lon=one.lon)
        found.append(
            Recording(
                source=source,
                external_id=f"{sha256}:{one.leg}" if one.leg else sha256,
                started_at=one.started_at,
                day=day,
                distance_m=one.distance_m,
                moving_s=one.moving_s,
                elapsed_s=one.elapsed_s,
                sport=one.sport,
                device=one.device,
                title=one.title,
                file_name=file_name,
                sha256=sha256,
                leg=one.leg,
                note="; ".join(filter(None, (one.note, doubt))) or None,
                ascent_m=one.ascent_m,
            )
        )
    return tuple(found)


def top_folder(path: str) -> str:
    """Returns the folder of the inbox that contains a file; "" for the inbox itself."""
    folder, slash, _ = path.partition("/")
    return folder if slash else ""


def _scan_inside(parent: int, name: str, prefix: str, depth: int) -> Iterator[Snapshot]:
    """The files of the folder `name` in the open folder `parent`; itself if it can't be listed.

    It may have gone or been replaced since the listing; the next scan finds out.
    """
    try:
        descriptor = open_folder(name, inside=parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield _unlisted(prefix.rstrip("/"), error)
        return
    try:
        yield from _scan_folder(descriptor, prefix, depth)
    except OSError as error:
        yield _unlisted(prefix.rstrip("/"), error)
    finally:
        os.close(descriptor)


def _scan_folder(descriptor: int, prefix: str, depth: int) -> Iterator[Snapshot]:
    """The files of an open folder. Raises `OSError` if it can't be listed completely."""
    unlisted: list[Snapshot] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if passed_over(entry.name):
                continue
            shown = prefix + _shown(entry.name)
            try:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield Snapshot(shown, status.st_size, status.st_mtime_ns)
                elif not entry.is_dir(follow_symlinks=False):
                    yield Snapshot(shown, NOT_REGULAR, 0)
                elif depth > 1 and entry.name.casefold() not in _PASSED_OVER_FOLDERS:
                    yield from _scan_inside(descriptor, entry.name, f"{shown}/", depth - 1)
            except FileNotFoundError:  # renamed or deleted since the listing
                continue
            except OSError as error:
                unlisted.append(_unlisted(shown, error))
    # If one can't be examined, usually none can: the first represents all.
    yield from sorted(unlisted)[:1]


def _unlisted(path: str, error: OSError) -> Snapshot:
    """The snapshot of a folder or file that can't be examined, with the system's reason."""
    why = error.strerror or str(error)
    # The error's number is stored in place of a time: another error is a change.
    return Snapshot(
        path, UNLISTED, error.errno or 0,
        reason=f"can't be looked into ({why}): check that Easeback may read it and all in it",
    )  # fmt: skip


def passed_over(name: str) -> bool:
    """True for temporary and internal files of programs, and for hidden names."""
    plain = name.casefold()
    return (
        name.startswith(_PASSED_OVER_PREFIXES)
        or plain.endswith(_PASSED_OVER_SUFFIXES)
        or plain in _PASSED_OVER_NAMES
        or ".sync-conflict-" in name
    )


def _shown(name: str) -> str:
    """The name with undecodable and unprintable characters escaped; it may no longer be a path."""
    if len(name) <= LONGEST_FILE_NAME and printable(name) == name:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{_UNSHOWABLE}{ascii(name)[1:-1][:LONGEST_FILE_NAME]}-{digest}"


def _whose(  # noqa: PLR0911  # each case has its own sentence
    path: str, athletes: Sequence[Athlete]
) -> Athlete | str:
    """The athlete to whom a file belongs by its folder, or why it isn't known."""
    if _UNSHOWABLE in path:
        return "its name is too long, holds control characters or isn't text: rename it"
    if not athletes:
        return "there is no athlete yet: add one with `easeback athlete add`"
    folder, slash, _ = path.partition("/")
    if not slash:
        if len(athletes) == 1:
            return athletes[0]
        return "there are several athletes: move it into the sub-folder of the one it belongs to"
    named = [a for a in athletes if folder_name(a.name) == folder_name(folder)]
    if named:
        return named[0]
    if len(athletes) == 1 and _NO_NAME.fullmatch(folder):
        return athletes[0]
    return f"no athlete is called {folder}: rename the folder, or `easeback athlete add`"


def _torn(path: Path, size: int) -> bool:
    """True if a FIT header promises more bytes than there are, or the file is empty."""
    try:
        with open_file(path) as file:
            head = file.read(14)
    except OSError:
        return False
    if len(head) < 12 or head[8:12] != b".FIT":  # noqa: PLR2004  the shortest header
        return not head
    return size < head[0] + int.from_bytes(head[4:8], "little") + 2
