"""The athlete's page: its content, its forms, export and deletion."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from starlette.testclient import TestClient

from simulators.garmin import Service
from simulators.http_server import running
from simulators.web_instance import NOW, TODAY, Instance
from worker.domain.checkins import CheckIn
from worker.domain.history import History
from worker.domain.models import Athlete, Race, WeeklyHour
from worker.domain.planner import plan
from worker.domain.rules import Rules
from worker.sources.garmin.client import Garmin, GarminSection
from worker.store.progress import SourceState

SETTINGS = {
    "wants": ["alert"],
    "units": "mi",
    "clock": "12",
    "week_starts": "sunday",
    "weekday": "sun",
    "at": "19:30",
    "area": ["knee"],
}


def test_shows_the_weeks_as_a_picture_with_its_numbers(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """A screen reader gets every week's total."""
    page = client.get(made.link("athlete", runner)).text
    assert 'role="img"' in page
    assert "Chart of 13 weeks in km: from 24 Nov 13.2" in page


def test_shows_what_stood_out_and_how_it_was_judged(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Numbers, limit, source, and whether a mail was sent; one entry a day."""
    page = client.get(made.link("athlete", runner)).text.replace("\u00a0", " ")
    # Four days, the upload address, and the forms to delete and to close links and calendar.
    assert page.count("<details>") == 8
    assert "14.2 km against 8.9 km, up to 9.7 km within the rule. Stood out." in page
    assert "Frandsen et al. 2025" in page
    assert "You had a mail about it." in page
    assert "No mail came: the run was 5 days ago." in page
    assert "mail_within_days" not in page


def test_the_days_after_a_jump_are_gentle(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """The run that caused the warning doesn't raise the next; two Mondays later all is normal."""
    link = made.link("athlete", runner)
    made.clock.now += timedelta(days=2)
    page = client.get(link).text.replace("\u00a0", " ")
    assert "It&#39;s a gentle week" in page or "It's a gentle week" in page
    next_run = re.search(r"Next run, at most</dt><dd>([\d.]+) km", page)
    assert next_run
    assert float(next_run[1]) <= 0.6 * 8.9
    made.clock.now += timedelta(days=14)
    assert "gentle week" not in client.get(link).text


def test_a_week_without_a_run_left_says_so_in_words(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """At the end of the week of a jump, instead of allowing 0.0 km."""
    page = client.get(made.link("athlete", runner)).text.replace("\u00a0", " ")
    assert "Next run, at most</dt><dd>no run<" in page
    assert "The next run comes with the week from Monday" in page
    assert "0.0 km" not in page


def test_the_plan_of_the_page_is_that_of_the_planner(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """This week, by the same function as in mails."""
    with made.store.reading() as tx:
        history = History.of(tx.runs.counted(runner), rules=Rules())
        found = [one.finding for one in tx.findings.standing(runner, since=date.min)]
    week = plan(history, TODAY, race=runner.race, findings=found, rules=Rules()).weeks[0]
    page = client.get(made.link("athlete", runner)).text.replace("\u00a0", " ")
    assert f"This week, at most</dt><dd>{week.week_m // 100 / 10:.1f} km" in page


def test_shows_the_diary_and_how_the_sources_feel(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Newest answer first, each failing source with its reason."""
    made.answer(
        runner,
        CheckIn(TODAY - timedelta(days=2), "sore", ("buttock",), 3),
        CheckIn(TODAY - timedelta(days=1), "fine"),
    )
    page = client.get(made.link("athlete", runner)).text
    diary = page[page.index("How it felt") :]
    assert diary.index("Fri 20 Feb") < diary.index("Thu 19 Feb")
    assert "3 of 10, buttock" in page
    assert "Strava no longer lets Easeback in: connect again" in page


def test_days_are_those_of_the_athletes_calendar(made: Instance, client: TestClient) -> None:
    """An evening in Los Angeles is the next day in UTC, but that evening there."""
    far = made.add("Far", timezone="America/Los_Angeles", clock="12")
    with made.store.transaction() as tx:
        tx.progress.save_source(far, "inbox", SourceState("ok", NOW.replace(hour=4)))
    page = client.get(made.link("athlete", far)).text.replace("\u00a0", " ")
    assert re.search(r"last success on Friday 20 February at 8:\d\d pm", page)


def test_an_athlete_without_runs_is_told_what_to_do(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """No empty chart, no ratio to nothing."""
    page = client.get(made.link("athlete", mira)).text
    assert "No runs yet." in page
    assert "too little history" in page
    assert "<svg" not in page


def test_opening_the_page_changes_nothing(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Twice, and every download too."""
    link = made.link("athlete", runner)
    for path in (link, link, f"{link}/easeback.json", f"{link}/easeback.zip"):
        assert client.get(path).status_code == 200
    assert made.athlete(runner) == runner


def test_settings_are_kept(made: Instance, mira: Athlete, client: TestClient) -> None:
    """The browser is redirected to the page, so that a reload sends nothing twice."""
    link = made.link("athlete", mira)
    answer = client.post(f"{link}/settings", data=SETTINGS)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{link}?saved=yes")
    kept = made.athlete(mira)
    assert kept.wants == {"alert", "reconnect", "notice"}
    assert (kept.units, kept.week_starts, str(kept.weekly)) == ("mi", 6, "sun 19:30")
    assert kept.clock == "12"
    assert kept.pain == ("knee",)
    page = client.get(answer.headers["location"]).text
    assert 'role="status">Saved.' in page
    assert "It covers the week that ended the day before." in page


@pytest.mark.parametrize("wrong", [{"weekday": "someday"}, {"at": "25:00"}, {"at": "x" * 5000}])
def test_settings_that_make_no_sense_are_refused(
    made: Instance, mira: Athlete, client: TestClient, wrong: dict[str, str]
) -> None:
    """All or nothing."""
    answer = client.post(made.link("athlete", mira) + "/settings", data={**SETTINGS, **wrong})
    assert answer.status_code == 400
    assert made.athlete(mira) == mira


def test_a_form_without_an_hour_leaves_the_hour(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Other clients may send less."""
    client.post(made.link("athlete", mira) + "/settings", data={"wants": ["weekly"]})
    assert made.athlete(mira).weekly == WeeklyHour()


def test_the_data_can_be_taken_along(made: Instance, runner: Athlete, client: TestClient) -> None:
    """Runs, findings, answers and settings, as JSON and as a zip of tables."""
    made.answer(runner, CheckIn(TODAY, "hurts", ("knee",), 5))
    link = made.link("athlete", runner)
    told = client.get(f"{link}/easeback.json")
    assert "attachment" in told.headers["content-disposition"]
    taken = json.loads(told.content)
    assert taken["athlete"]["name"] == "Mira"
    assert len(taken["runs"]) == 20
    assert taken["runs"][-1]["distance_m"] == 14_200.0
    assert taken["checkins"] == [
        {"day": "2026-02-21", "feels": "hurts", "areas": ["knee"], "level": 5, "flags": []}
    ]
    packed = zipfile.ZipFile(io.BytesIO(client.get(f"{link}/easeback.zip").content))
    assert packed.namelist() == ["easeback.json", "runs.csv", "findings.csv", "checkins.csv"]
    rows = list(csv.DictReader(io.StringIO(packed.read("runs.csv").decode())))
    assert len(rows) == 20
    assert rows[-1]["day"] == "2026-02-21"


def test_deleting_needs_the_box(made: Instance, mira: Athlete, client: TestClient) -> None:
    """Pressing the button by mistake deletes nothing."""
    answer = client.post(made.link("athlete", mira) + "/forget")
    assert answer.status_code == 400
    assert "Nothing was deleted: tick the box first." in answer.text
    assert made.athlete(mira) == mira


def test_deleting_deletes_and_closes_the_link(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Its page is gone for good."""
    link = made.link("athlete", mira)
    answer = client.post(f"{link}/forget", data={"sure": "yes"})
    assert "Everything is deleted" in answer.text
    with made.store.reading() as tx:
        assert tx.athletes.all() == ()
    assert client.get(link).status_code == 410


def test_a_source_can_be_connected_and_given_up(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Only sources that can be connected here."""
    link = made.link("athlete", runner)
    page = client.get(link).text
    assert 'href="/connect/' in page
    with made.store.transaction() as tx:
        tx.source("strava").connect(runner, account_id="7", encrypted=b"sealed", now=NOW)
    client.post(f"{link}/disconnect", data={"source": "strava"})
    with made.store.reading() as tx:
        assert tx.source("strava").credential(runner) is None
    assert client.post(f"{link}/disconnect", data={"source": "inbox"}).status_code == 404


def test_a_source_that_is_off_is_offered_again(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """After a disconnect there's nothing to disconnect."""
    with made.store.transaction() as tx:
        tx.progress.save_source(mira, "strava", SourceState("off", NOW))
    page = client.get(made.link("athlete", mira)).text
    assert "Connect Strava" in page
    assert "Disconnect" not in page


def test_what_the_operator_does_not_offer_is_not_shown(made: Instance, runner: Athlete) -> None:
    """No button leads to a refusal."""
    client = made.client(services=replace(made.web.services, sources={}))
    link = made.link("athlete", runner)
    assert "/connect/" not in client.get(link).text
    assert client.post(f"{link}/disconnect", data={"source": "strava"}).status_code == 404


@pytest.fixture
def with_garmin(made: Instance) -> Iterator[tuple[Instance, Service]]:
    """The instance with a simulated Garmin."""
    service = Service()
    with running(service) as server:  # type: ignore[arg-type]  # it answers questions too
        there = Garmin(GarminSection(base_url=server.base_url))
        garmin = replace(made.web.services.sources["garmin"], client=there)
        services = replace(made.web.services, sources={"garmin": garmin})
        yield replace(made, web=replace(made.web, services=services)), service
        there.close()


def test_a_garmin_key_is_given_on_the_page(
    with_garmin: tuple[Instance, Service], mira: Athlete
) -> None:
    """In a password field; afterwards the page shows the end date, and never the key."""
    made, garmin = with_garmin
    client, key = made.client(), garmin.make_key(garmin.account("Mira"))
    link = made.link("athlete", mira)
    page = client.get(link).text
    assert 'type="password"' in page
    assert "Connect Garmin" in page
    answer = client.post(f"{link}/garmin", data={"garmin_key": key, "expires": "90"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{link}?saved=yes")
    page = client.get(link).text
    assert "the key runs out on Friday 22 May 2026" in page
    assert "Disconnect Garmin" in page
    assert key not in page
    client.post(f"{link}/disconnect", data={"source": "garmin"})
    with made.store.reading() as tx:
        assert tx.source("garmin").credential(mira) is None


def test_a_garmin_key_that_does_not_work_is_said_on_the_page(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """With a message, and the form open to try again."""
    answer = client.post(f"{made.link('athlete', mira)}/garmin", data={"garmin_key": ""})
    assert answer.status_code == 400
    assert "No key was given" in answer.text
    assert '<details id="garmin" open>' in answer.text


def test_a_dead_garmin_key_is_said_on_the_page(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """With the form open for the next one."""
    with made.store.transaction() as tx:
        tx.source("garmin").connect(mira, account_id="", encrypted=b"sealed", ends_at=NOW, now=NOW)
        tx.source("garmin").revoked(mira, version=1, now=NOW)
    page = client.get(made.link("athlete", mira)).text
    assert "the key no longer works" in page
    assert '<details id="garmin" open>' in page


def test_without_garmin_the_page_does_not_speak_of_it(made: Instance, mira: Athlete) -> None:
    """If the operator switched it off; then nobody can give a key either."""
    link = made.link("athlete", mira)
    with made.client(services=replace(made.web.services, sources={})) as client:
        assert "Garmin" not in client.get(link).text
        assert client.post(f"{link}/garmin", data={"garmin_key": "x"}).status_code == 404


RACE = {"name": "Spring  half\u202e", "date": "2026-05-10", "distance": "21,0975"}


class TestRace:
    def test_a_race_is_saved_and_taken_back(
        self, made: Instance, runner: Athlete, client: TestClient
    ) -> None:
        """In the athlete's units, with a comma or a point; the plan then leads to it."""
        link = made.link("athlete", runner)
        assert client.post(f"{link}/race", data=RACE).status_code == 303
        assert made.athlete(runner).race == Race("Spring half", date(2026, 5, 10), 21_097.5)
        page = client.get(link).text
        assert "On the way to Spring half" in page
        assert 'value="21.0975"' in page
        assert client.post(f"{link}/race", data={"none": "yes"}).status_code == 303
        assert made.athlete(runner).race is None

    @pytest.mark.parametrize("units", ["km", "mi"])
    def test_saving_it_as_it_stands_changes_nothing(
        self, made: Instance, client: TestClient, units: str
    ) -> None:
        """A marathon stays the same to the metre."""
        race = Race("Marathon", date(2026, 10, 4), 42_195.0)
        nora = made.add("Nora", race=race, units=units)
        link = made.link("athlete", nora)
        shown = re.search(r'name="distance"[^>]* value="([^"]+)"', client.get(link).text)
        assert shown
        form = {"name": "Marathon", "date": "2026-10-04", "distance": shown[1]}
        client.post(f"{link}/race", data=form)
        assert made.athlete(nora).race == race

    @pytest.mark.parametrize(
        "wrong",
        [{"date": "soon"}, {"distance": "far"}, {"distance": "-5"}, {"distance": "nan"},
         {"distance": "2000000"}, {"name": " \u202e"}, {"date": ""}],
    )  # fmt: skip
    def test_what_is_no_race_is_refused(
        self, made: Instance, mira: Athlete, client: TestClient, wrong: dict[str, str]
    ) -> None:
        """Nothing is changed."""
        answer = client.post(f"{made.link('athlete', mira)}/race", data=RACE | wrong)
        assert answer.status_code == 400
        assert made.athlete(mira).race is None


def test_a_time_zone_can_be_changed_to_one_that_is(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """It determines when the weekly mail comes."""
    link = made.link("athlete", mira)
    for zone, status in (("Pacific/Auckland", 303), ("../../etc/passwd", 400), ("Nowhere", 400)):
        answer = client.post(f"{link}/settings", data={**SETTINGS, "timezone": zone})
        assert answer.status_code == status
    assert made.athlete(mira).timezone == "Pacific/Auckland"


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("race", {"name": "Half", "date": "2026-05-10", "distance": "far"}),
        ("contact", {"name": "../Mira", "address": "mira@example.net"}),
        ("settings", {"timezone": "Berlin", "weekday": "tue", "at": "06:45"}),
        ("runs/add", {"date": "2026-02-01", "distance": "far", "start": "06:45", "minutes": "31"}),
    ],
)
def test_what_was_typed_into_a_refused_form_is_still_there(
    made: Instance, runner: Athlete, client: TestClient, path: str, form: dict[str, str]
) -> None:
    """Beside the reason, so that only what is wrong has to be typed again."""
    page = client.post(f"{made.link('athlete', runner)}/{path}", data=form).text
    assert page.count('role="alert"') == 1
    for name, typed in form.items():
        if name != "weekday":
            assert re.search(rf'name="{name}"[^>]* value="{re.escape(typed)}"', page), name


@pytest.mark.parametrize("kind", ["athlete", "welcome"])
def test_what_was_chosen_in_a_refused_form_is_still_chosen(
    made: Instance, runner: Athlete, client: TestClient, kind: str
) -> None:
    """Only the time zone is wrong."""
    choices = {"language": "fr", "units": "mi", "clock": "12", "week_starts": "sunday"}
    choices["weekday"] = "tue"
    form = {**choices, "timezone": "Berlin", "at": "06:45", "area": "knee", "wants": "weekly"}
    path = "/settings" if kind == "athlete" else ""
    page = client.post(made.link(kind, runner) + path, data=form).text

    assert page.count('role="alert"') == 1
    for name, choice in choices.items():
        options = re.search(rf'<select id="{name}".*?</select>', page, re.DOTALL)
        assert options
        assert re.findall(r'value="([^"]*)"[^>]* selected', options[0]) == [choice]
    assert re.findall(r'value="(\w+)" checked', page) == [
        *(["weekly"] if kind == "athlete" else []), "knee",
    ]  # fmt: skip
    assert 'value="06:45"' in page
