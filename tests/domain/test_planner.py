"""The plan of the coming weeks: examples. Laws for every plan are in `test_plan_laws.py`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from tests.domain.histories import RULES, history, run
from tests.domain.plans import NOW, STEADY, WEEK, WEEKS, ask, kinds, race_in, runners, weekly
from worker.domain.checkins import CheckIn
from worker.domain.models import Finding, Run
from worker.domain.plan_change import change_of
from worker.domain.planner import absorbed, ceiling, plan, recovery
from worker.domain.rules import check_rules


class TestOneWeek:
    def test_the_long_run_is_a_tenth_longer_and_the_week_a_quarter_larger(self) -> None:
        """Without a race the plan has the week's ceilings, on the day of the usual long run."""
        found = ask(STEADY)

        assert (found.state, kinds(found)) == ("open", "build")
        week = found.weeks[0]
        assert week.starts_on == NOW
        assert week.long_on == NOW + timedelta(days=6)
        assert week.long_m == pytest.approx(15_400, abs=10)
        assert week.week_m == pytest.approx(42_500, abs=10)

    def test_a_jump_buys_what_was_allowed(self) -> None:
        """A run of 30 km after 14 counts as the 15.4 km that were allowed."""
        jumped = weekly(*[(6, 8, 6, 14)] * (WEEKS - 1), (6, 8, 6, 30))

        assert ask(jumped).weeks[0].long_m == pytest.approx(1.1 * 15_400, abs=10)

    def test_a_jump_in_the_first_weeks_buys_no_more(self) -> None:
        """30 km in the third week of a history of 8: no rule fired, and it counts as 9."""
        young = weekly(*[(8, 8)] * 3, (8, 8, 30), *[(8, 8)] * 3, first=WEEKS - 7)

        assert ask(young).weeks[0].long_m == pytest.approx(1.1 * 9_000, abs=10)

    def test_what_was_run_twice_counts_in_full(self) -> None:
        """The second-longest of the month is what the body has done."""
        twice = weekly(*[(6, 8, 6, 14)] * (WEEKS - 2), (6, 8, 6, 30), (6, 8, 6, 30))

        assert ask(twice).weeks[0].long_m == pytest.approx(33_000, abs=10)

    def test_one_large_week_buys_no_larger_one(self) -> None:
        """A week of twice the usual is the largest of four, but the second-largest counts."""
        large = weekly(*[(6, 8, 6, 14)] * (WEEKS - 1), (14, 14, 14, 14))

        assert ask(large).weeks[0].week_m == pytest.approx(1.25 * 34_000, abs=10)

    def test_after_a_break_it_begins_with_a_share(self) -> None:
        """Six weeks off: half of the weeks before, within the ramp rule; runs of similar length.

        After three weeks, which the month still covers, also three quarters of the long run.
        """
        week = ask(STEADY, NOW + WEEK * 6).weeks[0]
        sooner = ask(STEADY, NOW + WEEK * 3).weeks[0]

        assert week.week_m == pytest.approx(min(0.5 * 34_000 * 1.1, 8_000 + 10_000), abs=10)
        assert week.long_m == pytest.approx(1.1 * 0.5 * 34_000 / (3 + 1.1), abs=10)
        assert len(week.easy_m) == 3
        assert sooner.long_m == pytest.approx(0.75 * 14_000 * 1.1, abs=10)

    def test_where_the_months_before_have_no_run_the_long_one_is_not_far_above_the_others(
        self,
    ) -> None:
        """A month off on the day of the long run: 10.7 km beside three of 6.4 would be a jump."""
        away = weekly(*[(9, 9, 0, 30)] * (WEEKS - 1), (9, 9))

        first = ask(away, NOW + WEEK * 3, race=race_in(20, 21.1)).weeks[0]

        assert len(first.easy_m) == 3
        assert first.long_m <= max(first.easy_m) + 1_000

    def test_too_little_history_is_said_and_no_number_given(self) -> None:
        """Neither for a beginner nor for an athlete without runs."""
        found = ask(weekly((3, 3, 3, 4), first=WEEKS - 1))

        assert (found.state, found.weeks) == ("unknown", ())
        assert "too little history" in found.reason
        assert ask([]).reason == "no run is known yet"
        assert ask([run(WEEKS * 7, 8_000)]).reason == "no run before this week is known yet"

    def test_the_week_stays_as_planned_while_it_is_run(self) -> None:
        """Tuesday's run doesn't change the plan on Wednesday."""
        done = [*STEADY, run(WEEKS * 7 + 1, 7_000)]

        assert ask(done, NOW + timedelta(days=2)).weeks == ask(STEADY).weeks


