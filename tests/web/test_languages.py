"""Every page in each language; which one a visitor is shown, and what is stored of it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from simulators.practice import add_therapist
from simulators.speech import faults, told
from simulators.web_instance import TODAY, Instance, run_winter
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Race
from worker.notify.render import SHIPPED_LANGUAGES
from worker.pipeline.activities import FIRST_SYNC
from worker.pipeline.edits import exclude_run
from worker.sources.base import STALE_CONSENT_SAYS
from worker.sources.strava.errors import REVOKED
from worker.store import SourceState

Answers = Iterator[tuple[str, Response]]


def forms(client: TestClient, link: str) -> Answers:
    """What the forms for a race and for files lead to."""
    yield "no zone", client.post(f"{link}/settings", data={"timezone": "Berlin"})
    yield "no race", client.post(f"{link}/race", data={"name": "Half", "date": "?"})
    html = {"accept": "text/html"}
    yield "uploaded", client.get(f"{link}?uploaded=yes")
    yield "no upload", client.post(f"{link}/files", headers=html)
    large = html | {"content-length": "99999999"}
    yield "large upload", client.post(f"{link}/files", content=b"x", headers=large)


def with_a_practice(made: Instance, athlete: Athlete, link: str) -> Answers:
    """What the athlete's page says of a practice, before and after agreeing to copies."""
    vera = add_therapist(made)
    with made.store.transaction() as tx:
        tx.athletes.pause(athlete, since=made.clock.now)
    services = replace(made.web.services, copies_alerts=True)
    with made.client(services=services) as client:
        yield "practice", client.get(link)
        client.post(f"{link}/copies", data={"agree": "yes"})
        client.post(f"{link}/resume")
        yield "agreed", client.get(link)
        yield "welcome with a practice", client.get(made.link("welcome", athlete))
    with made.store.transaction() as tx:
        tx.therapists.remove(vera)


def without_a_link(client: TestClient) -> Answers:
    """What a visitor comes to whom nobody knows."""
    yield "home", client.get("/", headers={"x-forwarded-for": "203.0.113.9"})
    yield "nothing there", client.get("/nowhere")
    yield "forged", client.get("/checkin/forged")
    yield "wrong method", client.put("/status")


def first_questions(made: Instance, client: TestClient, who: Athlete) -> Answers:
    """The page of the first mail, whatever was wrong in its form, and what follows it."""
    link = made.link("welcome", who)
    yield "welcome", client.get(link)
    for form in (
        {"timezone": "Berlin"},
        {"at": "noon"},
        {"weekday": "someday", "at": "07:00"},
        {"name": "Half", "date": "?"},
        {"date": "2026-05-10", "distance": "21"},
    ):
        yield f"welcome {form}", client.post(link, data=form)
    yield "welcomed", client.get(f"{made.link('athlete', who)}?welcome=yes")


def name_and_address(made: Instance, client: TestClient, who: Athlete) -> Answers:
    """Another name and address: what is refused, what waits, and how it's confirmed."""
    link = made.link("athlete", who)
    for name, address in (
        ("", who.email),
        ("../x", who.email),
        ("Neo", "neo"),
        ("Mira", who.email),
    ):
        form = {"name": name, "address": address}
        yield f"contact {form}", client.post(f"{link}/contact", data=form)
    for number in range(3):
        asked = {"name": "Neo", "address": f"neo{number}@example.org"}
        client.post(f"{link}/contact", data=asked)
    asked["address"] = "neo4@example.org"
    yield "too many addresses", client.post(f"{link}/contact", data=asked)
    yield "address waits", client.get(link)
    with made.store.reading() as tx:
        waiting = tx.addresses.waiting(who, now=made.clock.now)
    assert waiting is not None
    confirm = made.link("address", who, code=waiting.code)
    yield "confirm?", client.get(confirm)
    yield "confirmed", client.post(confirm)
    yield "confirmed before", client.post(confirm)


