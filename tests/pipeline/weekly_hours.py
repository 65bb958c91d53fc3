"""Walks through years of a zone as the worker does, and reports weeks that go wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from worker.domain import weeks
from worker.domain.models import Athlete, WeeklyHour

HOURS = (WeeklyHour(0, time(7)), WeeklyHour(6, time(2, 30)), WeeklyHour(4, time(0, 0)))
"""The default, an hour that clocks skip or repeat, and midnight, which some zones skip."""
_WEEK = timedelta(days=7)
_LONGEST = timedelta(days=8)
_SECOND = timedelta(seconds=1)


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
