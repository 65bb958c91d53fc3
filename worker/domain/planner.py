"""What to run: next week, each week up to a race, and the days after an alert. Pure.

Every number that recommends running comes from here. `plan` makes the weeks, `ceiling` reads the
next run and the week from them, and `recovery` is the first gentle week by days. It is a coach's
plan, not tested by a trial. `rules` has the sources of single thresholds, and
`docs/evidence.md` the measurements.

A week follows from the four weeks before it and from the long runs of thirty days, whether those
were run or are planned. An athlete who follows the plan therefore gets the same plan again.

Below, *L* is the long run that the next one builds on, and *A* is the week that the next one builds
on, both by what was absorbed (`Load`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count, islice, zip_longest
from math import ceil, inf
from operator import attrgetter
from statistics import median, median_low
from typing import Final, Literal

from worker.domain.checkins import CheckIn, advise
from worker.domain.history import History, days_before, run_baseline, week_start
from worker.domain.load import STEP_M, WEEK_DAYS, WEEKS_BEFORE, Load
from worker.domain.models import (
    Ceiling,
    Finding,
    Plan,
    PlannedWeek,
    PlanState,
    Race,
    Session,
    WeekKind,
)
from worker.domain.rules import Rules
from worker.domain.shown import counted, format_distance

RecoveryAction = Literal["walk", "rest", "easy", "review"]

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_DAYS_AFTER: Final[tuple[RecoveryAction, ...]] = (
    "walk", "rest", "easy", "rest", "easy", "rest", "easy", "review",
)  # fmt: skip
"""The days after an alert, from day 0. They follow principles of a gradual return, not a trial."""
_HABIT_WEEKS: Final = 8
"""The number of weeks from which the usual weekday of the long run is determined."""
_LEAST_RUNS: Final = 2
_EASY_RUN_SLACK: Final = 0.01
"""Easy runs may be shortened by this share of one, to avoid another run."""
_HALVINGS: Final = 10
"""Steps of the binary search for the growth, which find it to a ten-thousandth."""


@dataclass(frozen=True, slots=True)
class RecoveryDay:
    """One of the days after an alert: what to do, and the most to run if it's a running day."""

    day: date
    action: RecoveryAction
    at_most_m: float | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """The days after an alert, in metres.

    `week_m` is the most to run on all days together; `next_long_m` is the longest run of the week
    after them. Both are None if too little is known.
    """

    days: tuple[RecoveryDay, ...]
    week_m: float | None
    next_long_m: float | None


def plan(
    history: History,
    day: date,
    *,
    race: Race | None = None,
    checkins: Iterable[CheckIn] = (),
    findings: Iterable[Finding] = (),
    rules: Rules,
    week_starts: int = 0,
    load: Load | None = None,
) -> Plan:
    """The weeks from the one that contains `day` up to the race; without a race that one week.

    A week is planned from the runs before it. Runs in the week of `day` itself change the plan
    only through a finding or a check-in. Everything later than `day` is ignored. `load` is the
    load of the sessions before the week, if the caller has it.
    """
    diary = [one for one in checkins if one.day <= day]
    advice = advise(diary, today=day)
    if advice.stops_runs:
        return Plan(day, "see somebody", reason="the last check-in says to see somebody first")
    begin = week_start(day, week_starts)
    load = load or Load.of(history, begin, rules=rules)
    unknown = _unknown(history, load, begin, rules=rules)
    if unknown:
        return Plan(day, "unknown", reason=unknown)
    inputs = _inputs(history, day, begin, diary, findings)
    if race is None or not day <= race.day <= day + _WEEK * rules.plan_most_weeks:
        week = _week(load, inputs.begin, rules.run_over, inf, inputs, rules)
        return Plan(day, "open", (week,), basis=_basis(week, load, inputs, rules))
    return _race_plan(race, day, load, inputs, rules)


def ceiling(planned: Plan, history: History, *, rules: Rules) -> Ceiling:
    """The most of the next run and of the week, by the first week of a plan.

    A week that is used up has no next run.
    """
    week = planned.weeks[0] if planned.weeks else None
    longest = history.longest(*days_before(planned.day + _DAY, rules.run_window_days))
    next_run_m = None
    if week:
        next_run_m = 0.0 if week.is_used_up else max((week.long_m, *week.easy_m))
    return Ceiling(
        day=planned.day,
        next_run_m=next_run_m,
        week_m=week.week_m if week else None,
        week_done_m=history.sum_m(week.starts_on, planned.day) if week else 0.0,
        longest_window_m=longest.distance_m if longest else 0.0,
        basis=planned.basis or planned.reason,
    )


