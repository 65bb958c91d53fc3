"""Delivery against a real mail server: what delays which mails, and for how long."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from string import ascii_lowercase
from typing import Any

import pytest

from simulators.recordings import recording, steady
from simulators.smtp_server import SmtpServer
from tests.app import NOW, App, ScriptedMailer, refused
from tests.counting import counted
from tests.waiting import wait_until
from worker.config import MailSection
from worker.domain.models import Athlete
from worker.health import Audience, check_health
from worker.mail import SmtpMailer
from worker.pipeline.deliver import Delivered, mails_due, send, send_again
from worker.pipeline.preview import trial_mail
from worker.pipeline.tick_names import PAUSE_TICK
from worker.pipeline.weekly import queue_due_weeklies

MINUTE = timedelta(minutes=1)
BENS = [f"Ben{letter}" for letter in ascii_lowercase]


def weeklies(app: App, *names: str) -> None:
    """Queue a weekly mail for each of these athletes, due now."""
    app.now = NOW - timedelta(days=7)
    for name in names:
        app.athlete(name)
    app.now = NOW
    queue_due_weeklies(app.services, app.now)


def alert(app: App, name: str) -> None:
    """Queue an alert for a new athlete of this name, due now."""
    athlete = app.athlete(name)
    app.runs(athlete, steady())
    app.arrive(athlete, recording(km=15.0))


def over(app: App, server: SmtpServer, *, connections: int = 2) -> App:
    """The same application with that mail server."""
    settings = MailSection(
        host="127.0.0.1",
        port=server.port,
        security="none",
        sender="easeback@example.org",
        connections=connections,
    )
    services = replace(app.services, mailer=SmtpMailer(settings))
    return App(services, app.mailer, app.now)


@contextmanager
def sending(
    app: App, server: SmtpServer, *, at_most: int | None = None
) -> Iterator[list[Delivered]]:
    """A delivery run in parallel to the block; afterwards the server drops hanging connections."""
    done: list[Delivered] = []
    thread = threading.Thread(
        target=lambda: done.append(send(app.services, app.clock, at_most=at_most, patience_s=0.1)),
        daemon=True,
    )
    thread.start()
    wait_until(lambda: server.hanging == 1)
    yield done
    server.hangs_for.clear()
    server.drop_all()
    thread.join(30)
    assert not thread.is_alive()


def pause(app: App) -> timedelta | None:
    """How long sending is paused from now on."""
    with app.services.store.reading() as tx:
        tick = tx.progress.tick(PAUSE_TICK)
    return tick.at - app.now if tick and tick.at > app.now else None


# Recipients


def test_a_recipient_whose_server_hangs_at_the_dot_keeps_no_other_waiting(app: App) -> None:
    """Other mails use another connection, long before the first one's time-out."""
    weeklies(app, "Anna", *BENS[:12])
    with SmtpServer() as server:
        server.hangs_for = {"anna@example.org"}
        app = over(app, server)
        with sending(app, server) as done:
            wait_until(lambda: len(server.mails) == 12)
        assert done[0].sent == 12
        assert server.connections == 2
    (letter,) = app.unsent()
    assert (letter.recipient, letter.state, letter.perhaps_twice) == (
        "anna@example.org", "retry", True,
    )  # fmt: skip


def test_two_mails_to_one_hanging_recipient_hold_one_connection(app: App) -> None:
    """The second is skipped while the first is being sent."""
    weeklies(app, "Anna", *BENS[:6])
    alert(app, "Zoe")
    with app.services.store.transaction() as tx:
        tx.connection.exec_driver_sql(
            "UPDATE outbox SET recipient = 'anna@example.org' WHERE kind = 'alert'"
        )
    with SmtpServer() as server:
        server.hangs_for = {"anna@example.org"}
        app = over(app, server)
        with sending(app, server):
            wait_until(lambda: len(server.mails) == 6)


def test_a_mail_that_is_queued_while_another_hangs_is_sent_at_once(app: App) -> None:
    """A warning must not wait for another recipient's time-out."""
    weeklies(app, "Anna")
    with SmtpServer() as server:
        server.hangs_for = {"anna@example.org"}
        app = over(app, server)
        with sending(app, server):
            alert(app, "Ben")
            wait_until(lambda: len(server.mails) == 1)
            assert server.mails[0].recipient == "ben@example.org"


def test_swift_mails_go_by_one_connection(app: App) -> None:
    """A small relay gets only one connection if one is enough."""
    weeklies(app, *BENS[:5])
    with SmtpServer() as server:
        app = over(app, server)
        assert send(app.services, app.clock).sent == 5
    assert server.connections == 1


