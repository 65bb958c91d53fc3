"""The first mail's page: questions asked once, with answers stored as on the athlete's page."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import NOW, Instance
from worker.domain.models import Athlete, Race, WeeklyHour

ANSWERS = {
    "language": "de",
    "timezone": "Europe/Vienna",
    "units": "mi",
    "clock": "12",
    "week_starts": "sunday",
    "weekday": "sun",
    "at": "18:30",
    "area": ["knee", "shin"],
    "name": "Spring half",
    "date": "2026-05-10",
    "distance": "21,1",
}


def test_the_answers_are_kept_and_lead_to_the_athletes_page(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Language, zone, units, clock, week, hour, pain and race; nothing else has changed."""
    answer = client.post(made.link("welcome", mira), data=ANSWERS)
    assert answer.status_code == 303
    kept = made.athlete(mira)
    assert kept == replace(
        mira,
        language="de",
        timezone="Europe/Vienna",
        units="mi",
        clock="12",
        week_starts=6,
        weekly=WeeklyHour(6, kept.weekly.at.replace(hour=18, minute=30)),
        pain=("knee", "shin"),
        # The distance was asked for in kilometres, the unit until then.
        race=Race("Spring half", date(2026, 5, 10), 21_100.0),
    )
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "Danke, mehr müssen wir nicht wissen." in page.text
    assert 'href="#sources"' in page.text


def test_nothing_has_to_be_answered(made: Instance, mira: Athlete, client: TestClient) -> None:
    """No race and no pain are answers too."""
    answer = client.post(made.link("welcome", mira), data={"timezone": mira.timezone})
    assert answer.status_code == 303
    assert made.athlete(mira) == replace(mira, pain=())


def test_the_form_shows_what_is_known_and_the_browsers_language(
    made: Instance, client: TestClient
) -> None:
    race = Race("Half", date(2026, 5, 10), 21_100.0)
    anna = made.add("Anna", timezone="Europe/Berlin", pain=("calf",), race=race)
    page = client.get(made.link("welcome", anna), headers={"accept-language": "fr-CA"}).text
    assert '<option value="fr" lang="fr" selected>' in page
    assert 'value="Europe/Berlin"' in page
    assert 'name="area" value="calf" checked' in page
    assert 'value="2026-05-10"' in page
    assert 'value="21,1"' in page
    assert '<option value="America/Toronto">' in page


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"timezone": "Berlin"}, "“Berlin” is not a time zone; write it like Europe/Berlin"),
        ({"at": "noon"}, "“noon” is not an hour of the day"),
        ({"distance": "far"}, "“far” is not a distance"),
        ({"distance": "-1"}, "“-1” is not a distance"),
        ({"date": ""}, "“” is not a date"),
        ({"name": ""}, "A race needs a name"),
    ],
)
def test_what_cannot_be_read_is_asked_again_with_the_rest_as_it_was(
    made: Instance, mira: Athlete, client: TestClient, wrong: dict[str, str], told: str
) -> None:
    """Nothing is saved, and the form keeps its values."""
    answer = client.post(made.link("welcome", mira), data={**ANSWERS, **wrong})
    assert answer.status_code == 400
    assert told in answer.text
    assert 'name="area" value="shin" checked' in answer.text
    assert ('value="Spring half"' in answer.text) is ("name" not in wrong)
    assert made.athlete(mira) == mira


def test_a_zone_may_be_spelled_as_people_do(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    client.post(made.link("welcome", mira), data={"timezone": "america/new york"})
    assert made.athlete(mira).timezone == "America/New_York"


def test_the_link_cannot_be_made_younger(made: Instance, mira: Athlete, client: TestClient) -> None:
    """The onward link to the athlete's page expires with the first mail's link."""
    link = made.link("welcome", mira)
    made.clock.now = NOW + timedelta(days=59)
    onward = client.post(link, data={"timezone": "UTC"}).headers["location"]
    assert client.get(onward).status_code == 200
    made.clock.now = NOW + timedelta(days=61)
    assert client.get(link).status_code == 410
    assert client.get(onward).status_code == 410


def test_links_that_were_closed_are_closed_here_too(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    link = made.link("welcome", mira)
    client.post(f"{made.link('athlete', mira)}/links")
    assert client.get(link).status_code == 410
    assert client.post(link, data=ANSWERS).status_code == 410
    assert made.athlete(mira) == mira


def test_all_mails_are_stopped_and_taken_up_again_by_one_click(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """By a mail provider's POST, and by the page."""
    stop = made.link("unsubscribe", mira, kind="all")
    assert "Stop all mails?" in client.get(stop).text
    client.post(stop, data={"List-Unsubscribe": "One-Click"})
    assert made.athlete(mira).wants == frozenset()
    assert "Already stopped" in client.get(stop).text
    client.post(stop, data={"again": "yes"})
    assert made.athlete(mira).wants == mira.wants
