"""Plans to look at as a coach would: `python -m simulators.ten_plans`.

Ten made-up runners, each a special case for a plan: a beginner's half marathon, a marathon in 20
weeks, one in four, after 12 weeks off, after an alert, with pain, 10 km, in miles, with weeks from
Sunday, an ultramarathon. `tests/domain/test_ten_plans.py` tests the conclusions.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from worker.domain.checkins import CheckIn
from worker.domain.detector import judge_day
from worker.domain.history import History
from worker.domain.models import METRES_PER, Plan, Race, Run, Units
from worker.domain.planner import plan
from worker.domain.rules import Rules
from worker.domain.shown import tenths_down

RULES = Rules()
MONDAY = date(2026, 3, 2)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)

Weeks = Sequence[Sequence[float]]
"""Kilometres on Tuesday, Thursday, Saturday and Sunday of each week; the last ends on Sunday."""


@dataclass(frozen=True, slots=True)
class Case:
    """A runner: the weeks before, the race, the weeks until it, and other settings."""

    name: str
    weeks: Weeks
    race_km: float
    in_weeks: int
    off_weeks: int = 0
    checkins: tuple[CheckIn, ...] = ()
    units: Units = "km"
    week_starts: int = 0

    @property
    def race(self) -> Race:
        return Race(self.name, MONDAY + WEEK * self.in_weeks - DAY, self.race_km * 1000)

    def runs(self) -> tuple[Run, ...]:
        first = MONDAY - WEEK * (len(self.weeks) + self.off_weeks)
        return tuple(
            _run(first + WEEK * number + DAY * place, km, 10 * number + place)
            for number, week in enumerate(self.weeks)
            for place, km in zip((1, 3, 5, 6), week, strict=True)
            if km
        )

    def plan(self) -> Plan:
        history = History.of(self.runs(), rules=RULES)
        found = [
            finding
            for day in history.days()
            if day >= MONDAY - 4 * WEEK
            for finding in judge_day(history, day, rules=RULES, race=self.race).findings
        ]
        return plan(
            history,
            MONDAY - DAY if self.week_starts else MONDAY,
            race=self.race,
            checkins=self.checkins,
            findings=found,
            rules=RULES,
            week_starts=self.week_starts,
        )


def _run(day: date, km: float, number: int) -> Run:
    started_at = datetime.combine(day, time(7), tzinfo=UTC)
    return Run(number, started_at, day, km * 1000, moving_s=km * 360)


BEGINNER: Weeks = [(3, 0, 0, 4), (3, 0, 0, 5), (3, 3, 0, 5), (3, 3, 0, 6)] * 3
CLUB: Weeks = [(8, 10, 6, 16), (8, 10, 6, 17), (9, 10, 7, 18), (6, 8, 5, 12)] * 5
FIT: Weeks = [(6, 8, 6, 14), (6, 8, 6, 15), (6, 9, 6, 15), (5, 7, 5, 10)] * 5
LONG: Weeks = [(10, 14, 12, 24), (10, 14, 14, 26), (12, 15, 12, 28), (8, 10, 8, 18)] * 5

CASES = (
    Case("a beginner's half marathon in 16 weeks", BEGINNER, 21.1, 16),
    Case("a marathon in 20 weeks", CLUB, 42.2, 20),
    Case("a marathon in 4 weeks, too few", FIT, 42.2, 4),
    Case("a half marathon in 14 weeks, after 12 weeks off", CLUB, 21.1, 14, off_weeks=12),
    Case("a half marathon in 10 weeks, after an alert", [*FIT[:-1], (6, 8, 6, 24)], 21.1, 10),
    Case(
        "a half marathon in 10 weeks, with pain yesterday",
        FIT,
        21.1,
        10,
        checkins=(CheckIn(MONDAY - DAY, "hurts", ("knee",), 4),),
    ),
    Case("10 km in 8 weeks", BEGINNER, 10, 8),
    Case("a half marathon in 12 weeks, in miles", FIT, 21.1, 12, units="mi"),
    Case("a half marathon in 12 weeks, weeks from Sunday", FIT, 21.1, 12, week_starts=6),
    Case("an ultramarathon of 80 km in 20 weeks", LONG, 80, 20),
)


def lines(case: Case) -> list[str]:
    """A plan as a few lines."""
    planned, per_unit = case.plan(), METRES_PER[case.units]
    short = f" by {planned.weeks_short} weeks" if planned.weeks_short else ""
    said = [f"{case.name}: {planned.state}{short}{planned.reason and '; ' + planned.reason}"]
    for week in planned.weeks:
        easy = " ".join(tenths_down(metres / per_unit) for metres in week.easy_m)
        on = f"{week.long_on:%a}" if week.long_on else ""
        whole = tenths_down(week.week_m / per_unit)
        said.append(
            f"  {week.starts_on} {week.kind:6} {whole:>6} {case.units}"
            f"  long {tenths_down(week.long_m / per_unit):>5} {on:3}  easy {easy}"
        )
    return said


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for case in CASES:
        print("\n".join((*lines(case), "")))  # noqa: T201  that is what it is for


if __name__ == "__main__":
    main()
