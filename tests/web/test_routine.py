"""Today's routine: for whom, with what content, who gets none, and that it fits on one sheet."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import TODAY, Instance, instance, run_winter
from tests.web import browsing
from worker.domain.checkins import CheckIn
from worker.domain.models import PAIN_AREAS, Athlete
from worker.domain.routine import Routine, Step
from worker.notify import Composer
from worker.notify.pictures import ExercisePicture
from worker.notify.render import SHIPPED_LANGUAGES
from worker.web import WebServer, build_app
from worker.web.pages import Pages


def routine_of(made: Instance, athlete: Athlete) -> str:
    return f"{made.link('athlete', athlete)}/routine"


def test_shows_the_steps_for_where_it_hurts_with_pictures(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Each once, with alternative text; doses, times of day, and what to avoid."""
    page = client.get(routine_of(made, mira)).text
    assert page.count('<div class="exercise" role="img"') == page.count("<svg") == 4
    assert 'aria-label="Somebody walks briskly' in page
    for told in ("Before the run", "5 minutes", "Piriformis stretch", "as above", "Not now"):
        assert told in page
    well = made.add("Nora")
    assert client.get(routine_of(made, well)).text.count("<svg") == 2


def test_a_page_and_its_mails_lead_to_it(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """By the same link."""
    link = made.link("athlete", runner)
    assert f'href="{link}/routine"' in client.get(link).text
    assert f'href="{link}"' in client.get(f"{link}/routine").text


@pytest.mark.parametrize("flags", [("saddle_numb",), ("no_weight",)])
def test_who_should_be_seen_first_gets_no_exercise(
    made: Instance, runner: Athlete, client: TestClient, flags: tuple[str, ...]
) -> None:
    """The page says whom to see instead, and the athlete's page doesn't link to it."""
    made.answer(runner, CheckIn(TODAY, "hurts", ("buttock",), 8, flags))
    page = client.get(routine_of(made, runner)).text
    assert "<svg" not in page
    assert "Piriformis" not in page
    grave = "Call for help now" if flags == ("saddle_numb",) else "see a clinician before"
    assert grave in page
    assert "/routine" not in client.get(made.link("athlete", runner)).text


def test_the_severity_of_the_last_week_has_a_say(made: Instance, runner: Athlete) -> None:
    """As in the weekly mail: a set for big jumps appears after one."""
    step = Step("rest", "Rest well", "", "Sleep.", "8 hours", ("after",))
    services = replace(made.web.services, routines=(Routine("Big", (step,), severity=2),))
    shown = made.client(services=services).get(routine_of(made, runner)).text
    assert "Rest well" in shown
    calm = made.add("Nora")
    assert "Rest well" not in made.client(services=services).get(routine_of(made, calm)).text


def test_a_therapists_own_picture_is_loaded_from_here(made: Instance, mira: Athlete) -> None:
    """Its path reveals no athlete and may be cached; the title is the alternative text."""
    own = ExercisePicture(b"\xff\xd8made", ".jpg")
    step = Step("drop", 'Drop "slowly"', "", "So.", "often", ("after",), picture="heel.jpg")
    services = replace(made.web.services, routines=(Routine("Own", (step,)),))
    pages = Pages(renderer=Composer(pictures={"heel.jpg": own}))
    client = made.client(services=services, pages=pages)
    page = client.get(routine_of(made, mira)).text
    assert f'<img src="{own.path}" alt="Drop &#34;slowly&#34;">' in page
    answer = client.get(own.path)
    assert answer.content == own.content
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Instance, str]]:
    made = instance(tmp_path_factory.mktemp("site"))
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.start()
    yield made, server.address
    server.stop()
    made.store.close()


def test_it_prints_on_one_sheet_in_every_language(
    site: tuple[Instance, str], tmp_path: Path
) -> None:
    """A4 and Letter, light and dark, with every pain area."""
    made, address = site
    pages: dict[tuple[str, str, str], int] = {}
    with browsing.chromium() as browser:
        for language in SHIPPED_LANGUAGES:
            name = f"Wolfgang-Maximilian von Hohenlohe zu Ratibor {language}"
            athlete = made.add(name, pain=PAIN_AREAS, language=language)
            run_winter(made, athlete)
            schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
            for scheme in schemes:
                page = browser.new_page(color_scheme=scheme)
                page.goto(address + routine_of(made, athlete))
                for paper in ("A4", "Letter"):
                    pdf = page.pdf(format=paper)
                    pages[language, scheme, paper] = len(re.findall(rb"/Type\s*/Page\b", pdf))
                page.close()
    assert set(pages.values()) == {1}, pages
