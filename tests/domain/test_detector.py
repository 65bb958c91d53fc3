"""The rules, their gates and severities, to the letter."""

from dataclasses import replace

import pytest

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.detector import judge_day, too_little
from worker.domain.models import Finding, Kind, Run, Signal

# Ten kilometres every third day for two months: old enough for every rule.
BASE = every(3, 10_000, last=60)


def findings(runs: list[Run], on: int) -> dict[Kind, Finding]:
    return {one.kind: one for one in judge_day(history(runs), day(on), rules=RULES).findings}


def signal(runs: list[Run], on: int, kind: Kind) -> Signal:
    return next(
        one for one in judge_day(history(runs), day(on), rules=RULES).signals if one.kind == kind
    )


@pytest.mark.parametrize(
    ("metres", "severity"),
    [
        (11_000, None),
        (11_010, 1),
        (13_000, 1),
        (13_010, 2),
        (20_000, 2),
        (20_010, 3),
        (35_000, 3),
    ],
)
def test_a_run_is_weighed_by_its_share_of_the_longest(metres: float, severity: int | None) -> None:
    """Up to 1.10 times: none; up to 1.30: severity 1; up to 2.0: severity 2; beyond: severity 3."""
    found = findings([*BASE, run(62, metres)], 62).get("run")

    assert (found.severity if found else None) == severity


def test_a_finding_tells_what_was_compared() -> None:
    """The run that crossed the limit, its metres, the longest run before, and its date."""
    runs = [*BASE, run(50, 12_000, hour=18, run_id=500), run(62, 15_000)]

    found = findings(runs, 62)["run"]

    assert (found.run_id, found.observed_m, found.baseline_m, found.ratio) == (
        62, 15_000, 12_000, 1.25
    )  # fmt: skip
    fired = signal(runs, 62, "run")
    assert fired.limit_m == pytest.approx(13_200)
    assert (fired.against, fired.held_by) == (day(50), None)
    assert "Frandsen" in fired.source


def test_the_longest_is_that_of_the_thirty_days_before() -> None:
    """A run thirty days ago counts; one thirty-one days ago or on the same day doesn't."""
    runs = [*BASE, run(61, 8000)]

    assert "run" not in findings([*runs, run(32, 20_000, hour=17, run_id=999), run(62, 15_000)], 62)
    assert "run" in findings([*runs, run(31, 20_000, hour=17, run_id=999), run(62, 15_000)], 62)
    assert "run" in findings([*runs, run(62, 15_000), run(62, 15_000, hour=18, run_id=998)], 62)


def test_a_session_crosses_though_none_of_its_runs_does() -> None:
    """Warm-up, race and cool-down are one session; the finding names the longest run of them."""
    runs = [*BASE, run(62, 3000, hour=9, run_id=1001), run(62, 10_500, hour=9.5, run_id=1002)]

    found = findings(runs, 62)["run"]

    assert (found.observed_m, found.run_id) == (13_500, 1002)


@pytest.mark.parametrize(
    ("runs", "on", "gate"),
    [
        ([*every(3, 10_000, last=36), run(41, 15_000)], 41, "run_history_days"),
        ([run(0, 9000), run(20, 10_000), run(30, 10_000), run(45, 15_000)], 45, "run_min_runs"),
        ([*every(3, 3000, last=60), run(62, 5990)], 62, "run_min_m"),
        ([*every(3, 5500, last=60), run(62, 6400)], 62, "run_excess_m"),
        ([*BASE, run(62, 11_000)], 62, "run_over"),
    ],
)
def test_each_gate_of_the_run_rule_says_its_name(runs: list[Run], on: int, gate: str) -> None:
    """The signal names the gate by its setting."""
    held = signal(runs, on, "run")

    assert not held.fired
    assert held.severity == 0
    assert held.held_by is not None
    assert gate in held.held_by


@pytest.mark.parametrize(
    ("runs", "on"),
    [
        ([*every(3, 10_000, last=39), run(42, 15_000)], 42),
        ([run(0, 9000), *(run(d, 10_000) for d in (20, 30, 40)), run(45, 15_000)], 45),
        ([*every(3, 5000, last=60), run(62, 6000)], 62),
    ],
)
def test_each_gate_of_the_run_rule_opens_at_its_figure(runs: list[Run], on: int) -> None:
    """42 days, 3 runs, 6 km and 1 km are enough."""
    assert "run" in findings(runs, on)


