"""The child's side: reads one file after another within its limits, until the input ends.

A request is a line of JSON, followed by the file's bytes if there is no path. The answer is a
line for each member or row, and one for the end.

The child only opens the regular files that it is sent. It only writes its answers and, to unpack
an archive within an archive, an unnamed temporary file. After it has run out of memory it
exits, because the rest wouldn't be enough for another file.
"""

import contextlib
import gc
import io
import json
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from worker.domain.models import Recording, Units
from worker.sources import NotARun, NotRead, Unreadable
from worker.sources.formats import Activity
from worker.sources.formats.garmin_summaries import summary_rows
from worker.sources.formats.runtastic import MOST_BYTES, session_row
from worker.sources.formats.table_names import TableKind, tables_among
from worker.sources.formats.tables import BadRow, OtherRow, TableItem, TableRow, table_rows
from worker.sources.formats.unpack import (
    MAX_NESTED_BYTES,
    MIB,
    Member,
    is_leftover,
    members,
    not_unpacked,
)
from worker.sources.safe_open import open_file

END = b"null"  # the answer to a request is complete
OUT_OF_MEMORY = 77  # the status of a child that ran out of it
MAX_TABLE_BYTES = 64 * MIB
MAX_TABLES = 100  # of one archive


@dataclass(frozen=True, slots=True)
class TableName:
    """A table that an archive holds, by its name there."""

    member: str


Answer = Member | TableItem | TableName


@dataclass(slots=True)
class Request:
    """A file to read: a path, or the bytes themselves. The first `skip` answers are left out.

    `table` is set for a table of activities: its kind, its name in the archive ("" for the file
    itself), the athlete's zone and units. `lists` asks which tables an archive contains, instead
    of its contents. `died_at` is the number of the answer at which a child died, `gave_up_at` the
    one after the last that was given up.
    """

    source: Path | bytes
    name: str
    skip: int = 0
    table: "tuple[TableKind, str, str, Units] | None" = None
    lists: bool = False
    died_at: int | None = None
    gave_up_at: int | None = None

    def encode(self) -> bytes:
        """The request's line, followed by the bytes if there's no path."""
        message: dict[str, Any] = {"name": self.name, "skip": self.skip, "table": self.table,
                                   "lists": self.lists}  # fmt: skip
        if isinstance(self.source, bytes):
            return json.dumps(message | {"bytes": len(self.source)}).encode() + b"\n" + self.source
        # An absolute path, because the child's current folder isn't ours.
        message["path"] = os.fspath(self.source.absolute())
        return json.dumps(message).encode() + b"\n"


_SHAPES = {
    shape.__name__: shape
    for shape in (
        Activity,
        BadRow,
        Member,
        NotARun,
        NotRead,
        OtherRow,
        Recording,
        TableName,
        TableRow,
        Unreadable,
    )
}


def encode_answer(answer: Answer) -> bytes:
    """An answer as a line of JSON, in which our dataclasses are marked with their names."""
    return json.dumps(answer, default=_named).encode()


def _named(value: Any) -> dict[str, Any]:
    if isinstance(value, date):
        return {"date" if type(value) is date else "datetime": value.isoformat()}
    if isinstance(value, timedelta):
        return {"timedelta": value.total_seconds()}
    return {
        type(value).__name__: {name: getattr(value, name) for name in value.__dataclass_fields__}
    }


def decode_answer(line: bytes) -> Any:
    """The answer in a line; None for the end."""
    return json.loads(line, object_hook=_unnamed)


def _unnamed(message: dict[str, Any]) -> Any:
    if len(message) != 1:
        return message
    ((name, value),) = message.items()
    match name:
        case "date":
            return date.fromisoformat(value)
        case "datetime":
            return datetime.fromisoformat(value)
        case "timedelta":
            return timedelta(seconds=value)
        case "Member" if isinstance(value["parsed"], list):
            return Member(**value | {"parsed": tuple(value["parsed"])})
    return _SHAPES[name](**value) if name in _SHAPES else message


