"""Weeks starting on any weekday, and one due time a week in every zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import day, history, lives, run
from tests.pipeline.weekly_hours import living_in
from worker.domain.history import week_start
from worker.domain.models import Run, Week, WeeklyHour
from worker.domain.weeks import (
    WeeklyDue,
    last_weekly_due,
    next_weekly_due,
    past_weeks,
    told_days_after,
)

WEEK = timedelta(days=7)
ZONES = sorted(available_timezones())


def test_a_week_begins_on_the_athletes_first_weekday() -> None:
    """Day 6 is a Sunday: the last of one athlete's week, the first of another's."""
    assert week_start(day(6), 0) == day(0)
    assert week_start(day(6), 6) == day(6)
    assert week_start(day(5), 6) == day(-1)


def test_weeks_are_summed_oldest_first_with_the_empty_ones() -> None:
    """Runs are counted, the longest is a session, unknown durations are None."""
    runs = [
        run(0, 5000, hour=7),
        run(0, 6000, hour=8, run_id=100),
        run(6, 7000),
        run(15, 8000),
    ]

    assert past_weeks(history(runs), until=day(20), count=4, week_starts=0) == (
        Week(day(-7), 0, 0, 0, 0),
        Week(day(0), 18_000, 3, 11_000, 18_000 * 0.36),
        Week(day(7), 0, 0, 0, 0),
        Week(day(14), 8000, 1, 8000, 8000 * 0.36),
    )


def test_the_week_that_holds_the_day_is_the_last_and_ends_with_it() -> None:
    """Later runs of the week aren't known yet."""
    runs = [run(0, 5000), run(2, 6000), run(3, 7000)]

    (last,) = past_weeks(history(runs), until=day(2), count=1, week_starts=0)

    assert (last.starts_on, last.distance_m, last.runs) == (day(0), 11_000, 2)


