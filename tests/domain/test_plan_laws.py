"""Laws that hold for every plan."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import MONDAY, RULES, history, lives, run
from tests.domain.plans import (
    DAY,
    NOW,
    RACES,
    RACES_KM,
    WEEK,
    WEEKS,
    ask,
    followed,
    made_runner,
    race_in,
    runners,
    warned,
)
from worker.domain.checkins import CheckIn
from worker.domain.history import return_from
from worker.domain.load import STEP_M, Load
from worker.domain.models import Finding, Plan, PlannedWeek, Race, Run
from worker.domain.planner import absorbed, plan

BACK_AFTER_LARGE_WEEKS = (
    (-69, 11), (-68, 12), (-66, 16), (-64, 40), (-62, 12), (-61, 28), (-58, 56), (-57, 19),
    (-54, 26), (-51, 44), (-48, 11), (-44, 35), (-43, 35), (-36, 20), (-34, 10), (-30, 12), (-5, 8),
)  # fmt: skip
"""Days from `NOW` and kilometres: one run back, after a break and weeks of up to 115 km."""

LONG_RUN_NOT_ABSORBED = (
    (-140, 3), (-135, 4), (-134, 42), (-107, 10), (-99, 17), (-93, 11), (-83, 9), (-73, 26),
    (-54, 7), (-43, 7), (-36, 26), (-29, 7), (-26, 8), (-22, 20), (-16, 26), (-12, 6), (-2, 10),
    (-1, 10),
)  # fmt: skip
"""Few runs, of which two were far longer than the others: the next long run is, too."""


def assert_every_fourth_is_easier(planned: Plan) -> None:
    weeks_m = [w.week_m for w in planned.weeks if w.kind in ("build", "hold", "easy")]
    for first in range(len(weeks_m) - 3):
        four = weeks_m[first : first + 4]
        assert min(four) <= 0.86 * max(four) + STEP_M


@given(lives())
def test_a_load_finds_the_same_returns_as_the_days_themselves(runs: list[Run]) -> None:
    """It skips days that don't follow a break, and must skip no others."""
    days = [one.day for one in history(runs).sessions]
    load = Load.of(history(runs), days[-1] + timedelta(days=1), rules=RULES)

    for day in range(days[0].toordinal() - 1, days[-1].toordinal() + 60):
        assert load.return_from(day) == return_from(load.days, day, rules=RULES)


@given(lives(), st.lists(st.floats(1_000, 30_000), min_size=1, max_size=10))
def test_a_load_that_grew_answers_like_one_that_was_never_asked(
    runs: list[Run], more_m: list[float]
) -> None:
    """Cached results are only valid until another session is added."""
    until = history(runs).sessions[-1].day + timedelta(days=1)
    asked, fresh = (Load.of(history(runs), until, rules=RULES) for _ in range(2))
    begin = until.toordinal() + 7

    for number, metres in enumerate(more_m):
        asked.weeks_m(begin), asked.usual_m(begin)
        for one in (asked, fresh):
            one.add(until.toordinal() + number, metres)

    assert asked.weeks_m(begin) == fresh.weeks_m(begin)
    assert asked.usual_m(begin) == fresh.usual_m(begin)


@given(lives(), st.integers(1, 300), st.integers(1, 6), st.sampled_from([None, 60]))
def test_a_load_that_goes_on_plans_what_a_new_one_plans(
    runs: list[Run], lived_before: int, weeks: int, race_after: int | None
) -> None:
    """The weekly mail builds the load of the week before once, and adds the week's runs to it."""
    first = runs[0].day
    earlier = [
        replace(run(0, 4_000.0 + 500 * (n % 9)), id=1_000 + n, day=day, started_at=at)
        for n in range(lived_before)
        for at in [runs[0].started_at - timedelta(days=2 * (lived_before - n))]
        for day in [first - timedelta(days=2 * (lived_before - n))]
    ]
    lived = history([*earlier, *runs])
    assert lived.last_day is not None
    begin = lived.last_day - timedelta(days=lived.last_day.weekday()) + WEEK
    race = Race("Spring", begin + timedelta(days=race_after), 21_097.5) if race_after else None
    since = begin - WEEK * weeks
    load = Load.of(lived, since, rules=RULES)
    load = load.and_of(lived.between(since, begin - timedelta(days=1)))
    assert plan(lived, begin, race=race, rules=RULES, load=load) == plan(
        lived, begin, race=race, rules=RULES
    )


