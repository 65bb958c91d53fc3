"""Deliver: claim a mail, send it, settle it.

The order is what keeps a mail from being lost or sent twice: `at_dot` is committed just before
the final dot, `sent` just after its answer, and no lock of the store is held while the mail
server takes its time.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.mail import SendError
from worker.notify import NoticeFacts
from worker.pipeline.services import Clock, Services, enqueue
from worker.store import OutboxMail, StoreError, Transaction

log = logging.getLogger(__name__)

PAUSE_AFTER_LOGIN_FAILURE = timedelta(minutes=5)
PAUSE_WHILE_UNREACHABLE = timedelta(minutes=1)

MAIL_TICK = "mail"
"""Under this name stands how the mail server answered last; in trouble, no mail goes out."""


PAUSE_TICK = "mail paused"
"""Under this name stands until when several workers send no mail."""

SAVE_ANSWER_EVERY = timedelta(seconds=30)


class _TakenAwayError(Exception):
    """Another has put this worker's claim back, as it wasn't heard of for so long."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many mails went out, and for those that didn't the reason of each."""

    sent: int = 0
    troubles: tuple[str, ...] = ()


def deliver(services: Services, clock: Clock, *, at_most: int | None = None) -> Delivered:
    """Send every mail that is due, or `at_most` so many of them."""
    with services.store.reading() as tx:
        if not tx.outbox.waiting(clock()):
            return Delivered()
    make_ready(services, clock())
    return send(services, clock, at_most=at_most)


def make_ready(services: Services, now: datetime) -> None:
    """Put back what the dead have claimed, and end what nobody wants any more."""
    with services.store.transaction() as tx:
        living = tx.workers.living(within=services.identity.stale) if services.identity else ()
        tx.outbox.put_back(but_of=[one.name for one in living])
        for expired in () if services.doubts(now) else tx.outbox.expire(now):
            _notify_operator(tx, services, expired, expired.last_error or "", now=now)


def mails_due(services: Services, now: datetime, *, most: int) -> int:
    """How many mails could go out now, counted up to `most`; none while mail is paused."""
    with services.store.reading() as tx:
        return 0 if _is_paused(tx, now) else tx.outbox.due(now, most=most)


def send(services: Services, clock: Clock, *, at_most: int | None = None) -> Delivered:
    """Claim and send what is due, one mail after another, also beside other workers."""
    sent, troubles = 0, list[str]()
    name = services.identity.name if services.identity else None
    with services.mailer.connected():
        while at_most is None or sent + len(troubles) < at_most:
            with services.store.transaction() as tx:
                paused = _is_paused(tx, clock())
                letter = None if paused else tx.outbox.claim(clock(), by=name)
            if letter is None:
                break
            try:
                error = _send(services, letter, clock)
            except _TakenAwayError:
                log.warning("mail %(mail)s: another worker has it by now", {"mail": letter.id})
                continue
            if error is None:
                sent += 1
                continue
            troubles.append(f"mail to {letter.recipient}: {error}")
            if error.login or error.unreachable:
                break
    return Delivered(sent, tuple(troubles))


def _is_paused(tx: Transaction, now: datetime) -> bool:
    pause = tx.progress.tick(PAUSE_TICK)
    # One that a clock that ran ahead has left behind is none.
    return pause is not None and now < pause.at <= now + PAUSE_AFTER_LOGIN_FAILURE


def _send(services: Services, letter: OutboxMail, clock: Clock) -> SendError | None:
    """Send one mail and settle it, whatever comes of it."""
    is_at_dot = False

    def before_dot() -> None:
        nonlocal is_at_dot
        with services.store.transaction() as tx:
            if not tx.outbox.at_dot(letter):
                raise _TakenAwayError
        is_at_dot = True

    try:
        services.mailer.send(
            letter.mime, sender=letter.sender, recipient=letter.recipient, before_dot=before_dot
        )
    except (StoreError, _TakenAwayError):
        raise
    except SendError as error:
        return _unsent(services, letter, error, clock)
    except Exception as error:
        # One mail's surprise must not hold up the others, nor come again at every tick.
        log.exception("mail %(kind)s to athlete %(athlete)s: unexpected", _named(letter))
        surprise = SendError(f"unexpected: {error!r}", permanent=False, unanswered=is_at_dot)
        return _unsent(services, letter, surprise, clock)
    now = clock()
    with services.store.transaction() as tx:
        tx.outbox.sent(letter, now=now)
        _save_answer(tx, now)
    log.info("mail %(kind)s to athlete %(athlete)s sent", _named(letter))
    return None


def _named(letter: OutboxMail) -> dict[str, object]:
    """What the log calls a mail: by numbers, as it outlives an athlete who is forgotten."""
    return {"kind": letter.kind, "athlete": letter.athlete_id, "mail": letter.id}


def _unsent(services: Services, letter: OutboxMail, error: SendError, clock: Clock) -> SendError:
    """Settle a mail that wasn't sent, and say why."""
    # Without the address: the log and the ticks outlive an athlete who is forgotten.
    nameless = str(error).replace(letter.recipient, "them")
    now = clock()
    with services.store.transaction() as tx:
        _save_answer(tx, now, nameless if error.login or error.unreachable else None)
        if error.permanent:
            tx.outbox.dead(letter, error=str(error))
            _notify_operator(tx, services, letter, str(error), now=now)
        elif not tx.outbox.retry(
            letter,
            error=str(error),
            now=now,
            counts=not error.login,
            perhaps_twice=error.unanswered,
        ):
            _notify_operator(tx, services, letter, f"not delivered in time: {error}", now=now)
        if (error.login or error.unreachable) and not error.permanent:
            # Where many mails may wait, one row says so and not each of them.
            until = now + (PAUSE_AFTER_LOGIN_FAILURE if error.login else PAUSE_WHILE_UNREACHABLE)
            if services.identity is None:
                tx.outbox.postpone(until=until)
            else:
                tx.progress.ticked(PAUSE_TICK, at=until)
    log.warning(
        "mail %(kind)s to athlete %(athlete)s not sent: %(why)s", _named(letter) | {"why": nameless}
    )
    return error


def _save_answer(tx: Transaction, now: datetime, trouble: str | None = None) -> None:
    """Save how the mail server answered last; that it is as before only now and then.

    Every sender would wait for the one before it at that row.
    """
    before = tx.progress.tick(MAIL_TICK)
    if before and before.trouble == trouble and abs(now - before.at) < SAVE_ANSWER_EVERY:
        return
    tx.progress.ticked(MAIL_TICK, at=now, trouble=trouble)


def _notify_operator(
    tx: Transaction, services: Services, letter: OutboxMail, error: str, *, now: datetime
) -> None:
    """Queue a notice about a mail that was given up; one a day, which says where the rest stand.

    It belongs to the athlete, and is forgotten with them. About a notice there is no notice.
    """
    if services.operator is None or letter.kind == "notice":
        return
    athlete = tx.athletes.by_id(letter.athlete_id) if letter.athlete_id is not None else None
    whose = f" for {athlete.name}" if athlete else ""
    facts = NoticeFacts(
        recipient=services.operator,
        what=f"The {letter.kind} mail{whose} couldn't be delivered: {error}",
        now=now,
        lines=(
            f"`easeback outbox retry {letter.id}` sends it again once the cause is mended.",
            "`easeback outbox list` shows every mail that waits or was given up.",
            "There is one such notice a day at most.",
        ),
    )
    key = f"notice:undelivered:{now:%Y-%m-%d}"
    enqueue(tx, services, services.composer.notice(facts), athlete=athlete, key=key, now=now)
