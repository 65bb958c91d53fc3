"""Histories at the edges of the calendar: each is judged without an error."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.detector import judge_day, replay
from worker.domain.models import Race, Run
from worker.domain.planner import ceiling, plan
from worker.domain.weeks import past_weeks


def at_home(when: datetime, metres: float, number: int) -> Run:
    """A run at an hour of the runner's local time."""
    return Run(number, when.astimezone(UTC), when.date(), metres, moving_s=metres * 0.36)


NIGHT_OF_THE_CLOCK = [
    at_home(datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin")), 5000, 1),
    at_home(datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Berlin")), 5000, 2),
]
OVER_THE_DATE_LINE = [
    at_home(datetime(2026, 5, 11, 7, 0, tzinfo=ZoneInfo("Pacific/Auckland")), 8000, 1),
    at_home(datetime(2026, 5, 10, 12, 0, tzinfo=ZoneInfo("Pacific/Honolulu")), 6000, 2),
]
ODD = {
    "empty": [],
    "a single run": [run(0, 10_000)],
    "one gap": [run(0, 10_000), run(400, 10_000)],
    "a leap day": [run(59, 10_000)],
    "the night the clock goes forward": NIGHT_OF_THE_CLOCK,
    "over the date line": OVER_THE_DATE_LINE,
    "the first days of the calendar that count": [
        Run(1, datetime(2000, 1, 1, 7, tzinfo=UTC), date(2000, 1, 1), 10_000)
    ],
    "a life": every(1, 5000, last=4000),
}


@pytest.mark.parametrize("runs", ODD.values(), ids=ODD)
def test_odd_histories_are_judged_without_a_finding(runs: list[Run]) -> None:
    """No rule has a baseline in them, or nothing crosses it; every module answers."""
    known = history(runs)
    last = known.last_day or day(0)

    assert replay(known, rules=RULES) == ()
    assert judge_day(known, last, rules=RULES).findings == ()
    assert len(past_weeks(known, until=last, count=12, week_starts=6)) == 12
    race = Race("Half", date(2040, 5, 1), 21_097.5)
    planned = plan(known, last, rules=RULES, week_starts=6, race=race)
    assert ceiling(planned, known, rules=RULES).day == last


def test_the_hour_that_the_clock_skips_is_no_pause() -> None:
    """Only an hour passes from 01:30 to 03:30 that night, half of it running: one session."""
    assert [one.distance_m for one in history(NIGHT_OF_THE_CLOCK).sessions] == [10_000]


def test_a_runner_over_the_date_line_has_two_days() -> None:
    """Monday in Auckland, then Sunday in Honolulu: each run keeps its local day."""
    known = history(OVER_THE_DATE_LINE)

    assert known.days() == (date(2026, 5, 10), date(2026, 5, 11))
    assert [one.distance_m for one in known.sessions] == [6000, 8000]
