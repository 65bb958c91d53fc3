"""What stays inside the rules today, and the way to a race."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.detector import judge_day
from worker.domain.models import Ceiling, Finding, Race, Run
from worker.domain.planner import ceiling, recovering_from, recovery, recovery_days

BASE = every(3, 10_000, last=60)
WEEK = timedelta(days=7)


def ask(runs: list[Run], on: int, *, race: Race | None = None, week_starts: int = 0) -> Ceiling:
    return ceiling(history(runs), day(on), rules=RULES, week_starts=week_starts, race=race)


def test_the_next_run_may_be_a_tenth_longer_than_the_longest_of_the_month() -> None:
    """Its figures are those of the detector, its basis says which day they rest on."""
    found = ask([*BASE, run(50, 14_000)], 61)

    assert found.day == day(61)
    assert found.next_run_m == pytest.approx(15_400)
    assert found.longest_window_m == 14_000
    assert "1.10 times the longest of the last 30 days, run on 2024-02-20" in found.basis


def test_todays_run_counts_for_tomorrows() -> None:
    """Who has run today asks about tomorrow; who hasn't, about today."""
    old = run(31, 14_000, hour=18, run_id=999)

    assert ask([*BASE, old], 61).longest_window_m == 14_000
    assert ask([*BASE, old, run(61, 12_000)], 61).longest_window_m == 12_000


def test_the_week_may_be_three_tenths_more_than_the_largest_of_six() -> None:
    """Counted from the athlete's first weekday; what is done is in it."""
    found = ask(BASE, 60)

    assert found.week_m == pytest.approx(39_000)
    assert found.week_done_m == 20_000
    assert ask(BASE, 62, week_starts=6).week_done_m == 0


def test_a_return_has_the_reference_of_a_return() -> None:
    """Six weeks off: half of ten kilometres, and a tenth."""
    found = ask(BASE, 102)

    assert found.next_run_m == pytest.approx(5500)
    assert "reference after a break of 41 days" in found.basis


def test_after_a_short_break_the_stricter_rule_counts() -> None:
    """The month still knows ten kilometres; the return says three quarters of it."""
    assert ask(BASE, 78).next_run_m == pytest.approx(8250)


@pytest.mark.parametrize("runs", [[], [run(55, 5000)], every(3, 5000, first=45, last=60)])
def test_too_little_history_gives_no_figure(runs: list[Run]) -> None:
    """None, and the basis says so; what is known is told all the same."""
    found = ask(runs, 60, race=Race("Half", day(150), 21_097.5))

    assert (found.next_run_m, found.week_m, found.readiness) == (None, None, None)
    assert "too little" in found.basis or "no run is known" in found.basis


def race_in(weeks: int, metres: float = 21_097.5) -> Race:
    return Race("Spring half", day(61) + weeks * WEEK, metres)


def test_the_way_to_a_race_rises_a_tenth_a_week() -> None:
    """10 km now: 11.0, 12.1 ... 19.5 km, then the half is inside the rules: seven long runs."""
    found = ask(BASE, 61, race=race_in(7)).readiness

    assert found is not None
    assert [round(one.distance_m) for one in found.plan] == [
        11_000, 12_100, 13_310, 14_641, 16_105, 17_716, 19_487
    ]  # fmt: skip
    assert [one.day for one in found.plan] == [day(61) + WEEK * number for number in range(7)]
    assert (found.state, found.weeks_short) == ("tight", 0)
    assert found.reachable_on == found.race.day


@pytest.mark.parametrize(
    ("weeks", "state", "short"),
    [(20, "on track", 0), (9, "on track", 0), (8, "tight", 0), (7, "tight", 0), (6, "short", 1),
     (2, "short", 5)],
)  # fmt: skip
def test_readiness_counts_the_weeks(weeks: int, state: str, short: int) -> None:
    """Two weeks to spare is on track, none tight, fewer short by that many."""
    found = ask(BASE, 61, race=race_in(weeks)).readiness

    assert found is not None
    assert (found.state, found.weeks_short) == (state, short)


def test_a_race_far_off_leaves_time_before_the_climb() -> None:
    """The plan ends with the spare weeks before the race, so that the month still knows it."""
    found = ask(BASE, 61, race=race_in(20)).readiness

    assert found is not None
    assert found.plan[-1].day == found.race.day - 3 * WEEK
    assert found.plan[0].day > day(61) + 9 * WEEK


