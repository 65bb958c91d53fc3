"""Every page in each of its states, for tests that check all of them.

`everything` makes the pages in the visitor's language, `operators_pages` the English pages for the
operator. Both modify the instance.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from httpx2 import Response
from starlette.testclient import TestClient

from simulators.practice import add_therapist, add_thirty, practice_link
from simulators.web_instance import NOW, TODAY, Instance, run_winter
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Race
from worker.pipeline.activities import FIRST_SYNC
from worker.pipeline.credentials import Connected
from worker.pipeline.edits import exclude_run
from worker.sources.base import Credential
from worker.sources.strava.errors import REVOKED
from worker.store.progress import SourceState
from worker.web.context import PageError

Answers = Iterator[tuple[str, Response]]

_ON_THE_SECOND_PAGE = 25
"""Together with the athletes of `add_thirty`, more than one page of the practice."""


def forms(client: TestClient, link: str) -> Answers:
    """The results of submitting the race and upload forms."""
    yield "no zone", client.post(f"{link}/settings", data={"timezone": "Berlin"})
    yield "no race", client.post(f"{link}/race", data={"name": "Half", "date": "?"})
    html = {"accept": "text/html"}
    yield "uploaded", client.get(f"{link}?uploaded=yes")
    yield "no upload", client.post(f"{link}/files", headers=html)
    large = html | {"content-length": "99999999"}
    yield "large upload", client.post(f"{link}/files", content=b"x", headers=large)


def failed_uploads(client: TestClient, link: str) -> Answers:
    """The athlete's page after uploads that were incomplete, too slow, refused or too large."""
    for status in (400, 408, 503, 507):
        with patch("worker.web.uploads._receive", side_effect=PageError(status, wait_s=60)):
            answer = client.post(f"{link}/files", headers={"accept": "text/html"}, content=b"x")
        yield f"upload {status}", answer


def consents(made: Instance, client: TestClient, who: Athlete) -> Answers:
    """The page before a consent, and those after it: with all rights, without one, and stale."""
    connect, back = made.link("connect", who, source="strava"), "/strava/callback?state=x"
    yield "connect", client.get(connect)
    strava: Any = made.web.services.sources["strava"].client
    missing = strava.missing(Credential("", ()))
    for name, note in (("connected", None), ("connected in part", missing)):
        done = Connected(who, note=note)
        with patch("worker.web.consent.finish_consent", return_value=done):
            yield name, client.get(back)
    yield "stale consent", client.get(back)


def with_a_practice(made: Instance, athlete: Athlete, link: str) -> Answers:
    """The athlete's page in a practice, before and after agreeing to copies."""
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
    """The pages that a visitor without a link can reach."""
    yield "home", client.get("/", headers={"x-forwarded-for": "203.0.113.9"})
    yield "nothing there", client.get("/nowhere")
    yield "forged", client.get("/checkin/forged")
    yield "wrong method", client.put("/status")


def first_questions(made: Instance, client: TestClient, who: Athlete) -> Answers:
    """The page of the first mail with each error in its form, and the page after it."""
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
    """Change the name and address: rejected input, a pending change, and its confirmation."""
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


def practice_of_nobody(made: Instance, client: TestClient, language: str) -> Answers:
    """The practice's page before any athlete was added."""
    vera = add_therapist(made, language=language)
    yield "practice of nobody", client.get(practice_link(made, vera))
    with made.store.transaction() as tx:
        tx.therapists.remove(vera)


