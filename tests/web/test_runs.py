"""The athlete's edits of runs on the page: leave out, restore, correct, add."""

import re
from dataclasses import replace
from datetime import timedelta

from starlette.testclient import TestClient

from simulators.web_instance import TODAY, Instance
from worker.domain.models import Athlete
from worker.store import StoredRun


def runs(made: Instance, athlete: Athlete) -> dict[int, StoredRun]:
    with made.store.reading() as tx:
        return {one.run.id: one for one in tx.runs.all(athlete)}


def newest(made: Instance, athlete: Athlete) -> StoredRun:
    return list(runs(made, athlete).values())[-1]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_what_stood_out_leads_to_its_run_which_can_be_left_out(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """One press of "This wasn't right" removes it; another restores it."""
    link = made.link("athlete", runner)
    page = client.get(link).text
    wrong = re.search(r'href="#run-(\d+)">This wasn’t right', page)
    assert wrong
    run_id = int(wrong[1])
    assert f'id="run-{run_id}"' in page
    before = page.count("This wasn’t right")
    answer = client.post(f"{link}/runs/exclude", data={"run": run_id}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"?saved=yes#run-{run_id}")
    page = client.get(link).text
    assert runs(made, runner)[run_id].quarantine == "left out by the athlete"
    assert "Not counted: left out by the athlete." in page
    assert page.count("This wasn’t right") == before - 1
    client.post(f"{link}/runs/include", data={"run": run_id})
    assert runs(made, runner)[run_id].quarantine is None
    assert client.get(link).text.count("This wasn’t right") == before


def test_a_distance_is_corrected_in_the_athletes_units(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """With a comma or a point."""
    link = made.link("athlete", runner)
    one = newest(made, runner)
    client.post(f"{link}/runs/correct", data={"run": one.run.id, "distance": "7,5"})
    assert newest(made, runner).run.distance_m == 7500.0
    assert "entered by you" in client.get(link).text
    miles = made.add("Miles", units="mi")
    link = made.link("athlete", miles)
    day = (TODAY - timedelta(days=1)).isoformat()
    client.post(f"{link}/runs/add", data={"date": day, "distance": "3", "start": "07:30"})
    assert newest(made, miles).run.distance_m == 4828.0


def test_a_day_at_an_end_of_the_calendar_is_said_too(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """Its instant would be outside the calendar."""
    link, before = made.link("athlete", runner), runs(made, runner)
    for day, start, why in (
        ("0001-01-01", "", "it is dated before 2000"),
        ("9999-12-31", "23:59", "it is dated in the future"),
    ):
        form = {"date": day, "start": start, "distance": "5"}
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            with made.store.transaction() as tx:
                tx.athletes.change(replace(runner, timezone=zone), now=made.clock.now)
            answer = client.post(f"{link}/runs/add", data=form)
            assert answer.status_code == 400
            assert why in answer.text
    assert runs(made, runner) == before


def test_what_cannot_be_is_said_and_changes_nothing(
    made: Instance, runner: Athlete, client: TestClient
) -> None:
    """A page with the reason, never a server error, and never another athlete's run."""
    other = made.add("Other")
    link = made.link("athlete", other)
    foreign = newest(made, runner).run.id
    before = runs(made, runner)
    for edit, form, why in (
        ("exclude", {"run": foreign}, "There is no run"),
        ("exclude", {"run": "x"}, "“x” is not a run"),
        ("add", {"date": "", "distance": "5"}, "is not a date"),
        ("add", {"date": "2026-02-01", "distance": "far"}, "“far” is not a distance"),
        ("add", {"date": "2999-02-01", "distance": "5"}, "dated in the future"),
        ("add", {"date": "2026-02-01", "distance": "nan"}, "no distance"),
    ):
        answer = client.post(f"{link}/runs/{edit}", data=form)
        assert answer.status_code == 400
        assert why in plain(answer.text), edit
    assert client.post(f"{link}/runs/burn", data={"run": foreign}).status_code in (400, 404)
    assert client.post(f"{link}/runs/burn", data={}).status_code in (400, 404)
    assert runs(made, runner) == before
    assert runs(made, other) == {}