def serve(seconds: float, grace_s: float, memory_bytes: float, idle_s: float) -> None:
    """Answer requests from standard input on standard output, until the child exits.

    The parent ends it after `seconds` for one file, or an alarm does if the parent has died. If
    no request comes for `idle_s`, it exits.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print must not become an answer
    # The readers are loaded now, while there's enough memory.
    for reader in ("fit", "gpx", "tcx"):
        import_module(f"worker.sources.formats.{reader}")
    _limit(int(memory_bytes))
    import_module("fitparse")
    gc.freeze()  # the collector needn't scan what is loaded now after each file
    try:
        while True:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
            signal.setitimer(signal.ITIMER_REAL, idle_s)
            line = sys.stdin.buffer.readline()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            if not line:
                return
            _answer(json.loads(line), answers, seconds + grace_s)
            gc.collect()  # so that a file doesn't affect the next one
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once, because cleaning up might need memory too


def _answer(message: dict[str, Any], answers: IO[bytes], alarm_s: float) -> None:
    """Write the answers for one file. Raises `MemoryError`."""
    signal.setitimer(signal.ITIMER_REAL, alarm_s)
    for answer in _read(message):
        signal.setitimer(signal.ITIMER_REAL, 0)  # the parent may be slow to read an answer
        answers.write(encode_answer(answer) + b"\n")
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, alarm_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
    answers.write(END + b"\n")
    answers.flush()


def _limit(memory_bytes: int) -> None:
    """Limit memory and file size, and forbid core dumps, as far as the platform supports it."""
    import resource

    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, MAX_NESTED_BYTES),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, most in limits:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def _read(message: dict[str, Any]) -> Iterator[Answer]:
    name, skip = message["name"], message["skip"]
    try:
        content = message.get("bytes")
        with (
            open_file(message["path"])
            if content is None
            else io.BytesIO(sys.stdin.buffer.read(content))
        ) as file:
            if message.get("lists"):
                yield from islice(_table_names(file), skip, None)
            elif message["table"]:
                yield from islice(_table(file, name, *message["table"]), skip, None)
            else:
                yield from members(file, name=name, skip=skip)
    except Exception as error:  # noqa: BLE001  # a defect of a reader mustn't end the child
        yield not_unpacked(name, error, lead="can't be read")


def _table(
    file: IO[bytes], name: str, kind: TableKind, member: str, zone: str, units: Units
) -> Iterator[TableItem]:
    with contextlib.ExitStack() as opened:
        size = os.fstat(file.fileno()).st_size
        archive = opened.enter_context(zipfile.ZipFile(file)) if member else None
        if archive and kind == "sessions":
            yield from _sessions(archive, member)
            return
        if archive:
            size = archive.getinfo(member).file_size
            file = opened.enter_context(archive.open(member))
        if size > MAX_TABLE_BYTES:
            yield Unreadable(f"larger than a table of {MAX_TABLE_BYTES // MIB} MB")
        elif kind == "sessions":
            yield session_row(file.read(MOST_BYTES), name=name)
        elif kind == "summaries":
            yield from summary_rows(file.read())
        else:
            yield from table_rows(file, zone=ZoneInfo(zone), units=units)


def _table_names(file: IO[bytes]) -> Iterator[TableName]:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if not is_leftover(name)]
        yield from islice(map(TableName, tables_among(names)), MAX_TABLES)


def _sessions(archive: zipfile.ZipFile, folder: str) -> Iterator[TableItem]:
    """Each session in a folder of an archive, unless there are more than a table may have."""
    left = MAX_TABLE_BYTES
    for number, entry in enumerate(archive.infolist(), 1):
        inside = entry.filename.replace("\\", "/")
        if inside.rpartition("/")[0] != folder.rstrip("/") or not inside.endswith(".json"):
            continue
        left -= entry.file_size
        if entry.file_size > MOST_BYTES or left < 0:
            yield BadRow(number, "larger than a session")
            continue
        with archive.open(entry) as packed:
            yield session_row(packed.read(MOST_BYTES), name=inside, line=number)
