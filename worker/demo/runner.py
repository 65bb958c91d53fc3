"""The demo's simulated runners, like the one whose physical therapist inspired Easeback.

They run less from November on, not at all over Christmas, ramp up from February for a half marathon
in May, and have pain in the buttock. The previous year was similar. Robin overdoes it twice, after
the break and on a long run with faster friends, and follows the plan from the second alert on. Kim
runs the same until then, and continues by feel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.domain.models import Athlete, PlannedWeek, Race
from worker.domain.planner import runs_of

ZONE = ZoneInfo("Europe/Berlin")
GOAL_RACE = Race("Spring Half Marathon", date(2026, 5, 10), 21_097.5)
BEGINS = datetime(2025, 11, 2, 17, 0, tzinfo=ZONE).astimezone(UTC)
"""When Robin sets up Easeback and imports last year's files."""

ENDS = datetime(2026, 5, 25, 8, 0, tzinfo=ZONE).astimezone(UTC)
SEASON_BEGINS = date(2025, 11, 3)
_LAST_YEAR_BEGINS = date(2024, 11, 4)

_SECONDS_PER_KM = 345
_STARTS_AT = (time(18, 10), time(7, 25), time(9, 5))
"""After work, before work, at the weekend."""

_SATURDAY = 5

_Week = Sequence[tuple[int, float]]

_LAST_YEAR: tuple[_Week, ...] = (
    ((1, 6.2), (5, 8.1)), ((2, 6.0), (6, 8.4)), ((1, 5.6), (5, 7.7)), ((2, 6.1),),
    ((1, 5.2), (6, 7.0)), ((3, 5.0), (6, 6.1)), ((2, 4.8),), ((5, 5.0),), ((1, 5.1), (5, 6.2)),
    ((2, 5.6), (6, 7.1)), ((1, 5.4), (3, 5.2), (6, 8.0)), ((1, 6.0), (3, 5.5), (6, 8.8)),
    ((1, 6.2), (3, 6.1), (6, 9.6)), ((1, 6.6), (3, 6.0), (6, 10.5)),
    ((1, 7.0), (3, 6.4), (6, 11.5)), ((1, 6.1), (6, 9.0)), ((1, 7.1), (3, 7.0), (6, 12.6)),
    ((1, 7.4), (3, 7.1), (6, 13.8)), ((1, 7.9), (3, 7.2), (6, 15.1)), ((1, 6.3), (6, 11.0)),
    ((1, 8.0), (3, 7.9), (6, 16.4)), ((1, 8.3), (3, 8.0), (6, 17.6)),
    ((1, 8.1), (3, 8.2), (6, 18.4)), ((1, 7.0), (6, 13.0)), ((1, 8.2), (3, 8.0), (6, 18.2)),
    ((1, 7.1), (3, 6.0), (6, 12.2)), ((1, 5.1), (3, 4.2), (6, 21.1)), ((4, 5.0),),
    ((1, 6.1), (5, 8.0)), ((1, 7.2), (3, 6.1), (6, 10.1)), ((1, 7.9), (3, 7.0), (6, 11.2)),
    ((1, 8.1), (3, 7.2), (6, 12.1)), ((1, 7.8), (3, 8.1), (6, 12.4)),
    ((1, 8.2), (3, 7.9), (6, 12.0)), ((1, 7.1), (6, 10.2)), ((1, 8.0), (3, 8.2), (6, 12.8)),
    ((1, 8.3), (3, 7.7), (6, 12.2)), ((1, 8.1), (3, 8.0), (6, 12.6)), ((2, 7.2), (6, 10.0)),
    ((1, 8.2), (3, 8.1), (6, 13.1)), ((1, 8.4), (3, 7.9), (6, 12.7)),
    ((1, 7.9), (3, 8.1), (6, 12.9)), ((1, 7.0), (5, 9.8)), ((1, 8.0), (3, 7.8), (6, 12.0)),
    ((1, 8.1), (3, 7.4), (6, 11.5)), ((1, 7.6), (3, 7.1), (6, 11.1)), ((1, 7.2), (6, 10.2)),
    ((1, 7.0), (3, 6.5), (6, 10.0)), ((2, 7.1), (6, 9.4)), ((1, 6.6), (6, 9.1)),
    ((2, 6.4), (5, 8.6)), ((1, 6.1), (5, 8.2)),
)  # fmt: skip
"""The weeks from Monday 4 November 2024: (weekday from 0 for Monday, kilometres)."""

_SEASON: tuple[_Week, ...] = (
    ((1, 6.3), (5, 8.4)), ((2, 6.0), (6, 8.8)), ((1, 5.4), (6, 7.9)), ((2, 5.8), (5, 7.2)),
    ((1, 5.1), (6, 8.2)), ((2, 5.6), (6, 6.8)), ((1, 4.9), (4, 5.2)), (), (), ((5, 8.6),),
    ((2, 4.4), (6, 5.2)), ((1, 4.6), (3, 5.0), (6, 6.3)), ((1, 5.2), (3, 5.1), (6, 7.4)),
    ((1, 5.8), (3, 5.6), (6, 8.7)), ((1, 6.4), (3, 6.0), (5, 14.2)),
)  # fmt: skip
"""The weeks from Monday 3 November 2025 to that of the long run with friends."""

