"""The readers in a process of their own, which can neither hang nor take memory without end.

    with Reader() as reader:
        for member in reader.read(path): ...

The child starts with the first file, serves one after another, and leaves by itself when nothing
came for a while. What kills it (time, memory, a crash) is tried once more by a new child that has
nothing else to read, as the file before may have been the one to blame. Only then it becomes that
file's reason; the rest of an archive goes on. What the child does, and how the two talk, is in
`child_serve.py`.
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
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Self, cast

from worker import search_path
from worker.sources.formats.child_serve import END, OUT_OF_MEMORY, Request, decode_member
from worker.sources.formats.unpack import MAX_BYTES, MIB, Member, refused

SECONDS = 20.0
MEMORY_BYTES = 512 * MIB
IDLE_S = 30.0
GRACE_S = 5.0
ENDS_WITHIN_S = 2.0
AHEAD_BYTES = 8192  # of requests not yet answered: well within a pipe, so that nobody blocks

# All that an interpreter may need to start and to read names as we do. Nothing else of ours: the
# settings may hold passwords, and what reads strangers' files must not.
_NEEDS = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

# The folder that the child stands in: always there, and nobody's who sends files.
_FOLDER = "/"

# The child starts isolated: no current folder, no user's packages, no PYTHON... on its path. It
# gets our own search path, as it must find the same modules wherever they came from.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from worker.sources.formats.child_serve import serve; serve(*map(float, sys.argv[2:]))"
)


class _Died(Exception):  # noqa: N818  # it reads as what happened
    """The child is gone; the message is the file's reason. `idle`: it had only left."""

    def __init__(self, reason: str, *, idle: bool = False) -> None:
        super().__init__(reason)
        self.idle = idle


class Reader:
    """Reads files in a child process, kept for the next file.

    Threads may share it; each waits until another's files are read to their end, and within one
    thread too an answer has to be listened to before the next is asked for.
    `seconds` is the limit for one file or one member of an archive, `memory_bytes` for the child
    as a whole (where the platform has such a limit). A child whose parent died ends by itself
    when a file takes `grace_s` longer.
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

        The first `skip` members are left out: they were read before.
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

    def close(self) -> None:
        """End the child, if there is one; the next file starts another.

        It waits for what is being read: close an iterator that you stop listening to.
        """
        with self._lock:
            self._end()

    def _serve(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Member]]:
        with self._lock:
            queue = _Queue(requests)
            try:
                while request := queue.fill():
                    try:
                        member = self._answer(queue)
                    except _Died as death:
                        self._end()
                        if not death.idle and not queue.try_alone():
                            rest = "" if queue.pass_over() else "; the rest of it is left out"
                            yield request, refused(request.name, f"{death}{rest}")
                        continue
                    if member is None:
                        queue.done()
                    else:
                        queue.progressed += 1
                        queue.passed_over = False
                        yield request, member
                queue.finished = True
            finally:
                if not queue.finished:  # the caller stopped listening half-way
                    self._end()

    def _answer(self, queue: "_Queue") -> Member | None:
        """The next member of the first request, None where there are no more."""
        if self._child is None or not self._child.is_ours():
            self._end()
            self._child = _Child(self._limits)
            queue.sent = 0  # a new child knows of none
        self._child.send(queue.take_unsent())
        return self._child.answer()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Queue:
    """Requests on their way: the first is being read, some more were sent ahead.

    `sent` counts those that the child knows of, `progressed` the members of the first that are
    read. `passed_over`: the member before was given up.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.finished = False
        self._coming = iter(requests)
        self._waiting: deque[Request] = deque()
        self.sent = 0
        self.progressed = 0
        self._alone = False
        self.passed_over = False

    def fill(self) -> Request | None:
        """Take in as many as may be on their way at once; the one to be answered next."""
        while not self._waiting or (
            not self._alone and sum(request.size for request in self._waiting) < AHEAD_BYTES
        ):
            request = next(self._coming, None)
            if request is None:
                break
            self._waiting.append(request)
        return self._waiting[0] if self._waiting else None

    def take_unsent(self) -> list[Request]:
        """Those that the child doesn't know of yet, as far as it may."""
        known = 1 if self._alone else len(self._waiting)
        unsent = list(self._waiting)[self.sent : known]
        self.sent = known
        return unsent

    def done(self) -> None:
        """The first request is answered to its end."""
        self._waiting.popleft()
        self.sent -= 1
        self.progressed = 0
        self._alone = self.passed_over = False

    def try_alone(self) -> bool:
        """After a death try the member that it met once more, with nothing else sent to the child.

        False where it has been tried so.
        """
        again = self.progressed > 0 or not self._alone
        self._skip(self.progressed)
        self._alone = True
        return again

    def pass_over(self) -> bool:
        """Go on past the member that was tried alone in vain; False where the file is given up.

        Two such members in a row are enough: a file of them would kill child after child.
        """
        goes_on = not self.passed_over
        if goes_on:
            self._skip(1)
        else:
            self._waiting.popleft()
        self._alone = False
        self.passed_over = goes_on
        return goes_on

    def _skip(self, members: int) -> None:
        self._waiting[0] = replace(self._waiting[0], skip=self._waiting[0].skip + members)
        self.sent = 0
        self.progressed = 0


class _Child:
    """The process, and the two pipes to it."""

    def __init__(self, limits: tuple[float, float, float, float]) -> None:
        self._seconds = limits[0]
        self._memory_bytes = limits[2]
        self._owner = os.getpid()
        self._received = b""
        self._answered = False
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
            process_group=0,  # Ctrl-C is for us; we end the child
        )
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._finalizer = weakref.finalize(self, _end_process, self._process, self._owner)

    def is_ours(self) -> bool:
        """False in a process forked from the one that started it, and after it left."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, requests: list[Request]) -> None:
        stream = self._process.stdin
        if not requests or stream is None:
            return
        try:
            left = memoryview(b"".join(request.encode() for request in requests))
            while left:
                left = left[stream.write(left) :]
        except OSError:  # it's gone; the answer will tell why
            pass

    def answer(self) -> Member | None:
        """The next answer; raises `_Died` where none comes in time."""
        deadline = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    self._process.kill()
                    raise _Died(f"reading it took longer than {self._seconds:g} s")
                chunk = os.read(self._answers.fileno(), 1 << 16)
                if not chunk:
                    raise self._died()
                self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        self._answered = True
        return None if line == END else decode_member(line)

    def _died(self) -> _Died:
        status = self._process.wait()
        if status == 0 and self._answered:  # nothing had come for long: it left just now
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

    def end(self) -> None:
        """End the process and close the pipes, once; it happens by itself when nobody's left."""
        self._finalizer()


def _end_process(process: subprocess.Popen[bytes], owner: int) -> None:
    if owner == os.getpid():  # a process forked from the owner has only its pipes to close
        process.kill()
        # Not without end: a Ctrl-C inside of `poll` can leave the process's lock taken for good.
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN_S)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
