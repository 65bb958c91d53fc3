"""Sessions, sums, breaks, references, and implausible runs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.history import (
    WORLD_RECORDS,
    Break,
    History,
    breaks,
    implausible,
    record_s,
    return_baseline,
    sessions,
)
from worker.domain.models import Run
from worker.domain.rules import Rules

TODAY = date(2025, 1, 1)


def rests(ran: History, on: date) -> tuple[Break, ...]:
    """The breaks of at least 14 days that a run on this day would be a return from."""
    ordinals = [one.toordinal() for one in ran.days()]
    return breaks(ordinals, on.toordinal(), min_days=14, watch_days=30)


def test_runs_less_than_an_hour_apart_are_one_session() -> None:
    """Warm-up, race and cool-down are one effort for the body."""
    runs = [run(0, 2000, hour=9), run(0, 10_000, hour=9.5), run(0, 1000, hour=11)]

    (session,) = sessions(runs, rules=RULES)

    assert session.distance_m == 13_000
    assert [one.distance_m for one in session.runs] == [2000, 10_000, 1000]


def test_an_hour_between_two_runs_parts_them() -> None:
    """The gap runs from one's end to the other's start; exactly an hour separates them."""
    ends = 7 + 5000 * 0.36 / 3600
    runs = [run(0, 5000, hour=7), run(0, 6000, hour=ends + 1)]

    assert [one.distance_m for one in sessions(runs, rules=RULES)] == [5000, 6000]
    assert len(sessions(runs, rules=Rules(session_gap_min=61))) == 1


def test_no_session_reaches_over_midnight() -> None:
    """Tomorrow's run must not change today's verdict."""
    runs = [run(0, 5000, hour=23.4), run(1, 5000, hour=0.1)]

    assert len(sessions(runs, rules=RULES)) == 2


def test_runs_without_a_known_hour_stay_apart() -> None:
    """Two runs entered by hand on one day both start at midnight, but weren't run together."""
    runs = [run(0, 5000, hour=0, run_id=1), run(0, 6000, hour=0, run_id=2)]

    assert len(sessions(runs, rules=RULES)) == 2


def test_a_run_without_a_duration_ended_as_it_began() -> None:
    """Without an end only the starts can be compared."""
    bare = replace(run(0, 5000, hour=7), elapsed_s=None, moving_s=None)

    assert len(sessions([bare, run(0, 5000, hour=7.9)], rules=RULES)) == 1
    assert len(sessions([bare, run(0, 5000, hour=8.1)], rules=RULES)) == 2


def test_an_empty_history_answers_every_question() -> None:
    """Zero or None, never an error."""
    nobody = history([])

    assert nobody.first_day is None
    assert nobody.last_day is None
    assert nobody.days() == ()
    assert nobody.age_days(day(0)) == 0
    assert nobody.longest(day(0), day(30)) is None
    assert nobody.sum_m(day(0), day(30)) == 0
    assert nobody.largest_sum(day(0), day(30), days=7) == (0, day(6))
    assert rests(nobody, day(0)) == ()
    assert return_baseline(nobody, day(0), rules=RULES).distance_m is None


def test_the_largest_sum_lies_wholly_inside_its_days() -> None:
    """A big run the day before the span doesn't count; the first of equal sums wins."""
    runs = [run(0, 30_000), *every(2, 5000, first=1, last=21)]

    assert history(runs).largest_sum(day(1), day(21), days=7) == (20_000, day(7))


def test_sums_outlive_the_history_at_both_ends() -> None:
    """Days before the first run and after the last one have no metres."""
    known = history([run(10, 5000), run(12, 7000)])

    assert known.sums_mm(day(8), day(16), days=3) == [
        0, 0, 5_000_000, 5_000_000, 12_000_000, 7_000_000, 7_000_000, 0, 0
    ]  # fmt: skip


@pytest.mark.parametrize(("back_on", "days"), [(14, None), (15, 14), (60, 59)])
def test_a_break_is_its_days_without_a_run(back_on: int, days: int | None) -> None:
    """From the day after the last run to the day before the first one back."""
    found = rests(history([run(0, 5000), run(back_on, 5000)]), day(back_on))

    assert [rest.days for rest in found] == ([days] if days else [])


def test_a_rest_day_in_a_long_break_is_judged_as_if_it_ended_it() -> None:
    """On a rest day `explain` gives the answer for a run tomorrow."""
    found = rests(history(every(2, 5000, last=10)), day(40))

    assert [(rest.last_run_on, rest.returned_on) for rest in found] == [(day(10), day(40))]


@pytest.mark.parametrize(
    ("off_days", "share"), [(14, 0.75), (28, 0.75), (29, 0.50), (56, 0.50), (57, 0.33), (300, 0.33)]
)
def test_the_reference_falls_with_the_length_of_the_break(off_days: int, share: float) -> None:
    """Three quarters, half or a third of the longest run before it."""
    runs = [*every(3, 10_000, last=30), run(31 + off_days, 4000)]

    reference = return_baseline(history(runs), day(31 + off_days), rules=RULES)

    assert reference.rest is not None
    assert reference.rest.days == off_days
    assert reference.distance_m == 10_000 * share
    assert reference.against == day(0)