@pytest.mark.parametrize(("weeks_off", "severity"), [(3, 2), (6, 2), (12, 3), (20, 3)])
def test_a_first_run_as_long_as_before_a_break_is_found(weeks_off: int, severity: int) -> None:
    """Whatever the month rule says, which knows nothing after a break."""
    back_on = 60 + 7 * weeks_off

    found = findings([*BASE, run(back_on, 10_000)], back_on)["return"]

    assert found.severity == severity
    assert found.observed_m == 10_000


@pytest.mark.parametrize(
    ("metres", "severity"),
    [(5500, None), (5990, None), (6000, 1), (6500, 1), (6510, 2), (10_010, 3)],
)
def test_a_return_is_weighed_by_its_share_of_the_reference(
    metres: float, severity: int | None
) -> None:
    """After six weeks off the reference is half of ten kilometres; the excess at least 1 km."""
    found = findings([*BASE, run(102, metres)], 102).get("return")

    assert (found.severity if found else None) == severity


@pytest.mark.parametrize(
    ("runs", "on", "gate"),
    [
        (BASE, 60, "no break of 14 days"),
        ([*(run(d, 10_000) for d in (0, 20, 40)), run(102, 10_000)], 102, "return_min_runs"),
        ([*every(3, 3000, last=60), run(102, 2990)], 102, "return_min_m"),
        ([*BASE, run(102, 5990)], 102, "return_excess_m"),
        ([*BASE, run(102, 5500)], 102, "return_over"),
    ],
)
def test_each_gate_of_the_return_rule_says_its_name(runs: list[Run], on: int, gate: str) -> None:
    """The signal names the gate by its setting."""
    held = signal(runs, on, "return")

    assert not held.fired
    assert held.held_by is not None
    assert gate in held.held_by


def test_more_runs_of_the_same_length_are_a_ramp() -> None:
    """Two runs a week, then five: no run is longer, but the week is."""
    runs = [*every(7, 10_000, last=56), *every(7, 10_000, first=3, last=59)]
    runs += [run(number, 10_000) for number in (61, 62, 63, 64)]

    found = findings(runs, 64)

    assert set(found) == {"ramp"}
    assert (found["ramp"].observed_m, found["ramp"].baseline_m) == (50_000, 20_000)
    assert found["ramp"].run_id == 64


@pytest.mark.parametrize(
    ("metres", "severity"),
    [(45_500, None), (45_510, 1), (55_990, 1), (56_000, 2), (100_000, 2)],
)
def test_a_ramp_is_weighed_by_its_share_of_the_largest_week(
    metres: float, severity: int | None
) -> None:
    """Above 1.30 times: severity 1; from 1.60 on: severity 2; never 3."""
    runs = [*every(1, 5000, last=60), run(61, metres - 6 * 5000)]

    found = findings(runs, 61).get("ramp")

    assert (found.severity if found else None) == severity


@pytest.mark.parametrize(
    ("runs", "on", "gate"),
    [
        ([*every(3, 5000, last=39), run(40, 5000), run(41, 30_000)], 41, "ramp_history_days"),
        ([*every(7, 7990, last=56), run(58, 30_000)], 58, "ramp_min_m"),
        ([*every(7, 10_000, last=56), run(58, 9990)], 58, "ramp_excess_m"),
        (BASE, 60, "ramp_over"),
    ],
)
def test_each_gate_of_the_ramp_rule_says_its_name(runs: list[Run], on: int, gate: str) -> None:
    """The signal names the gate by its setting."""
    held = signal(runs, on, "ramp")

    assert not held.fired
    assert held.held_by is not None
    assert gate in held.held_by


def test_a_ramp_lifts_a_slight_run_from_one_to_two() -> None:
    """Both at once weigh more than either; the ramp's own severity doesn't change."""
    alone = findings([*BASE, run(62, 12_500)], 62)
    together = findings([*BASE, run(61, 10_000), run(62, 12_500)], 62)

    assert {kind: one.severity for kind, one in alone.items()} == {"run": 1}
    assert {kind: one.severity for kind, one in together.items()} == {"run": 2, "ramp": 1}


