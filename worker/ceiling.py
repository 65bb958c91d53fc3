"""What still stays inside the rules today: the next run, the week, and the way to a race. Pure.

The same arithmetic as the detector's, asked the other way round: not whether a run was too
long but how long the next one may be. A number is only given where the rule behind it has a
baseline; else it's None and `basis` says so.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Final, Literal

from worker.load import History, days_before, return_reference
from worker.model import Ceiling, LongRun, Race, Readiness, Session
from worker.rules import Rules

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_PLAN_WEEKS: Final = 104
"""A plan longer than two years is no plan."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """The longest next run, what it was reckoned from, and that reckoning in words."""

    distance_m: float
    reference_m: float
    basis: str


def ceiling(
    history: History, day: date, *, rules: Rules, week_starts: int, race: Race | None = None
) -> Ceiling:
    """The most that stays inside the rules, by the sessions up to `day`.

    The next run is one on `day` while that has none, else one on the day after.
    """
    next_day = day + _DAY if history.between(day, day) else day
    longest = history.longest(*days_before(next_day, rules.run_window_days))
    limit = _run_limit(history, next_day, longest, rules=rules)
    begin = day - timedelta(days=(day.weekday() - week_starts) % 7)
    week_m, week_basis = _week_limit(history, day, begin, rules=rules)
    return Ceiling(
        day=day,
        next_run_m=limit.distance_m if limit else None,
        week_m=week_m,
        week_done_m=history.sum_m(begin, day),
        longest_30d_m=longest.distance_m if longest else 0.0,
        basis=f"Next run: {limit.basis if limit else _too_little(history, day)}. "
        f"Week: {week_basis}.",
        readiness=_readiness(limit, next_day, race, rules=rules) if race and limit else None,
    )


def _run_limit(
    history: History, next_day: date, longest: Session | None, *, rules: Rules
) -> _Limit | None:
    """The stricter of the rules that can speak on that day."""
    limits = []
    runs = len(history.between(*days_before(next_day, rules.run_window_days)))
    old_enough = history.age_days(next_day) >= rules.run_history_days
    if longest and old_enough and runs >= rules.run_min_runs:
        limits.append(
            _Limit(
                longest.distance_m * rules.run_over,
                longest.distance_m,
                f"{rules.run_over:.2f} times the longest of the last {rules.run_window_days} days, "
                f"run on {longest.day}",
            )
        )
    reference = return_reference(history, next_day, rules=rules)
    if reference and reference.runs_before >= rules.return_min_runs:
        limits.append(
            _Limit(
                reference.distance_m * rules.return_over,
                reference.distance_m,
                f"{rules.return_over:.2f} times the reference after a break of "
                f"{reference.rest.days} days, from the run on {reference.against}",
            )
        )
    return min(limits, key=attrgetter("distance_m"), default=None)


def _week_limit(
    history: History, day: date, begin: date, *, rules: Rules
) -> tuple[float | None, str]:
    """The week's metres, by what the ramp rule will hold this week against on its last day."""
    window = days_before(begin, rules.ramp_window_days)
    largest_m, last = history.largest_sum(*window, days=rules.ramp_days)
    if history.age_days(day) < rules.ramp_history_days or largest_m < rules.ramp_min_m:
        return None, _too_little(history, day)
    return largest_m * rules.ramp_over, (
        f"{rules.ramp_over:.2f} times the largest {rules.ramp_days} days of the "
        f"{rules.ramp_window_days} before this week, which ended on {last}"
    )


def _too_little(history: History, day: date) -> str:
    if history.first_day is None or history.first_day > day:
        return "no run is known yet"
    return "too little running in the last weeks to say"


def _readiness(limit: _Limit, next_day: date, race: Race, *, rules: Rules) -> Readiness | None:
    """Whether one long run a week, on the race's weekday, leads to its distance in time.

    On track, the plan rises as late as it may and still be done `plan_spare_weeks` before; else
    it rises from now on. None where the race is over or out of any plan's reach.
    """
    if race.day < next_day:
        return None
    first = next_day + timedelta(days=(race.day - next_day).days % 7)
    climb_m = _climb_m(limit.distance_m, race.distance_m, over=rules.run_over)
    if climb_m is None:
        return None
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


def _climb_m(limit_m: float, race_m: float, *, over: float) -> tuple[float, ...] | None:
    """The long runs, each the longest that the one before allows, until the race is allowed."""
    climb_m: list[float] = []
    while limit_m < race_m:
        if len(climb_m) == _PLAN_WEEKS:
            return None
        climb_m.append(limit_m)
        limit_m *= over
    return tuple(climb_m)