def test_one_connection_is_one_where_the_settings_say_so(app: App) -> None:
    """With `connections = 1` it waits."""
    weeklies(app, "Anna", "Ben")
    with SmtpServer() as server:
        server.hangs_for = {"anna@example.org"}
        app = over(app, server, connections=1)
        with sending(app, server) as done:
            assert server.connections == 1
        assert done[0].sent == 1
    assert server.connections == 2  # one after the other


def test_no_more_is_sent_than_was_asked_for(app: App) -> None:
    """The rest stays due."""
    weeklies(app, *BENS[:8])
    with SmtpServer() as server:
        app = over(app, server)
        assert send(app.services, app.clock, at_most=3).sent == 3
    assert mails_due(app.services, app.now, most=9) == 5


def test_while_one_hangs_more_is_sent_than_was_asked_for(app: App) -> None:
    """The run can't end before it, and nobody else may wait for it."""
    weeklies(app, "Anna", *BENS[:12])
    with SmtpServer() as server:
        server.hangs_for = {"anna@example.org"}
        app = over(app, server)
        with sending(app, server, at_most=3):
            wait_until(lambda: len(server.mails) == 12)


# The server


def test_an_unreachable_server_costs_no_mail_a_try_nor_its_place(app: App) -> None:
    """After twelve hours without a server warnings go first, at once, and no mail is put off."""
    weeklies(app, "Anna")
    alert(app, "Ben")
    for _ in range(24):
        app.mailer.answers = [refused("nothing listens", unreachable=True)]
        assert len(app.deliver().troubles) == 1
        app.now += 30 * MINUTE
    assert {letter.attempts for letter in app.unsent()} == {0}
    app.mailer.answers = []
    assert app.deliver().sent == 2
    assert app.mailer.kinds() == ["alert", "weekly"]


def test_a_mail_queued_during_the_pause_waits_for_its_end(app: App) -> None:
    """One pause applies to all, whenever they were queued."""
    weeklies(app, "Anna")
    app.mailer.answers = [refused("nothing listens", unreachable=True)]
    app.deliver()
    alert(app, "Ben")
    app.now += timedelta(seconds=15)
    assert app.deliver() == Delivered()
    assert app.mailer.tries == 1
    app.now += timedelta(seconds=5)
    assert app.deliver().sent == 2


def test_a_try_that_took_longer_than_the_pause_is_pause_enough(app: App) -> None:
    """After a minute's wait for the greeting there's no pause: the server may be well by now."""
    weeklies(app, "Anna")

    class Slow(ScriptedMailer):
        def send(self, *_: object, **__: object) -> None:
            app.now += MINUTE
            raise refused("no greeting", unreachable=True)

    well = app.services
    app.services = replace(well, mailer=Slow())
    assert len(app.deliver().troubles) == 1
    assert pause(app) is None
    app.services = well
    assert app.deliver().sent == 1


def test_a_server_that_refuses_everything_for_now_is_left_alone_after_ten(app: App) -> None:
    """Ten tries, then a pause; each tried mail waits for its own next time."""
    weeklies(app, *BENS[:24])
    with SmtpServer() as server:
        server.fail("mail", "451 4.7.1 come back later", times=None)
        app = over(app, server)
        assert len(send(app.services, app.clock).troubles) == 10
        assert server.connections == 10
        app.deliver()
        assert server.connections == 10
    assert sorted(letter.attempts for letter in app.unsent()) == [0] * 14 + [1] * 10
    assert pause(app) == MINUTE
    app.now += MINUTE
    assert pause(app) is None


def test_one_mail_that_is_taken_shows_that_the_server_is_well(app: App) -> None:
    """Greylisting accepts some and defers others; that's no reason for a pause."""
    weeklies(app, *BENS[:24])
    app.mailer.answers = [None if n % 6 == 5 else refused("451 greylisted") for n in range(24)]
    done = app.deliver()
    assert (done.sent, len(done.troubles)) == (4, 20)
    assert pause(app) is None


def test_greylisting_for_hours_costs_nothing_but_hours(app: App) -> None:
    """Each recipient is deferred until four hours after the first try; all get one mail."""
    weeklies(app, "Anna", *BENS[:4])
    first_tries: dict[str, datetime] = {}

    class Greylisting(ScriptedMailer):
        def send(self, *args: Any, recipient: str, **more: Any) -> None:
            if app.now < first_tries.setdefault(recipient, app.now) + 240 * MINUTE:
                raise refused("451 greylisted")
            app.mailer.send(*args, recipient=recipient, **more)

    app.services = replace(app.services, mailer=Greylisting())
    for _ in range(24):
        app.deliver()
        app.now += 20 * MINUTE
    assert len({str(mail["To"]) for mail in app.mailer.taken}) == len(app.mailer.taken) == 5
    assert app.unsent() == ()


# The sender


