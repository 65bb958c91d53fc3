"""The feed behind a signed link: its content, its readers, and its closing."""

import re
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar
from starlette.testclient import TestClient

from simulators.web_instance import NOW, TODAY, Instance
from worker.domain.checkins import CheckIn
from worker.domain.history import week_start
from worker.domain.models import Athlete, Race
from worker.domain.planner import plan
from worker.domain.rules import Rules

LATER = timedelta(weeks=3)
"""After the fortnight that follows the winter's jump."""


def feed(made: Instance, client: TestClient, athlete: Athlete) -> str:
    """The path of the feed, as the athlete's page shows it."""
    page = client.get(made.link("athlete", athlete)).text
    address = re.search(r'href="webcal://[^/"]+(/calendar/[^"]+)"', page)
    assert address
    assert f'value="{made.web.base_url}{address[1]}"' in page
    return address[1]


def with_race(made: Instance, athlete: Athlete, weeks: int, km: float = 21.1) -> None:
    race = Race("Spring", TODAY + timedelta(weeks=weeks), km * 1000)
    with made.store.transaction() as tx:
        kept = tx.athletes.by_id(athlete.id)
        assert kept
        tx.athletes.change(replace(kept, race=race), now=made.clock.now)


def test_the_page_leads_to_the_long_runs_of_its_plan(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """The same weeks as on the page, read back by a parser."""
    made.clock.now += LATER
    with_race(made, runner, 15)
    answer = client.get(feed(made, client, runner))
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    with made.store.reading() as tx:
        history = tx.runs.history(runner, since=TODAY, rules=Rules())
        found = [one.finding for one in tx.findings.standing(runner, since=date.min)]
    planned = plan(
        history, TODAY + LATER, race=made.athlete(runner).race, findings=found, rules=Rules()
    )
    assert len(planned.weeks) > 5
    read = Calendar.from_ical(answer.content).events
    assert [one.start for one in read] == [week.long_on for week in planned.weeks if week.long_on]


def test_who_asks_again_is_told_that_nothing_changed(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """By the ETag; a changed plan has another one, and its events keep their UIDs."""
    made.clock.now += LATER
    with_race(made, runner, 15)
    path = feed(made, client, runner)
    first = client.get(path)
    tag = first.headers["etag"]
    again = client.get(path, headers={"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.head(path).headers["etag"] == tag
    made.clock.now += timedelta(minutes=1)
    assert client.get(path).headers["etag"] == tag
    with_race(made, runner, 16)
    moved = client.get(path, headers={"if-none-match": tag})
    assert moved.status_code == 200
    before, after = (Calendar.from_ical(one.content).events for one in (first, moved))
    assert [one["uid"] for one in after][: len(before)] == [one["uid"] for one in before]
    assert all(
        other["sequence"] > one["sequence"] for one, other in zip(before, after, strict=False)
    )


def test_a_check_in_changes_it_at_once(made: Instance, client: TestClient, runner: Athlete) -> None:
    """A sign of an emergency empties the calendar, which says why; "fine" fills it again."""
    made.clock.now += LATER
    path = feed(made, client, runner)
    assert Calendar.from_ical(client.get(path).content).events
    made.answer(runner, CheckIn(TODAY + LATER, "hurts", flags=("saddle_numb",)))
    stopped = client.get(path)
    assert not Calendar.from_ical(stopped.content).events
    assert "see somebody first" in stopped.text.replace("\r\n ", "")
    for word in ("numb", "hurt", "pain"):
        assert word not in stopped.text.lower()
    made.answer(runner, CheckIn(TODAY + LATER, "fine"))
    assert Calendar.from_ical(client.get(path).content).events


def test_the_link_stays_the_same_until_it_is_closed_and_never_runs_out(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """Calendars poll for years; the page doesn't make a new link at each visit."""
    path = feed(made, client, runner)
    made.clock.now += timedelta(days=30)
    assert feed(made, client, runner) == path
    made.clock.now += timedelta(days=2000)
    assert client.get(path).status_code == 200


def test_a_button_closes_it_and_nothing_else(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """The old address opens nothing, the page has a new one, and other links stay open."""
    path, page = feed(made, client, runner), made.link("athlete", runner)
    done = client.post(f"{page}/calendar")
    assert done.status_code == 303
    assert client.get(path).status_code == 410
    fresh = feed(made, client, runner)
    assert fresh != path
    assert client.get(fresh).status_code == 200
    assert client.get(page).status_code == 200
    assert client.get(f"{page}/calendar").status_code == 405


@pytest.mark.parametrize("whose", ["theirs", "everybody's"])
def test_closing_all_links_closes_it_too(
    made: Instance, client: TestClient, runner: Athlete, whose: str
) -> None:
    """On the page, by `relink`, and after a restore."""
    path = feed(made, client, runner)
    with made.store.transaction() as tx:
        tx.athletes.close_links(runner if whose == "theirs" else None, now=made.clock.now)
    assert client.get(path).status_code == 410
    assert "Long run" not in client.get(path).text
    made.clock.now += timedelta(seconds=2)
    assert client.get(feed(made, client, runner)).status_code == 200


def test_a_link_of_another_purpose_opens_no_calendar(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """Nor does the calendar's link open the page."""
    token = made.link("athlete", runner).rpartition("/")[2]
    assert client.get(f"/calendar/{token}").status_code == 403
    mine = feed(made, client, runner).rpartition("/")[2]
    assert client.get(f"/athlete/{mine}").status_code == 403
    assert client.post(f"/athlete/{mine}/calendar").status_code == 403


def test_the_week_that_begins_is_the_athletes(
    made: Instance, client: TestClient, runner: Athlete
) -> None:
    """A new week's plan is a new version, from midnight in the athlete's zone."""
    with made.store.transaction() as tx:
        tx.athletes.change(replace(runner, timezone="Pacific/Auckland"), now=NOW)
    made.clock.now += LATER
    content = client.get(feed(made, client, runner)).content
    day = made.clock.now.astimezone(ZoneInfo("Pacific/Auckland")).date()
    midnight = datetime.combine(week_start(day, 0), time(), ZoneInfo("Pacific/Auckland"))
    assert Calendar.from_ical(content).events[0]["dtstamp"].dt == midnight
