"""Delivers mail: claim it, send it, settle it.

The order keeps a mail from being lost or sent twice: `at_dot` is committed just before the final
dot, `sent` just after its answer. No lock of the store is held while the mail server answers.
A problem with the server or our login pauses all mail and doesn't count as an attempt. A refusal
of one mail concerns only that mail.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from threading import Lock, Thread

from worker.mail import SendError, readdressed
from worker.metrics import counters
from worker.notify import NoticeFacts
from worker.pipeline.services import Clock, Services, enqueue
from worker.pipeline.tick_names import MAIL_TICK, PAUSE_TICK
from worker.pipeline.welcome import WELCOME
from worker.store import StoreError, Transaction
from worker.store.outbox import OutboxMail
from worker.store.progress import Tick

log = logging.getLogger(__name__)

PAUSE_AFTER_LOGIN_FAILURE = timedelta(minutes=5)
PAUSE_WHILE_UNREACHABLE = timedelta(seconds=20)
"""The time between two attempts to connect."""

PAUSE_AFTER_REFUSALS = timedelta(minutes=1)

REFUSED_IN_A_ROW = 10
"""After this many temporary refusals in a row, the server is left alone for a while."""

PATIENCE_S = 2.0
"""How long a connection sends alone before another one helps."""

SAVE_ANSWER_EVERY = timedelta(seconds=30)


class _TakenAwayError(Exception):
    """Another worker has put this worker's claim back, because its heartbeat was late."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many mails went out, and for each that didn't, the reason."""

    sent: int = 0
    troubles: tuple[str, ...] = ()


def deliver(services: Services, clock: Clock, *, at_most: int | None = None) -> Delivered:
    """Send every mail that is due, or `at_most` that many."""
    with services.store.reading() as tx:
        if _is_paused(tx, clock()) or not tx.outbox.waiting(clock()):
            return Delivered()
    make_ready(services, clock())
    return send(services, clock, at_most=at_most)


def make_ready(services: Services, now: datetime) -> None:
    """Requeue what dead workers have claimed, and expire mail that is too old."""
    with services.store.transaction() as tx:
        living = tx.workers.living(within=services.identity.stale) if services.identity else ()
        tx.outbox.put_back(but_of=[one.name for one in living])
        for expired in () if services.doubts(now) else tx.outbox.expire(now):
            counters().mails.labels(expired.kind, "given_up").inc()
            _notify_operator(tx, services, expired, expired.last_error or "", now=now)


def mails_due(services: Services, now: datetime, *, most: int) -> int:
    """How many mails could go out now, counted up to `most`; none while mail is paused."""
    with services.store.reading() as tx:
        return 0 if _is_paused(tx, now) else tx.outbox.due(now, most=most)


def send(
    services: Services, clock: Clock, *, at_most: int | None = None, patience_s: float = PATIENCE_S
) -> Delivered:
    """Claim and send what is due; other workers may do the same.

    It begins with one sender. After each `patience_s`, another one joins, up to the mailer's
    `connections`, so that a recipient whose server hangs delays only their own mail. Returns once
    all senders have ended, so `at_most` may be exceeded while one hangs.
    """
    run = _DeliveryRun(services, clock, at_most)
    senders = [run.begin(joins=False)]
    while senders:
        senders[0].join(patience_s)
        senders = [one for one in senders if one.is_alive()]
        if senders and len(senders) < services.mailer.connections:
            senders.append(run.begin(joins=True))  # ends at once if nothing is due
    if run.failure is not None:
        raise run.failure
    return Delivered(run.sent, tuple(run.troubles))


def send_again(tx: Transaction, letter: OutboxMail, *, now: datetime) -> bool:
    """Send a mail now at the operator's request, to the current address, even during a pause.

    True if the mail's state allowed it.
    """
    athlete = tx.athletes.by_id(letter.athlete_id) if letter.athlete_id is not None else None
    is_theirs = letter.kind != "notice" or letter.key.startswith(f"{WELCOME}:")
    if athlete and is_theirs and letter.mime and athlete.email != letter.recipient:
        mime = readdressed(letter.mime, athlete.email)
        letter = tx.outbox.readdress(letter, recipient=athlete.email, mime=mime)
    tx.progress.ticked(PAUSE_TICK, at=now)
    return tx.outbox.again(letter, now=now)


class _DeliveryRun:
    """The shared state of one run's senders. `failure` is the error that ended one of them."""

    def __init__(self, services: Services, clock: Clock, at_most: int | None) -> None:
        self.sent = 0
        self.troubles: list[str] = []
        self.failure: BaseException | None = None
        self._services = services
        self._clock = clock
        self._left = inf if at_most is None else at_most
        self._at_work = 0
        self._refused_in_a_row = 0
        self._is_over = False
        self._lock = Lock()

    def begin(self, *, joins: bool) -> Thread:
        """Start a sender, the first or one that joins, as a daemon thread."""
        sender = Thread(target=self._send_in_turn, args=(joins,), name="mail", daemon=True)
        with self._lock:
            self._at_work += 1
        sender.start()
        return sender

    def _send_in_turn(self, joins: bool) -> None:
        try:
            with self._services.mailer.connected():
                letter = self._claim(joins=joins)
                while letter is not None:
                    letter = self._send(letter, joins=joins)
        except BaseException as error:  # noqa: BLE001  raised in the caller's thread
            self.failure = error
            self._is_over = True
        finally:
            with self._lock:
                self._at_work -= 1

    def _send(self, letter: OutboxMail, *, joins: bool) -> OutboxMail | None:
        """Send a mail and settle it; returns the next one if the same transaction claimed it."""
        following: list[OutboxMail | None] = []
        try:
            error = _send(
                self._services,
                letter,
                self._clock,
                then=lambda tx, ticks: following.append(self._claim_in(tx, ticks, joins=joins)),
            )
            self._note(letter, error)
        except _TakenAwayError:
            log.warning("mail %(mail)s: another worker has it", {"mail": letter.id})
        return following[0] if following else self._claim(joins=joins)

    def _claim(self, *, joins: bool) -> OutboxMail | None:
        with self._services.store.transaction() as tx:
            return self._claim_in(tx, tx.progress.ticks(PAUSE_TICK), joins=joins)

    def _claim_in(
        self, tx: Transaction, ticks: Mapping[str, Tick], *, joins: bool
    ) -> OutboxMail | None:
        """Claim the next mail; `ticks` are those that record the state of mail."""
        with self._lock:
            # While another sender hangs, the run can't end, so those that joined continue.
            goes_on = self._left > 0 or (joins and self._at_work > 1)
            if self._is_over or not goes_on:
                return None
            self._left -= 1  # before the others claim as many
        now, identity = self._clock(), self._services.identity
        letter = None
        if not _pauses(ticks, now):
            letter = tx.outbox.claim(now, by=identity.name if identity else None)
        if letter is None:
            with self._lock:
                self._left += 1
        return letter

    def _note(self, letter: OutboxMail, error: SendError | None) -> None:
        refuses_all = False
        with self._lock:
            if error is None:
                self.sent += 1
            else:
                self.troubles.append(f"mail to {letter.recipient}: {error}")
            for_now = error is not None and not error.permanent
            self._refused_in_a_row = self._refused_in_a_row + 1 if for_now else 0
            if error is not None and (error.login or error.unreachable):
                self._is_over = True
            elif self._refused_in_a_row == REFUSED_IN_A_ROW:
                # The server refuses everything: trying every waiting mail would be abuse.
                self._is_over = refuses_all = True
        # The lock isn't held here, because other senders take it while they write.
        if refuses_all:
            until = self._clock() + PAUSE_AFTER_REFUSALS
            with self._services.store.transaction() as tx:
                tx.progress.ticked(PAUSE_TICK, at=until)


