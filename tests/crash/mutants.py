"""Wrong orders of work, each of which the harness must catch, or its checks show nothing.

Each one replaces a piece of the pipeline in the forked process, before the worker begins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import Response

from worker.mail import SendError
from worker.model import Athlete
from worker.pipeline.works import Clock, Works
from worker.sources.strava.grants import Grant
from worker.sources.strava.refusals import DeadGrant
from worker.store import Letter, Transaction
from worker.web.desk import Desk, Visit

# By name: `worker.pipeline` gives functions of these names.
deciding: Any = import_module("worker.pipeline.decide")
delivering: Any = import_module("worker.pipeline.deliver")
line: Any = import_module("worker.pipeline.strava.line")
checkin: Any = import_module("worker.web.checkin")


def marks_then_sends() -> None:
    """`sent` is committed before the mail goes out."""

    def send(works: Works, letter: Letter, clock: Clock) -> SendError | None:
        with works.store.transaction() as tx:
            tx.outbox.sent(letter, now=clock())
        try:
            works.mailer.send(
                letter.mime,
                sender=letter.sender,
                recipient=letter.recipient,
                before_dot=lambda: None,
            )
        except SendError as error:
            return error
        return None

    delivering._send = send


def sends_then_marks() -> None:
    """Nothing is committed before the dot: after a crash no mail is known to be in doubt."""

    def send(works: Works, letter: Letter, clock: Clock) -> SendError | None:
        try:
            works.mailer.send(
                letter.mime,
                sender=letter.sender,
                recipient=letter.recipient,
                before_dot=lambda: None,
            )
        except SendError as error:
            delivering._settle(works, letter, error, clock)
            return error
        with works.store.transaction() as tx:
            tx.outbox.sent(letter, now=clock())
        return None

    delivering._send = send


def keeps_runs_before_findings() -> None:
    """Runs are committed first and judged in a transaction of their own."""
    judge = deciding.judge

    def commit_then_judge(tx: Transaction, works: Works, athlete: Athlete, **named: object) -> None:
        tx.connection.exec_driver_sql("COMMIT")
        tx.connection.exec_driver_sql("BEGIN")
        judge(tx, works, athlete, **named)

    deciding.judge = commit_then_judge


def uses_tokens_before_keeping_them() -> None:
    """Fresh tokens are kept only once Strava has answered a question with them."""
    ask, unkept = line.Line._call, list[Grant]()

    def refreshed(self: Any, grant: Grant) -> Grant:
        try:
            unkept.append(self._strava.client.refresh(grant, now=self._clock()))
        except DeadGrant:
            self._bury(self._clock())
            raise
        return unkept[-1]

    def call(self: Any, *asked: object) -> object:
        answer = ask(self, *asked)
        while unkept:
            fresh = unkept.pop()
            with self._works.store.transaction() as tx:
                tx.strava.renew(
                    self.athlete,
                    version=self.kept.version,
                    sealed=self._strava.seal(fresh),
                    expires_at=fresh.expires_at,
                )
        return answer

    line.Line._refreshed, line.Line._call = refreshed, call


def confirms_then_keeps() -> None:
    """An answer's page is sent before the answer is kept."""
    keep = checkin.keep

    def later(desk: Desk, visit: Visit) -> Response:
        return Response("kept", background=BackgroundTask(keep, desk, visit))

    checkin.keep = later


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong order of work, the promise it breaks, and the boundaries where that is likeliest."""

    install: Callable[[], None]
    breaks: str
    near: str


MUTANTS: Mapping[str, Mutant] = {
    "marks then sends": Mutant(marks_then_sends, "no mail lost", "smtp dot"),
    "sends then marks": Mutant(sends_then_marks, "no mail twice without need", "smtp dot"),
    "keeps runs before findings": Mutant(
        keeps_runs_before_findings, "no run missing, doubled or partial", "take_in._batch"
    ),
    "uses tokens before keeping them": Mutant(
        uses_tokens_before_keeping_them, "no refresh token lost but on the wire", "client.page"
    ),
    "confirms then keeps": Mutant(confirms_then_keeps, "no confirmed answer lost", "checkin.keep"),
}