@given(runs=lives(), count=st.integers(1, 30), week_starts=st.sampled_from([0, 6]))
def test_weeks_hold_every_run_of_their_days(runs: list[Run], count: int, week_starts: int) -> None:
    """Seven days each without gaps or overlaps."""
    until = runs[-1].day
    found = past_weeks(history(runs), until=until, count=count, week_starts=week_starts)

    assert len(found) == count
    assert [one.starts_on for one in found] == [
        week_start(until, week_starts) - WEEK * back for back in reversed(range(count))
    ]
    inside = [one for one in runs if one.day >= found[0].starts_on]
    assert sum(one.runs for one in found) == len(inside)
    assert sum(one.distance_m for one in found) == pytest.approx(
        sum(one.distance_m for one in inside)
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


BERLIN_NIGHT = WeeklyHour(6, time(2, 30))


def test_monday_morning_tells_of_the_week_that_ended_on_sunday() -> None:
    """At seven in Berlin, which is six UTC."""
    for now in ("2026-11-16T06:00:00", "2026-11-19T12:00:00", "2026-11-23T05:59:59"):
        assert last_weekly_due(living_in("Europe/Berlin", WeeklyHour(), 0), at(now)) == WeeklyDue(
            date(2026, 11, 9), at("2026-11-16T06:00:00")
        )


def test_the_week_told_has_ended_by_the_day_it_is_told() -> None:
    """Sunday evening covers the week that ends that day, or that ended the day before."""
    evening = WeeklyHour(6, time(20))
    now = at("2026-11-15T20:00:00")

    by_monday = last_weekly_due(living_in("UTC", evening, 0), now)
    by_sunday = last_weekly_due(living_in("UTC", evening, 6), now)

    assert (by_monday.week_starts_on, by_sunday.week_starts_on) == (
        date(2026, 11, 9),
        date(2026, 11, 8),
    )


def test_a_morning_of_the_weeks_last_day_tells_of_the_week_before() -> None:
    """Sunday's long run isn't done at seven, and no week may miss it."""
    athlete = living_in("UTC", WeeklyHour(6, time(7)))
    found = last_weekly_due(athlete, at("2026-11-15T07:00:00"))
    assert found.week_starts_on == date(2026, 11, 2)


def test_an_hour_that_the_clock_skips_is_due_after_the_gap() -> None:
    """Berlin has no 02:30 on 29 March 2026; the mail is due at 03:30 there."""
    found = next_weekly_due(living_in("Europe/Berlin", BERLIN_NIGHT, 0), at("2026-03-28T12:00:00"))

    assert found.due_at == at("2026-03-29T01:30:00")


def test_an_hour_that_comes_twice_is_due_once() -> None:
    """Berlin has 02:30 twice on 25 October 2026: the first of them counts."""
    first = next_weekly_due(living_in("Europe/Berlin", BERLIN_NIGHT, 0), at("2026-10-24T12:00:00"))
    again = next_weekly_due(living_in("Europe/Berlin", BERLIN_NIGHT, 0), first.due_at)

    assert first.due_at == at("2026-10-25T00:30:00")
    assert again.due_at == at("2026-11-01T01:30:00")


def test_a_day_that_a_country_skips_still_has_its_mail() -> None:
    """Samoa had no Friday 30 December 2011; the mail comes on Saturday."""
    friday = WeeklyHour(4, time(7))

    found = next_weekly_due(living_in("Pacific/Apia", friday, 0), at("2011-12-24T00:00:00"))

    assert found == WeeklyDue(date(2011, 12, 19), at("2011-12-30T17:00:00"))
    assert found.due_at.astimezone(ZoneInfo("Pacific/Apia")).date() == date(2011, 12, 31)


@pytest.mark.parametrize("begin", ["2011-06-01T00:00:00", "2026-01-01T00:00:00"])
def test_every_zone_has_one_mail_a_week(begin: str) -> None:
    """A year of weeks in each zone: each week once, none skipped, none early."""
    for zone in ZONES:
        now = at(begin)
        last = last_weekly_due(living_in(zone, BERLIN_NIGHT, 0), now)
        for _ in range(53):
            following = next_weekly_due(living_in(zone, BERLIN_NIGHT, 0), last.due_at)
            assert following.week_starts_on == last.week_starts_on + WEEK, zone
            assert timedelta(days=5) < following.due_at - last.due_at < timedelta(days=9), zone
            last = following


@pytest.mark.parametrize(
    ("weekly", "week_starts", "days"),
    [
        (WeeklyHour(0, time(7)), 0, 1),
        (WeeklyHour(0, time(18)), 0, 1),
        (WeeklyHour(6, time(12)), 0, 7),
        (WeeklyHour(6, time(18)), 0, 0),
        (WeeklyHour(3, time(19)), 0, 4),
        (WeeklyHour(6, time(7)), 6, 1),
        (WeeklyHour(5, time(20)), 6, 0),
        (WeeklyHour(5, time(17, 59)), 6, 7),
    ],
)
def test_which_week_an_hour_tells_of_is_said(
    weekly: WeeklyHour, week_starts: int, days: int
) -> None:
    """The same week as in the mail sent then."""
    athlete = living_in("UTC", weekly, week_starts)
    assert told_days_after(athlete) == days
    due = next_weekly_due(athlete, at("2026-11-20 12:00"))
    assert due.due_at.date() == due.week_starts_on + timedelta(days=6 + days)


@given(
    seconds=st.integers(0, 3_000_000_000),
    zone=st.sampled_from(ZONES),
    weekday=st.integers(0, 6),
    clock=st.times(),
    week_starts=st.sampled_from([0, 6]),
)
def test_now_lies_between_the_last_due_and_the_next(
    seconds: int, zone: str, weekday: int, clock: time, week_starts: int
) -> None:
    """And the two are a week apart at any time."""
    instant = datetime.fromtimestamp(seconds, UTC)
    weekly = WeeklyHour(weekday, clock)
    last = last_weekly_due(living_in(zone, weekly, week_starts), instant)
    following = next_weekly_due(living_in(zone, weekly, week_starts), instant)

    assert last.due_at <= instant < following.due_at
    assert following.week_starts_on == last.week_starts_on + WEEK
    assert week_start(last.week_starts_on, week_starts) == last.week_starts_on
    assert last_weekly_due(living_in(zone, weekly, week_starts), following.due_at) == following
