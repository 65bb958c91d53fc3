"""How the reader's child and its parent talk: a line of JSON a request, a line a member read."""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed
from worker.sources.formats.unpack import Member

END = b"{}"  # all members of a request are told
OUT_OF_MEMORY = 77  # the status of a child that ran out of it


@dataclass(frozen=True, slots=True)
class Request:
    """A file to read: a path, or the bytes themselves. `skip` members were read before.

    `told` is what the child hears of it: the bytes, or the path from the root on, for the child
    stands in another folder than we do.
    """

    source: Path | bytes
    name: str
    skip: int = 0
    told: str | bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        source = self.source
        told = source if isinstance(source, bytes) else os.fspath(source.absolute())
        object.__setattr__(self, "told", told)

    @property
    def size(self) -> int:
        """About how many bytes it is on its way."""
        return len(self.told) + len(self.name) + 64

    def encode(self) -> bytes:
        """The line, and after it the bytes where there's no path."""
        told: dict[str, Any] = {"name": self.name, "skip": self.skip}
        if isinstance(self.told, bytes):
            return json.dumps(told | {"bytes": len(self.told)}).encode() + b"\n" + self.told
        return json.dumps(told | {"path": self.told}).encode() + b"\n"


def encode(member: Member) -> bytes:
    """A member as a line."""
    told: dict[str, Any] = {"name": member.name, "sha256": member.sha256}
    match member.parsed:
        case NotARun(reason):
            told["not_a_run"] = reason
        case Unreadable(reason):
            told["unreadable"] = reason
        case runs:
            told["runs"] = [_encode_activity(run) for run in runs]
    return json.dumps(told).encode()


def decode(line: bytes) -> Member:
    """The member that a line tells."""
    told = json.loads(line)
    parsed: Parsed
    if "not_a_run" in told:
        parsed = NotARun(told["not_a_run"])
    elif "unreadable" in told:
        parsed = Unreadable(told["unreadable"])
    else:
        parsed = tuple(_decode_activity(run) for run in told["runs"])
    return Member(told["name"], told["sha256"], parsed)


def _encode_activity(run: Activity) -> dict[str, Any]:
    offset_s = None if run.offset is None else run.offset.total_seconds()
    return asdict(run) | {"started_at": run.started_at.isoformat(), "offset": offset_s}


def _decode_activity(told: dict[str, Any]) -> Activity:
    offset = None if told["offset"] is None else timedelta(seconds=told["offset"])
    started_at = datetime.fromisoformat(told["started_at"])
    return Activity(**told | {"started_at": started_at, "offset": offset})
