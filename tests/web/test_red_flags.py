"""Red flags are mailed to whoever looks after the athlete: once each, and the page says so."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from starlette.testclient import TestClient

from simulators.mail_lint import lint
from simulators.web_instance import Instance
from worker.domain.checkins import RED_FLAGS
from worker.domain.models import Athlete
from worker.domain.practice import Therapist
from worker.notify import Composer
from worker.setting_types import MailSection

THERAPIST = "therapist@example.org"
CONSENT = f"a mail goes at once to {THERAPIST}: your name, what you ticked, and when."


@pytest.fixture
def watched(made: Instance) -> Instance:
    """The same with somebody who looks after its athletes."""
    named = f"Dr. Who <{THERAPIST}>"
    services = replace(made.web.services, therapist=named, reply_to=named)
    return replace(made, web=replace(made.web, services=services))


@pytest.fixture
def client(watched: Instance) -> Iterator[TestClient]:
    with watched.client() as client:
        yield client


def mails(made: Instance) -> list[EmailMessage]:
    """The queued mails, each linted."""
    with made.store.reading() as tx:
        queued = [letter.mime for letter in tx.outbox.all()]
    for mime in queued:
        lint(mime)
    return [message_from_bytes(mime, policy=policy.default) for mime in queued]


def said(mail: EmailMessage) -> str:
    text = mail.get_body(("plain",))
    assert text is not None
    return " ".join(text.get_content().split())


def answer(
    client: TestClient, made: Instance, athlete: Athlete, *flags: str, feels: str = "hurts"
) -> str:
    form = {"feels": feels, "area": ["knee"], "level": "6", "flag": list(flags)}
    return client.post(made.link("checkin", athlete), data=form).text


def test_a_red_flag_is_told_by_one_mail(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """Who, what, when, and the page's advice; no address, pain or link."""
    page = answer(client, watched, mira, "no_weight", "fever")
    assert f"A mail about it goes to {THERAPIST}." in page
    (mail,) = mails(watched)
    assert THERAPIST in mail["To"]
    assert mail["X-Easeback-Kind"] == "notice"
    assert mail["Reply-To"] is None
    assert "Mira" not in mail["Subject"]
    told = said(mail)
    assert "On Saturday 21 February at 15:30, by their own clock, Mira ticked" in told
    assert "I can’t bear weight, or I limp" in told
    assert "Fever" in told
    assert not [word for word in (mira.email, "knee", "6", "http") if word in told]


def test_it_goes_before_the_weekly_mails(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """At once, however many are waiting."""
    with watched.store.transaction() as tx:
        tx.outbox.enqueue(
            mira, kind="weekly", key="w", message_id="<w@example.org>", sender="s@example.org",
            recipient="r@example.org", mime=b"", now=watched.clock.now - timedelta(hours=1),
        )  # fmt: skip
    answer(client, watched, mira, "fever")
    with watched.store.transaction() as tx:
        letter = tx.outbox.claim(watched.clock.now)
    assert letter is not None
    assert letter.kind == "notice"


def test_the_same_flag_is_told_once_while_it_stands(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """The form sent twice, an answer changed and changed back, the days after."""
    for _ in range(2):
        answer(client, watched, mira, "fever", "leg_numb")
    answer(client, watched, mira, feels="fine")
    answer(client, watched, mira, "fever")
    answer(client, watched, mira, "fever", "leg_numb")
    watched.clock.now += timedelta(days=10)
    answer(client, watched, mira, "fever")
    watched.clock.now += timedelta(days=10)
    answer(client, watched, mira, "fever")
    assert len(mails(watched)) == 1


def test_a_flag_beside_it_and_one_that_comes_back_are_told(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """Each mail names only what is new."""
    answer(client, watched, mira, "fever")
    answer(client, watched, mira, "fever", "weak_legs")
    watched.clock.now += timedelta(days=1)
    answer(client, watched, mira, feels="fine")
    watched.clock.now += timedelta(days=1)
    answer(client, watched, mira, "fever")
    first, emergency, again = mails(watched)
    assert "Fever" in said(first)
    assert "Perhaps an emergency" in emergency["Subject"]
    assert "Fever" not in said(emergency)
    assert "Fever" in said(again)


def test_every_flag_there_is_fits_into_one_mail(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """The mail's key has room for all of them."""
    answer(client, watched, mira, *RED_FLAGS)
    with watched.store.reading() as tx:
        (letter,) = tx.outbox.all()
    assert len(letter.key) < 160
    answer(client, watched, mira, *RED_FLAGS[::2])
    assert len(mails(watched)) == 1


def test_an_answer_without_a_flag_is_told_nobody(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """However much it hurts."""
    assert THERAPIST not in answer(client, watched, mira)
    assert mails(watched) == []


def test_the_page_says_so_before_anything_is_saved(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """To whom, and what."""
    assert CONSENT in client.get(watched.link("checkin", mira)).text


def test_the_page_names_the_therapists_of_the_practice_too(
    watched: Instance, mira: Athlete
) -> None:
    """Once the athlete agreed to copies."""
    services = replace(watched.web.services, copies_alerts=True)
    with watched.store.transaction() as tx:
        tx.therapists.add(Therapist(0, "Dr. Vera Sand", "vera@example.org", watched.clock.now))
    with watched.client(services=services) as client:
        assert CONSENT in client.get(watched.link("checkin", mira)).text
        with watched.store.transaction() as tx:
            tx.therapists.save_consent(mira, agreed_at=watched.clock.now)
        both = f"{THERAPIST}, Dr. Vera Sand"
        assert f"goes at once to {both}:" in client.get(watched.link("checkin", mira)).text
        assert f"A mail about it goes to {both}." in answer(client, watched, mira, "fever")
    assert len(mails(watched)) == 2


def test_without_anybody_to_tell_the_page_says_nothing_of_it_and_no_mail_is_made(
    made: Instance, mira: Athlete
) -> None:
    """Nor after saving."""
    with made.client() as client:
        assert "goes at once" not in client.get(made.link("checkin", mira)).text
        assert "about it goes to" not in answer(client, made, mira, "fever")
    assert mails(made) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, None),
        ({"operator": "operator@example.org"}, "operator@example.org"),
        ({"operator": "operator@example.org", "reply_to": THERAPIST}, THERAPIST),
        ({"reply_to": THERAPIST, "tell_red_flags": False}, None),
    ],
)
def test_the_settings_say_who_is_told(given: dict[str, str], told: str | None) -> None:
    """The reply address, or the operator, or nobody."""
    assert MailSection.model_validate(given).therapist == told


def test_it_is_told_in_german_too(watched: Instance, mira: Athlete) -> None:
    """By the mails' language."""
    services = replace(watched.web.services, composer=Composer(language="de"))
    with watched.client(services=services) as client:
        answer(client, watched, mira, "bone_point")
    (mail,) = mails(watched)
    assert mail["Subject"] == "Jemand hat ein Warnzeichen angekreuzt"
    assert "Am Samstag, 21. Februar, um 15:30 Uhr (Ortszeit) hat Mira" in said(mail)


def test_who_is_forgotten_is_forgotten_in_the_outbox_too(
    watched: Instance, mira: Athlete, client: TestClient
) -> None:
    """The mails about them are deleted too."""
    answer(client, watched, mira, "fever")
    with watched.store.transaction() as tx:
        tx.outbox.forget(mira)
    assert mails(watched) == []
