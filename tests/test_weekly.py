"""The weekly mail: once an athlete and week, at the athlete's hour, come what may."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from tests.house import House, recording
from worker import pipeline
from worker.domain.models import Athlete, Email, WeeklyHour
from worker.notify import Composer, WeeklyFacts

MONDAY = date(2026, 11, 16)
DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(days=7)


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), tzinfo=UTC)


def told(house: House) -> list[tuple[date, str]]:
    """Every week that was dealt with, and how."""
    with house.services.store.reading() as tx:
        rows = tx.connection.exec_driver_sql(
            "SELECT week_starts_on, state FROM weekly ORDER BY week_starts_on"
        )
        return [(date.fromisoformat(str(row[0])), row[1]) for row in rows]


def tick(house: House, since: datetime, until: datetime, every: timedelta) -> Iterator[datetime]:
    """Let the clock run and ask at each step; gives the instants at which a mail was queued."""
    house.now = since
    while house.now <= until:
        before = len(house.unsent())
        pipeline.queue_due_weeklies(house.services, house.now)
        if len(house.unsent()) > before:
            yield house.now
        house.now += every


def test_it_is_due_once_a_week_at_the_athletes_hour(house: House) -> None:
    """07:00 in Berlin is 06:00 UTC in winter; asked for over two weeks."""
    house.now = at(MONDAY)
    house.athlete()
    assert list(tick(house, at(MONDAY), at(MONDAY, 5, 59), HOUR)) == []
    queued = list(tick(house, at(MONDAY, 5, 59), at(MONDAY, 6, 5), HOUR / 60))
    queued += tick(house, at(MONDAY, 9), at(MONDAY + 15 * DAY), 3 * HOUR)
    assert queued == [at(MONDAY + number * WEEK, 6) for number in range(3)]
    assert told(house) == [(MONDAY + number * WEEK, "queued") for number in (-1, 0, 1)]


def test_the_first_one_announced_is_the_first_one_sent(house: House) -> None:
    """Added on Monday at three: last week ended before, so the mail of seven isn't announced."""
    with house.services.store.transaction() as tx:
        anna = tx.athletes.add(
            Athlete(0, "Anna", "anna@example.org", at(MONDAY, 3), timezone="Europe/Berlin")
        )
        assert tx.athletes.next_weekly_at(anna) == at(MONDAY + WEEK, 6)


def test_who_never_ran_is_not_told_of_weeks_without_a_run(house: House) -> None:
    """There's no break where there never was a run: the mail says how runs come in."""
    house.now = at(MONDAY - 5 * DAY)
    house.athlete(added_at=house.now)
    house.now = at(MONDAY, 12)
    house.pass_on()
    (mail,) = house.mailer.taken
    text = str(mail.get_body(("plain",)))
    assert "No run has come in yet" in text
    assert "without a run" not in text


def test_it_tells_of_the_week_that_ended(house: House) -> None:
    """Monday to Sunday, nothing of before or after."""
    house.now = at(MONDAY)
    anna = house.athlete()
    house.runs(anna, [recording(MONDAY + back * DAY, km)
                      for back, km in ((-8, 20.0), (-7, 5.0), (-1, 6.5), (0, 30.0))])  # fmt: skip
    house.now = at(MONDAY, 12)
    house.pass_on()
    (mail,) = house.mailer.taken
    assert mail["X-Easeback-Kind"] == "weekly"
    assert "11.5" in str(mail.get_body(("plain",)))


def test_a_restart_and_a_clock_that_jumps_tell_nothing_twice(house: House) -> None:
    """Three hours back and forth around the hour."""
    house.now = at(MONDAY)
    house.athlete()
    for hour in (6, 3, 9, 6, 5, 7):
        house.now = at(MONDAY, hour)
        house.pass_on()
    assert house.mailer.kinds() == ["weekly"]


def test_after_three_days_down_it_comes_at_once(house: House) -> None:
    """And the next one at its hour again."""
    house.now = at(MONDAY)
    house.athlete()
    queued = list(tick(house, at(MONDAY + 3 * DAY, 15), at(MONDAY + 9 * DAY), 3 * HOUR))
    assert queued == [at(MONDAY + 3 * DAY, 15), at(MONDAY + WEEK, 6)]


def test_after_weeks_down_the_latest_is_told_and_the_rest_are_skipped(house: House) -> None:
    """Nobody wants four summaries on one morning."""
    house.now = at(MONDAY)
    house.athlete()
    house.now = at(MONDAY, 7)
    house.pass_on()
    house.now = at(MONDAY + 4 * WEEK + DAY)
    house.pass_on()
    assert house.mailer.kinds() == ["weekly", "weekly"]
    assert [state for _, state in told(house)] == [
        "queued", "skipped", "skipped", "skipped", "queued",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sunday", "due"),
    [
        pytest.param(date(2026, 3, 29), at(date(2026, 3, 29), 1, 30), id="the hour is skipped"),
        pytest.param(date(2026, 10, 25), at(date(2026, 10, 25), 0, 30), id="the hour comes twice"),
    ],
)
def test_the_night_the_clock_changes_has_one_hour_due(
    house: House, sunday: date, due: datetime
) -> None:
    """02:30 in Berlin: as much later as the clock jumped, or the first of two."""
    house.now = at(sunday - 2 * DAY)
    house.athlete(weekly=WeeklyHour(6, time(2, 30)), added_at=at(sunday - 99 * DAY))
    queued = list(tick(house, at(sunday - DAY, 20), at(sunday, 12), HOUR / 6))
    assert queued == [due]