def test_a_distance_within_reach_needs_no_plan() -> None:
    """11 km are inside the rules today."""
    found = ask(BASE, 61, race=race_in(3, metres=11_000)).readiness

    assert found is not None
    assert (found.state, found.plan, found.reachable_on) == ("on track", (), day(61))


def test_a_race_that_is_over_needs_no_plan() -> None:
    """Nor one that no plan of two years reaches."""
    assert ask(BASE, 61, race=Race("Past", date(2024, 1, 1), 21_097.5)).readiness is None
    tiny = [run(number, 0.01) for number in range(0, 61, 3)]
    assert ask(tiny, 61, race=race_in(20, metres=300_000)).readiness is None


def test_following_the_plan_never_fires_the_rule() -> None:
    """Run to the plan, week by week, with the race at its end: no finding of a run."""
    race = race_in(9)
    found = ask(BASE, 61, race=race).readiness
    assert found is not None
    easy = every(3, 6000, first=61, last=61 + 63)
    long = [
        run((one.day - day(0)).days, one.distance_m, hour=17, run_id=2000 + number)
        for number, one in enumerate((*found.plan,))
    ]
    start = run((race.day - day(0)).days, race.distance_m, hour=17, run_id=3000)
    known = history([*BASE, *easy, *long, start])

    judged = [judge_day(known, on, rules=RULES) for on in known.days()]

    assert [f for verdict in judged for f in verdict.findings if f.kind == "run"] == []


def test_the_days_after_a_spike_are_walk_rest_easy_and_a_look_back() -> None:
    """Day 0 to 7 by date, with what an easy day may be at most."""
    days = recovery_days(
        day(0), median_m=6_000, longest_before_m=8_900, week_most_m=24_000, rules=RULES
    ).days
    assert [entry.action for entry in days] == [
        "walk", "rest", "easy", "rest", "easy", "rest", "easy", "review",
    ]  # fmt: skip
    assert [entry.day for entry in days] == [day(n) for n in range(8)]
    assert [entry.at_most_m for entry in days if entry.action == "easy"] == [3_600, 6_000, 8_900]


metres = st.one_of(st.none(), st.floats(0, 100_000))


@given(metres, metres, metres)
def test_recovery_never_exceeds_a_usual_week_nor_the_longest_before(
    median_m: float | None, longest_m: float | None, mean_m: float | None
) -> None:
    """The laws of the days: no running on rest days, no sum above the mean week, none too long."""
    days = recovery_days(
        day(0), median_m=median_m, longest_before_m=longest_m, week_most_m=mean_m, rules=RULES
    ).days
    easy = [entry.at_most_m for entry in days if entry.action == "easy"]
    assert all(entry.at_most_m is None for entry in days if entry.action != "easy")
    assert {n for n, entry in enumerate(days) if entry.action == "easy"} <= {2, 4, 6}
    known = [amount_m for amount_m in easy if amount_m is not None]
    assert mean_m is None or sum(known) <= mean_m + 1e-6
    assert longest_m is None or all(amount_m <= longest_m for amount_m in known)
    assert all(amount_m >= 1_000 for amount_m in known)


def test_the_days_after_a_jump_are_measured_by_the_days_before_it() -> None:
    """The median and the longest of the month, the mean of four weeks; the jump isn't seen."""
    known = history([*BASE, run(61, 25_000), run(62, 9_000)])

    after = recovery(known, day(61), rules=RULES)

    easy = [one.at_most_m for one in after.days if one.action == "easy"]
    assert easy == [6_000, 10_000, 9_000]
    assert after.week_most_m == 25_000


def test_who_ran_nothing_before_has_days_without_a_figure() -> None:
    """A figure that isn't known limits nothing, and no sum is named."""
    after = recovery(history([run(0, 9_000)]), day(0), rules=RULES)

    assert after.week_most_m is None
    assert [one.at_most_m for one in after.days] == [None] * 8


def test_the_newest_jump_is_recovered_from_for_a_week() -> None:
    """A ramp has no run that was too long, and after seven days the ceiling is back."""
    first = Finding(day(0), "run", 1, 1, 12_000, 9_000)
    second = replace(first, day=day(3), kind="return")
    ramp = replace(first, day=day(5), kind="ramp")

    assert recovering_from([first, second, ramp], day(6)) == second
    assert recovering_from([first, second, ramp], day(9)) == second
    assert recovering_from([first, second, ramp], day(10)) is None
