"""The child's side: reads one file after another within its limits, until nothing more comes.

A request is a line of JSON, with the file's bytes behind it where there's no path; the answer is a
line for each member read, and one for the end.

It opens nothing but the regular files it's sent, and writes nothing but its answers. Once it
has run out of memory it ends: what is left after that is too little for anybody's file.
"""

import contextlib
import errno
import gc
import io
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed
from worker.sources.formats.unpack import Member, members, refused
from worker.sources.safe_open import open_file

END = b"{}"  # all members of a request are told
OUT_OF_MEMORY = 77  # the status of a child that ran out of it


@dataclass(frozen=True, slots=True)
class Request:
    """A file to read: a path, or the bytes themselves. `skip` members were read before.

    `payload` is what is sent to the child: the bytes, or the path from the root on, for the child
    stands in another folder than we do.
    """

    source: Path | bytes
    name: str
    skip: int = 0
    payload: str | bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        source = self.source
        path_or_bytes = source if isinstance(source, bytes) else os.fspath(source.absolute())
        object.__setattr__(self, "payload", path_or_bytes)

    @property
    def size(self) -> int:
        """About how many bytes it is on its way."""
        return len(self.payload) + len(self.name) + 64

    def encode(self) -> bytes:
        """The line, and after it the bytes where there's no path."""
        message: dict[str, Any] = {"name": self.name, "skip": self.skip}
        if isinstance(self.payload, bytes):
            return (
                json.dumps(message | {"bytes": len(self.payload)}).encode() + b"\n" + self.payload
            )
        return json.dumps(message | {"path": self.payload}).encode() + b"\n"


def encode_member(member: Member) -> bytes:
    """A member as a line."""
    message: dict[str, Any] = {"name": member.name, "sha256": member.sha256}
    match member.parsed:
        case NotARun(reason):
            message["not_a_run"] = reason
        case Unreadable(reason):
            message["unreadable"] = reason
        case runs:
            message["runs"] = [
                asdict(run)
                | {
                    "started_at": run.started_at.isoformat(),
                    "offset": None if run.offset is None else run.offset.total_seconds(),
                }
                for run in runs
            ]
    return json.dumps(message).encode()


def decode_member(line: bytes) -> Member:
    """The member that a line tells."""
    message = json.loads(line)
    parsed: Parsed
    if "not_a_run" in message:
        parsed = NotARun(message["not_a_run"])
    elif "unreadable" in message:
        parsed = Unreadable(message["unreadable"])
    else:
        parsed = tuple(
            Activity(
                **run
                | {
                    "started_at": datetime.fromisoformat(run["started_at"]),
                    "offset": None if run["offset"] is None else timedelta(seconds=run["offset"]),
                }
            )
            for run in message["runs"]
        )
    return Member(message["name"], message["sha256"], parsed)


def serve(seconds: float, grace_s: float, memory_bytes: float, idle_s: float) -> None:
    """Answer requests from standard input on standard output; the child's whole life.

    The parent ends it after `seconds` for one file; only if it died itself, an alarm does.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print mustn't be an answer
    _limit(int(memory_bytes))
    import_module("fitparse")  # now, while there's memory for it
    gc.freeze()  # what is here now stays, and needn't be looked through after each file
    try:
        for message, file in _Requests(idle_s):
            _answer(message, file, answers, seconds + grace_s)
            gc.collect()  # nothing of one file is left for the next to stumble over
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: cleaning up might want memory too


def _answer(
    message: dict[str, Any], file: BinaryIO | None, answers: BinaryIO, alarm_s: float
) -> None:
    """Tell every member of one file. Raises `MemoryError`."""
    signal.setitimer(signal.ITIMER_REAL, alarm_s)
    for member in _read(message, file):
        signal.setitimer(signal.ITIMER_REAL, 0)  # a parent may take its time over an answer
        answers.write(encode_member(member) + b"\n")
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, alarm_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
    answers.write(END + b"\n")
    answers.flush()


def _limit(memory_bytes: int) -> None:
    """No more memory than that, no core files; where the platform knows such limits."""
    import resource

    for kind, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def _read(message: dict[str, Any], file: BinaryIO | None) -> Iterator[Member]:
    name, skip = message["name"], message["skip"]
    try:
        with file or open_file(message["path"]) as opened:
            yield from members(opened, name=name, skip=skip)
    except MemoryError:
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        yield refused(name, f"can't be opened: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001  # a defect of a reader mustn't end the child
        yield refused(name, f"can't be read ({type(error).__name__})")


class _Requests:
    """The requests as they come; it ends where the parent closes, or sends none for long."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._received = bytearray()

    def __iter__(self) -> Iterator[tuple[dict[str, Any], BinaryIO | None]]:
        while (line := self._line()) is not None:
            message = json.loads(line)
            yield message, io.BytesIO(self._bytes(message["bytes"])) if "bytes" in message else None

    def _line(self) -> bytes | None:
        while (end := self._received.find(b"\n")) < 0:
            if not select.select([0], [], [], self._idle_s)[0] or not self._receive():
                return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _bytes(self, size: int) -> bytes:
        while len(self._received) < size:
            if not self._receive():
                raise SystemExit(1)
        content = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return content

    def _receive(self) -> bool:
        chunk = os.read(0, 1 << 16)
        self._received += chunk
        return bool(chunk)
