"""Runs the readers in a separate process, with limits on time and memory.

    with Reader() as reader:
        for member in reader.read(path): ...

The child process starts with the first file, serves one after another, and exits after some idle
time. If a file kills it (time, memory, a crash), a new child tries that file once more, alone,
because an earlier file may have been the cause. If that child dies too, the file or member
couldn't be read for now (`NotRead`), and reading continues with the rest of the archive.
`child_serve.py` has the child's side and the protocol.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from worker import search_path
from worker.domain.models import Units
from worker.sources import NotRead
from worker.sources.formats.child_serve import (
    END,
    OUT_OF_MEMORY,
    Request,
    TableName,
    decode_answer,
)
from worker.sources.formats.table_names import TableKind
from worker.sources.formats.unpack import MAX_BYTES, MIB, Member, refused

if TYPE_CHECKING:
    from worker.sources.formats.tables import TableItem

SECONDS = 20.0
MEMORY_BYTES = 512 * MIB
IDLE_S = 30.0
GRACE_S = 5.0
ENDS_WITHIN_S = 2.0
SENT_AHEAD = 40  # files that may be sent to the child ahead of time

# The variables that an interpreter needs to start and to decode names as we do. The child gets no
# others, because the settings may contain passwords and its files come from strangers.
_NEEDS = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

# The child's current folder: it always exists, and senders of files can't write to it.
_FOLDER = "/"

# The child starts isolated: no current folder, user packages or PYTHON... variables. It gets our
# search path, so that it finds the same modules.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from worker.sources.formats.child_serve import serve; serve(*map(float, sys.argv[2:]))"
)


class _Died(Exception):  # noqa: N818  # named for what happened
    """The child has exited; the message is the reason for the file. `idle`: it was only idle."""

    def __init__(self, reason: str, *, idle: bool = False) -> None:
        super().__init__(reason)
        self.idle = idle


class Reader:
    """Reads files in a child process, kept for the next file.

    Threads may share it; each waits until another's files are read completely. Within one thread
    too, an iterator has to be exhausted or closed before the next request.
    `seconds` is the limit for one file or one member of an archive, `memory_bytes` for the child
    as a whole (if the platform supports it). A child whose parent died ends by itself if a file
    takes `grace_s` longer.
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        idle_s: float = IDLE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self._limits = (seconds, grace_s, float(memory_bytes), idle_s)
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, source: Path | bytes, *, name: str = "", skip: int = 0) -> Iterator[Member]:
        """Everything in one file, each member as soon as it's read; never raises for the file.

        The first `skip` members are left out, because they were read before.
        """
        shown = name or (source.name if isinstance(source, Path) else "")
        if isinstance(source, bytes) and len(source) > MAX_BYTES:
            yield refused(shown, f"it's larger than {MAX_BYTES // MIB} MB")
            return
        for _, member in self._serve([Request(source, shown, skip)]):
            yield member

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Member]]:
        """Everything in many files, in their order; the child reads ahead of the caller."""
        for request, member in self._serve(Request(path, path.name) for path in paths):
            if isinstance(request.source, Path):
                yield request.source, member

    def read_table(
        self,
        path: Path,
        *,
        kind: TableKind = "table",
        member: str = "",
        zone: str = "UTC",
        units: Units = "km",
    ) -> "Iterator[TableItem | NotRead]":
        """The rows of a table of activities: the file itself, or a `member` of an archive.

        `zone` and `units` are the athlete's, for what the table itself doesn't say.
        """
        for _, row in self._serve([Request(path, path.name, table=(kind, member, zone, units))]):
            yield cast("TableItem | NotRead", row.parsed) if isinstance(row, Member) else row

    def tables_in(self, path: Path) -> list[str]:
        """The names of the tables of activities in an archive; none if it can't be listed."""
        answers = self._serve([Request(path, path.name, lists=True)])
        return [one.member for _, one in answers if isinstance(one, TableName)]

    def close(self) -> None:
        """End the child, if there is one; the next file starts another.

        Waits for a read in progress, so close an iterator that you don't exhaust.
        """
        with self._lock:
            self._end()

    def _serve(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Any]]:
        """Every answer to every request, in order."""
        coming = iter(requests)
        waiting: deque[Request] = deque()  # the first is being read, the others are sent ahead
        is_finished = False
        with self._lock:
            try:
                while True:
                    if not waiting or waiting[0].died_at is None:
                        waiting += islice(coming, SENT_AHEAD - len(waiting))
                    if not waiting:
                        is_finished = True
                        return
                    request = waiting[0]
                    try:
                        answer = self._ask(waiting)
                    except _Died as death:
                        self._end()
                        if death.idle:
                            continue
                        if request.died_at != request.skip:  # once more, alone
                            request.died_at = request.skip
                            continue
                        # Two failed members in a row end the file, or it might kill children
                        # without end.
                        rest = ""
                        if request.table or request.lists or request.gave_up_at == request.skip:
                            waiting.popleft()
                            rest = "; the rest of it is left out" if request.skip else ""
                        request.skip += 1
                        request.gave_up_at = request.skip
                        yield request, Member(request.name, None, NotRead(f"{death}{rest}"))
                        continue
                    if answer is None:
                        waiting.popleft()
                    else:
                        request.skip += 1
                        yield request, answer
            finally:
                if not is_finished:  # the caller stopped half-way
                    self._end()

    def _ask(self, waiting: Sequence[Request]) -> Any:
        """The next answer to the first request, None at its end; raises `_Died`."""
        if self._child is None or not self._child.lives():
            self._end()
            self._child = _Child(self._limits)
        # A file during which a child died gets the next child for itself.
        known = len(waiting) if waiting[0].died_at is None else 1
        return self._child.ask(list(islice(waiting, self._child.unanswered, known)))

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """The process and its two pipes."""

    def __init__(self, limits: tuple[float, float, float, float]) -> None:
        self._seconds = limits[0]
        self._memory_bytes = limits[2]
        self._outgoing = memoryview(b"")
        self._received = b""
        self._answered = False
        self.unanswered = 0  # requests sent to it and not yet answered
        command = [
            sys.executable, "-I", "-X", f"utf8={sys.flags.utf8_mode}",
            "-c", _START, json.dumps(search_path.for_modules()), *map(str, limits),
        ]  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, our own code
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_FOLDER,
            env={name: os.environ[name] for name in _NEEDS if name in os.environ},
            bufsize=0,
            process_group=0,  # Ctrl-C only reaches us; we end the child
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._requests.fileno(), False)
        # Ends the process and closes the pipes, once; at the latest on garbage collection.
        self.end = weakref.finalize(self, _end_process, self._process)

    def lives(self) -> bool:
        """False after it has exited."""
        return self._process.poll() is None

    def ask(self, requests: Sequence[Request]) -> Any:
        """Send requests and wait for the next answer; None ends the answers to one request.

        Raises `_Died` if none comes in time.
        """
        self.unanswered += len(requests)
        if requests:
            encoded = b"".join(request.encode() for request in requests)
            self._outgoing = memoryview(bytes(self._outgoing) + encoded)
        deadline = time.monotonic() + self._seconds
        while b"\n" not in self._received:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answers, selectors.EVENT_READ)
                if self._outgoing:
                    selector.register(self._requests, selectors.EVENT_WRITE)
                ready = {key.fileobj for key, _ in selector.select(deadline - time.monotonic())}
            if not ready or time.monotonic() > deadline:
                self._process.kill()
                raise _Died(f"reading it took longer than {self._seconds:g} s")
            if self._requests in ready:
                with suppress(OSError):  # it has exited; the answer will say why
                    sent = self._requests.write(self._outgoing)
                    self._outgoing = self._outgoing[sent or 0 :]
            if self._answers in ready:
                chunk = os.read(self._answers.fileno(), 1 << 16)
                if not chunk:
                    raise self._died()
                self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        self._answered = True
        self.unanswered -= line == END
        return decode_answer(line)

    def _died(self) -> _Died:
        status = self._process.wait()
        if status == 0 and self._answered:  # it was idle, and exited just now
            return _Died("", idle=True)
        if status == -signal.SIGALRM:
            return _Died(f"reading it took longer than {self._seconds:g} s")
        if status == OUT_OF_MEMORY:
            most_mb = self._memory_bytes / MIB
            return _Died(f"reading it takes more than {most_mb:.0f} MB of memory")
        if status == -signal.SIGKILL:
            return _Died("its reader was killed, most likely for want of memory")
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return _Died(f"it crashed its reader ({how})")


def _end_process(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    # With a limit: a Ctrl-C inside `poll` can leave the process's lock locked forever.
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