class TestRace:
    def test_a_half_marathon_in_twelve_weeks(self) -> None:
        """Every fourth week easy, the long run up to 16 km, two weeks of taper."""
        found = ask(STEADY, race=race_in(11, 21.1))

        assert found.state == "on track"
        assert kinds(found) == (
            "easy build build build easy build build build easy build taper taper"
        )
        longs = [week.long_m for week in found.weeks]
        assert max(longs) == pytest.approx(16_036, abs=10)
        assert longs[-2:] == [pytest.approx(0.7 * 16_030, abs=10), 0]

    def test_the_week_of_the_race_has_short_runs_only(self) -> None:
        """None is longer than half of the peak week's long run."""
        last = ask(STEADY, race=race_in(9, 21.1)).weeks[-1]

        assert (last.kind, last.long_on) == ("taper", None)
        assert last.easy_m
        assert max(last.easy_m) <= 0.5 * 16_040

    def test_four_weeks_are_too_few_and_it_says_by_how_many(self) -> None:
        """Moved later by that number of weeks, the race is reached."""
        found = ask(STEADY, race=race_in(4, 42.2))

        assert found.state == "short"
        assert "the long run gets to" in found.reason
        later = ask(STEADY, race=race_in(4 + found.weeks_short, 42.2))
        assert later.weeks_short == 0
        assert ask(STEADY, race=race_in(3 + found.weeks_short, 42.2)).weeks_short == 1

    def test_a_months_rise_counts_what_was_run_and_not_what_was_absorbed(self) -> None:
        """Two runs of 45 km after 8: 128 km in three weeks, while the month's limit is 128 km."""
        risen = weekly(*[(4, 4, 4, 8)] * 13, (2, 2, 2, 8), *[(4, 4, 4, 45)] * 2)

        first = ask(risen, race=race_in(11, 21.1)).weeks[0]
        usual_m = absorbed(history(risen), NOW, rules=RULES).week_m
        assert first.kind == "easy"
        assert first.week_m == pytest.approx(0.75 * usual_m, abs=10)

    def test_with_one_week_to_spare_it_is_tight(self) -> None:
        """On track means two weeks to spare."""
        short = ask(STEADY, race=race_in(4, 42.2)).weeks_short
        states = [ask(STEADY, race=race_in(4 + short + more, 42.2)).state for more in range(4)]

        assert states == ["tight", "tight", "on track", "on track"]

    def test_a_race_that_was_is_no_race(self) -> None:
        """The plan has no race again on the day after."""
        assert ask(STEADY, race=race_in(-1, 21.1)).state == "open"

    @pytest.mark.parametrize("after", [1, 2, 4, 5, 8])
    def test_an_easy_week_comes_after_as_many_weeks_as_the_rule_says(self, after: int) -> None:
        """Also after more than the four weeks from which a week is planned."""
        rules = replace(RULES, plan_easy_after_weeks=after)
        found = plan(history(STEADY, rules=rules), NOW, race=race_in(30, 42.195), rules=rules)
        stretches = kinds(found).partition(" taper")[0].split("easy")[1:-1]
        assert {len(stretch.split()) for stretch in stretches} == {after}

    @pytest.mark.parametrize(
        "changes", [{"ramp_window_days": 14}, {"ramp_window_days": 7}, {"recovery_min_m": 0.0}]
    )
    def test_any_allowed_rule_gives_a_plan(self, changes: dict[str, float]) -> None:
        """A window without a whole week of its own, and easy runs of any length."""
        rules = replace(RULES, **changes)  # type: ignore[arg-type]  # what each case names
        check_rules(rules)
        for on in (NOW, NOW + WEEK * 2):
            found = plan(history(STEADY, rules=rules), on, race=race_in(14, 21.1), rules=rules)
            assert len(found.weeks) > 10


