"""The outbox: every state of a mail, and the waits in between."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from tests.app import ADDED, NOW
from worker.domain.models import Athlete, MailKind
from worker.store import Store, Transaction, tables
from worker.store.outbox import OutboxMail

MINUTE = timedelta(minutes=1)


def queue(
    tx: Transaction, key: str, *, kind: MailKind = "alert", now: datetime = NOW
) -> int | None:
    return tx.outbox.enqueue(
        None,
        kind=kind,
        key=key,
        message_id=f"<{key}@example.org>",
        sender="easeback@example.org",
        recipient=f"{key.replace(' ', '.')}@example.org",
        mime=b"mail",
        now=now,
    )


def claimed(tx: Transaction, now: datetime = NOW) -> OutboxMail:
    letter = tx.outbox.claim(now)
    assert letter is not None
    return letter


def states(tx: Transaction) -> list[str]:
    return [letter.state for letter in tx.outbox.unsent()]


def test_a_mail_goes_from_queued_over_the_dot_to_sent(store: Store) -> None:
    """Each step is allowed only in the state before it."""
    with store.transaction() as tx:
        queue(tx, "a")
        letter = claimed(tx)
        assert (letter.state, letter.attempts) == ("claimed", 1)
        assert tx.outbox.claim(NOW) is None
        tx.outbox.at_dot(letter)
        assert states(tx) == ["at_dot"]
        tx.outbox.sent(letter, now=NOW)
        assert tx.outbox.counts() == {}
        assert not tx.outbox.waiting(NOW)
        tx.outbox.retry(letter, error="too late to say", now=NOW)
        tx.outbox.dead(letter, error="too late to say")
        assert tx.outbox.counts() == {}


def test_the_same_key_is_queued_once(store: Store) -> None:
    """Also if the first one was sent long ago."""
    with store.transaction() as tx:
        assert queue(tx, "a") is not None
        assert queue(tx, "a") is None
        tx.outbox.sent(claimed(tx), now=NOW)
        tx.outbox.purge(sent_before=NOW + MINUTE)
        assert queue(tx, "a", now=NOW + timedelta(days=99)) is None


def test_alerts_go_before_weekly_mails_and_the_longest_due_before_the_rest(store: Store) -> None:
    """A warning is urgent, a summary can wait."""
    with store.transaction() as tx:
        queue(tx, "weekly", kind="weekly", now=NOW - MINUTE)
        queue(tx, "second")
        queue(tx, "first", now=NOW - MINUTE)
        assert [claimed(tx).key for _ in range(3)] == ["first", "second", "weekly"]


def test_retries_wait_from_a_minute_to_four_hours(store: Store) -> None:
    """Each wait is twice as long as the previous one, up to the longest."""
    waits, now = [], NOW
    with store.transaction() as tx:
        queue(tx, "a")
        for _ in range(10):
            tx.outbox.retry(claimed(tx, now), error="451 later", now=now)
            due_at = tx.outbox.unsent()[0].due_at
            assert tx.outbox.claim(due_at - timedelta(seconds=1)) is None
            waits.append((due_at - now) // MINUTE)
            now = due_at
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240]


@pytest.mark.parametrize(
    ("kind", "worth"), [("alert", timedelta(hours=72)), ("weekly", timedelta(days=6))]
)
def test_a_mail_nobody_takes_is_tried_until_it_expires(
    store: Store, kind: MailKind, worth: timedelta
) -> None:
    """The last try is at its expiry; then it's dead, with the reason."""
    with store.transaction() as tx:
        queue(tx, "a", kind=kind)
        now = last = NOW
        while (letter := tx.outbox.claim(now)) is not None:
            tx.outbox.retry(letter, error="451 later", now=now)
            last, now = now, tx.outbox.unsent()[0].due_at
        assert last == NOW + worth
        assert states(tx) == ["dead"]
        assert tx.outbox.unsent()[0].last_error == "not delivered in time: 451 later"


def test_a_mail_that_slept_past_its_time_is_not_sent(store: Store) -> None:
    """A laptop that wakes after a week doesn't send last week's recovery days."""
    with store.transaction() as tx:
        queue(tx, "old alert")
        queue(tx, "old weekly", kind="weekly")
        assert len(tx.outbox.expire(NOW + timedelta(days=5))) == 1
        assert {one.key: one.state for one in tx.outbox.unsent()} == {
            "old alert": "dead",
            "old weekly": "queued",
        }
        assert tx.outbox.unsent()[0].last_error == "not delivered in time"


