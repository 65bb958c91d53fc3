"""Deliver: claim a mail, send it, settle it.

The order is what keeps a mail from being lost or sent twice: `at_dot` is committed just before
the final dot, `sent` just after its answer, and no lock of the store is held while the mail
server takes its time.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from worker.mail import SendError
from worker.pipeline.works import Clock, Works
from worker.store import Letter, StoreError

log = logging.getLogger(__name__)

PAUSE_AFTER_LOGIN_FAILURE = timedelta(minutes=5)
PAUSE_WHILE_UNREACHABLE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many mails went out, and for those that didn't the reason of each."""

    sent: int = 0
    troubles: tuple[str, ...] = ()


def deliver(works: Works, clock: Clock) -> Delivered:
    """Send every mail that is due."""
    with works.store.reading() as tx:
        if not tx.outbox.waiting(clock()):
            return Delivered()
    with works.store.transaction() as tx:
        tx.outbox.put_back()
        tx.outbox.expire(clock())
    sent, troubles = 0, []
    with works.mailer.connected():
        while (letter := _claim(works, clock)) is not None:
            error = _send(works, letter, clock)
            if error is None:
                sent += 1
                continue
            troubles.append(f"mail to {letter.recipient}: {error}")
            if error.login or error.unreachable:
                break
    return Delivered(sent, tuple(troubles))


def _claim(works: Works, clock: Clock) -> Letter | None:
    with works.store.transaction() as tx:
        return tx.outbox.claim(clock())


def _send(works: Works, letter: Letter, clock: Clock) -> SendError | None:
    """Send one mail and settle it, whatever comes of it."""

    def before_dot() -> None:
        with works.store.transaction() as tx:
            tx.outbox.at_dot(letter)

    try:
        works.mailer.send(
            letter.mime, sender=letter.sender, recipient=letter.recipient, before_dot=before_dot
        )
    except StoreError:
        raise
    except SendError as error:
        return _unsent(works, letter, error, clock)
    except Exception as error:
        # One mail's surprise must not hold up the others, nor come again at every tick.
        log.exception("mail %s to athlete %s: unexpected", letter.kind, letter.athlete_id)
        surprise = SendError(f"unexpected: {error!r}", permanent=False)
        return _unsent(works, letter, surprise, clock)
    with works.store.transaction() as tx:
        tx.outbox.sent(letter, now=clock())
    log.info("mail %s to athlete %s sent", letter.kind, letter.athlete_id)
    return None


def _unsent(works: Works, letter: Letter, error: SendError, clock: Clock) -> SendError:
    _settle(works, letter, error, clock)
    log.warning("mail %s to athlete %s not sent: %s", letter.kind, letter.athlete_id, error)
    return error


def _settle(works: Works, letter: Letter, error: SendError, clock: Clock) -> None:
    now = clock()
    with works.store.transaction() as tx:
        if error.permanent:
            tx.outbox.dead(letter, error=str(error))
            return
        tx.outbox.retry(
            letter,
            error=str(error),
            now=now,
            counts=not error.login,
            perhaps_twice=error.unanswered,
        )
        if error.login:
            tx.outbox.postpone(until=now + PAUSE_AFTER_LOGIN_FAILURE)
        elif error.unreachable:
            tx.outbox.postpone(until=now + PAUSE_WHILE_UNREACHABLE)