def recovery(history: History, day: date, *, rules: Rules) -> Recovery:
    """Days 0 to 7 after a finding on `day`: walk, rest, easy, rest, easy, rest, easy, review.

    They are the first gentle week, based on what was absorbed before the day: together at most a
    share of the usual week, none longer than a share of the long run, the first at most a share of
    the median run. If less than `recovery_min_m` is left, the day is a rest day.
    """
    load, begin = Load.of(history, day, rules=rules), day.toordinal()
    before = history.between(*days_before(day, rules.recovery_median_days))
    usual_m, long_m = load.usual_m(begin), load.long_m(begin, begin)
    if not before or not usual_m or not long_m:
        return Recovery(_days_after(day, None), None, None)
    first_m = rules.recovery_easy_share * median(one.distance_m for one in before)
    left_m = rules.plan_gentle_week[0] * usual_m
    most_m = rules.plan_gentle_long[0] * long_m
    runs_m = []
    for wish_m in (min(first_m, most_m), most_m, most_m):
        run_m = _floor(min(wish_m, left_m))
        runs_m.append(run_m if run_m >= rules.recovery_min_m else 0.0)
        left_m -= runs_m[-1]
    return Recovery(
        _days_after(day, runs_m), sum(runs_m), _floor(rules.plan_gentle_long[1] * long_m)
    )


def _days_after(day: date, runs_m: Sequence[float] | None) -> tuple[RecoveryDay, ...]:
    """The days after an alert with these easy runs, or None if their distances aren't known."""
    easy_m = iter(runs_m or ())
    days = []
    for number, planned in enumerate(_DAYS_AFTER):
        action, at_most_m = planned, None
        if planned == "easy" and runs_m is not None:
            at_most_m = next(easy_m) or None
            action = "easy" if at_most_m else "rest"
        days.append(RecoveryDay(day + timedelta(days=number), action, at_most_m))
    return tuple(days)


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What the plan of a week that begins on a day builds on, in metres.

    `long_m` is L and `week_m` is A. `sessions` are those in the window of the run rule, each with
    the metres that were absorbed.
    """

    long_m: float
    week_m: float
    sessions: tuple[tuple[Session, float], ...]


def absorbed(history: History, day: date, *, rules: Rules) -> Absorbed:
    """What the body has absorbed of the sessions before `day`."""
    load = Load.of(history, day, rules=rules)
    first, last = days_before(day, rules.run_window_days)
    sessions, begin = history.between(first, last), day.toordinal()
    counted_m = load.absorbed_m(first.toordinal(), begin)
    return Absorbed(
        load.long_m(begin, begin), load.usual_m(begin), tuple(zip(sessions, counted_m, strict=True))
    )


def _unknown(history: History, load: Load, begin: date, *, rules: Rules) -> str | None:
    """Why nothing can be planned, in words, or None."""
    if not load.days:
        return "no run before this week is known yet" if history.sessions else "no run is known yet"
    ordinal = begin.toordinal()
    if load.reference_m(ordinal) is None:
        unknown = run_baseline(history, begin, rules=rules).unknown
        if unknown:
            return unknown
    long_m = load.long_m(ordinal + WEEK_DAYS - 1, ordinal)
    if min(load.week_m(ordinal), long_m) < rules.recovery_min_m:
        return "too little running in the last weeks to say"
    return None


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What influences the weeks besides the load. Days are ordinals.

    `begin` is the first day of the first week, in which `done_m` was run and `days_left` remain
    after today. A usual week has `runs` runs of `run_m` each, the long one on day `long_place` from
    0. `found_on` is the day of the latest finding. `hurt_on` or `sore_on` is the day of the last
    check-in if that was its answer.
    """

    begin: int
    done_m: float
    days_left: int
    long_place: int
    runs: int
    run_m: float
    found_on: int | None = None
    hurt_on: int | None = None
    sore_on: int | None = None