def practice(made: Instance, language: str) -> Answers:
    """The practice's pages with few athletes and with many: the list, and each state of one."""
    link = practice_link(made, add_therapist(made, language=language))
    services = replace(made.web.services, copies_alerts=True)
    with made.client(services=services) as client:
        client.headers["accept-language"] = language
        yield "practice of few", client.get(link)
        everybody = add_thirty(made)
        for number in range(1, _ON_THE_SECOND_PAGE):
            made.add(f"Zz {number}", email=f"zz{number}@example.org")
        yield "practice", client.get(link)
        yield "practice, its end", client.get(f"{link}?page=2")
        yield "practice, who hurts", client.get(f"{link}?concern=hurts")
        yield "practice, by name", client.get(f"{link}?name=an")
        yield "practice, not found", client.get(f"{link}?name=nobody")
        refused = {"name": "Anna Berger", "email": "anna@example.org", "language": language}
        yield "practice, name is taken", client.post(f"{link}/athletes", data=refused)
        refused = {"name": "Nora", "email": "nora"}
        yield "practice, no address", client.post(f"{link}/athletes", data=refused)
        for first in ("Anna", "Clara", "Elena", "Henri", "Ines", "Jonas", "Katja", "Ben"):
            page = f"{link}/athletes/{everybody[first].link_id}"
            yield f"practice, {first}", client.get(page)
        yield "practice, invited", client.get(f"{page}?invited=yes")
        with made.store.transaction() as tx:
            tx.therapists.save_consent(everybody["Ben"], agreed_at=NOW)
        yield "practice, copies", client.get(page)
        yield "practice, nobody's", client.get(f"{link}/athletes/nobody")


def troubles(made: Instance, language: str) -> Answers:
    """The pages for too many visits, old links and a database that fails for good."""
    late = made.add("Late", language=language)
    old, fresh = made.link("athlete", late), made.link("checkin", late, feels="fine")
    with made.client(burst=1) as client:
        client.headers["accept-language"] = language
        client.get(old)
        yield "too many visits", client.get(old)
    with made.client() as client:
        client.headers["accept-language"] = language
        made.clock.now += timedelta(days=61)
        yield "old", client.get(old)
        yield (
            "old practice",
            client.get(f"/practice/{made.signer.token('practice', late, now=NOW)}"),
        )
        made.clock.now = NOW
        with made.store.transaction() as tx:
            tx.connection.exec_driver_sql("DROP TABLE checkin")
        yield "database fails", client.post(fresh, data={"feels": "fine"})


def operators_pages(made: Instance) -> Answers:
    """The operator's page: before the worker started, while all is well, and during failures."""
    with made.client() as client:
        yield "status, not begun", client.get("/status")
        with made.store.transaction() as tx:
            for name in made.web.patience:
                tx.progress.ticked(name, at=NOW, trouble=None)
        yield "status, well", client.get("/status")
        add_thirty(made)
        with made.store.transaction() as tx:
            tx.progress.ticked("inbox", at=NOW, trouble="the folder /srv/inbox can't be read")
        yield "status, troubles", client.get("/status")


def farewells(client: TestClient, link: str, last: str) -> Answers:
    """Close one athlete's links and delete another athlete."""
    yield "links closed", client.post(f"{link}/links", data={})
    yield "closed", client.get(link)
    yield "forgotten", client.post(f"{last}/forget", data={"sure": "yes"})
    yield "gone", client.get(last)


def everything(made: Instance, client: TestClient, language: str) -> Answers:
    """Every page for athletes and therapists in each of its states, by name."""
    yield from practice_of_nobody(made, client, language)
    race = Race("Spring half marathon", TODAY + timedelta(days=78), 21_097.5)
    new = made.add("Neo", language=language)
    runner = made.add("Mira", language=language, pain=("buttock",), race=race)
    run_winter(made, runner)
    with made.store.transaction() as tx:
        tx.progress.save_source(runner, "strava", SourceState("failing", None, REVOKED))
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
    yield from consents(made, client, runner)
    yield from failed_uploads(client, link)
    yield from without_a_link(client)
    yield "wrong form", client.post(checkin, data={"feels": "?"})
    yield "too long", client.post(checkin, content=b"x" * 20_000)
    yield from farewells(client, link, made.link("athlete", new))
    yield from practice(made, language)
    yield from troubles(made, language)
