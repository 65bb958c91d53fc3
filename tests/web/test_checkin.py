"""Check-in: a page that changes nothing until its one button is pressed."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import TODAY, Instance
from worker.domain.checkins import BE_SEEN, EMERGENCIES, CheckIn
from worker.domain.models import Athlete


@pytest.mark.parametrize("feels", ["fine", "sore", "hurts"])
def test_the_form_opens_with_the_mails_answer_chosen(
    made: Instance, mira: Athlete, client: TestClient, feels: str
) -> None:
    """One tap in the mail, one on the page."""
    page = client.get(made.link("checkin", mira, feels=feels)).text
    assert page.count(" checked") == 2  # the answer, and the known area
    assert f'value="{feels}" required checked' in page


def test_a_link_without_an_answer_chooses_none(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Nor does one with an unknown answer."""
    for more in ({}, {"feels": "splendid"}):
        assert "required checked" not in client.get(made.link("checkin", mira, **more)).text


def test_opening_the_page_twice_changes_nothing(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Mail scanners open every link."""
    for _ in range(2):
        assert client.get(made.link("checkin", mira, feels="hurts")).status_code == 200
    assert made.diary(mira) == ()
    assert made.athlete(mira) == mira


def test_the_button_keeps_the_answer(made: Instance, mira: Athlete, client: TestClient) -> None:
    """Day, feeling, areas, level and flags, as given."""
    said = {"feels": "hurts", "area": ["knee", "buttock"], "level": "4", "flag": ["fever"]}
    answer = client.post(made.link("checkin", mira), data=said)
    assert answer.status_code == 200
    assert made.diary(mira) == (CheckIn(TODAY, "hurts", ("buttock", "knee"), 4, ("fever",)),)


def test_the_answer_shapes_the_next_routine(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """The ticked areas choose the routine; nothing else of the athlete changes."""
    client.post(made.link("checkin", mira), data={"feels": "sore", "area": ["knee"]})
    assert made.athlete(mira).pain == ("knee",)
    client.post(made.link("checkin", mira), data={"feels": "fine"})
    assert made.athlete(mira).pain == ()
    assert made.athlete(mira).wants == mira.wants


def test_the_last_answer_of_a_day_counts(made: Instance, mira: Athlete, client: TestClient) -> None:
    """Sending it twice has no effect; an answer can be changed."""
    link = made.link("checkin", mira)
    for feels in ("hurts", "hurts", "sore"):
        client.post(link, data={"feels": feels})
    assert [one.feels for one in made.diary(mira)] == ["sore"]


def test_the_day_is_the_athletes_own(made: Instance, client: TestClient) -> None:
    """15:30 UTC is already the next day in Auckland."""
    far = made.add("Far", timezone="Pacific/Auckland")
    client.post(made.link("checkin", far), data={"feels": "fine"})
    assert [one.day for one in made.diary(far)] == [TODAY + timedelta(days=1)]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"feels": "splendid"},
        {"feels": "hurts", "level": "11"},
        {"feels": "hurts", "level": "-1"},
        {"feels": "hurts", "level": "٣"},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_not_kept(
    made: Instance, mira: Athlete, client: TestClient, said: dict[str, str]
) -> None:
    """With one plain page."""
    answer = client.post(made.link("checkin", mira), data=said)
    assert answer.status_code == 400
    assert "nothing was changed" in answer.text
    assert made.diary(mira) == ()


def test_areas_and_flags_that_there_are_not_are_left_out(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """A request may be made by hand."""
    said = {"feels": "hurts", "area": ["<script>", "knee"], "flag": ["{{ 7 * 7 }}"]}
    client.post(made.link("checkin", mira), data=said)
    assert made.diary(mira) == (CheckIn(TODAY, "hurts", ("knee",), None, ()),)


@pytest.mark.parametrize("flag", BE_SEEN)
def test_a_red_flag_leads_to_a_clinician(
    made: Instance, mira: Athlete, client: TestClient, flag: str
) -> None:
    """Plainly, and instead of advice on running."""
    page = client.post(made.link("checkin", mira), data={"feels": "sore", "flag": [flag]}).text
    assert "<h1>Please see a clinician before you run again</h1>" in page
    assert "You ticked:" in page


@pytest.mark.parametrize("flag", EMERGENCIES)
def test_an_emergency_is_called_one(
    made: Instance, mira: Athlete, client: TestClient, flag: str
) -> None:
    """Even if it's said to feel fine."""
    page = client.post(made.link("checkin", mira), data={"feels": "fine", "flag": [flag]}).text
    assert "<h1>Call for help now</h1>" in page


def test_repeated_pain_leads_to_a_clinician(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """The second painful day of a fortnight is handled differently from the first."""
    first = client.post(made.link("checkin", mira), data={"feels": "hurts"}).text
    assert "<h1>Saved. No run today</h1>" in first
    made.answer(mira, CheckIn(TODAY - timedelta(days=5), "hurts"))
    second = client.post(made.link("checkin", mira), data={"feels": "hurts"}).text
    assert "It hurt on more than one day of the last two weeks." in second


def test_rising_pain_leads_to_a_clinician(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Two points within a fortnight, to at least moderate."""
    made.answer(mira, CheckIn(TODAY - timedelta(days=5), "sore", (), 3))
    page = client.post(made.link("checkin", mira), data={"feels": "sore", "level": "5"}).text
    assert "The pain has risen by two points or more" in page


def test_the_athletes_page_suggests_no_run_then(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """No ceiling, no race plan, no outlined bar; all of it is back after a fine day."""
    made.clock.now += timedelta(days=8)  # past the alert's gentle days
    link = made.link("athlete", runner)
    assert "Next run, at most" in client.get(link).text
    client.post(made.link("checkin", runner), data={"feels": "hurts", "flag": ["bone_point"]})
    page = client.get(link).text
    assert "Please see a clinician" in page
    assert "at most</dt>" not in page
    assert "bar ceiling" not in page
    client.post(made.link("checkin", runner), data={"feels": "fine"})
    assert "Next run, at most" in client.get(link).text


def test_forgetting_an_athlete_forgets_the_diary(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Row by row, and nobody else's."""
    other = made.add("Other")
    for athlete in (mira, other):
        client.post(made.link("checkin", athlete), data={"feels": "sore"})
    with made.store.transaction() as tx:
        tx.athletes.remove(mira)
    assert made.diary(mira) == ()
    assert len(made.diary(other)) == 1