def test_a_rest_day_has_signals_and_no_findings() -> None:
    """`explain` works on any day: there's a limit and nothing that crossed it."""
    verdict = judge_day(history(BASE), day(61), rules=RULES)

    assert verdict.findings == ()
    assert verdict.signals[0].limit_m == pytest.approx(11_000)
    assert verdict.signals[0].held_by == "no run on this day"
    assert too_little(history(BASE), day(61), rules=RULES) is None


@pytest.mark.parametrize("runs", [[], [run(60, 10_000)], [run(55, 10_000), run(60, 30_000)]])
def test_too_little_history_is_a_state_of_its_own(runs: list[Run]) -> None:
    """It's stated in words, never as a ratio to nothing."""
    verdict = judge_day(history(runs), day(60), rules=RULES)

    assert verdict.findings == ()
    missing = too_little(history(runs), day(60), rules=RULES)
    assert missing is not None
    assert "too little history" in missing
    assert all(one.limit_m is None for one in verdict.signals)


def test_every_threshold_is_the_rules_own() -> None:
    """The detector uses the rules it's given."""
    strict = replace(RULES, run_over=1.02, run_excess_m=100.0)
    runs = [*BASE, run(62, 10_500)]

    assert [one.kind for one in judge_day(history(runs), day(62), rules=strict).findings] == ["run"]
    assert judge_day(history(runs), day(62), rules=RULES).findings == ()


def test_a_leap_day_is_a_day() -> None:
    """Day 59 of the made calendar is 29 February 2024."""
    runs = [*every(3, 10_000, last=57), run(59, 15_000)]

    assert (day(59).month, day(59).day) == (2, 29)
    assert findings(runs, 59)["run"].day == day(59)


@pytest.mark.parametrize(
    ("before_m", "after_m", "fires"),
    [
        (10_000, 16_000, False),
        (10_000, 17_000, True),
        (5_000, 9_000, False),
        (5_000, 10_000, True),
    ],
)
def test_a_months_rise_is_four_weeks_above_the_largest_four(
    before_m: float, after_m: float, fires: bool
) -> None:
    """More than 1.6 times, and 30 km more or as much again; seven runs in four weeks."""
    runs = [*every(4, before_m, last=111), *every(4, after_m, first=112, last=136)]
    found = findings(runs, 136).get("month")

    assert (found is not None) == fires
    if found:
        assert (found.severity, found.observed_m, found.baseline_m) == (
            2, 7 * after_m, 7 * before_m
        )  # fmt: skip
    assert "coach" in signal(runs, 136, "month").source


@pytest.mark.parametrize(
    ("runs", "on", "gate"),
    [
        (
            [*every(4, 10_000, last=50), *every(4, 20_000, first=54, last=82)],
            82,
            "month_history_days",
        ),
        ([*every(8, 4_000, last=111), *every(4, 10_000, first=112, last=136)], 136, "month_min_m"),
        ([*every(4, 10_000, last=111), *every(4, 14_000, first=112, last=136)], 136, "month_over"),
        (
            [*every(4, 6_000, last=111), *every(4, 10_000, first=112, last=136)],
            136,
            "month_excess_m",
        ),
        (
            [
                *every(4, 6_000, last=111),
                *every(4, 20_000, first=112, last=120),
                *every(4, 5_000, first=124, last=136),
            ],
            136,
            "month_last_days",
        ),
    ],
)
def test_each_gate_of_the_month_says_its_name(runs: list[Run], on: int, gate: str) -> None:
    """History, a baseline, the factor, the metres, and a rise that is over."""
    held = signal(runs, on, "month")

    assert not held.fired
    assert gate in str(held.held_by)


@pytest.mark.parametrize(("back_m", "fires"), [(5_000, False), (6_000, True)])
def test_a_third_of_the_month_before_a_long_break_is_no_rise(back_m: float, fires: bool) -> None:
    """The weeks of the break count as zero, so any four weeks would be a rise above them.

    Before it, 14 runs of 10 km; 0.33 of those, and 1.6 times that, are 74 km.
    """
    runs = [*every(2, 10_000, last=98), *every(2, back_m, first=175, last=215)]
    month = signal(runs, 215, "month")

    assert month.limit_m is not None
    assert month.observed_m > month.limit_m
    assert month.fired == fires
    assert ("month_return_days" in str(month.held_by)) != fires