def moved(house: House, athlete: Athlete, **changes: object) -> Athlete:
    """The athlete with other settings, kept now."""
    after = replace(athlete, **changes)  # type: ignore[arg-type]  # what a test names
    with house.services.store.transaction() as tx:
        tx.athletes.change(after, now=house.now)
    return after


@pytest.mark.parametrize(
    ("home", "away", "flies_at"),
    [
        pytest.param("America/Los_Angeles", "Pacific/Auckland", at(MONDAY, 3), id="east, past it"),
        pytest.param("Pacific/Auckland", "America/Los_Angeles", at(MONDAY, 3), id="west, after it"),
        pytest.param("Europe/Berlin", "America/New_York", at(MONDAY, 5), id="west, before it"),
        pytest.param("Europe/Berlin", "Asia/Tokyo", at(MONDAY - DAY, 12), id="east, before it"),
    ],
)
def test_an_athlete_who_travels_is_told_each_week_once(
    house: House, home: str, away: str, flies_at: datetime
) -> None:
    """No week is lost where the hour had passed already, and none comes twice."""
    house.now = at(MONDAY - 5 * DAY)
    anna = house.athlete(timezone=home, added_at=house.now)
    list(tick(house, at(MONDAY - DAY), flies_at, 2 * HOUR))
    house.now = flies_at
    moved(house, anna, timezone=away)
    list(tick(house, flies_at, at(MONDAY + 8 * DAY), 4 * HOUR))
    assert told(house) == [(MONDAY - WEEK, "queued"), (MONDAY, "queued")]


def test_a_change_of_settings_while_a_mail_is_due_loses_it_not(house: House) -> None:
    """The worker was down at seven, at eight somebody changed the pain."""
    house.now = at(MONDAY)
    anna = house.athlete()
    house.now = at(MONDAY, 8)
    moved(house, anna, pain=("knee",))
    house.pass_on()
    assert house.mailer.kinds() == ["weekly"]


def test_a_week_that_starts_on_another_day_from_now_on_is_not_told_twice(house: House) -> None:
    """Monday's week was told; Sunday's is nearly the same."""
    house.now = at(MONDAY)
    anna = house.athlete()
    house.now = at(MONDAY, 8)
    house.pass_on()
    house.now = at(MONDAY + 2 * DAY)
    moved(house, anna, week_starts=6)
    list(tick(house, house.now, at(MONDAY + 8 * DAY), 6 * HOUR))
    assert told(house) == [(MONDAY - WEEK, "queued"), (MONDAY - DAY, "queued")]


def test_weeks_that_ended_before_the_athlete_was_added_are_not_told(house: House) -> None:
    """Added on Monday at six: the first mail comes next Monday."""
    house.now = at(MONDAY)
    house.athlete("Monday", added_at=at(MONDAY, 5))
    house.athlete("Sunday", added_at=at(MONDAY - DAY, 20))
    house.now = at(MONDAY, 12)
    house.pass_on()
    assert [mail["To"] for mail in house.mailer.taken] == ["sunday@example.org"]
    house.now = at(MONDAY + WEEK, 12)
    house.pass_on()
    assert len(house.mailer.taken) == 3


def test_weeks_from_sunday_are_told_on_monday_too(house: House) -> None:
    """Sunday to Saturday; the hour is another matter than the week."""
    house.now = at(MONDAY)
    anna = house.athlete(week_starts=6)
    house.runs(anna, [recording(MONDAY + back * DAY, km)
                      for back, km in ((-9, 20.0), (-8, 5.0), (-2, 6.5), (-1, 30.0))])  # fmt: skip
    house.now = at(MONDAY, 12)
    house.pass_on()
    assert told(house) == [(MONDAY - 8 * DAY, "queued")]
    assert "11.5" in str(house.mailer.taken[0].get_body(("plain",)))


def test_who_wants_no_weekly_mail_gets_none_and_no_old_one_later(house: House) -> None:
    """Weeks pass as skipped."""
    house.now = at(MONDAY)
    anna = house.athlete(wants=frozenset({"alert"}))
    house.now = at(MONDAY, 12)
    house.pass_on()
    moved(house, anna, wants=frozenset({"alert", "weekly"}))
    house.pass_on()
    assert house.mailer.taken == []
    assert told(house) == [(MONDAY - WEEK, "skipped")]


class Unlucky(Composer):
    """Can't compose for Anna."""

    def weekly(self, facts: WeeklyFacts) -> Email:
        if facts.athlete.name == "Anna":
            raise RuntimeError("out of paper")
        return super().weekly(facts)


def test_a_surprise_over_one_athlete_stops_no_other(house: House) -> None:
    """Ben gets his, what is queued goes out, and Anna's is tried again."""
    house.now = at(MONDAY)
    for name in ("Anna", "Ben"):
        house.athlete(name)
    house.now = at(MONDAY, 7)
    unlucky = House(replace(house.services, composer=Unlucky()), house.mailer, house.now)
    with pytest.raises(RuntimeError, match="out of paper"):
        unlucky.pass_on()
    assert [mail["To"] for mail in house.mailer.taken] == ["ben@example.org"]
    house.pass_on()
    assert [mail["To"] for mail in house.mailer.taken] == ["ben@example.org", "anna@example.org"]
