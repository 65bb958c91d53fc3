"""Files of the inbox and entries of imports, and what was made of them."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

FileVerdict = Literal["waiting", "unread", "imported", "duplicate", "skipped", "failed"]


class Snapshot(NamedTuple):
    """A file of the inbox as one scan found it, and the result.

    `path` is relative to the inbox. `scans` counts the consecutive scans that found the same size
    and time. `reason` says why the file waits or has no run. `sha256` is the digest of its content,
    or None for an archive or unread file. It is a tuple because each scan makes thousands.
    """

    path: str
    size: int
    mtime_ns: int
    scans: int = 1
    verdict: FileVerdict = "waiting"
    reason: str = ""
    athlete_id: int | None = None
    sha256: str | None = None

    def is_as_before(self, before: "Snapshot") -> bool:
        """Whether the file's size and time are unchanged."""
        return (self.size, self.mtime_ns) == (before.size, before.mtime_ns)


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """The result of one entry of an import: member `number` of the file with this `mark`.

    `sha256` is the digest of the content of its run, or None if it isn't a run.
    """

    mark: str
    number: int
    name: str
    verdict: FileVerdict
    reason: str = ""
    sha256: str | None = None
