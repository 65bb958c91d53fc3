"""Made runners who are planned for, and who follow their plans to the metre."""

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from hypothesis import strategies as st

from tests.domain.histories import MONDAY, RULES, history, run
from worker.domain.detector import judge_day
from worker.domain.history import History, breaks, ramp_baseline
from worker.domain.models import Finding, Plan, PlannedWeek, Race, Run
from worker.domain.planner import plan, runs_of

DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
WEEKS = 16
NOW = MONDAY + WEEK * WEEKS


def weekly(*plans: Sequence[float], first: int = 0) -> list[Run]:
    """Runs week by week: kilometres on Tuesday, Thursday, Saturday and Sunday, 0 for none."""
    return [
        run((first + week) * 7 + place, km * 1000)
        for week, kms in enumerate(plans)
        for place, km in zip((1, 3, 5, 6), kms, strict=False)
        if km
    ]


STEADY = weekly(*[(6, 8, 6, 14)] * WEEKS)
"""Sixteen weeks of 34 km with a long run of 14 on Sundays, up to `NOW`, a Monday."""


def ask(runs: Sequence[Run], on: date = NOW, **asked: object) -> Plan:
    return plan(history(runs), on, rules=RULES, **asked)  # type: ignore[arg-type]


def race_in(weeks: int, km: float) -> Race:
    """A race on the Sunday of the week that begins that many weeks from now."""
    return Race("Spring", NOW + WEEK * weeks + timedelta(days=6), km * 1000)


def kinds(found: Plan) -> str:
    return " ".join(week.kind for week in found.weeks)


def made_runner(chance: random.Random) -> list[Run]:
    """Sixteen weeks up to `NOW`: 1 to 6 runs a week, noise, uneven weeks, maybe a break."""
    week_m = chance.uniform(8_000, 80_000)
    places = sorted(chance.sample(range(7), chance.randint(1, 6)))
    noise = chance.choice([0.0, 0.1, 0.4])
    away = chance.choice([None, None, range(*sorted(chance.sample(range(WEEKS + 1), 2)))])
    runs = []
    for week in range(WEEKS):
        if away is not None and week in away:
            continue
        share = chance.choice([1.0, 1.0, 1.0, 0.6, 1.7])
        for place in places:
            metres = week_m * share / (len(places) + 1) * (2 if place == places[-1] else 1)
            metres *= 1 + chance.uniform(-noise, noise)
            if chance.random() < 0.9:
                runs.append(run(week * 7 + place, round(metres), run_id=week * 7 + place))
    return runs


def runners() -> st.SearchStrategy[list[Run]]:
    """Made runners with any seed."""
    return st.integers(0, 2**32).map(lambda seed: made_runner(random.Random(seed)))  # noqa: S311


RACES_KM = (5.0, 10.0, 21.1, 42.2, 80.0)
RACES = st.builds(race_in, st.integers(3, 20), st.sampled_from(RACES_KM))


def followed(
    runs: Sequence[Run],
    weeks: Sequence[PlannedWeek],
    before: date,
    days: Callable[[PlannedWeek], Sequence[tuple[date, float]]] = runs_of,
) -> list[Run]:
    """The runs, and those of the planned weeks up to the day `before`, done to the metre.

    `days` assigns a week's runs to its days.
    """
    planned = [one for week in weeks for one in days(week)]
    return [
        *runs,
        *(
            run((on - MONDAY).days, metres, run_id=10_000 + number)
            for number, (on, metres) in enumerate(planned)
            if on < before
        ),
    ]


PARTLY_PAST = {"ramp": WEEK, "month": 4 * WEEK}
"""By kind: how long a finding may rest on days before the plan as well."""


def after_a_break(lived: History, on: date) -> bool:
    """Whether the weeks that a month is compared with belong partly to a break.

    Even constant weeks are then a month's rise, as the break's weeks count as none.
    """
    days = [one.toordinal() for one in lived.days()]
    most_days = RULES.month_days + RULES.month_window_days
    return bool(
        breaks(days, on.toordinal(), min_days=RULES.return_medium_days, watch_days=most_days)
    )


def forgotten(lived: History, finding: Finding) -> bool:
    """Whether seven days are a ramp only because the days before a break no longer count.

    Then even a week like the one before it is a ramp.
    """
    if finding.kind != "ramp":
        return False
    begin = finding.day - timedelta(days=2 * RULES.ramp_days - 1)
    days, watch_days = [one.toordinal() for one in lived.days()], RULES.ramp_window_days
    before = breaks(
        days, begin.toordinal(), min_days=RULES.return_short_days, watch_days=watch_days
    )
    known = ramp_baseline(lived, finding.day, before=begin, rules=RULES)
    return bool(before) and (known.distance_m or 0.0) * RULES.ramp_over >= finding.observed_m


def warned(runs: Sequence[Run], race: Race) -> list[Finding]:
    """The findings from `NOW` on, except rises that include days before the plan."""
    lived = history(runs)
    found = [
        finding
        for one in lived.days()
        if one >= NOW
        for finding in judge_day(lived, one, rules=RULES, race=race).findings
    ]
    return [
        one
        for one in found
        if one.day >= NOW + PARTLY_PAST.get(one.kind, WEEK * 0)
        and not (one.kind == "month" and after_a_break(lived, one.day))
        and not forgotten(lived, one)
    ]
