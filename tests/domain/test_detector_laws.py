"""Laws that hold for every history."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from simulators.plain_detector import crossings
from tests.domain.histories import RULES, day, days_of, history, lives, run
from worker.domain.detector import MailedAlert, judge_day, replay, worth_mailing
from worker.domain.history import History, sessions
from worker.domain.models import Finding, Run, Verdict
from worker.domain.planner import ceiling, plan


def _verdicts(runs: list[Run]) -> list[Verdict]:
    past = history(runs)
    return [judge_day(past, day, rules=RULES) for day in days_of(runs)]


@given(runs=lives(), chance=st.randoms(use_true_random=False))
def test_the_order_of_runs_is_irrelevant(runs: list[Run], chance: object) -> None:
    """Shuffled runs give the same verdict on every day."""
    shuffled = list(runs)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random

    assert _verdicts(shuffled) == _verdicts(runs)


@given(runs=lives())
def test_twice_is_once(runs: list[Run]) -> None:
    """Passing each run twice changes nothing, nor does judging again."""
    assert _verdicts([*runs, *runs]) == _verdicts(runs)
    assert replay(history(runs), rules=RULES) == replay(history(runs), rules=RULES)


@given(runs=lives(), which=st.integers(0), more_m=st.floats(1, 20_000))
def test_more_metres_today_never_remove_todays_spike(
    runs: list[Run], which: int, more_m: float
) -> None:
    """Every finding of the day remains, and none gets a lower severity."""
    chosen = runs[which % len(runs)]
    longer = [
        replace(one, distance_m=one.distance_m + more_m) if one is chosen else one for one in runs
    ]
    before = {
        f.kind: f.severity for f in judge_day(history(runs), chosen.day, rules=RULES).findings
    }
    after = {
        f.kind: f.severity for f in judge_day(history(longer), chosen.day, rules=RULES).findings
    }

    assert before.keys() <= after.keys()
    assert all(after[kind] >= severity for kind, severity in before.items())


@given(runs=lives(), days=st.integers(-8000, 20_000))
def test_shifting_all_dates_shifts_all_findings(runs: list[Run], days: int) -> None:
    """Across leap days, new years and clock changes."""
    shift = timedelta(days=days)
    shifted = [replace(one, day=one.day + shift, started_at=one.started_at + shift) for one in runs]

    def shape(of: list[Run], back: timedelta) -> list[tuple[object, ...]]:
        return [
            (f.day - back, f.kind, f.run_id, f.severity, f.observed_m, f.baseline_m, f.retraining)
            for verdict in _verdicts(of)
            for f in verdict.findings
        ]

    assert shape(shifted, shift) == shape(runs, timedelta())


@given(runs=lives(), hours=st.integers(-12, 14))
def test_zones_change_nothing(runs: list[Run], hours: int) -> None:
    """A run's day is the athlete's local one; the UTC day doesn't matter."""
    elsewhere = [replace(one, started_at=one.started_at - timedelta(hours=hours)) for one in runs]

    assert [v.findings for v in _verdicts(elsewhere)] == [v.findings for v in _verdicts(runs)]


@given(runs=lives(), cut=st.integers(0))
def test_no_look_into_the_future(runs: list[Run], cut: int) -> None:
    """Up to any day, a history cut there gives the same as the whole."""
    until = runs[cut % len(runs)].day
    known = [one for one in runs if one.day <= until]
    whole = history(runs)

    for on in (one for one in days_of(known) if one <= until):
        assert judge_day(history(known), on, rules=RULES) == judge_day(whole, on, rules=RULES)
        assert plan(history(known), on, rules=RULES) == plan(whole, on, rules=RULES)


@given(runs=lives())
def test_what_the_written_rules_demand_is_found(runs: list[Run]) -> None:
    """The plain detector's findings are found on their day; only a return may be seen further."""
    plain = set(crossings(runs))
    found = {(f.day, f.kind) for verdict in _verdicts(runs) for f in verdict.findings}

    assert plain <= found
    assert {kind for _, kind in found - plain} <= {"return"}