FOLLOWS_FROM = date(2026, 2, 16)
"""The Monday from which Robin follows the plan."""

_BY_FEEL: tuple[_Week, ...] = (
    ((1, 7.0), (3, 7.2), (5, 15.0)), ((1, 8.4), (3, 8.0), (6, 17.5)), ((2, 5.2),),
    ((1, 8.0), (3, 7.6), (6, 12.0)), ((1, 9.1), (3, 8.5), (5, 6.0), (6, 18.6)),
    ((1, 10.2), (3, 9.8), (5, 8.1), (6, 21.2)), ((3, 6.1),), ((1, 8.2), (3, 8.0), (6, 14.1)),
    ((1, 10.0), (2, 8.2), (4, 8.0), (6, 20.3)), ((1, 8.1), (6, 24.0)),
    ((1, 8.2), (3, 8.0), (6, 12.1)), ((1, 6.2), (3, 5.4), (6, 21.1)), ((5, 4.4),),
    ((1, 5.2), (6, 7.0)),
)  # fmt: skip
"""Kim's runs from that Monday on."""


@dataclass(frozen=True, slots=True)
class Outing:
    """A run as recorded by the watch, in UTC with the offset of the local time."""

    started_at: datetime
    offset: timedelta
    distance_m: float
    moving_s: float

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.moving_s)


@dataclass(frozen=True, slots=True)
class DemoPart:
    """One runner: the past runs that are imported at the setup, and the later ones.

    If the runner `follows` the plan, runs from `FOLLOWS_FROM` on are those of the plan. The athlete
    isn't stored yet.
    """

    athlete: Athlete
    past: tuple[Outing, ...]
    runs: tuple[Outing, ...]
    follows: bool


def robin() -> DemoPart:
    """Robin sets up Easeback before the season, and follows the plan from the second alert on."""
    return DemoPart(_athlete("Robin", BEGINS), last_year(), season(), follows=True)


def kim() -> DemoPart:
    """Kim ran the same, sets up Easeback then, wants only alerts, and runs by feel."""
    at = datetime.combine(FOLLOWS_FROM, time(6), tzinfo=ZONE).astimezone(UTC)
    athlete = replace(_athlete("Kim", at), wants=frozenset({"alert"}))
    return DemoPart(athlete, (*last_year(), *season()), by_feel(), follows=False)


def _athlete(name: str, added_at: datetime) -> Athlete:
    return Athlete(
        id=0,
        name=name,
        email=f"{name.lower()}@example.org",
        added_at=added_at,
        timezone=ZONE.key,
        pain=("buttock",),
        race=GOAL_RACE,
    )


def last_year() -> tuple[Outing, ...]:
    """The runs of the year before the setup, oldest first."""
    return tuple(_outings(_LAST_YEAR_BEGINS, _LAST_YEAR))


def season() -> tuple[Outing, ...]:
    """The runs of the season before the plan, oldest first."""
    return tuple(_outings(SEASON_BEGINS, _SEASON))


def by_feel() -> tuple[Outing, ...]:
    """The runs of the runner who doesn't follow the plan, oldest first."""
    return tuple(_outings(FOLLOWS_FROM, _BY_FEEL))


def by_plan(week: PlannedWeek) -> tuple[Outing, ...]:
    """The runs of a planned week, each a little shorter than planned, and the race on its day."""
    planned = [(day, metres / 1000) for day, metres in runs_of(week) if day != GOAL_RACE.day]
    outings = [
        (day, round(km * (1 - day.toordinal() % 4 / 100) - 0.05, 2))  # runs are never exact
        for day, km in planned
        if day < GOAL_RACE.day or week.starts_on > GOAL_RACE.day
    ]
    if week.starts_on <= GOAL_RACE.day < week.starts_on + timedelta(days=7):
        outings.append((GOAL_RACE.day, 21.1))
    return tuple(_outing(_starts_at(day, nth), km) for nth, (day, km) in enumerate(sorted(outings)))


def _outings(monday: date, weeks: Sequence[_Week]) -> Iterator[Outing]:
    for number, week in enumerate(weeks):
        for nth, (weekday, km) in enumerate(week):
            day = monday + timedelta(weeks=number, days=weekday)
            yield _outing(_starts_at(day, nth), km)


def _starts_at(day: date, nth: int) -> datetime:
    """The start time of the nth run of a week if it is on this day."""
    at = _STARTS_AT[2] if day.weekday() >= _SATURDAY else _STARTS_AT[nth % 2]
    return datetime.combine(day, at, tzinfo=ZONE)


def _outing(local: datetime, km: float) -> Outing:
    # The pace varies with the day, so that every simulation has the same runs.
    seconds = km * (_SECONDS_PER_KM + local.toordinal() * 7 % 23)
    lead = local.utcoffset() or timedelta()
    return Outing(local.astimezone(UTC), lead, km * 1000, float(round(seconds)))