def _is_paused(tx: Transaction, now: datetime) -> bool:
    return _pauses(tx.progress.ticks(PAUSE_TICK), now)


def _pauses(ticks: Mapping[str, Tick], now: datetime) -> bool:
    pause = ticks.get(PAUSE_TICK)
    # A later pause is ignored: it was saved while the clock ran ahead.
    return pause is not None and now < pause.at <= now + PAUSE_AFTER_LOGIN_FAILURE


def _send(
    services: Services,
    letter: OutboxMail,
    clock: Clock,
    *,
    then: Callable[[Transaction, Mapping[str, Tick]], object],
) -> SendError | None:
    """Send one mail and settle it, whatever the result.

    If it was sent, `then` is called in the transaction that records this, with the ticks that
    record the state of mail.
    """
    is_at_dot, began = False, clock()

    def before_dot() -> None:
        nonlocal is_at_dot
        services.store.assert_held()
        with services.store.transaction() as tx:
            if not tx.outbox.at_dot(letter):
                raise _TakenAwayError
            number = tx.outbox.count_handed_over()
        services.store.note_mail(number)
        is_at_dot = True

    try:
        services.mailer.send(
            letter.mime, sender=letter.sender, recipient=letter.recipient, before_dot=before_dot
        )
    except (StoreError, _TakenAwayError):
        raise
    except SendError as error:
        return _unsent(services, letter, error, began, clock)
    except Exception as error:
        # An unexpected error must not delay other mails, nor recur at every tick.
        log.exception("mail %(kind)s to athlete %(athlete)s: unexpected", _named(letter))
        surprise = SendError(f"unexpected: {error!r}", permanent=False, unanswered=is_at_dot)
        return _unsent(services, letter, surprise, began, clock)
    now = clock()
    with services.store.transaction() as tx:
        tx.outbox.sent(letter, now=now)
        ticks = tx.progress.ticks(MAIL_TICK, PAUSE_TICK)
        _save_answer(tx, ticks, now)
        then(tx, ticks)
    counters().mails.labels(letter.kind, "sent").inc()
    log.info("mail %(kind)s to athlete %(athlete)s sent", _named(letter))
    return None


