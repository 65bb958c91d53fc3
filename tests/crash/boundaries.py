"""The boundaries of a worker process, counted while it runs; at one of them it may be killed.

    boundaries = Boundaries(ledger, kill_at=17)
    boundaries.install()                          # from here on every boundary is counted

A boundary is the moment before or after an effect that outlasts the process: a commit, a file's
sync or rename, a step of SMTP or HTTP. Its label names the tables, the file or the address. Library
calls are wrapped only in a process that is made to be killed.
"""

import functools
import http.client
import mmap
import os
import signal
import smtplib
import struct
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from tests.crash import watch

_LEDGER = struct.Struct("<Q??")
LEDGER_BYTES = 4096


class Ledger:
    """State that outlives the process: the number of boundaries it passed, and what is open now.

    A mail is in doubt between two commits: the one before its final dot is sent, and the one after
    the server's answer. Tokens are in the gap from the request for fresh ones until the next
    request or commit: by then they should be stored.
    """

    def __init__(self, file: Path, *, new: bool = False) -> None:
        if new:
            file.write_bytes(bytes(LEDGER_BYTES))
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), LEDGER_BYTES)

    def read(self) -> tuple[int, bool, bool]:
        count, in_doubt, in_gap = _LEDGER.unpack_from(self._page)
        return count, in_doubt, in_gap

    def write(self, count: int, *, in_doubt: bool, in_gap: bool) -> None:
        _LEDGER.pack_into(self._page, 0, count, in_doubt, in_gap)

    def last(self) -> str:
        """The label of the boundary at which the process was killed; "" for none."""
        return bytes(self._page[_LEDGER.size :]).rstrip(b"\0").decode()

    def end_at(self, label: str) -> None:
        self._page[_LEDGER.size :] = label.encode().ljust(LEDGER_BYTES - _LEDGER.size, b"\0")


class Boundaries:
    """Counts boundaries and kills at number `kill_at` (from 0). `labels` has the label of each.

    Doubts and gaps belong to a thread: another thread's commit doesn't close them.
    """

    def __init__(
        self, ledger: Ledger, *, kill_at: int | None = None, statements: bool = False
    ) -> None:
        self._ledger = ledger
        self._kill_at = kill_at
        self._statements = statements
        self._count = 0
        self._in_doubt: set[int] = set()
        self._in_gap: set[int] = set()
        self._settles: set[int] = set()
        self.labels: list[str] = []

    def install(self) -> None:
        """Wrap every call that makes a boundary. `watch` has to be installed before."""
        self._wrap(
            DefaultDialect, "do_commit", watch.commit, before=self._doubt, after=self._settle
        )
        for call in ("fsync", "replace", "rename", "link", "unlink"):
            self._wrap(os, call, watch.file_call(call))
        self._wrap(smtplib.SMTP, "connect", lambda *_, **__: "smtp connect")
        self._wrap(smtplib.SMTP, "send", watch.smtp_step)
        self._wrap(smtplib.SMTP, "getreply", lambda *_: "smtp answer")
        for connection in watch.ASKS:
            self._wrap(connection, "request", _request, before=self._note_request)
        self._wrap(http.client.HTTPConnection, "getresponse", watch.answered)
        if self._statements:
            for call in watch.EXECUTES:
                self._wrap(DefaultDialect, call, lambda *_: "statement")

    def _wrap(
        self,
        owner: Any,
        name: str,
        label: Callable[..., str],
        *,
        before: Callable[..., None] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        wrapped = getattr(owner, name)

        @functools.wraps(wrapped)
        def call(*args: Any, **named: Any) -> Any:
            said = label(*args)
            self._pass(f"before {said}")
            if before:
                before(*args)
            result = wrapped(*args, **named)
            if after:
                after()
            self._pass(f"after {said}")
            return result

        setattr(owner, name, call)

    def _pass(self, what: str) -> None:
        if self._count == self._kill_at:
            self._ledger.end_at(what)
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1
        self._write()
        if self._kill_at is None:
            self.labels.append(what)

    def _write(self) -> None:
        self._ledger.write(self._count, in_doubt=bool(self._in_doubt), in_gap=bool(self._in_gap))

    def _note_request(self, _: object, __: str, url: str, *___: object) -> None:
        _note(self._in_gap, url.endswith("/oauth/token"))
        self._write()

    def _doubt(self, *_: object) -> None:
        """The commit after a mail's body is the one before its dot."""
        if watch.is_before_dot():
            _note(self._in_doubt, True)
            self._write()
        _note(self._settles, not watch.is_before_dot())

    def _settle(self) -> None:
        if get_ident() in self._settles:
            _note(self._in_doubt, False)
        _note(self._in_gap, False)
        self._write()


def _note(threads: set[int], holds: bool) -> None:
    """Note whether this applies to the current thread."""
    (threads.add if holds else threads.discard)(get_ident())


def _request(_: object, method: str, url: str, *__: object) -> str:
    return f"http request {watch.as_asked(method, url)}"
