"""The first mail: once for each new athlete, after urgent mails, and not for earlier athletes."""

from dataclasses import replace

import pytest

from simulators.mail_lint import visible
from tests.app import App
from worker.domain.models import Athlete
from worker.links import Signer
from worker.notify import Composer, WelcomeFacts
from worker.pipeline.welcome import queue_welcome

SIGNER = Signer(["a key for tests"], "https://easeback.example.org")


def queue(app: App, athlete: Athlete) -> int | None:
    with app.services.store.transaction() as tx:
        return queue_welcome(tx, app.services, athlete, now=app.now)


def test_the_first_mail_comes_once(app: App) -> None:
    """However often it's requested, even after it was sent."""
    anna = app.athlete()
    assert queue(app, anna) is not None
    assert queue(app, anna) is None
    app.deliver()
    assert queue(app, anna) is None
    app.deliver()
    [mail] = app.mailer.taken
    assert mail["To"] == anna.email
    assert mail["X-Easeback-Kind"] == "notice"


def test_who_was_here_before_gets_none(app: App) -> None:
    """Only adding an athlete queues it; no job does."""
    app.athlete()
    app.pass_on()
    assert app.mailer.taken == []


def test_a_hundred_first_mails_keep_no_alert_waiting(app: App) -> None:
    """A therapist may add a whole practice at once."""
    everybody = [app.athlete(f"Anna {number}") for number in range(5)]
    for one in everybody:
        queue(app, one)
    with app.services.store.transaction() as tx:
        tx.outbox.enqueue(
            everybody[0], kind="alert", key="alert:1", message_id="<1@example.org>",
            sender="e@example.org", recipient="urgent@example.org", mime=b"x", now=app.now,
        )  # fmt: skip
        first = tx.outbox.claim(app.now)
    assert first is not None
    assert first.kind == "alert"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(signer=SIGNER, checkins=True)


def facts(app: App, **changes: object) -> WelcomeFacts:
    return WelcomeFacts(app.athlete(**changes), app.services.rules, app.now)


def test_it_leads_to_the_page_where_everything_is_set_up(app: App, composer: Composer) -> None:
    """By a link for that page alone, which opens no other."""
    told = facts(app)
    email = composer.welcome(told)
    address = next(word for word in email.text.split() if "/welcome/" in word)
    link = SIGNER.check("welcome", address.rpartition("/")[2], now=app.now)
    assert link.athlete == told.athlete.link_id
    assert address in email.html


def test_without_pages_it_says_in_words_what_there_is_to_know(app: App) -> None:
    """No link, and no button without a target."""
    email = Composer(signer=SIGNER).welcome(facts(app))
    assert "/welcome/" not in email.text + email.html
    assert "nothing for you to set up" in email.text
    assert "It comes on Mondays at 7:00." in email.text


def test_a_link_that_opens_on_one_machine_alone_says_so(app: App) -> None:
    """So nobody wonders why it doesn't open on a phone."""
    told = facts(app)
    here = Composer(signer=Signer(["a key"], "http://127.0.0.1:8765"), checkins=True).welcome(told)
    assert "opens on the machine" in " ".join(here.text.split())
    there = Composer(signer=SIGNER, checkins=True).welcome(told)
    assert "opens on the machine" not in " ".join(there.text.split())


def test_it_promises_only_the_mails_that_are_wanted(app: App, composer: Composer) -> None:
    told = facts(app)
    none = composer.welcome(replace(told, athlete=replace(told.athlete, wants=frozenset())))
    assert "What comes when" not in visible(none.html)
    alerts = replace(told.athlete, wants=frozenset({"alert"}))
    some = composer.welcome(replace(told, athlete=alerts))
    assert "A warning on the day" in some.text
    assert "summary" not in some.text


def test_whoever_it_isnt_for_stops_all_mails_by_its_link(app: App, composer: Composer) -> None:
    """One click: if the address was mistyped, a stranger gets no second mail."""
    email = composer.welcome(facts(app))
    header = dict(email.extra_headers)["List-Unsubscribe"]
    link = SIGNER.check("unsubscribe", header.strip("<>").rpartition("/")[2], now=app.now)
    assert link.more == {"kind": "all"}
