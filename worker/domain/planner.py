"""What to run next: the ceiling of today, the way to a race, the days after an alert. Pure.

The ceiling is the arithmetic of the detector asked the other way round: not whether a run was too
long but how long the next one may be. A number is only given where the rule behind it has a
baseline; else it's None and `basis` says so.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from statistics import fmean, median
from typing import Final, Literal

from worker.domain.history import (
    History,
    days_before,
    ramp_baseline,
    return_baseline,
    run_baseline,
    week_start,
)
from worker.domain.models import (
    Ceiling,
    Finding,
    LongRun,
    Race,
    Readiness,
    Recovery,
    RecoveryAction,
    RecoveryDay,
)
from worker.domain.rules import Rules

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)

_DAYS_AFTER: Final[tuple[RecoveryAction, ...]] = (
    "walk", "rest", "easy", "rest", "easy", "rest", "easy", "review",
)  # fmt: skip
"""The days after an alert, from 0: principles of a gradual return, no trial tested the days."""

RECOVERY: Final = timedelta(days=len(_DAYS_AFTER) - 1)
"""How long the days after an alert go on."""


def ceiling(
    history: History, day: date, *, rules: Rules, week_starts: int, race: Race | None = None
) -> Ceiling:
    """The most that stays inside the rules, by the sessions up to `day`.

    The next run is one on `day` while that has none, else one on the day after; of the rules that
    can speak on that day the stricter counts. The week is held against what the ramp rule will
    hold it against on its last day.
    """
    next_day = day + _DAY if history.between(day, day) else day
    longest = history.longest(*days_before(next_day, rules.run_window_days))
    nothing = "too little running in the last weeks to say"
    if history.first_day is None or history.first_day > day:
        nothing = "no run is known yet"

    next_run_m, run_basis = None, nothing
    run = run_baseline(history, next_day, rules=rules)
    if run.distance_m is not None and not run.unknown:
        next_run_m = run.distance_m * rules.run_over
        run_basis = (
            f"{rules.run_over:.2f} times the longest of the last {rules.run_window_days} days, "
            f"run on {run.against}"
        )
    back = return_baseline(history, next_day, rules=rules)
    if back.distance_m is not None and back.rest is not None and not back.unknown:
        back_m = back.distance_m * rules.return_over
        if next_run_m is None or back_m < next_run_m:
            next_run_m = back_m
            run_basis = (
                f"{rules.return_over:.2f} times the reference after a break of "
                f"{back.rest.days} days, from the run on {back.against}"
            )

    week_m, week_basis = None, nothing
    begin = week_start(day, week_starts)
    week = ramp_baseline(history, day, before=begin, rules=rules)
    if week.distance_m is not None and not week.unknown:
        week_m = week.distance_m * rules.ramp_over
        week_basis = (
            f"{rules.ramp_over:.2f} times the largest {rules.ramp_days} days of the "
            f"{rules.ramp_window_days} before this week, which ended on {week.against}"
        )
    return Ceiling(
        day=day,
        next_run_m=next_run_m,
        week_m=week_m,
        week_done_m=history.sum_m(begin, day),
        longest_window_m=longest.distance_m if longest else 0.0,
        basis=f"Next run: {run_basis}. Week: {week_basis}.",
        readiness=_readiness(next_run_m, next_day, race, rules=rules)
        if race and next_run_m
        else None,
    )


def _readiness(limit_m: float, next_day: date, race: Race, *, rules: Rules) -> Readiness | None:
    """Whether one long run a week, on the race's weekday, leads to its distance in time.

    Each of them is the longest that the one before allows, until the race is allowed. On track, the
    plan rises as late as it may and still be done `plan_spare_weeks` before; else it
    rises from now on. None where the race is over or out of any plan's reach.
    """
    if race.day < next_day:
        return None
    first = next_day + timedelta(days=(race.day - next_day).days % 7)
    climb_m: list[float] = []
    while limit_m < race.distance_m:
        if len(climb_m) == rules.plan_most_weeks:
            return None
        climb_m.append(limit_m)
        limit_m *= rules.run_over
    reachable_on = first + _WEEK * len(climb_m)
    spare_weeks = (race.day - reachable_on).days // 7
    state: Literal["on track", "tight", "short"] = "on track"
    if spare_weeks < 0:
        state = "short"
    elif spare_weeks < rules.plan_spare_weeks:
        state = "tight"
    wait = _WEEK * max(0, spare_weeks - rules.plan_spare_weeks)
    return Readiness(
        race=race,
        state=state,
        reachable_on=reachable_on,
        weeks_short=max(0, -spare_weeks),
        plan=tuple(
            LongRun(first + wait + _WEEK * number, metres) for number, metres in enumerate(climb_m)
        ),
    )


def recovery(history: History, day: date, *, rules: Rules) -> Recovery:
    """The days after an alert about `day`, measured by what was usual before it."""
    before = history.between(*days_before(day, rules.recovery_median_days))
    longest = history.longest(*days_before(day, rules.run_window_days))
    weeks_m = [history.sum_m(day - _WEEK * back, day - _WEEK * (back - 1) - _DAY)
               for back in range(1, rules.recovery_mean_weeks + 1)]  # fmt: skip
    return recovery_days(
        day,
        median_m=median(one.distance_m for one in before) if before else None,
        longest_before_m=longest.distance_m if longest else None,
        week_most_m=fmean(weeks_m) if any(weeks_m) else None,
        rules=rules,
    )


def recovery_days(
    day: date,
    *,
    median_m: float | None,
    longest_before_m: float | None,
    week_most_m: float | None,
    rules: Rules,
) -> Recovery:
    """Days 0 to 7 after a spike on `day`: walk, rest, easy, rest, easy, rest, easy, review.

    The easy days are at most `recovery_easy_share` of the median run, the median run, and the
    longest run *before* the spike; together never more than `week_most_m`. Where that leaves less
    than `recovery_min_m` the day is a day of rest. A figure that isn't known limits nothing.
    """
    first_m = None if median_m is None else rules.recovery_easy_share * median_m
    easy_m = {2: first_m, 4: median_m, 6: longest_before_m}
    left_m = week_most_m
    days = []
    for number, planned in enumerate(_DAYS_AFTER):
        action, at_most_m = planned, None
        if planned == "easy":
            limits_m = (easy_m[number], longest_before_m, left_m)
            at_most_m = min((limit for limit in limits_m if limit is not None), default=None)
        if at_most_m is not None and at_most_m < rules.recovery_min_m:
            action, at_most_m = "rest", None
        if left_m is not None and at_most_m is not None:
            left_m -= at_most_m
        days.append(RecoveryDay(day + timedelta(days=number), action, at_most_m))
    return Recovery(tuple(days), week_most_m)


def recovering_from(alerted: Iterable[Finding], day: date) -> Finding | None:
    """The newest of these mailed findings whose days after it still go on on `day`.

    They come before any ceiling, which counts the run that was too long. A ramp has no such run.
    """
    going_on = [one for one in alerted if one.kind != "ramp" and one.day + RECOVERY > day]
    return max(reversed(going_on), key=lambda one: one.day, default=None)