class TestLaws:
    @given(runners(), RACES)
    def test_a_weeks_runs_come_to_no_more_than_its_total(self, runs: list[Run], race: Race) -> None:
        """Nor is a long run longer than its week, or an easy run longer than the long one."""
        for week in ask(runs, race=race).weeks:
            assert week.long_m + sum(week.easy_m) <= week.week_m + 0.001
            assert not week.long_m or max(week.easy_m, default=0) <= week.long_m

    @given(runners(), RACES)
    def test_who_follows_it_is_never_warned(self, runs: list[Run], race: Race) -> None:
        """Except for rises that include days before the plan."""
        planned = ask(runs, race=race)
        assert not warned(followed(runs, planned.weeks, race.day), race)

    @given(runners(), RACES, st.randoms(use_true_random=False))
    def test_on_whatever_days_the_runs_are_none_is_too_long(
        self, runs: list[Run], race: Race, chance: random.Random
    ) -> None:
        """Plans don't fix the days of easy runs, so only their sums may be a finding then."""

        def any_days(week: PlannedWeek) -> list[tuple[date, float]]:
            free = [
                on for place in range(7) if (on := week.starts_on + DAY * place) != week.long_on
            ]
            easy = list(
                zip(sorted(chance.choices(free, k=len(week.easy_m))), week.easy_m, strict=True)
            )
            return sorted([*easy, *([(week.long_on, week.long_m)] if week.long_on else [])])

        lived = followed(runs, ask(runs, race=race).weeks, race.day, any_days)
        assert {finding.kind for finding in warned(lived, race)} <= {"ramp", "month"}

    @given(runners(), RACES)
    def test_planned_again_a_week_later_it_is_the_same(self, runs: list[Run], race: Race) -> None:
        """Within a twentieth, after running the week."""
        planned = ask(runs, race=race)
        lived = followed(runs, planned.weeks[:1], race.day)
        for before, after in zip(
            planned.weeks[1:], ask(lived, NOW + WEEK, race=race).weeks, strict=False
        ):
            assert (after.kind == "easy") == (before.kind == "easy")
            assert after.week_m == pytest.approx(before.week_m, rel=0.05, abs=50)
            assert after.long_m == pytest.approx(before.long_m, rel=0.05, abs=50)

    @given(runners(), RACES)
    def test_no_week_is_far_above_those_before_it(self, runs: list[Run], race: Race) -> None:
        """Outside a return at most 1.5 times the mean of the four weeks before."""
        lived = history(runs)
        planned = ask(runs, race=race)
        if lived.return_from(NOW, rules=RULES) is not None:
            return
        weeks_m = [
            lived.sum_m(NOW - WEEK * n, NOW - WEEK * (n - 1) - timedelta(1)) for n in (4, 3, 2, 1)
        ]
        for week in planned.weeks:
            assert week.week_m <= 1.5 * fmean(weeks_m[-4:]) + 0.001
            weeks_m.append(week.week_m)

    @given(runners(), RACES)
    def test_every_fourth_week_is_an_easier_one(self, runs: list[Run], race: Race) -> None:
        """Of any four weeks before the taper, one is at most 0.86 of the largest."""
        assert_every_fourth_is_easier(ask(runs, race=race))

    @pytest.mark.parametrize("past", [BACK_AFTER_LARGE_WEEKS, LONG_RUN_NOT_ABSORBED])
    @pytest.mark.parametrize("weeks", [11, 16])
    def test_so_it_is_where_weeks_differ_from_what_they_build_on(
        self, past: Sequence[tuple[int, float]], weeks: int
    ) -> None:
        """The usual week may be larger than any since a break, or less of a week be absorbed."""
        runs = [replace(run((NOW - MONDAY).days + on, km * 1000), id=1000 + on) for on, km in past]
        assert_every_fourth_is_easier(ask(runs, race=race_in(weeks, 42.2)))

    @given(runners(), st.integers(0, 200), st.floats(0, 30_000))
    def test_more_metres_never_lower_what_comes(
        self, runs: list[Run], which: int, more_m: float
    ) -> None:
        """A longer past run lowers neither the long run's basis nor the week's."""
        if not runs:
            return
        longer = [*runs]
        longer[which % len(runs)] = replace(
            longer[which % len(runs)],
            distance_m=longer[which % len(runs)].distance_m + more_m,
        )
        before, after = (absorbed(history(each), NOW, rules=RULES) for each in (runs, longer))
        assert after.week_m >= before.week_m - 0.001
        assert after.long_m >= before.long_m - 0.001

    @given(runners(), st.integers(1, WEEKS * 7 - 1), st.floats(10_000, 60_000))
    def test_a_jump_itself_counts_at_most_its_limit(
        self, runs: list[Run], number: int, metres: float
    ) -> None:
        """Also in the first weeks of a history, where the limit depends on the first runs."""
        on = MONDAY + timedelta(days=number)
        past = [one for one in runs if one.day < on]
        before = absorbed(history(past), on, rules=RULES).sessions
        if not before:
            return
        jumped = history([*past, run(number, metres, run_id=10_000)])
        counts_m = absorbed(jumped, on + timedelta(days=1), rules=RULES).sessions[-1][1]
        is_ripe = len(before) >= 3 and on - past[0].day >= timedelta(days=42)
        longest_m = max(counted if is_ripe else one.distance_m for one, counted in before)
        assert counts_m <= max(1.1 * longest_m, 6_000, longest_m + 1_000) + 0.001

    @given(runners(), RACES)
    def test_a_race_moved_by_the_weeks_that_are_missing_is_reached(
        self, runs: list[Run], race: Race
    ) -> None:
        """With one week fewer it isn't."""
        short = ask(runs, race=race).weeks_short
        if 0 < short < RULES.plan_most_weeks - 20:
            later = replace(race, day=race.day + WEEK * short)
            assert ask(runs, race=later).weeks_short == 0

    @given(runners(), RACES, st.integers(0, 13))
    def test_nothing_grows_in_the_fortnight_after_a_finding(
        self, runs: list[Run], race: Race, ago: int
    ) -> None:
        """Each week that begins in it is below the usual one, its long run below the longest."""
        found = Finding(NOW - timedelta(days=ago), "run", 1, 1, 12_000, 10_000)
        usual = ask(runs, found.day)
        longest = history(runs).longest(NOW - timedelta(days=60), NOW)
        for week in ask(runs, race=race, findings=[found]).weeks:
            if usual.weeks and longest and week.starts_on <= found.day + timedelta(days=14):
                assert week.week_m <= usual.weeks[0].week_m
                assert week.long_m <= 0.9 * longest.distance_m


@pytest.mark.nightly
@pytest.mark.parametrize("thousand", range(20))
def test_of_twenty_thousand_runners_who_follow_it_none_is_warned(thousand: int) -> None:
    """A third of them after a finding or with pain."""
    for seed in range(1000 * thousand, 1000 * (thousand + 1)):
        chance = random.Random(seed)  # noqa: S311  chance, no secret
        runs = made_runner(chance)
        race = race_in(chance.randint(3, 20), chance.choice(RACES_KM))
        happened: dict[str, object] = {}
        ago = DAY * chance.randrange(14)
        match chance.randrange(6):
            case 0:
                happened["findings"] = [Finding(NOW - ago, "run", 1, 2, 20_000, 14_000)]
            case 1:
                happened["checkins"] = [CheckIn(NOW - ago, "hurts")]
        planned = ask(runs, race=race, **happened)
        assert not warned(followed(runs, planned.weeks, race.day), race), (seed, race)
