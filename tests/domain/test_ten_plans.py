"""Ten plans reviewed as a coach would; the conclusions are kept as tests."""

from itertools import pairwise

import pytest

from simulators.ten_plans import CASES, RULES, Case

STATES = {
    "a beginner's half marathon in 16 weeks": "short",
    "a marathon in 20 weeks": "on track",
    "a marathon in 4 weeks, too few": "short",
    "a half marathon in 14 weeks, after 12 weeks off": "short",
    "a half marathon in 10 weeks, after an alert": "on track",
    "a half marathon in 10 weeks, with pain yesterday": "short",
    "10 km in 8 weeks": "short",
    "a half marathon in 12 weeks, in miles": "on track",
    "a half marathon in 12 weeks, weeks from Sunday": "on track",
    "an ultramarathon of 80 km in 20 weeks": "on track",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_plan_is_what_a_coach_would_sign(case: Case) -> None:
    """Small steps, easy runs shorter than a long one, a taper, and weeks up to the race.

    From one week to the next the long run grows by at most a tenth, except after an easier one.
    """
    planned = case.plan()
    assert planned.state == STATES[case.name]
    assert planned.weeks[-1].starts_on <= case.race.day
    assert [week.kind for week in planned.weeks][-2:-1] != ["easy"]
    assert planned.weeks[-1].kind == "taper"
    assert all(week.starts_on.weekday() == case.week_starts for week in planned.weeks)
    peak_m = max(week.long_m for week in planned.weeks)
    for week in planned.weeks:
        if week.long_m > RULES.run_min_m / 0.75 and week.easy_m:
            assert max(week.easy_m) <= max(0.75 * week.long_m, 9_000)
        assert week.long_m <= RULES.plan_long_share_most * week.week_m + 10
    tapers_m = [week.week_m for week in planned.weeks if week.kind == "taper"]
    assert tapers_m == sorted(tapers_m, reverse=True)
    building = [week for week in planned.weeks if week.kind in ("build", "hold")]
    for before, after in pairwise(building):
        assert after.long_m <= 1.1 * max(before.long_m, 0.9 * peak_m) + 10


def test_a_beginner_who_runs_twice_is_given_a_third_run_as_the_weeks_grow() -> None:
    """Instead of two runs of fifteen kilometres: the second one is split before it's as long."""
    planned = next(case for case in CASES if case.name.startswith("a beginner")).plan()
    easy = [len(week.easy_m) for week in planned.weeks if week.long_m]
    assert (easy[0], easy[-1]) == (1, 2)


def test_a_week_that_is_held_down_is_called_an_easy_one() -> None:
    """After twelve weeks off a month's rise would come soon, so such a week adds nothing."""
    planned = next(case for case in CASES if "12 weeks off" in case.name).plan()
    for before, after in pairwise(planned.weeks):
        assert after.kind != "build" or after.week_m > 0.86 * before.week_m or before.kind == "rest"


def test_the_first_weeks_after_pain_and_after_an_alert_are_small() -> None:
    """Rest, then half; seven tenths after a jump of any length.

    After pain the long run's share of its week is no larger than before.
    """
    by_name = {case.name: case.plan().weeks for case in CASES}
    pain = by_name["a half marathon in 10 weeks, with pain yesterday"]
    alert = by_name["a half marathon in 10 weeks, after an alert"]
    assert [week.kind for week in pain[:3]] == ["rest", "gentle", "gentle"]
    assert all(week.long_m <= 0.5 * week.week_m + 10 for week in pain[1:3])
    assert [week.kind for week in alert[:2]] == ["gentle", "gentle"]
    assert alert[0].long_m <= 0.6 * 16_500
    assert alert[0].week_m <= 0.7 * 36_000
