"""Runs by the week, and when the weekly mail is due. Pure: `now` is an argument.

A week begins on the athlete's first weekday (0 is Monday, 6 Sunday). The due hour is one of the
athlete's own clock: where that clock skips it in spring, the mail is due as much later as the
clock jumped; where it comes twice in autumn, the first time counts. So each week has exactly
one due instant, in every zone. Who has had which mail is not known here (see `store`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from worker.load import History
from worker.model import Run, Session, Week, WeeklyHour
from worker.rules import Rules

_EVENING: Final = time(18)
"""A mail due from this hour on, on the last day of a week, tells of the week that ends with it."""

_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A weekly mail: the week it tells of, by its first day, and the UTC instant it is due."""

    week_starts_on: date
    due_at: datetime


def starts_on(day: date, week_starts: int) -> date:
    """The first day of the week that holds `day`."""
    return day - timedelta(days=(day.weekday() - week_starts) % 7)


def weeks(
    runs: Iterable[Run] | History, *, until: date, count: int, week_starts: int
) -> tuple[Week, ...]:
    """The last `count` weeks, the last being the one that holds `until`, oldest first.

    Weeks without a run are there with zeros. Runs after `until` are not counted.
    """
    history = runs if isinstance(runs, History) else History.of(runs, rules=Rules())
    last = starts_on(until, week_starts)
    first = last - _WEEK * (count - 1)
    by_week = {
        week: tuple(group)
        for week, group in groupby(
            history.between(first, until), key=lambda one: starts_on(one.day, week_starts)
        )
    }
    begins = (first + _WEEK * number for number in range(count))
    return tuple(_week(begin, by_week.get(begin, ())) for begin in begins)


def _week(begin: date, sessions: tuple[Session, ...]) -> Week:
    runs = [run for session in sessions for run in session.runs]
    return Week(
        starts_on=begin,
        distance_m=sum(session.distance_m for session in sessions),
        runs=len(runs),
        longest_m=max((session.distance_m for session in sessions), default=0.0),
        moving_s=sum(run.moving_s or 0.0 for run in runs),
    )


def due(now: datetime, *, timezone: str, weekly: WeeklyHour, week_starts: int) -> Due:
    """The latest weekly mail due at or before `now` (aware)."""
    found = _dues(now, timezone=timezone, weekly=weekly, week_starts=week_starts)
    return max((one for one in found if one.due_at <= now), key=lambda one: one.due_at)


def next_due(now: datetime, *, timezone: str, weekly: WeeklyHour, week_starts: int) -> Due:
    """The first weekly mail due after `now` (aware)."""
    found = _dues(now, timezone=timezone, weekly=weekly, week_starts=week_starts)
    return min((one for one in found if one.due_at > now), key=lambda one: one.due_at)


def _dues(now: datetime, *, timezone: str, weekly: WeeklyHour, week_starts: int) -> Iterator[Due]:
    """The mails due around `now`: two weeks to either side hold the last and the next of them."""
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    nearest = starts_on(today, weekly.weekday)
    for number in range(-2, 3):
        day = nearest + _WEEK * number
        # fold=0: before a gap the old offset holds, which moves a skipped hour past the gap;
        # in an hour that comes twice it is the first.
        due_at = datetime.combine(day, weekly.at, tzinfo=zone).astimezone(UTC)
        ended = day + _DAY if weekly.at >= _EVENING else day
        yield Due(starts_on(ended, week_starts) - _WEEK, due_at)
