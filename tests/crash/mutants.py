"""Wrong orders of work, each of which the harness must catch, or its checks show nothing.

Each one replaces a piece of the pipeline in the forked process, before the worker begins.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from worker.mail import SendError
from worker.model import Athlete
from worker.pipeline.works import Clock, Works
from worker.store import Letter, Transaction

# By name: `worker.pipeline` gives functions of these names.
deciding: Any = import_module("worker.pipeline.decide")
delivering: Any = import_module("worker.pipeline.deliver")


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


MUTANTS: Mapping[str, Callable[[], None]] = {
    "marks then sends": marks_then_sends,
    "sends then marks": sends_then_marks,
    "keeps runs before findings": keeps_runs_before_findings,
}