def _inputs(
    history: History,
    day: date,
    begin: date,
    diary: Sequence[CheckIn],
    findings: Iterable[Finding],
) -> _Inputs:
    last = max(diary, key=attrgetter("day"), default=None)
    starts = [begin - _WEEK * back for back in range(_HABIT_WEEKS, 0, -1)]
    weeks = [week for start in starts if (week := history.between(start, start + _WEEK - _DAY))]
    longs = [max(week, key=attrgetter("distance_m", "started_at")) for week in weeks]
    places = Counter((long.day - begin).days % WEEK_DAYS for long in longs)
    return _Inputs(
        begin=begin.toordinal(),
        done_m=history.sum_m(begin, day),
        days_left=(begin + _WEEK - day).days - 1,
        long_place=max(places, key=lambda place: (places[place], place), default=WEEK_DAYS - 1),
        runs=max(_LEAST_RUNS, median_low(map(len, weeks[-WEEKS_BEFORE:] or [()]))),
        run_m=median([one.distance_m for week in weeks for one in week] or [0.0]),
        found_on=max((one.day.toordinal() for one in findings if one.day <= day), default=None),
        hurt_on=last.day.toordinal() if last and last.feels == "hurts" else None,
        sore_on=last.day.toordinal() if last and last.feels == "sore" else None,
    )


def _week(
    load: Load, begin: int, growth: float, target_m: float, inputs: _Inputs, rules: Rules
) -> PlannedWeek:
    """A week before any taper: its long run is `growth` times L, and at most `target_m`.

    An infinite target means that there is no race: the week is then the ceiling itself.
    """
    usual_m, long_m = load.usual_m(begin), _long_m(load, begin, inputs)
    held = _held_back(load, begin, inputs, rules)
    if held:
        return _planned(held.kind, begin, held.week_m, held.long_m, load, inputs)
    most_m = load.week_most_m(begin)
    if target_m == inf:
        return _planned("build", begin, most_m, growth * long_m, load, inputs)
    if _easy_is_due(load, begin, rules):
        # In a return, the usual week may be larger than any week since.
        lately_m = max(load.weeks_m(begin, rules.plan_easy_after_weeks))
        week_m = min(rules.plan_easy_week_share * usual_m, rules.plan_step_back_share * lately_m)
        return _planned("easy", begin, week_m, rules.plan_easy_long_share * long_m, load, inputs)
    kind: WeekKind = "build"
    share = load.long_share(begin)
    if long_m < target_m - STEP_M:
        long_m = min(growth * long_m, target_m)
    else:
        kind = "hold"
        long_m = min(long_m, max(target_m, median(load.longs_m(begin))))
    second_m, largest_m = sorted(load.weeks_m(begin))[-2:]
    rise_m = rules.plan_build_over * min(largest_m, rules.plan_build_over * second_m)
    most_m = min(most_m, load.month_most_m(begin))
    week_m = min(max(usual_m, min(long_m / share, rise_m)), most_m)
    if week_m <= rules.plan_step_back_share * usual_m:
        kind = "easy"
    return _planned(kind, begin, week_m, min(long_m, share * week_m), load, inputs)


def _long_m(load: Load, begin: int, inputs: _Inputs) -> float:
    """L of the week that begins on the day `begin`.

    If nothing in the last month prepares for a long run, all runs of the week are equal, except
    that the long one may be longer by as much as the run rule allows.
    """
    long_m = load.long_m(begin + inputs.long_place, begin)
    if load.is_fresh(begin + inputs.long_place, begin):
        long_m = min(long_m, load.usual_m(begin) / (inputs.runs - 1 + load.rules.run_over))
    return long_m


@dataclass(frozen=True, slots=True)
class _HeldBack:
    """A week after pain or a finding."""

    kind: WeekKind
    week_m: float
    long_m: float


