"""The watched folder: which files are ready, whose they are, and what they hold.

A plain scan, since change notices are silent on network shares and bind mounts and fire on the
first byte elsewhere. A file is read once two looks in a row found the same size and time; one
whose own header promises more bytes than are there is given longer, since a slow copy looks the
same. Only regular files count, no link is followed, and nothing in the folder is ever moved,
changed or deleted. What can't be looked into is told and passed over; the others go on.
"""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from worker.config import InboxSection
from worker.model import Athlete, Recording, SourceName, folder_name
from worker.recordings import plain_file_name
from worker.sources import NotARun, Reading, SourceError, Unreadable
from worker.sources.formats import Activity
from worker.sources.formats.unpack import Member
from worker.sources.opening import open_file, open_folder

LOOKS = 2
LOOKS_AT_A_TORN_FILE = 6
LARGEST_FILE_BYTES = 256 * 2**20
DEEPEST_FOLDER = 8
LONGEST_NAME = 200
NO_FILE = "a link or a device: put the file itself here"

_NO_FILE = -1
_UNSEEN = -2
_UNSHOWABLE = "\ufffd"
_PASSED_OVER_SUFFIXES = (".part", ".crdownload", ".partial", ".tmp", ".filepart", "~")
_PASSED_OVER_PREFIXES = (".", "~syncthing~")
_PASSED_OVER_FOLDERS = frozenset({"@eaDir", "#recycle", "lost+found"})


@dataclass(frozen=True, slots=True)
class Look:
    """A file as seen: `path` relative to the inbox, `looks` how often in a row it was the same.

    `done`: it was read as it stands and has its verdict. `reason`: why it can't be taken in yet.
    A folder that can't be looked into stands for all that is in it.
    """

    path: str
    size: int
    mtime_ns: int
    looks: int = 1
    done: bool = False
    reason: str = ""

    def same_as(self, other: "Look") -> bool:
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    @property
    def is_unseen(self) -> bool:
        """True for what can't be looked at, for a reason that the machine gives."""
        return self.size == _UNSEEN


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that has come to rest, and whose it is."""

    look: Look
    athlete: Athlete


@dataclass(frozen=True, slots=True)
class Scan:
    """The files there are, as they look now; `whole` where every folder was looked into."""

    looks: tuple[Look, ...]
    whole: bool = True

    @property
    def folders(self) -> frozenset[str]:
        """The top folders of these files; "" stands for the inbox itself."""
        return frozenset(map(top_folder, self.looks))


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look at the whole folder found.

    `ready` can be read now; `unsettled` are the looks to be kept until the next time (new, still
    changing, or waiting for somebody to say whose they are); `gone` are paths that were unsettled
    and have left the folder.
    """

    ready: tuple[Ready, ...]
    unsettled: tuple[Look, ...]
    gone: tuple[str, ...]


ReadMany = Callable[[Iterable[Path]], Iterable[tuple[Path, Member]]]
"""Reads files: the members of each, one or (of an archive) many, in the order of the files."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as read: what each of its members holds; a file that is no archive is one member.

    `names` are those of an archive's members, inside it; empty where the file is no archive.
    `sha256` is the digest of the only member's bytes, None where there are several.
    """

    readings: tuple[Reading, ...]
    names: tuple[str, ...] = ()
    sha256: str | None = None


