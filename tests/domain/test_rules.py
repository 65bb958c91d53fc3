"""The thresholds: their published defaults, and which values are refused."""

from dataclasses import fields, replace

import pytest

from worker.domain.rules import Rules, check_rules


def test_the_defaults_are_the_published_ones() -> None:
    """Scripts and people rely on these figures."""
    rules = Rules()

    assert (rules.session_gap_min, rules.plausible_max_m) == (60, 300_000)
    assert (rules.run_over, rules.run_window_days, rules.run_history_days) == (1.10, 30, 42)
    assert (rules.run_min_runs, rules.run_min_m, rules.run_excess_m) == (3, 6000, 1000)
    assert (rules.severity_2_over, rules.severity_3_over) == (1.30, 2.0)
    assert (rules.return_break_days, rules.return_watch_days) == (14, 30)
    assert (rules.return_before_days, rules.return_min_runs) == (60, 4)
    assert (rules.return_short_days, rules.return_medium_days) == (28, 56)
    assert (rules.return_short_share, rules.return_medium_share) == (0.75, 0.50)
    assert (rules.return_long_share, rules.return_over) == (0.33, 1.10)
    assert (rules.return_min_m, rules.return_excess_m) == (5000, 1000)
    assert (rules.ramp_over, rules.ramp_window_days, rules.ramp_history_days) == (1.30, 42, 42)
    assert (rules.ramp_min_m, rules.ramp_excess_m) == (8000, 10_000)
    assert rules.ramp_severity_2_from == 1.60
    assert (rules.month_over, rules.month_days, rules.month_window_days) == (1.60, 28, 84)
    assert rules.month_last_days == 14
    assert (rules.month_min_m, rules.month_excess_m, rules.month_history_days) == (
        20_000, 30_000, 84
    )  # fmt: skip
    assert (rules.season_volume_days, rules.season_easy_share) == (56, 0.50)
    assert (rules.mail_every_days, rules.mail_within_days) == (14, 3)
    assert (rules.mail_familiar_days, rules.mail_familiar_level) == (90, 0.75)
    assert (rules.mail_familiar_low_days, rules.mail_month_days) == (60, 28)
    assert rules.mail_far_over == 1.30


def test_the_defaults_pass_their_own_check() -> None:
    """Only changed values can be nonsense."""
    check_rules(Rules())


def test_every_threshold_tells_its_unit_source_and_meaning() -> None:
    """The commented settings and `explain` are printed from these."""
    for item in fields(Rules):
        assert item.metadata["unit"]
        assert item.metadata["source"]
        assert item.metadata["meaning"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_over", 1.0),
        ("run_over", 0.9),
        ("run_over", float("nan")),
        ("run_over", float("inf")),
        ("run_over", True),
        ("run_over", "1.1"),
        ("run_window_days", 0),
        ("run_window_days", -30),
        ("run_window_days", 2.5),
        ("run_window_days", 10**9),
        ("run_min_runs", -1),
        ("run_min_m", -5.0),
        ("return_short_share", 0.0),
        ("return_short_share", 1.5),
        ("season_percentile", 101.0),
        ("plausible_since_year", 0),
        ("race_maybe_m", (10_000.0, -1.0)),
        ("mail_every_days", -1),
    ],
)
def test_nonsense_is_refused_by_its_name(key: str, value: object) -> None:
    """The error begins with the key."""
    with pytest.raises(ValueError, match=f"^{key} must be "):
        check_rules(replace(Rules(), **{key: value}))  # type: ignore[arg-type]  # nonsense on purpose


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("severity_2_over", 2.5, "severity_3_over"),
        ("run_over", 1.4, "severity_2_over"),
        ("ramp_over", 1.7, "ramp_severity_2_from"),
        ("return_short_days", 60, "return_medium_days"),
        ("return_long_share", 0.6, "return_medium_share"),
        ("ramp_days", 50, "ramp_window_days"),
        ("mail_every_days", 400, "mail_forget_days"),
    ],
)
def test_inverted_bands_are_refused_by_name(key: str, value: float, other: str) -> None:
    """Both ends of the band are named."""
    with pytest.raises(ValueError, match=f"^{key} must be at most {other}"):
        check_rules(replace(Rules(), **{key: value}))  # type: ignore[arg-type]  # one type for all keys


@pytest.mark.parametrize(
    "key", ["mail_every_days", "run_min_runs", "run_excess_m", "session_gap_min"]
)
def test_gates_may_be_left_open_with_zero(key: str) -> None:
    """No budget, no minimum, no excess, no joining: zero is a valid choice."""
    check_rules(replace(Rules(), **{key: 0}))  # type: ignore[arg-type]  # one type for all keys


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plan_gentle_week", ()),
        ("plan_gentle_week", (0.7, 0.8, 0.9)),
        ("plan_gentle_long", (0.6,)),
        ("plan_gentle_long", (0.6, 0.8, 0.9)),
    ],
)
def test_the_weeks_after_a_finding_have_a_share_and_a_long_run_each(
    key: str, value: tuple[float, ...]
) -> None:
    """An alert needs those of the first two."""
    with pytest.raises(ValueError, match="plan_gentle_week must have as many weeks"):
        check_rules(replace(Rules(), **{key: value}))  # type: ignore[arg-type]  # one of them
