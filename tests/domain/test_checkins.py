"""The rules about answers: the advice that follows, and laws that hold for all answers."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.checkins import (
    BE_SEEN,
    EMERGENCIES,
    FEELS,
    RED_FLAGS,
    Advice,
    AdviceState,
    CheckIn,
    Stop,
    advise,
    standing_flags,
    stop_of,
)

TODAY = date(2026, 2, 21)
GRAVITY: dict[AdviceState, int] = {
    "unknown": 0, "go on": 1, "easy": 2, "hold": 3, "be seen": 4, "emergency": 5,
}  # fmt: skip


def said(back: int, feels: str, level: int | None = None, *flags: str) -> CheckIn:
    return CheckIn(TODAY - timedelta(days=back), feels, (), level, flags)  # type: ignore[arg-type]  # of FEELS


answers = st.builds(
    CheckIn,
    day=st.integers(0, 20).map(lambda back: TODAY - timedelta(days=back)),
    feels=st.sampled_from(FEELS),
    areas=st.just(()),
    level=st.none() | st.integers(0, 10),
    flags=st.lists(st.sampled_from(RED_FLAGS), max_size=2, unique=True).map(tuple),
)
diaries = st.lists(answers, max_size=6, unique_by=lambda one: one.day)


def test_nothing_answered_says_nothing() -> None:
    """No answer is neither good news nor bad."""
    assert advise([], today=TODAY) == Advice("unknown")


@pytest.mark.parametrize(
    ("feels", "state"), [("fine", "go on"), ("sore", "easy"), ("hurts", "hold")]
)
def test_one_answer_stands_for_itself(feels: str, state: AdviceState) -> None:
    """A first answer without a flag asks for no clinician."""
    assert advise([said(0, feels)], today=TODAY) == Advice(state)


def test_hurting_on_two_days_of_a_fortnight_is_repeated() -> None:
    """Also when it felt fine in between: the pain came back."""
    diary = [said(9, "hurts"), said(4, "fine"), said(0, "hurts")]
    assert advise(diary, today=TODAY) == Advice("be seen", ("repeated",))


def test_hurting_a_fortnight_ago_is_no_repetition() -> None:
    """After fourteen days the count starts again."""
    assert advise([said(14, "hurts"), said(0, "hurts")], today=TODAY) == Advice("hold")


@pytest.mark.parametrize(
    ("before", "now", "rises"), [(2, 4, True), (3, 4, False), (1, 3, False), (5, 7, True)]
)
def test_two_points_more_and_at_least_moderate_is_rising(
    before: int, now: int, rises: bool
) -> None:
    """A rise of one point is noise, and three of ten is still mild."""
    advice = advise([said(3, "sore", before), said(0, "sore", now)], today=TODAY)
    assert ("rising" in advice.reasons) is rises


def test_a_first_moderate_pain_after_a_fine_day_is_not_rising() -> None:
    """A single level isn't a rise."""
    assert advise([said(3, "fine", 0), said(0, "hurts", 5)], today=TODAY) == Advice("hold")


def test_severe_pain_is_seen_at_once() -> None:
    """Seven of ten needs no second day."""
    assert advise([said(0, "hurts", 7)], today=TODAY) == Advice("be seen", ("severe",))


@pytest.mark.parametrize("flag", EMERGENCIES)
def test_an_emergency_is_said_whatever_else_was_answered(flag: str) -> None:
    """Even beside "fine"."""
    assert advise([said(0, "fine", 0, flag)], today=TODAY).state == "emergency"


@pytest.mark.parametrize("flag", BE_SEEN)
def test_a_red_flag_asks_to_be_seen_until_a_fine_day(flag: str) -> None:
    """A flag stays in force over later sore days and ends with a fine one."""
    diary = [said(5, "sore", None, flag), said(2, "sore")]
    assert advise(diary, today=TODAY) == Advice("be seen", ("flag",))
    assert advise([*diary, said(0, "fine")], today=TODAY) == Advice("go on")


@given(diaries, st.randoms(use_true_random=False))
def test_the_order_of_answers_never_matters(diary: list[CheckIn], random: object) -> None:
    """A diary is a set of days."""
    shuffled = list(diary)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert advise(shuffled, today=TODAY) == advise(diary, today=TODAY)


@given(diaries, answers.filter(lambda one: one.day <= TODAY - timedelta(days=14)))
def test_what_is_older_than_a_fortnight_never_matters(diary: list[CheckIn], old: CheckIn) -> None:
    """Nor does an answer from a future day."""
    ahead = replace(old, day=TODAY + timedelta(days=1))
    assert advise([*diary, old, ahead], today=TODAY) == advise(diary, today=TODAY)


@given(diaries, st.integers(0, 10), st.integers(0, 10), st.sampled_from(("sore", "hurts")))
def test_more_pain_today_never_calms(
    diary: list[CheckIn], one: int, other: int, feels: str
) -> None:
    """The higher of two levels never gives the lighter advice."""
    before = [answer for answer in diary if answer.day < TODAY]
    less, more = sorted((one, other))
    lighter = advise([*before, said(0, feels, less)], today=TODAY)
    graver = advise([*before, said(0, feels, more)], today=TODAY)
    assert GRAVITY[lighter.state] <= GRAVITY[graver.state]


@given(diaries, st.sampled_from(RED_FLAGS))
def test_a_flag_today_always_stops_runs(diary: list[CheckIn], flag: str) -> None:
    """No earlier answer cancels it."""
    before = [answer for answer in diary if answer.day < TODAY]
    assert advise([*before, said(0, "fine", None, flag)], today=TODAY).stops_runs


def test_a_stop_says_since_when_it_lasts_and_when_it_ends() -> None:
    """It continues over answers that add no sign, and doesn't reach back before a fine day."""
    diary = [
        said(30, "hurts", 9),
        said(12, "fine"),
        said(9, "sore", None, "fever"),
        said(4, "sore"),
    ]
    since, last = TODAY - timedelta(days=9), TODAY - timedelta(days=4)
    expected = Stop(Advice("be seen", ("flag",)), since, last + timedelta(days=14))
    assert stop_of(diary, today=TODAY) == expected
    assert stop_of([*diary, said(0, "fine")], today=TODAY) is None
    assert stop_of([], today=TODAY) is None


@given(diaries)
def test_a_stop_stands_when_runs_are_stopped_and_is_over_on_its_last_day(
    diary: list[CheckIn],
) -> None:
    """By the same rule, for any answers."""
    stop = stop_of(diary, today=TODAY)
    assert (stop is not None) == advise(diary, today=TODAY).stops_runs
    if stop is not None:
        assert advise(diary, today=stop.since).stops_runs
        assert not advise(diary, today=stop.since - timedelta(days=1)).stops_runs
        assert not advise([one for one in diary if one.day <= TODAY], today=stop.ends_on).stops_runs


def test_each_flag_stands_since_it_was_first_ticked() -> None:
    """Whether it's ticked again or not, until a fine day."""
    diary = [said(8, "hurts", 3, "fever"), said(3, "hurts", 3, "fever", "weak_legs")]
    days = {"weak_legs": TODAY - timedelta(days=3), "fever": TODAY - timedelta(days=8)}
    assert standing_flags(diary, today=TODAY) == days
    assert standing_flags([*diary, said(1, "fine")], today=TODAY) == {}