def _held_back(load: Load, begin: int, inputs: _Inputs, rules: Rules) -> _HeldBack | None:
    """The strictest reduction of the week that begins on the day `begin`, or None.

    Pain counts from the nearest start of a week, because it was there before the answer. A finding
    counts from the next start, so that nothing grows for a fortnight, not even because a smaller
    week leaves the window.
    """
    usual_m, long_m = load.usual_m(begin), _long_m(load, begin, inputs)
    shares = []
    if inputs.hurt_on is not None:
        weeks = max(0, (begin - inputs.hurt_on + WEEK_DAYS // 2) // WEEK_DAYS)
        if weeks == 0:
            return _HeldBack("rest", 0.0, 0.0)
        if weeks <= len(rules.plan_pain_week):
            shares.append((rules.plan_pain_week[weeks - 1],) * 2)
            # The usual week reflects the rest before it; the longest run of a month doesn't.
            long_m = min(long_m, load.long_share(begin) * usual_m)
    if inputs.sore_on is not None and begin <= inputs.sore_on + WEEK_DAYS // 2:
        shares.append((rules.plan_sore_share,) * 2)
    if inputs.found_on is not None:
        weeks = max(0, (begin - inputs.found_on - 1) // WEEK_DAYS)
        if weeks < len(rules.plan_gentle_week):
            shares.append((rules.plan_gentle_week[weeks], rules.plan_gentle_long[weeks]))
            then = begin - max(0, begin - inputs.found_on + WEEK_DAYS - 1) // WEEK_DAYS * WEEK_DAYS
            usual_m = min(usual_m, load.usual_m(then))
            long_m = min(long_m, _long_m(load, then, inputs))
    if not shares:
        return None
    week_share, long_share = min(shares)
    return _HeldBack("gentle", week_share * usual_m, long_share * long_m)


def _easy_is_due(load: Load, begin: int, rules: Rules) -> bool:
    """Whether none of the last weeks was a step back from an earlier week and from the largest.

    By what was run: a long run that isn't absorbed in full makes no week easier.
    """
    after = rules.plan_easy_after_weeks
    weeks_m = load.weeks_run_m(begin, max(WEEKS_BEFORE, after + 1))
    largest_m = max(weeks_m[-max(after, 2) :])
    return not any(
        weeks_m[place] <= rules.plan_step_back_share * min(largest_m, max(weeks_m[:place]))
        for place in range(len(weeks_m) - after, len(weeks_m))
    )


def _planned(
    kind: WeekKind,
    begin: int,
    week_m: float,
    long_m: float,
    load: Load,
    inputs: _Inputs,
    most_m: float = inf,
) -> PlannedWeek:
    """A week of these metres, reduced after a break until it makes no ramp on any of its days.

    It is reduced by a quarter at most, to an easy week.
    """
    week = _laid_out(kind, begin, week_m, long_m, load, inputs, most_m)
    if begin == inputs.begin and inputs.done_m:
        return week
    least_m = load.rules.plan_easy_week_share * week.week_m
    while week.week_m > least_m:
        runs = [(day.toordinal(), metres) for day, metres in runs_of(week)]
        excess_m = load.ramp_excess_m(runs)
        if not excess_m:
            break
        less_m = max(excess_m, STEP_M)
        if week.long_on and week.long_on.toordinal() == runs[0][0]:
            long_m = max(0.0, min(long_m, week.long_m) - less_m)
        week_m = max(week.week_m - less_m, least_m)
        week = _laid_out(kind, begin, week_m, min(long_m, week_m), load, inputs, most_m)
    return week


def _laid_out(
    kind: WeekKind,
    begin: int,
    week_m: float,
    long_m: float,
    load: Load,
    inputs: _Inputs,
    most_m: float = inf,
) -> PlannedWeek:
    """A week of these metres, with no easy run longer than `most_m`.

    Long easy runs stay shorter than the long run; if they would be as long, there is one more run.
    If only they prepare for the long run, it isn't much longer than they are. After a finding or
    pain in the current week, the reduced share applies to the days left.
    """
    rules, left_m = load.rules, week_m
    if begin == inputs.begin and max(inputs.found_on or 0, inputs.hurt_on or 0) >= begin:
        left_m = week_m * inputs.days_left / WEEK_DAYS
        week_m = inputs.done_m + left_m
        if left_m < rules.recovery_min_m:
            week_m, left_m = inputs.done_m, 0.0
    long_m = min(long_m, left_m)
    week_m, long_m = _floor(week_m), _floor(long_m)
    easy_m = max(0.0, left_m - long_m)
    if long_m:
        easy_most_m = max(rules.plan_easy_run_share * long_m, inputs.run_m, rules.run_min_m)
        most_m = min(most_m, long_m, easy_most_m)
    runs = 0
    if most_m:
        least_m = max(rules.recovery_min_m, STEP_M)
        runs = min(inputs.runs - bool(long_m), int(easy_m / least_m))
        runs = max(runs, ceil(easy_m / most_m - _EASY_RUN_SLACK))
    if runs and long_m and load.is_fresh(begin + inputs.long_place, begin):
        long_m = min(long_m, _floor(_alone_most_m(left_m, runs, rules)))
        easy_m, most_m = left_m - long_m, long_m
    return PlannedWeek(
        starts_on=date.fromordinal(begin),
        kind=kind,
        week_m=week_m,
        long_m=long_m,
        long_on=date.fromordinal(begin + inputs.long_place) if long_m else None,
        easy_m=(_floor(min(easy_m / runs, most_m)),) * runs if runs else (),
        is_used_up=kind not in ("rest", "taper")
        and begin == inputs.begin
        and week_m - inputs.done_m < rules.recovery_min_m,
    )


def _alone_most_m(week_m: float, easy_runs: int, rules: Rules) -> float:
    """The long run of a week if only the week's other runs, all of equal length, prepare for it.

    It is the longest that one of the run rule's three gates allows.
    """
    return max(
        rules.run_over * (week_m / (easy_runs + rules.run_over) - STEP_M),
        rules.run_min_m - STEP_M,
        (week_m + easy_runs * (rules.run_excess_m - STEP_M)) / (easy_runs + 1),
    )


def _floor(metres: float) -> float:
    """Metres rounded down to a multiple of ten, so that the shown value is allowed."""
    return float(metres // STEP_M * STEP_M)


def runs_of(week: PlannedWeek) -> list[tuple[date, float]]:
    """The runs of a planned week by day, in metres.

    Runs are on the same days in every week, so that the sum of seven days that end in the middle of
    a week isn't larger than the weeks themselves.
    """
    days = (week.starts_on + _DAY * place for place in range(WEEK_DAYS))
    free = [day for day in days if day != week.long_on]
    apart = max(len(week.easy_m), len(free))
    runs = [
        (free[number * len(free) // apart], metres) for number, metres in enumerate(week.easy_m)
    ]
    if week.long_on:
        runs.append((week.long_on, week.long_m))
    return sorted(runs)


def _add_to(week: PlannedWeek, load: Load) -> None:
    """Adds the runs of a week to the load as if they had been run."""
    for day, metres in runs_of(week):
        load.add(day.toordinal(), metres)


def _race_plan(race: Race, day: date, load: Load, inputs: _Inputs, rules: Rules) -> Plan:
    """The plan of a race in reach: build or hold, easy weeks, then the taper."""
    target_m = _target_m(race.distance_m, rules)
    taper = _taper(race.distance_m, rules)
    race_on = race.day.toordinal()
    race_week = race_on - (race_on - inputs.begin) % WEEK_DAYS
    taper_from = race_week - WEEK_DAYS * (len(taper) - 1)
    building = max(0, (taper_from - inputs.begin) // WEEK_DAYS)

    growth = rules.plan_build_over
    state: PlanState = "on track"
    weeks_short = 0
    reached = _reached(target_m, growth, load, inputs, rules)
    until_taper = list(islice(reached, building + 1))
    if until_taper[building]:
        if not all(until_taper[max(0, building - rules.plan_spare_weeks) :]):
            state = "tight"
        growth = _least_growth(target_m, building, load, inputs, rules)
    else:
        state = "short"
        later = islice(reached, rules.plan_most_weeks)
        weeks_short = next(
            (weeks for weeks, has in enumerate(later, 1) if has), rules.plan_most_weeks
        )

    planned = load.copy()
    weeks = []
    for begin in range(inputs.begin, taper_from, WEEK_DAYS):
        weeks.append(_week(planned, begin, growth, target_m, inputs, rules))
        _add_to(weeks[-1], planned)
    second_m, largest_m = sorted(planned.weeks_m(taper_from))[-2:]
    peak_m = min(largest_m, rules.plan_build_over * second_m)
    peak_long_m = _long_m(planned, taper_from, inputs)
    for begin, (week_share, long_share) in zip(count(taper_from, WEEK_DAYS), taper):
        if begin < inputs.begin:
            continue
        week_m, most_m = week_share * peak_m, inf
        if begin == race_week:
            # The last long run and these runs may be within seven days.
            last_m = max(planned.absorbed_m(begin - WEEK_DAYS, begin), default=0.0)
            week_m = min(week_m, rules.ramp_over * sorted(planned.weeks_m(begin))[-2] - last_m)
            most_m = rules.plan_race_week_share * peak_long_m
        kind: WeekKind = "taper"
        long_m = long_share * peak_long_m
        if held := _held_back(planned, begin, inputs, rules):
            kind = held.kind
            week_m, long_m = min(week_m, held.week_m), min(long_m, held.long_m)
        weeks.append(_planned(kind, begin, week_m, long_m, planned, inputs, most_m))
        _add_to(weeks[-1], planned)
    reason = ""
    if state == "short":
        longest_m = max([peak_long_m, *(week.long_m for week in weeks)])
        reason = (
            f"the long run gets to {format_distance(longest_m, 'km')}; "
            f"the race asks for one of {format_distance(target_m, 'km')}"
        )
    basis = f"the plan up to {race.name} on {race.day}. " + _basis(weeks[0], load, inputs, rules)
    return Plan(day, state, tuple(weeks), weeks_short, reason, basis)


def _basis(week: PlannedWeek, load: Load, inputs: _Inputs, rules: Rules) -> str:
    """What the first week is based on, in words."""
    if week.kind == "rest":
        return "Rest: the last check-in says that it hurts."
    begin = inputs.begin
    long = format_distance(load.long_m(begin + inputs.long_place, begin), "km")
    week_before = format_distance(load.usual_m(begin), "km")
    why = ""
    if week.kind == "gentle":
        found = inputs.found_on is not None and begin - inputs.found_on <= 2 * WEEK_DAYS
        since = date.fromordinal(inputs.found_on or begin)
        why = f"A gentle week after the finding of {since}. " if found else "A gentle week: pain. "
    climb = ""
    if rules.climb_m_per_km:
        climb = f" Climb counts in all of this: {rules.climb_m_per_km:g} m up as 1 km more."
    return (
        f"{why}Long run: {long} were absorbed in {counted(rules.run_window_days, 'day')}. "
        f"Week: {week_before} were absorbed in {WEEKS_BEFORE} weeks.{climb}"
    )


def _target_m(race_m: float, rules: Rules) -> float:
    """The distance that the long run should reach before a race."""
    if race_m <= rules.plan_race_whole_m:
        return race_m
    most_m = max(rules.plan_race_whole_m, rules.plan_race_share * race_m)
    return min(most_m, rules.plan_long_most_m)


def _taper(race_m: float, rules: Rules) -> list[tuple[float, float]]:
    """The last weeks before a race: their shares of the peak's week and long run.

    The week of the race has no long run.
    """
    if race_m >= rules.plan_taper_marathon_m:
        weeks, longs = rules.plan_taper_marathon, rules.plan_taper_marathon_long
    elif race_m >= rules.plan_taper_half_m:
        weeks, longs = rules.plan_taper_half, rules.plan_taper_half_long
    else:
        weeks, longs = rules.plan_taper_short, ()
    return list(zip_longest(weeks, longs, fillvalue=0.0))


def _reached(
    target_m: float, growth: float, load: Load, inputs: _Inputs, rules: Rules
) -> Iterator[bool]:
    """Whether L has reached `target_m` after 0, 1, 2, … weeks of this growth. It never ends."""
    planned = load.copy()
    for begin in count(inputs.begin, WEEK_DAYS):
        yield _long_m(planned, begin, inputs) >= target_m - STEP_M
        _add_to(_week(planned, begin, growth, target_m, inputs, rules), planned)


def _least_growth(
    target_m: float, building: int, load: Load, inputs: _Inputs, rules: Rules
) -> float:
    """The smallest growth of the long run that reaches `target_m` after that many weeks."""
    least, most = 1.0, rules.plan_build_over
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if next(islice(_reached(target_m, middle, load, inputs, rules), building, None)):
            most = middle
        else:
            least = middle
    return most
