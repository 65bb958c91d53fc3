"""What the worker's process is doing, by its calls of SQLAlchemy, SMTP, HTTP and the file system.

    watch.install()
    watch.transaction()         # what the transaction of this thread has written so far
    watch.request()             # "POST /oauth/token", this thread's last request

Boundaries are labelled and mutants are made by tables, addresses and steps of protocols, which
don't depend on the worker's functions.
"""

import functools
import http.client
import re
import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import local
from typing import Any

import urllib3.connection
from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect

EXECUTES = ("do_execute", "do_execute_no_params", "do_executemany")
# The connection class that requests uses overrides the library's methods.
ASKS = (http.client.HTTPConnection, urllib3.connection.HTTPConnection)

_WRITES = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")
_NUMBERS = re.compile(r"\d[\dT:.Z+-]*")


@dataclass(frozen=True, slots=True)
class Write:
    """One statement that changes a table."""

    table: str
    statement: str
    parameters: Any
    engine: Engine

    def again(self) -> None:
        """Execute it again in a transaction of its own."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(self.statement, self.parameters)


@dataclass
class _Moment(local):
    """The state of one thread."""

    writes: list[Write] = field(default_factory=list)
    request: str = ""
    body_is_out: bool = False
    step: str = ""
    """The last step of HTTP or SMTP since a transaction ended."""


_moment = _Moment()


def install() -> None:
    """Watch from here on."""
    for call in EXECUTES:
        around(DefaultDialect, call, before=_note_statement)
    for call in ("do_commit", "do_rollback"):
        around(DefaultDialect, call, after=_end_transaction)
    for connection in ASKS:
        around(connection, "request", before=_note_request)
    around(smtplib.SMTP, "send", before=_note_sent)
    around(smtplib.SMTP, "getreply", after=_note_reply)


def around(
    owner: Any,
    name: str,
    *,
    before: Callable[..., object] | None = None,
    after: Callable[..., object] | None = None,
) -> None:
    """Call these with the arguments of each call of `owner.name`, before and after it."""
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def call(*args: Any, **named: Any) -> Any:
        if before:
            before(*args)
        result = wrapped(*args, **named)
        if after:
            after(*args)
        return result

    setattr(owner, name, call)


def transaction() -> tuple[Write, ...]:
    """What the transaction of this thread has written so far."""
    return tuple(_moment.writes)


def written() -> frozenset[str]:
    """The tables that the transaction of this thread has written to."""
    return frozenset(write.table for write in _moment.writes)


def request() -> str:
    """This thread's last HTTP request."""
    return _moment.request


def is_before_dot() -> bool:
    """True from sending a mail's body until the next transaction ends."""
    return _moment.body_is_out


# Labels


def commit(*_: object) -> str:
    """The tables written to, and the protocol step right before this commit."""
    tables = " ".join(sorted(written())) or "nothing"
    return f"commit of {tables}{_moment.step and f', after {_moment.step}'}"


def answered(*_: object) -> str:
    return f"http answer {_moment.request}"


def smtp_step(_: object, sent: bytes | str) -> str:
    """The verb of a command, or "body", or "dot"."""
    text = sent if isinstance(sent, bytes) else sent.encode()
    if text == b".\r\n":
        return "smtp dot"
    first = text.split(None, 1)[0].decode("ascii", "replace") if text.strip() else ""
    return f"smtp {'body' if ':' in first else first.upper()}"


def file_call(call: str) -> Callable[..., str]:
    """The call and the name of its file, without digits."""

    def label(file: Any, *_: object, **__: object) -> str:
        path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file)
        return f"{call} {_NUMBERS.sub('#', path.name)}"

    return label


def as_asked(method: str, url: str) -> str:
    """A request without digits."""
    return f"{method} {_NUMBERS.sub('#', url.partition('?')[0])}"


def _note_statement(_: object, __: object, statement: str, *more: Any) -> None:
    found, context = _WRITES.match(statement), more[-1] if more else None
    if found and context is not None:
        parameters = more[0] if len(more) > 1 else None
        engine = context.root_connection.engine
        _moment.writes.append(Write(found[1], statement, parameters, engine))


def _end_transaction(*_: object) -> None:
    _moment.writes.clear()
    _moment.body_is_out = False
    _moment.step = ""


def _note_request(_: object, method: str, url: str, *__: object) -> None:
    _moment.request = _moment.step = as_asked(method, url)


def _note_sent(smtp: object, sent: bytes | str) -> None:
    _moment.step = smtp_step(smtp, sent)
    if _moment.step == "smtp body":
        _moment.body_is_out = True


def _note_reply(*_: object) -> None:
    _moment.step = f"answer to {_moment.step}"