def troubles(app: App) -> list[str]:
    """The reasons for withholding the ping."""
    with app.services.store.reading() as tx:
        return [
            str(trouble)
            for trouble in check_health(tx, app.now, patience={}, audience=Audience.PING)
        ]


@pytest.mark.parametrize("step", ["mail", "rcpt", "dot"])
def test_a_refused_sender_costs_no_mail_and_stops_the_ping(app: App, step: str) -> None:
    """It's tried again like any temporary refusal, and is trouble until a mail is accepted."""
    weeklies(app, "Anna")
    with SmtpServer() as server:
        server.fail(step, "550 5.4.5 Daily user sending limit exceeded")  # type: ignore[arg-type]  # a str
        app = over(app, server)
        app.deliver()
        (letter,) = app.unsent()
        assert (letter.state, letter.attempts, letter.perhaps_twice) == ("retry", 1, False)
        assert any("sending limit" in trouble for trouble in troubles(app))
        app.now += MINUTE
        assert app.deliver().sent == 1
        assert troubles(app) == []


def test_an_unknown_recipient_stays_final(app: App) -> None:
    """It doesn't affect other mails."""
    weeklies(app, "Anna")
    with SmtpServer() as server:
        server.fail("rcpt", "550 5.1.1 <anna@example.org>: Recipient address rejected")
        app = over(app, server)
        app.deliver()
        assert [letter.state for letter in app.unsent()] == ["dead"]
        assert troubles(app) == []


# Commands of the operator


def test_a_trial_mail_goes_through_the_whole_dialogue(app: App) -> None:
    """To any address, and nothing of it is stored."""
    heard: list[str] = []
    with SmtpServer() as server:
        settings = MailSection(host="127.0.0.1", port=server.port, security="none")
        SmtpMailer(settings, heard=lambda said, answer: heard.append(f"{said}: {answer}")).send(
            trial_mail(app.services.composer, settings, "me@example.org", now=NOW),
            sender=settings.from_header,
            recipient="me@example.org",
            before_dot=lambda: None,
        )
    (mail,) = server.mails
    assert mail.recipient == "me@example.org"
    assert b"To: me@example.org" in mail.content
    assert "the mail: 250 taken" in heard
    assert app.unsent() == ()


def moved(app: App, email: str) -> Athlete:
    """The athlete with a new address."""
    with app.services.store.transaction() as tx:
        (athlete,) = tx.athletes.all()
        athlete = replace(athlete, email=email)
        tx.athletes.change(athlete, now=app.now)
    return athlete


@pytest.mark.parametrize("address", ["new@example.org", "jürgen@exämple.org"])
def test_what_is_sent_again_goes_to_the_address_of_today(app: App, address: str) -> None:
    """In the envelope and in the mail, which is otherwise unchanged; a pause doesn't delay it."""
    weeklies(app, "Anna")
    with SmtpServer() as server:
        server.lints = address.isascii()
        server.fail("rcpt", "550 5.1.1 no such user")
        app = over(app, server)
        app.deliver()
        (before,) = app.unsent()
        moved(app, address)
        with app.services.store.transaction() as tx:
            tx.progress.ticked(PAUSE_TICK, at=app.now + MINUTE)
            assert send_again(tx, before, now=app.now)
        assert app.deliver().sent == 1
    (mail,) = server.mails
    assert mail.recipient.partition("@")[0] == address.partition("@")[0]
    head, _, body = mail.content.partition(b"\r\n\r\n")
    old_head, _, old_body = before.mime.partition(b"\r\n\r\n")
    assert body == old_body
    assert [line for line in head.split(b"\r\n") if not line.startswith(b"To:")] == [
        line for line in old_head.split(b"\r\n") if not line.startswith(b"To:")
    ]
    assert f"To: {mail.recipient}".encode() in head


def test_each_mail_of_a_run_takes_two_commits(app: App) -> None:
    """One just before the dot, and one just after its answer, which also claims the next mail."""
    weeklies(app, *BENS[:5])
    with counted(app.services.store) as told:
        assert send(app.services, app.clock).sent == 5
    assert told["commits"] == 1 + 2 * 5
    assert told["statements"] <= 3 + 5 * 4


def test_a_mail_that_was_claimed_with_the_last_ones_answer_is_left_claimed_by_a_crash(
    app: App,
) -> None:
    """As if claimed alone: it's returned to the queue unflagged, and the one before stays sent."""
    weeklies(app, "Anna", "Ben")
    app.mailer.answers = [None, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        send(app.services, app.clock)
    assert [one.state for one in app.unsent()] == ["claimed"]
    assert app.deliver().sent == 1
    with app.services.store.reading() as tx:
        assert [(one.state, one.perhaps_twice) for one in tx.outbox.all()] == [("sent", False)] * 2