class Inbox:
    """One watched folder, and the memory of how its files looked the last time.

    `patient` grants a torn file its extra looks.
    """

    def __init__(
        self,
        folder: Path,
        settings: InboxSection,
        *,
        read_many: ReadMany,
        patient: bool = True,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._patient = patient
        self._read_many = read_many
        self._seen: dict[str, Look] | None = None
        self._departed = 0

    def remembers(self, departed: int) -> bool:
        """False until `recall` has told what was seen before, and once an athlete was forgotten.

        `departed` counts the athletes who were.
        """
        return self._seen is not None and self._departed == departed

    def recall(self, looks: Iterable[Look], *, departed: int = 0) -> None:
        """Take up the looks of an earlier process, or what is left of them, and no others."""
        self._seen = {look.path: look for look in looks}
        self._departed = departed

    def scan(self, folders: Collection[str] | None = None) -> Scan:
        """The files there are, in the top `folders` or all; raises `SourceError`."""
        return Scan(tuple(_scan(self.folder, folders)), whole=folders is None)

    def unknown(self, scan: Scan) -> Scan:
        """What isn't remembered as done and unchanged: another process may know more of it."""
        seen = self._seen or {}
        fresh = tuple(
            look
            for look in scan.looks
            if (before := seen.get(look.path)) is None
            or not before.done
            or not before.same_as(look)
        )
        return replace(scan, looks=fresh)

    def glance(self, athletes: Sequence[Athlete], scan: Scan | None = None) -> Glance:
        """Judge what a scan found; raises `SourceError` where the folder can't be read.

        `athletes` are those whose folders hold anything new, and where there are several of them
        at least two.
        """
        seen = dict(self._seen or {})
        found = scan or self.scan()
        ready: list[Ready] = []
        unsettled: list[Look] = []
        for look in found.looks:
            before = seen.get(look.path)
            if before is None or not before.same_as(look):
                unsettled.append(look)
            elif not before.done:
                again = replace(look, looks=before.looks + 1)
                whose = self._judge(again, athletes)
                if isinstance(whose, Ready):
                    ready.append(whose)
                elif whose != before:
                    unsettled.append(whose)
        here = {look.path for look in found.looks}
        gone = [path for path, look in seen.items() if path not in here and not look.done]
        return Glance(tuple(ready), tuple(unsettled), tuple(gone) if found.whole else ())

    def keep(self, looks: Iterable[Look], *, gone: Iterable[str] = ()) -> None:
        """Remember these looks, once the store has them too."""
        seen = self._seen if self._seen is not None else {}
        seen.update((look.path, look) for look in looks)
        for path in gone:
            seen.pop(path, None)
        self._seen = seen

    def open_all(self, ready: Sequence[Ready]) -> list[tuple[Ready, Opened]]:
        """Read files that have come to rest; what is wrong with one is a value, not an error.

        One that changed under the reader is left out: it's looked at again the next time.
        """
        members: dict[Path, list[Member]] = {self._path(one): [] for one in ready}
        small = [path for path, one in zip(members, ready, strict=True) if not _too_large(one)]
        for path, member in self._read_many(small):
            members[path].append(member)
        return [
            (one, _opened(one, members[self._path(one)]))
            for one in ready
            if _unchanged(self._path(one), one.look)
        ]

    def _path(self, ready: Ready) -> Path:
        return self.folder / ready.look.path

    def _judge(self, look: Look, athletes: Sequence[Athlete]) -> Ready | Look:
        if look.is_unseen:
            return replace(look, looks=LOOKS)
        whose = _whose(look.path, athletes) if look.size != _NO_FILE else NO_FILE
        if isinstance(whose, str):
            return replace(look, looks=LOOKS, reason=whose)
        if look.looks >= self._looks_wanted(look):
            return Ready(look, whose)
        return replace(look, reason="")

    def _looks_wanted(self, look: Look) -> int:
        if not self._patient or look.looks >= LOOKS_AT_A_TORN_FILE:
            return LOOKS
        return LOOKS_AT_A_TORN_FILE if _torn(self.folder / look.path, look.size) else LOOKS


def recordings(member: Member, *, athlete: Athlete, source: SourceName) -> Reading:
    """A file's activities as this athlete's recordings: on their calendar, under stable names."""
    parsed, sha256 = member.parsed, member.sha256
    if isinstance(parsed, NotARun | Unreadable):
        return parsed
    if sha256 is None:
        return Unreadable("its content has no digest")
    zone = ZoneInfo(athlete.timezone)
    name = plain_file_name(member.name)
    return tuple(
        replace(_recording(a, zone=zone, source=source, sha256=sha256), file_name=name)
        for a in parsed
    )


def _recording(activity: Activity, *, zone: ZoneInfo, source: SourceName, sha256: str) -> Recording:
    local = (
        activity.started_at + activity.offset
        if activity.offset is not None
        else activity.started_at.astimezone(zone)
    )
    return Recording(
        source=source,
        external_id=f"{sha256}:{activity.leg}" if activity.leg else sha256,
        started_at=activity.started_at,
        day=local.date(),
        distance_m=activity.distance_m,
        moving_s=activity.moving_s,
        elapsed_s=activity.elapsed_s,
        sport=activity.sport,
        is_race=activity.is_race,
        device=activity.device,
        title=activity.title,
        sha256=sha256,
        leg=activity.leg,
        note=activity.note,
    )


def _scan(root: Path, folders: Collection[str] | None) -> Iterator[Look]:
    """The files of the inbox, or of these top folders alone; "" stands for the inbox itself."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if folders is None or "" in folders:
                yield from _scan_folder(descriptor, "", DEEPEST_FOLDER)
            for name in sorted(set(folders or ()) - {""}):
                if Path(name).name == name:
                    yield from _scan_inside(descriptor, name, f"{name}/", DEEPEST_FOLDER - 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError(
            f"the inbox {root} can't be read ({error.strerror or error}): "
            "check that it is there (mounted?), and that Easeback may read it"
        ) from error


def top_folder(look: Look) -> str:
    """The folder of the inbox that a file lies in; "" for the inbox itself."""
    folder, slash, _ = look.path.partition("/")
    return folder if slash else ""


def _scan_inside(parent: int, name: str, prefix: str, depth: int) -> Iterator[Look]:
    """The files of a folder in the one that `parent` is of; itself where it can't be listed.

    It may be gone or another thing since the listing: then the next look tells.
    """
    try:
        descriptor = open_folder(name, inside=parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield _unseen(prefix.rstrip("/"), error)
        return
    try:
        yield from _scan_folder(descriptor, prefix, depth)
    except OSError as error:
        yield _unseen(prefix.rstrip("/"), error)
    finally:
        os.close(descriptor)


def _scan_folder(descriptor: int, prefix: str, depth: int) -> Iterator[Look]:
    """The files of an open folder. Raises `OSError` where it can't be listed to its end."""
    unseen: list[Look] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if _passed_over(entry.name):
                continue
            shown = prefix + _shown(entry.name)
            try:
                if not entry.is_dir(follow_symlinks=False):
                    yield _look_at(entry, shown)
                elif depth > 1 and entry.name not in _PASSED_OVER_FOLDERS:
                    yield from _scan_inside(descriptor, entry.name, f"{shown}/", depth - 1)
            except FileNotFoundError:  # renamed or deleted since the listing
                continue
            except OSError as error:
                unseen.append(_unseen(shown, error))
    # Where one can't be looked at, mostly none can: the first speaks for all.
    yield from sorted(unseen, key=lambda look: look.path)[:1]


def _look_at(entry: os.DirEntry[str], shown: str) -> Look:
    if not entry.is_file(follow_symlinks=False):
        return Look(shown, _NO_FILE, 0)
    status = entry.stat(follow_symlinks=False)
    return Look(shown, status.st_size, status.st_mtime_ns)


def _unseen(path: str, error: OSError) -> Look:
    why = error.strerror or str(error)
    # What went wrong stands in place of a time, so that it's told anew when it's another thing.
    return Look(
        path, _UNSEEN, error.errno or 0,
        reason=f"can't be looked into ({why}): check that Easeback may read it and all in it",
    )  # fmt: skip


def _passed_over(name: str) -> bool:
    """True for what sync programs and downloads leave while they work, and for hidden names."""
    return (
        name.startswith(_PASSED_OVER_PREFIXES)
        or name.endswith(_PASSED_OVER_SUFFIXES)
        or ".sync-conflict-" in name
    )


def _shown(name: str) -> str:
    """The name, with what can't be shown or kept as text escaped, and so no longer a path."""
    if len(name) <= LONGEST_NAME and all(map(_can_be_shown, name)):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{_UNSHOWABLE}{ascii(name)[1:-1][:LONGEST_NAME]}-{digest}"


def _can_be_shown(character: str) -> bool:
    # Python calls the wider and narrower spaces unprintable; macOS and French exports use them.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _whose(path: str, athletes: Sequence[Athlete]) -> Athlete | str:
    """The athlete a file belongs to by its folder, or why that can't be said."""
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
    return f"no athlete is called {folder}: rename the folder, or `easeback athlete add`"


def _torn(path: Path, size: int) -> bool:
    """True where a FIT header promises more bytes than are there, or the file is empty."""
    try:
        with open_file(path) as file:
            head = file.read(14)
    except OSError:
        return False
    if len(head) < 12 or head[8:12] != b".FIT":  # noqa: PLR2004  the header's least length
        return not head
    return size < head[0] + int.from_bytes(head[4:8], "little") + 2


def _too_large(ready: Ready) -> bool:
    return ready.look.size > LARGEST_FILE_BYTES


def _unchanged(path: Path, look: Look) -> bool:
    """True where the file is still as it was looked at, now that it has been read."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and look.same_as(
        Look(look.path, status.st_size, status.st_mtime_ns)
    )


def _opened(ready: Ready, members: Sequence[Member]) -> Opened:
    if _too_large(ready):
        most_mb = LARGEST_FILE_BYTES // 2**20
        return Opened((Unreadable(f"too large: at most {most_mb} MB are read"),))
    if not members:
        return Opened((Unreadable("nothing could be read"),))
    own_name = Path(ready.look.path).name
    inside = tuple(member.name.removeprefix(own_name).lstrip("/") for member in members)
    return Opened(
        readings=tuple(
            recordings(member, athlete=ready.athlete, source="inbox") for member in members
        ),
        names=inside if any(inside) else (),
        sha256=members[0].sha256 if len(members) == 1 else None,
    )