class TestHeldBack:
    def test_after_a_finding_two_weeks_are_gentle(self) -> None:
        """Seven tenths and six tenths, then nine tenths, then as usual."""
        found = Finding(NOW - timedelta(days=1), "run", 1, 2, 20_000, 14_000)
        planned = ask(STEADY, findings=[found], race=race_in(11, 21.1))

        assert kinds(planned).startswith("gentle gentle")
        first, second = planned.weeks[:2]
        assert (first.week_m, first.long_m) == (pytest.approx(23_800), pytest.approx(8_400))
        assert (second.week_m, second.long_m) == (pytest.approx(30_600), pytest.approx(12_600))

    def test_pain_is_a_week_of_rest_and_two_smaller_ones(self) -> None:
        """Nothing, half, then three quarters of a usual week that takes the rest into account."""
        hurts = CheckIn(NOW - timedelta(days=1), "hurts")
        planned = ask(STEADY, checkins=[hurts], race=race_in(11, 21.1))

        assert kinds(planned).startswith("rest gentle gentle")
        assert [week.week_m for week in planned.weeks[:3]] == [0, 17_000, 21_670]
        assert planned.weeks[0].easy_m == ()

    def test_sore_is_a_tenth_less_this_week(self) -> None:
        """The next week is as usual."""
        sore = CheckIn(NOW, "sore")

        assert ask(STEADY, checkins=[sore]).weeks[0].week_m == pytest.approx(30_600)
        assert ask(STEADY, NOW + WEEK, checkins=[sore]).weeks[0].kind != "gentle"

    @pytest.mark.parametrize("flag", ["saddle_numb", "no_weight"])
    def test_a_red_flag_leaves_no_plan(self, flag: str) -> None:
        """No kilometres, and it says why."""
        found = ask(STEADY, checkins=[CheckIn(NOW, "hurts", flags=(flag,))], race=race_in(9, 10))

        assert (found.state, found.weeks) == ("see somebody", ())
        assert "see somebody" in found.reason

    def test_a_finding_in_midweek_leaves_a_share_of_the_days_that_are_left(self) -> None:
        """The finished runs stay; the rest of the week is gentle."""
        jumped = [*STEADY, run(WEEKS * 7 + 1, 30_000)]
        found = Finding(NOW + timedelta(days=1), "run", 1, 3, 30_000, 14_000)
        week = ask(jumped, NOW + timedelta(days=1), findings=[found]).weeks[0]

        assert week.week_m == pytest.approx(30_000 + 0.7 * 34_000 * 5 / 7, abs=20)
        assert week.long_m <= 0.6 * 14_000
        assert not week.is_used_up

    def test_a_finding_on_the_last_day_uses_the_week_up(self) -> None:
        """No day is left: no run, and the week is what was run."""
        jumped = [*STEADY, run(WEEKS * 7 + 6, 30_000)]
        found = Finding(NOW + timedelta(days=6), "run", 1, 3, 30_000, 14_000)
        planned = ask(jumped, NOW + timedelta(days=6), findings=[found])
        (week,) = planned.weeks

        assert week.is_used_up
        assert (week.week_m, week.next_starts_on) == (30_000, NOW + WEEK)
        assert ceiling(planned, history(jumped), rules=RULES).next_run_m == 0


class TestCeiling:
    def test_its_numbers_are_those_of_the_plans_first_week(self) -> None:
        """The week's longest run, its total, what is done of it, and the month's longest."""
        done = history([*STEADY, run(WEEKS * 7 + 1, 7_000)])
        planned = plan(done, NOW + timedelta(days=1), rules=RULES)
        found = ceiling(planned, done, rules=RULES)

        assert (found.next_run_m, found.week_m) == (
            planned.weeks[0].long_m,
            planned.weeks[0].week_m,
        )
        assert (found.week_done_m, found.longest_window_m) == (7_000, 14_000)
        assert "14.0 km were absorbed in 30 days" in found.basis

    @pytest.mark.parametrize(("done_m", "is_used_up"), [(25_000, False), (60_000, True)])
    def test_a_week_that_was_run_already_has_no_next_run(
        self, done_m: float, is_used_up: bool
    ) -> None:
        """Nor does its plan ask for one; its total stays as planned."""
        days = [run(WEEKS * 7 + place, done_m / 5) for place in range(5)]
        done = history([*STEADY, *days])
        planned = plan(done, NOW + timedelta(days=4), rules=RULES)
        (week,) = planned.weeks
        found = ceiling(planned, done, rules=RULES)

        assert week.is_used_up == is_used_up
        assert (found.next_run_m == 0) == is_used_up
        assert found.week_m == plan(history(STEADY), NOW, rules=RULES).weeks[0].week_m

    def test_the_week_of_a_race_is_never_used_up(self) -> None:
        """The race is still to come."""
        race = race_in(0, 10)
        done = history([*STEADY, *(run(WEEKS * 7 + place, 12_000) for place in range(5))])
        week = plan(done, NOW + timedelta(days=4), race=race, rules=RULES).weeks[0]

        assert (week.kind, week.is_used_up) == ("taper", False)

    def test_there_is_none_without_a_plan(self) -> None:
        """The basis says why."""
        young = history(weekly((3, 3, 3, 4), first=WEEKS - 1))
        found = ceiling(plan(young, NOW, rules=RULES), young, rules=RULES)

        assert (found.next_run_m, found.week_m) == (None, None)
        assert "too little history" in found.basis


