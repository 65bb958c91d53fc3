"""Every page in each language; which one a visitor gets, and what is stored."""

import re

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from simulators.every_page import everything
from simulators.speech import faults, told
from simulators.web_instance import Instance
from worker.domain.models import Athlete
from worker.notify.render import SHIPPED_LANGUAGES, Locale
from worker.sources.base import STALE_CONSENT_SAYS


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_every_page_is_in_its_language_to_the_last_word(
    made: Instance, client: TestClient, language: str
) -> None:
    """The athlete's if known, otherwise the browser's; named in the page and its header."""
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
    """Negotiated at each visit; nothing is stored, and the default is English."""
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
    """Then it applies in any browser, and nothing else has changed."""
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
    """An older page's form has no such field."""
    link = f"{made.link('athlete', mira)}/settings"
    client.post(link, data={"language": "de", "units": "km"})
    assert made.athlete(mira).language == "de"
    client.post(link, data={"units": "mi"})
    client.post(link, data={"language": "tlh"})
    assert made.athlete(mira).language == "de"


def test_what_is_refused_behind_a_link_is_said_in_the_athletes_language(
    made: Instance, client: TestClient
) -> None:
    """Whatever the browser's language."""
    who = made.add("Zoé", language="fr")
    answer = client.post(made.link("checkin", who), data={}, headers={"accept-language": "de"})
    assert answer.status_code == 400
    assert language_of(answer) == "fr"


@pytest.mark.parametrize(
    ("language", "week", "month"),
    [("en", "7 days", "Four weeks"), ("de", "7 Tage", "Vier Wochen"),
     ("fr", "7\u00a0jours", "Quatre semaines")],
)  # fmt: skip
def test_a_rule_is_named_with_the_capitals_of_its_language(
    made: Instance, language: str, week: str, month: str
) -> None:
    """German nouns keep their capitals after a number."""
    words = made.web.pages.words(Locale(language))
    assert (words.rule_name("ramp"), words.rule_name("month")) == (week, month)


def test_the_operators_page_is_english(made: Instance, client: TestClient) -> None:
    """Like the commands."""
    page = client.get("/status", headers={"accept-language": "de"})
    assert language_of(page) == "en"
    assert "All well" in page.text or "Needs attention" in page.text


def test_a_stale_consent_is_said_in_the_browsers_language(
    client: TestClient,
) -> None:
    page = client.get("/strava/callback?state=x", headers={"accept-language": "de"})
    assert "schon benutzt" in page.text
    assert STALE_CONSENT_SAYS not in page.text