def test_the_longest_since_the_return_counts_where_it_is_more() -> None:
    """After a run of 9 km since, 9 km is the reference."""
    runs = [*every(3, 10_000, last=30), run(60, 9000), run(62, 3000)]

    reference = return_baseline(history(runs), day(64), rules=RULES)

    assert (reference.distance_m, reference.against) == (9000, day(60))


def test_nobody_is_on_the_way_back_for_longer_than_the_watch() -> None:
    """The day of the return is the first of thirty."""
    runs = [*every(3, 10_000, last=30), *every(3, 5000, first=60, last=100)]

    assert return_baseline(history(runs), day(89), rules=RULES).distance_m is not None
    assert return_baseline(history(runs), day(90), rules=RULES).distance_m is None


def test_a_stray_run_does_not_end_a_winter() -> None:
    """One run in fourteen weeks off: still fourteen weeks off, with the autumn's reference."""
    runs = [*every(3, 12_000, last=30), run(95, 3000), run(129, 5000)]

    reference = return_baseline(history(runs), day(129), rules=RULES)

    assert reference.rest is not None
    assert reference.rest.last_run_on == day(30)
    assert reference.rest.days == 98
    assert reference.distance_m == pytest.approx(12_000 * 0.33)
    assert reference.unknown is None


def test_a_life_of_stray_runs_has_no_reference_to_trust() -> None:
    """If no break has enough runs before it, the last one is kept, with too few runs."""
    runs = every(20, 8000, last=200)

    reference = return_baseline(history(runs), day(200), rules=RULES)

    assert reference.rest is not None
    assert reference.rest.days == 19
    assert "too few runs in the 60 days before the break" in str(reference.unknown)


def _at(when: date, metres: float = 10_000, seconds: float | None = 3000) -> Run:
    at = datetime(when.year, when.month, when.day, 12, tzinfo=UTC)
    return Run(1, at, when, metres, moving_s=seconds)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_at(date(1999, 12, 31)), "before 2000"),
        (_at(date(2025, 1, 2)), "in the future"),
        (_at(date(2024, 5, 1), 300_001, 200_000), "longer than 300 km"),
        (_at(date(2024, 5, 1), 10_000, 1500), "faster than the world record"),
        (_at(date(2024, 5, 1), 15_000, 2300), "faster than the world record"),
        (_at(date(2024, 5, 1), 50, 4), "faster than the world record"),
        (_at(date(2024, 5, 1), 0), "no distance"),
        (_at(date(2024, 5, 1), float("nan")), "no distance"),
        (_at(date(2024, 5, 1), float("inf")), "no distance"),
    ],
)
def test_what_cannot_be_true_says_why(bad: Run, why: str) -> None:
    """Each kind of impossible value has its reason in words."""
    reason = implausible(bad, today=TODAY)

    assert reason is not None
    assert why in reason


@pytest.mark.parametrize(
    "good",
    [
        _at(TODAY),
        _at(date(2000, 1, 1)),
        _at(date(2024, 5, 1), 300_000, 100_000),
        _at(date(2024, 5, 1), 42_195, 7235),
        _at(date(2024, 5, 1), 10_000, None),
        _at(date(2024, 5, 1), 10_000, 0),
    ],
)
def test_what_somebody_has_done_can_be_true(good: Run) -> None:
    """A record may be equalled; a run without a duration can't be too fast."""
    assert implausible(good, today=TODAY) is None


def test_who_travels_east_runs_tomorrow_without_lying() -> None:
    """In Auckland it's already the second while it's the first in the athlete's zone."""
    abroad = replace(_at(date(2025, 1, 2)), started_at=datetime(2025, 1, 1, 18, 30, tzinfo=UTC))

    assert implausible(abroad, today=TODAY) is None


@given(st.floats(1, 400_000), st.floats(1, 400_000))
def test_a_record_over_more_takes_longer(one_m: float, other_m: float) -> None:
    """The curve between the records rises, and no speed on it exceeds the sprint's."""
    shorter, longer = sorted((one_m, other_m))

    assert record_s(shorter) <= record_s(longer)
    assert longer / record_s(longer) <= 100 / 9.58 + 1e-9


def test_each_record_stands_on_the_curve() -> None:
    """Neither interpolation nor rounding changes a published record."""
    for metres, seconds in WORLD_RECORDS:
        assert record_s(metres) == pytest.approx(seconds)


def test_a_history_longer_than_its_runs_keeps_its_age() -> None:
    """Age counts from the first run, over days with and without runs."""
    assert history([run(0, 5000)]).age_days(day(41)) == 41
    assert history([run(0, 5000)]).age_days(day(0) - timedelta(days=3)) == 0
