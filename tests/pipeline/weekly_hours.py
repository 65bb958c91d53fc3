"""Walks through years of a zone as the worker does, and reports weeks and days that go wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from worker.domain import weeks
from worker.domain.history import History, implausible
from worker.domain.models import Athlete, Run, WeeklyHour
from worker.domain.rules import Rules

HOURS = (WeeklyHour(0, time(7)), WeeklyHour(6, time(2, 30)), WeeklyHour(4, time(0, 0)))
"""The default, an hour that clocks skip or repeat, and midnight, which some zones skip."""
_WEEK = timedelta(days=7)
_LONGEST = timedelta(days=8)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_HALF_HOUR = timedelta(minutes=30)
_AROUND = 28
"""Half hours before and after a change of the clock: more than its day and its neighbours."""
_LONG_DAY = timedelta(hours=27)
"""Clocks at Casey Station went back by three hours."""


def living_in(zone: str, hour: WeeklyHour, week_starts: int = 0) -> Athlete:
    """An athlete in this zone with this weekly hour."""
    return Athlete(
        1, "Anna", "anna@example.org", datetime(2000, 1, 1, tzinfo=UTC), zone,
        week_starts=week_starts, weekly=hour,
    )  # fmt: skip


def missteps(zone: str, *, since: int, until: int) -> Iterator[str]:
    """Weeks without exactly one due time, weeks out of order, and due times off the hour."""
    for hour, week_starts in product(HOURS, (0, 6)):
        yield from _walk(zone, hour, week_starts, since=since, until=until)


def odd_days(zone: str, *, since: int, until: int) -> Iterator[str]:
    """Runs around each change of the clock that are in the future, or not in one week each."""
    athlete = living_in(zone, HOURS[0])
    for change in _changes(zone, since=since, until=until):
        starts = [change + _HALF_HOUR * half for half in range(-_AROUND, _AROUND)]
        runs = [Run(n, at, weeks.local_day(athlete, at), 1000.0) for n, at in enumerate(starts, 1)]
        for run in runs:
            why = implausible(run, today=weeks.local_day(athlete, run.started_at))
            if why or not timedelta() <= _midnight_after(run, zone) - run.started_at <= _LONG_DAY:
                yield f"{zone}: {run.started_at} is {run.day}: {why}"
        last = weeks.local_day(athlete, starts[-1])
        told = weeks.past_weeks(History.of(runs, rules=Rules()), until=last, count=2, week_starts=0)
        if sum(week.runs for week in told) != len(runs):
            yield f"{zone}: {change}: {len(runs)} runs, but {told}"


def _changes(zone: str, *, since: int, until: int) -> Iterator[datetime]:
    """The instants, to the second, at which the zone's clock changes."""
    at, end = datetime(since, 1, 1, tzinfo=UTC), datetime(until, 1, 1, tzinfo=UTC)
    while at < end:
        if _offset(zone, at) != _offset(zone, at + _DAY):
            before, after = at, at + _DAY
            while after - before > _SECOND:
                middle = before + (after - before) / 2
                middle -= timedelta(microseconds=middle.microsecond)
                if _offset(zone, middle) == _offset(zone, before):
                    before = middle
                else:
                    after = middle
            yield after
        at += _DAY


def _offset(zone: str, at: datetime) -> timedelta | None:
    return at.astimezone(ZoneInfo(zone)).utcoffset()


def _midnight_after(run: Run, zone: str) -> datetime:
    """The end of the run's day; the later one, if midnight comes twice."""
    ends = [datetime.combine(run.day + _DAY, time(fold=fold), ZoneInfo(zone)) for fold in (0, 1)]
    return max(end.astimezone(UTC) for end in ends)


def _walk(
    zone: str, hour: WeeklyHour, week_starts: int, *, since: int, until: int
) -> Iterator[str]:
    """From one due time to the next, as `next_weekly_at` does."""
    now, end = datetime(since, 1, 1, tzinfo=UTC), datetime(until, 1, 1, tzinfo=UTC)
    last: weeks.WeeklyDue | None = None
    while now < end:
        upcoming = weeks.next_weekly_due(living_in(zone, hour, week_starts), now)
        where = f"{zone} {hour} from {week_starts}: {upcoming}"
        if not now < upcoming.due_at < now + _LONGEST:
            yield f"{where}: too far from {now}"
        due = weeks.last_weekly_due(living_in(zone, hour, week_starts), upcoming.due_at)
        before = weeks.last_weekly_due(
            living_in(zone, hour, week_starts), upcoming.due_at - _SECOND
        )
        if due != upcoming:
            yield f"{where}: at its instant {due} is due"
        if before.week_starts_on != upcoming.week_starts_on - _WEEK:
            yield f"{where}: a second earlier {before} is due"
        if last and upcoming.week_starts_on != last.week_starts_on + _WEEK:
            yield f"{where}: follows {last}"
        yield from _off_the_hour(upcoming, zone, hour, where)
        last, now = upcoming, upcoming.due_at


def _off_the_hour(due: weeks.WeeklyDue, zone: str, hour: WeeklyHour, where: str) -> Iterator[str]:
    """At the athlete's hour, or later by the clock's jump if it's skipped."""
    local = due.due_at.astimezone(ZoneInfo(zone))
    if local.time() == hour.at and local.weekday() == hour.weekday:
        return
    jumped = (
        local.utcoffset() != (due.due_at - timedelta(days=1)).astimezone(ZoneInfo(zone)).utcoffset()
    )
    if not jumped:
        yield f"{where}: is {local:%a %H:%M} there, and no clock jumped"
