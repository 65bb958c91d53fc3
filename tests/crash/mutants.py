"""Wrong orders of work that the harness must catch; otherwise its checks would prove nothing.

Each mutant changes the process's calls of SQLAlchemy, of HTTP and of its web server. It names no
function of the worker, only tables, addresses and steps of protocols.
"""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from starlette.responses import Response

from tests.crash import watch
from tests.crash.watch import Write

FRESH_TOKENS = "POST /oauth/token"
GRANTS = "source_credential"


def marks_then_sends() -> None:
    """`sent` is committed before the whole mail is sent."""

    def mark(_: object, connection: Any) -> None:
        if watch.is_before_dot():
            cursor = connection.cursor()
            cursor.execute(
                "UPDATE outbox SET state = 'sent', sent_at = due_at WHERE state = 'at_dot'"
            )
            cursor.close()

    watch.around(DefaultDialect, "do_commit", before=mark)


def sends_then_marks() -> None:
    """Nothing is committed before the dot, so after a crash no mail is known to be in doubt."""
    _not_committed(watch.is_before_dot)


def keeps_runs_before_findings() -> None:
    """Runs are committed first and judged in a transaction of their own."""

    def part(_: object, cursor: Any, statement: str, *__: object) -> None:
        if "finding" in statement and "run" in watch.written() - {"finding"}:
            cursor.execute("COMMIT")
            cursor.execute("BEGIN")

    for call in watch.EXECUTES:
        watch.around(DefaultDialect, call, before=part)


def uses_tokens_before_keeping_them() -> None:
    """Fresh tokens are stored only after Strava has answered a request with them."""

    def is_of_fresh_tokens() -> bool:
        renewed = any(
            write.table == GRANTS and write.statement.startswith("UPDATE")
            for write in watch.transaction()
        )
        return renewed and watch.request() == FRESH_TOKENS

    late = _Late(is_of_fresh_tokens)

    def commit_late(*_: object) -> None:
        if watch.request() != FRESH_TOKENS:
            late.commit()

    watch.around(http.client.HTTPConnection, "getresponse", after=commit_late)


def confirms_then_keeps() -> None:
    """The page that confirms an answer is sent before the answer is stored."""
    late = _Late(lambda: "checkin" in watch.written())
    respond = Response.__call__

    async def respond_then_commit(self: Response, *about: Any) -> None:
        await respond(self, *about)
        late.commit()

    Response.__call__ = respond_then_commit  # type: ignore[method-assign]  # what a mutant does


class _Late:
    """Delays the transactions selected by `which`: rolls them back and commits them later."""

    def __init__(self, which: Callable[[], bool]) -> None:
        self._writes: list[Write] = []
        self._is_time = False
        _not_committed(lambda: not self._is_time and which() and self._take())

    def _take(self) -> bool:
        self._writes.extend(watch.transaction())
        return True

    def commit(self) -> None:
        """Commit the delayed writes now."""
        self._is_time = True
        while self._writes:
            self._writes.pop(0).again()
        self._is_time = False


def _not_committed(which: Callable[[], bool]) -> None:
    """Roll back transactions that are about to be committed if `which` selects them."""
    commit = DefaultDialect.do_commit

    def commit_or_not(self: Any, connection: Any) -> None:
        if which():
            self.do_rollback(connection)
        else:
            commit(self, connection)

    DefaultDialect.do_commit = commit_or_not  # type: ignore[method-assign]  # as above


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong order of work, the promise it breaks, and the likeliest boundaries."""

    install: Callable[[], None]
    breaks: str
    near: str


MUTANTS: Mapping[str, Mutant] = {
    "marks then sends": Mutant(marks_then_sends, "no mail lost", "smtp dot"),
    "sends then marks": Mutant(sends_then_marks, "no mail twice without need", "smtp dot"),
    "keeps runs before findings": Mutant(
        keeps_runs_before_findings,
        "no run missing, doubled or partial",
        "inbox_file recording run",
    ),
    "uses tokens before keeping them": Mutant(
        uses_tokens_before_keeping_them,
        "no refresh token lost but on the wire",
        f"after commit of {GRANTS}, after {FRESH_TOKENS}",
    ),
    "confirms then keeps": Mutant(
        confirms_then_keeps, "no confirmed answer lost", "before commit of checkin"
    ),
}