def everything(made: Instance, client: TestClient, language: str) -> Answers:
    """Every page an athlete can come to, in each of its states, by name."""
    race = Race("Spring half marathon", TODAY + timedelta(days=78), 21_097.5)
    new = made.add("Neo", language=language)
    runner = made.add("Mira", language=language, pain=("buttock",), race=race)
    run_winter(made, runner)
    with made.store.transaction() as tx:
        tx.progress.source(runner, "strava", SourceState("failing", None, REVOKED))
        found = tx.findings.standing(runner, since=TODAY - timedelta(days=20))
        tx.findings.silence(found[:1], FIRST_SYNC.format("Strava"))
        run = tx.runs.all(runner)[-4].run
    exclude_run(made.web.services, runner, run.id, by="operator", now=made.clock.now)
    link = made.link("athlete", runner)
    yield "new", client.get(made.link("athlete", new))
    yield from first_questions(made, client, new)
    yield from name_and_address(made, client, new)
    yield "runner", client.get(link)
    yield from (*with_a_practice(made, runner, link), *forms(client, link))
    yield "routine", client.get(f"{link}/routine")
    yield "saved", client.get(f"{link}?saved=yes")
    yield "unsure", client.post(f"{link}/forget", data={})
    yield "wrong key", client.post(f"{link}/garmin", data={"garmin_key": "two words"})
    yield "no key", client.post(f"{link}/garmin", data={"garmin_key": ""})
    for form in (
        {"date": "", "distance": "5"},
        {"date": "2026-02-01", "distance": "far"},
        {"date": "2999-02-01", "distance": "5"},
        {"date": "2026-02-01", "distance": "999"},
        {"date": "2026-02-01", "distance": "5", "minutes": "0"},
        {"date": str(TODAY), "distance": "14.2"},
    ):
        yield f"add {form}", client.post(f"{link}/runs/add", data=form)
    yield "no run", client.post(f"{link}/runs/exclude", data={"run": "999"})
    yield "counts", client.post(f"{link}/runs/include", data={"run": str(run.id + 1)})
    checkin = made.link("checkin", runner, feels="sore")
    yield "checkin", client.get(checkin)
    for name, form in (
        ("fine", {"feels": "fine"}),
        ("sore", {"feels": "sore", "level": "3", "area": "buttock"}),
        ("hurts", {"feels": "hurts", "level": "4"}),
        ("flag", {"feels": "hurts", "level": "8", "flag": "no_weight"}),
        ("emergency", {"feels": "hurts", "flag": "saddle_numb"}),
    ):
        yield name, client.post(checkin, data=form)
        yield f"page after {name}", client.get(link)
        yield f"routine after {name}", client.get(f"{link}/routine")
    made.answer(new, *(CheckIn(TODAY - timedelta(days=back), "hurts", (), 3 + 3 // (back + 1))
                       for back in (4, 2)))  # fmt: skip
    again = made.link("checkin", new)
    yield "seen", client.post(again, data={"feels": "hurts", "level": "9"})
    for kind in ("alert", "weekly", "reconnect", "notice", "all"):
        stop = made.link("unsubscribe", runner, kind=kind)
        yield f"stop {kind}?", client.get(stop)
        yield f"stopped {kind}", client.post(stop, data={})
        yield f"stopped {kind} before", client.get(stop)
        yield f"{kind} again", client.post(stop, data={"again": "yes"})
    connect = made.link("connect", runner, source="strava")
    yield "connect", client.get(connect)
    yield "stale consent", client.get("/strava/callback?state=x")
    yield from without_a_link(client)
    yield "wrong form", client.post(checkin, data={"feels": "?"})
    yield "too long", client.post(checkin, content=b"x" * 20_000)
    yield "links closed", client.post(f"{link}/links", data={})
    yield "closed", client.get(link)
    last = made.link("athlete", new)
    yield "forgotten", client.post(f"{last}/forget", data={"sure": "yes"})
    yield "gone", client.get(last)


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_every_page_is_in_its_language_to_the_last_word(
    made: Instance, client: TestClient, language: str
) -> None:
    """The athlete's where one is known, else the browser's; named in the page and its header."""
    client.headers["accept-language"] = language
    wrong = []
    for name, answer in everything(made, client, language):
        assert answer.status_code not in (303, 500), name
        assert answer.headers["content-language"] == language, name
        assert re.search(r"<html lang=\"(\w+)\"", answer.text)[1] == language, name  # type: ignore[index]  # it has one
        text = told(answer.text, language)
        wrong += [(name, fault) for fault in faults(text, language)]
    assert wrong == []


def language_of(answer: Response) -> str:
    return str(answer.headers["content-language"])


def test_a_browser_is_answered_in_its_language_while_the_athlete_chose_none(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Asked anew at each visit; nothing is stored, and a browser without one gets English."""
    link = made.link("athlete", mira)
    for asked, given in (("de-AT,en;q=0.5", "de"), ("fr", "fr"), ("nl", "en"), ("", "en")):
        answer = client.get(link, headers={"accept-language": asked})
        assert language_of(answer) == given
        assert (f'<input type="hidden" name="language" value="{given}">' in answer.text) == (
            given != "en"
        )
    assert made.athlete(mira).language == ""


def test_the_language_offered_is_kept_when_the_athlete_takes_it(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """From then on it is theirs in whatever browser, and nothing else has changed."""
    link = made.link("athlete", mira)
    answer = client.post(f"{link}/language", data={"language": "fr"})
    assert answer.status_code == 303
    kept = made.athlete(mira)
    assert kept.language == "fr"
    assert (kept.wants, kept.weekly, kept.pain) == (mira.wants, mira.weekly, mira.pain)
    page = client.get(link, headers={"accept-language": "de"})
    assert language_of(page) == "fr"
    assert 'action="' + link + '/language"' not in page.text


@pytest.mark.parametrize("language", ["", "tlh", "../en", "DE"])
def test_a_language_that_there_is_not_is_refused(
    made: Instance, mira: Athlete, client: TestClient, language: str
) -> None:
    answer = client.post(f"{made.link('athlete', mira)}/language", data={"language": language})
    assert answer.status_code == 400
    assert made.athlete(mira).language == ""


def test_the_settings_keep_a_language_and_leave_it_where_none_is_named(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """A form of an older page has no such field."""
    link = f"{made.link('athlete', mira)}/settings"
    client.post(link, data={"language": "de", "units": "km"})
    assert made.athlete(mira).language == "de"
    client.post(link, data={"units": "mi"})
    client.post(link, data={"language": "tlh"})
    assert made.athlete(mira).language == "de"


def test_what_is_refused_behind_a_link_is_said_in_the_athletes_language(
    made: Instance, client: TestClient
) -> None:
    """Whatever the browser's is."""
    who = made.add("Zoé", language="fr")
    answer = client.post(made.link("checkin", who), data={}, headers={"accept-language": "de"})
    assert answer.status_code == 400
    assert language_of(answer) == "fr"


def test_the_operators_page_is_english(made: Instance, client: TestClient) -> None:
    """As the commands are."""
    page = client.get("/status", headers={"accept-language": "de"})
    assert language_of(page) == "en"
    assert "All well" in page.text or "Needs attention" in page.text


def test_a_stale_consent_is_said_in_the_browsers_language(
    client: TestClient,
) -> None:
    page = client.get("/strava/callback?state=x", headers={"accept-language": "de"})
    assert "schon benutzt" in page.text
    assert STALE_CONSENT_SAYS not in page.text