class TestChange:
    """How a plan differs from the plan of a week before, made from that day's data."""

    RACE = race_in(11, 21.1)
    RAN = weekly(*[(6, 8, 6, 14)] * (WEEKS - 1), (5, 5, 5, 10))
    """The last week was easy, so that the coming one is like those before it."""

    def changed(self, week: Sequence[float], **asked: object) -> str:
        before = ask(self.RAN, race=self.RACE)
        lived = [*self.RAN, *weekly(week, first=WEEKS)]
        race = asked.pop("race", self.RACE)
        now = ask(lived, NOW + WEEK, race=race, **asked)
        found = change_of(before, now, history(lived), rules=RULES)
        return found.why if found else ""

    def test_who_does_the_week_has_the_same_plan(self) -> None:
        """34 km with a long run of 14.3."""
        assert self.changed((6.5, 6.5, 6.5, 14.3)) == ""

    def test_a_missed_week_is_less(self) -> None:
        """Nothing run: the next week is smaller."""
        assert self.changed(()) == "less"

    def test_a_shorter_long_run_is_told_though_the_week_was_run(self) -> None:
        """34 km with 9 as the longest: the next long run is smaller, for that reason."""
        race = race_in(15, 42.2)
        before = ask(self.RAN, race=race)
        lived = [*self.RAN, *weekly((8, 8.5, 8.3, 9), first=WEEKS)]
        now = ask(lived, NOW + WEEK, race=race)
        found = change_of(before, now, history(lived), rules=RULES)

        assert found
        assert (found.why, found.is_long) == ("shorter", True)
        assert (found.ran_m, found.planned_m) == (9_000, before.weeks[0].long_m)
        assert (found.before_m, found.now_m) == (before.weeks[1].long_m, now.weeks[0].long_m)
        assert found.now_m < found.before_m

    def test_a_race_that_was_moved_is_told_even_if_the_week_stays(self) -> None:
        """With its old and new date; pain and findings come first."""
        lived = [*self.RAN, *weekly((6.5, 6.5, 6.5, 14.3), first=WEEKS)]
        before = ask(self.RAN, race=self.RACE)
        later = replace(self.RACE, day=self.RACE.day + WEEK)
        moved = (self.RACE, later)
        now = ask(lived, NOW + WEEK, race=later)
        found = change_of(before, now, history(lived), rules=RULES, moved=moved)
        sore = ask(lived, NOW + WEEK, race=later, checkins=[CheckIn(NOW + WEEK, "sore")])
        hurting = change_of(before, sore, history(lived), rules=RULES, moved=moved)

        assert found
        assert (found.why, found.moved) == ("race", moved)
        assert hurting
        assert hurting.why == "pain"

    def test_pain_is_pain(self) -> None:
        """Whatever was run."""
        hurts = CheckIn(NOW + WEEK - timedelta(days=1), "hurts")

        assert self.changed((6.5, 6.5, 6.5, 14.3), checkins=[hurts]) == "pain"

    def test_a_finding_is_a_finding(self) -> None:
        """A long run of 25 km on Sunday."""
        found = Finding(NOW + timedelta(days=6), "run", 1, 2, 25_000, 14_000)

        assert self.changed((6.5, 6.5, 6.5, 25), findings=[found]) == "finding"

    def test_without_a_race_each_week_is_planned_for_itself(self) -> None:
        """Nothing to compare with."""
        assert change_of(ask(STEADY), ask(STEADY, NOW + WEEK), history(STEADY), rules=RULES) is None


class TestDaysAfterAnAlert:
    def test_they_are_walk_rest_and_easy_runs_within_the_first_gentle_week(self) -> None:
        """By the sessions before the day: the jump itself doesn't count."""
        found = recovery(history([*STEADY, run(WEEKS * 7 - 1, 30_000)]), NOW, rules=RULES)
        first = [one.at_most_m for one in found.days if one.action == "easy"]

        assert [one.action for one in found.days] == [
            "walk", "rest", "easy", "rest", "easy", "rest", "easy", "review",
        ]  # fmt: skip
        assert first[0] == pytest.approx(0.6 * 8_000, abs=10)
        assert found.week_m == sum(one or 0 for one in first)

    @given(runners())
    def test_they_sum_to_at_most_the_gentle_week_of_the_plan(self, runs: list[Run]) -> None:
        """Rest days have no run, none is longer than the gentle long run, none too short."""
        found = recovery(history(runs), NOW, rules=RULES)
        built = absorbed(history(runs), NOW, rules=RULES)
        easy = [one.at_most_m for one in found.days if one.at_most_m is not None]

        assert all(one.action == "easy" for one in found.days if one.at_most_m)
        assert sum(easy) <= 0.7 * built.week_m + 0.001
        assert all(1_000 <= metres <= 0.6 * built.long_m + 0.001 for metres in easy)

    def test_who_ran_nothing_before_has_days_without_a_figure(self) -> None:
        """An unknown figure limits nothing, and no sum is given."""
        found = recovery(history([]), NOW, rules=RULES)

        assert (found.week_m, found.next_long_m) == (None, None)
        assert [one.at_most_m for one in found.days] == [None] * 8