@given(runs=lives())
def test_a_finding_is_true_to_its_numbers(runs: list[Run]) -> None:
    """At most one a day and kind, above its limit, and its run is one of that day's."""
    by_id = {one.id: one for one in runs}
    for verdict in _verdicts(runs):
        kinds = [finding.kind for finding in verdict.findings]
        assert len(kinds) == len(set(kinds))
        for finding in verdict.findings:
            signal = next(s for s in verdict.signals if s.kind == finding.kind)
            assert signal.fired
            assert signal.held_by is None
            assert signal.limit_m is not None
            assert finding.observed_m > signal.limit_m
            assert finding.ratio > 1
            assert finding.severity in {1, 2, 3}
            assert by_id[finding.run_id].day == verdict.day
        assert all(signal.held_by for signal in verdict.signals if not signal.fired)


@given(runs=lives())
def test_at_most_one_mail_a_fortnight_but_for_a_graver_one(runs: list[Run]) -> None:
    """And never two on a day."""
    mailed = [one.finding for one in replay(history(runs), rules=RULES) if one.mailed]

    for index, finding in enumerate(mailed):
        for earlier in mailed[:index]:
            days = (finding.day - earlier.day).days
            assert days > 0
            assert days >= RULES.mail_every_days or finding.severity > earlier.severity


@given(runs=lives(), hour=st.sampled_from([7.0, 20.0]))
def test_a_run_at_the_ceiling_is_never_a_spike(runs: list[Run], hour: float) -> None:
    """A run that `ceiling` allows is never a finding."""
    last = max(one.day for one in runs)
    monday = last + timedelta(days=7 - last.weekday())
    known = history(runs)
    week = plan(known, monday, rules=RULES)
    limit = ceiling(week, known, rules=RULES)
    if limit.next_run_m is None or week.weeks[0].long_on is None:
        return
    number = (week.weeks[0].long_on - date(2024, 1, 1)).days
    after = [*runs, run(number, limit.next_run_m, hour=hour, run_id=9999)]

    kinds = {f.kind for f in judge_day(history(after), day(number), rules=RULES).findings}
    assert kinds <= {"ramp", "month"}


@given(runs=lives())
def test_a_session_holds_each_run_once(runs: list[Run]) -> None:
    """Combining runs neither loses nor duplicates any."""
    found = sessions(runs, rules=RULES)

    assert sorted(one.id for session in found for one in session.runs) == [r.id for r in runs]
    assert [s.day for s in found] == sorted(s.day for s in found)


@given(runs=lives(most=25), first=st.integers(-5, 200), length=st.integers(0, 100))
def test_sums_are_those_of_a_plain_count(runs: list[Run], first: int, length: int) -> None:
    """The prefix sums agree with plain addition, inside and outside the history."""
    whole = history(runs)
    begin = runs[0].day + timedelta(days=first)
    end = begin + timedelta(days=length)
    inside = [one for one in runs if begin <= one.day <= end]

    assert whole.sum_m(begin, end) == sum(one.distance_m for one in inside)
    assert sorted(r.id for s in whole.between(begin, end) for r in s.runs) == sorted(
        one.id for one in inside
    )


@given(runs=lives(), told=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3))))
def test_the_budget_answers_with_a_finding_or_a_reason(
    runs: list[Run], told: list[tuple[int, int]]
) -> None:
    """Always with an answer, and only with a finding that it was given."""
    whole: History = history(runs)
    last = runs[-1].day
    findings = judge_day(whole, last, rules=RULES).findings
    alerts = [MailedAlert(last - timedelta(days=days), severity) for days, severity in told]

    choice = worth_mailing(findings, mailed=alerts, today=last, rules=RULES, history=whole)

    assert choice in findings if isinstance(choice, Finding) else choice