def test_what_was_not_tried_keeps_its_place(store: Store) -> None:
    """The server was down: later mails don't overtake it."""
    with store.transaction() as tx:
        queue(tx, "first")
        queue(tx, "second", now=NOW + MINUTE)
        tx.outbox.give_back(claimed(tx), error="nothing listens")
        assert claimed(tx, NOW + 2 * MINUTE).key == "first"


def test_a_recipient_gets_one_mail_at_a_time(store: Store) -> None:
    """The next one waits for the first, as their server may hang; others' mails are sent."""
    with store.transaction() as tx:
        for key in ("a", "b"):
            queue(tx, key)
            queue(tx, f"{key} again")
        for key in ("a", "b"):
            tx.connection.execute(
                update(tables.outbox)
                .where(tables.outbox.c.key == f"{key} again")
                .values(recipient=f"{key}@example.org")
            )
        first, other = claimed(tx), claimed(tx)
        assert (first.key, other.key) == ("a", "b")
        tx.outbox.at_dot(first)
        assert tx.outbox.claim(NOW) is None
        tx.outbox.sent(first, now=NOW)
        assert claimed(tx).key == "a again"


def test_a_login_failure_burns_no_attempt(store: Store) -> None:
    """The settings are wrong, not the mail."""
    with store.transaction() as tx:
        queue(tx, "a")
        for _ in range(3):
            now = tx.outbox.unsent()[0].due_at
            tx.outbox.give_back(claimed(tx, now), error="535 no")
        assert tx.outbox.unsent()[0].attempts == 0
        assert tx.outbox.unsent()[0].last_error == "535 no"


@pytest.mark.parametrize(
    ("die", "perhaps_twice"),
    [
        pytest.param(lambda tx, letter: None, False, id="claimed"),
        pytest.param(lambda tx, letter: tx.outbox.at_dot(letter), True, id="at the dot"),
    ],
)
def test_what_a_crash_left_half_sent_goes_out_again(
    store: Store, die: Callable[[Transaction, OutboxMail], None], perhaps_twice: bool
) -> None:
    """Only a mail at the dot may have been sent before, and is flagged."""
    with store.transaction() as tx:
        queue(tx, "a")
        die(tx, claimed(tx))
        assert tx.outbox.waiting(NOW)
        assert tx.outbox.put_back() == 1
        again = claimed(tx)
        assert (again.key, again.perhaps_twice) == ("a", perhaps_twice)


def test_held_mail_stays_until_somebody_lets_it_go(store: Store) -> None:
    """Whatever the time."""
    with store.transaction() as tx:
        queue(tx, "a")
        tx.connection.exec_driver_sql("UPDATE outbox SET state = 'held'")
        assert tx.outbox.claim(NOW + MINUTE) is None
        assert not tx.outbox.waiting(NOW + MINUTE)
        assert tx.outbox.put_back() == 0
        assert tx.outbox.counts() == {"held": 1}


def test_old_mails_are_emptied_and_young_ones_are_not(store: Store) -> None:
    """The content of mails sent a month ago isn't needed; their keys stay."""
    with store.transaction() as tx:
        for key, sent_at in (("old", NOW - timedelta(days=31)), ("young", NOW)):
            queue(tx, key, now=sent_at)
            tx.outbox.sent(claimed(tx, sent_at), now=sent_at)
        assert tx.outbox.purge(sent_before=NOW - timedelta(days=30)) == 1
        assert tx.outbox.purge(sent_before=NOW - timedelta(days=30)) == 0


def test_forgetting_an_athlete_forgets_their_mail(store: Store) -> None:
    """And nobody else's."""
    with store.transaction() as tx:
        anna = tx.athletes.add(Athlete(0, "Anna", "anna@example.org", ADDED))
        queue(tx, "for the operator")
        tx.outbox.enqueue(
            anna, kind="alert", key="anna's", message_id="<x@y>", sender="e@x.org",
            recipient=anna.email, mime=b"mail", now=NOW,
        )  # fmt: skip
        tx.outbox.forget(anna)
        assert [one.key for one in tx.outbox.unsent()] == ["for the operator"]