def _named(letter: OutboxMail) -> dict[str, object]:
    """What the log says of a mail: only numbers, because the log outlives deleted athletes."""
    return {"kind": letter.kind, "athlete": letter.athlete_id, "mail": letter.id}


def _unsent(
    services: Services, letter: OutboxMail, error: SendError, began: datetime, clock: Clock
) -> SendError:
    """Settle a mail that wasn't sent, whose attempt `began` then; returns why."""
    # The address is removed, because the log and the ticks outlive deleted athletes.
    nameless = str(error).replace(letter.recipient, "them")
    now = clock()
    is_the_servers = error.login or error.unreachable
    with services.store.transaction() as tx:
        trouble = nameless if is_the_servers or error.sender else None
        _save_answer(tx, tx.progress.ticks(MAIL_TICK), now, trouble)
        if is_the_servers:
            # This isn't an attempt of the mail: one pause applies to everything that waits.
            tx.outbox.give_back(letter, error=str(error))
            until = now + PAUSE_AFTER_LOGIN_FAILURE
            if not error.login:
                until = began + PAUSE_WHILE_UNREACHABLE  # the attempt's own time counts
            tx.progress.ticked(PAUSE_TICK, at=until)
            outcome = "put_back"
        elif error.permanent:
            tx.outbox.dead(letter, error=str(error))
            outcome = "given_up"
            _notify_operator(tx, services, letter, str(error), now=now)
        elif tx.outbox.retry(
            letter,
            error=str(error),
            now=now,
            perhaps_twice=error.unanswered,
            may_end=not services.doubts(now),
        ):
            outcome = "to_retry"
        else:
            outcome = "given_up"
            _notify_operator(tx, services, letter, f"not delivered in time: {error}", now=now)
    counters().mails.labels(letter.kind, outcome).inc()
    log.warning(
        "mail %(kind)s to athlete %(athlete)s not sent: %(why)s", _named(letter) | {"why": nameless}
    )
    return error


def _save_answer(
    tx: Transaction, ticks: Mapping[str, Tick], now: datetime, trouble: str | None = None
) -> None:
    """Save how the mail server answered last; an answer as in `ticks`, only now and then.

    Otherwise every sender would wait for the lock on that row.
    """
    before = ticks.get(MAIL_TICK)
    if before and before.trouble == trouble and abs(now - before.at) < SAVE_ANSWER_EVERY:
        return
    tx.progress.ticked(MAIL_TICK, at=now, trouble=trouble)


def _notify_operator(
    tx: Transaction, services: Services, letter: OutboxMail, error: str, *, now: datetime
) -> None:
    """Queue a notice about a mail that was given up: at most one a day, which mentions the others.

    It belongs to the athlete, and is deleted with the athlete. There is no notice about a notice.
    """
    if services.operator is None or letter.kind == "notice":
        return
    athlete = tx.athletes.by_id(letter.athlete_id) if letter.athlete_id is not None else None
    whose = f" for {athlete.name}" if athlete else ""
    facts = NoticeFacts(
        recipient=services.operator,
        what=f"The {letter.kind} mail{whose} couldn't be delivered: {error}",
        lines=(
            f"`easeback outbox retry {letter.id}` sends it again once the cause is mended.",
            "`easeback outbox list` shows every mail that waits or was given up.",
            "There is one such notice a day at most.",
        ),
    )
    key = f"notice:undelivered:{now:%Y-%m-%d}"
    enqueue(tx, services, services.composer.notice(facts), athlete=athlete, key=key, now=now)
