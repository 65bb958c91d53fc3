"""Runs by week, and when the weekly mail is due. Pure: `now` is an argument.

A week begins on the athlete's first weekday (0 is Monday, 6 Sunday). The due hour is in the
athlete's local time. If that hour is skipped in spring, the mail is due as much later as the clock
jumped; if the hour occurs twice in autumn, the first time counts. Each week thus has exactly one
due instant in every time zone. `store` knows which mails were sent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from worker.domain.history import History, week_start
from worker.domain.models import Athlete, Week

_EVENING: Final = time(18)
"""A mail due at or after this hour on the last day of a week is about the week that ends then."""

NEARLY_THE_SAME: Final = timedelta(days=3)
"""Weeks that start at most this far apart share most of their days: one mail covers both."""

_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WeeklyDue:
    """A weekly mail: the week it is about, by its first day, and the UTC instant it is due."""

    week_starts_on: date
    due_at: datetime


def past_weeks(history: History, *, until: date, count: int, week_starts: int) -> tuple[Week, ...]:
    """The last `count` weeks up to the one that contains `until`, oldest first.

    Weeks without a run are included with zeros. Runs after `until` aren't counted.
    """
    found = []
    for back in range(count - 1, -1, -1):
        starts_on = week_start(until, week_starts) - _WEEK * back
        sessions = history.between(starts_on, min(starts_on + _WEEK - _DAY, until))
        runs = [run for session in sessions for run in session.runs]
        week = Week(
            starts_on=starts_on,
            distance_m=sum(session.distance_m for session in sessions),
            runs=len(runs),
            longest_m=max((session.distance_m for session in sessions), default=0.0),
            moving_s=sum(run.moving_s or 0.0 for run in runs),
        )
        found.append(week)
    return tuple(found)


def since_first_run(weeks: Sequence[Week]) -> Sequence[Week]:
    """The weeks from the first one with a run; nothing is known about the athlete before it."""
    first = next((n for n, week in enumerate(weeks) if week.runs), len(weeks))
    return weeks[first:]


def local_time(athlete: Athlete, at: datetime) -> datetime:
    """An instant in the athlete's local time."""
    return at.astimezone(ZoneInfo(athlete.timezone))


def local_day(athlete: Athlete, at: datetime) -> date:
    """The date of an instant on the athlete's calendar."""
    return local_time(athlete, at).date()


def last_weekly_due(athlete: Athlete, now: datetime) -> WeeklyDue:
    """The latest weekly mail due at or before `now` (aware)."""
    return max(
        (one for one in _dues(athlete, now) if one.due_at <= now), key=lambda one: one.due_at
    )


def next_weekly_due(athlete: Athlete, now: datetime) -> WeeklyDue:
    """The first weekly mail due after `now` (aware)."""
    return min((one for one in _dues(athlete, now) if one.due_at > now), key=lambda one: one.due_at)


def told_days_after(athlete: Athlete) -> int:
    """The number of days from the last day of a week to its mail; 0 if it comes that evening."""
    weekly = athlete.weekly
    first_day_after = weekly.weekday + (weekly.at >= _EVENING)
    since_week_start = (first_day_after - athlete.week_starts) % _WEEK.days
    return weekly.weekday - first_day_after + since_week_start + 1


def _dues(athlete: Athlete, now: datetime) -> Iterator[WeeklyDue]:
    """The mails due around `now`; two weeks to either side include the last and the next one."""
    weekly = athlete.weekly
    zone = ZoneInfo(athlete.timezone)
    today = now.astimezone(zone).date()
    nearest = week_start(today, weekly.weekday)
    for number in range(-2, 3):
        day = nearest + _WEEK * number
        # fold=0: a skipped hour has the offset before the gap, which moves it past the gap;
        # of an hour that occurs twice it is the first.
        due_at = datetime.combine(day, weekly.at, tzinfo=zone).astimezone(UTC)
        ended = day + _DAY if weekly.at >= _EVENING else day
        yield WeeklyDue(week_start(ended, athlete.week_starts) - _WEEK, due_at)
