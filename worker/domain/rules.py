"""Every threshold of the detector and the plan, with its unit, default and source.

Pure functions receive the frozen `Rules` as `rules`. The settings under `[rules]` are these fields,
with the same names. `check_rules` refuses invalid values and names the key. `docs/evidence.md`
describes the papers and their results.
"""

import math
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Final, TypeVar

FRANDSEN: Final = "Frandsen et al. 2025, Br J Sports Med 59:1203"
COACH: Final = "a coach's rule; nobody has studied re-training after an off-season as such"
COACH_CLIMB: Final = "a mountain runners' rule of thumb; it made the figures worse when tried"
NIELSEN: Final = "Nielsen et al. 2014, 30 % progression; compared with the largest recent week"
OURS: Final = "Easeback's own choice, measured on real histories (docs/evidence.md)"

FRANDSEN_DAYS: Final = 30
"""The study's window: a run is compared with the longest of this many days before it."""

FRANDSEN_OVER: Final = (1.10, 1.30, 2.0)
"""The bounds of the study's four groups, as multiples of that longest run; the first group is the
reference.
"""

_T = TypeVar("_T")


def _rule(default: _T, unit: str, source: str, meaning: str) -> _T:
    """A field with documentation in its metadata, so that settings and `explain` can print it."""
    return field(default=default, metadata={"unit": unit, "source": source, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds.

    Units: times (a factor), m metres, d days, min minutes, share a part of 1; others in words.
    """

    session_gap_min: float = _rule(
        60.0, "min", OURS, "runs of one day with less than this between them are one session"
    )
    plausible_max_m: float = _rule(
        300_000.0, "m", OURS, "a longer run is quarantined: near the most ever run in 24 hours"
    )
    plausible_since_year: int = _rule(
        2000, "year", OURS, "a run dated before this year is quarantined: a watch with no clock"
    )

    climb_m_per_km: float = _rule(
        0.0,
        "m",
        COACH_CLIMB,
        "this many metres up count as 1 km more (kilometre-effort: 100); 0: climb doesn't count",
    )

    run_over: float = _rule(
        FRANDSEN_OVER[0],
        "times",
        FRANDSEN,
        "a session above this many times the longest of the window is a spike",
    )
    run_window_days: int = _rule(
        FRANDSEN_DAYS, "d", FRANDSEN, "days before the session whose longest session counts"
    )
    run_history_days: int = _rule(42, "d", OURS, "days since the first run before the rule applies")
    run_min_runs: int = _rule(3, "runs", OURS, "sessions in the window before the rule applies")
    run_min_m: float = _rule(6000.0, "m", OURS, "shorter sessions are never a spike")
    run_excess_m: float = _rule(
        1000.0, "m", OURS, "a session must be at least this much longer than the longest"
    )
    severity_2_over: float = _rule(
        FRANDSEN_OVER[1],
        "times",
        FRANDSEN,
        "above this many times the baseline, run and return have severity 2",
    )
    severity_3_over: float = _rule(
        FRANDSEN_OVER[2],
        "times",
        FRANDSEN,
        "above this many times the baseline, run and return have severity 3",
    )

    return_over: float = _rule(
        1.10,
        "times",
        COACH,
        "a session above this many times the reference is too much for a return",
    )
    return_break_days: int = _rule(
        14, "d", COACH, "this many days in a row without a run are a break"
    )
    return_watch_days: int = _rule(
        30, "d", COACH, "days from the first run back during which the rule applies"
    )
    return_before_days: int = _rule(
        60, "d", COACH, "days before the break whose longest session is the reference"
    )
    return_min_runs: int = _rule(4, "runs", COACH, "sessions in those days for a reference")
    return_min_m: float = _rule(5000.0, "m", COACH, "shorter sessions are never too much")
    return_excess_m: float = _rule(
        1000.0, "m", COACH, "a session must be at least this much longer than the reference"
    )
    return_whole_days: int = _rule(
        365, "d", COACH, "stray runs don't end a break, up to this length in all"
    )
    return_short_days: int = _rule(28, "d", COACH, "a break up to this long is short")
    return_medium_days: int = _rule(56, "d", COACH, "a break up to this long is medium")
    return_short_share: float = _rule(
        0.75, "share", COACH, "of the longest before, after a short break"
    )
    return_medium_share: float = _rule(
        0.50, "share", COACH, "of the longest before, after a medium break"
    )
    return_long_share: float = _rule(
        0.33, "share", COACH, "of the longest before, after a longer break"
    )

    ramp_over: float = _rule(
        1.30,
        "times",
        NIELSEN,
        "seven days above this many times the largest seven of the window are a ramp",
    )
    ramp_days: int = _rule(7, "d", NIELSEN, "days summed up")
    ramp_window_days: int = _rule(42, "d", OURS, "days before those, searched for the largest sum")
    ramp_history_days: int = _rule(
        42, "d", OURS, "days since the first run before the rule applies"
    )
    ramp_min_m: float = _rule(8000.0, "m", OURS, "a smaller largest sum is no baseline")
    ramp_excess_m: float = _rule(
        10_000.0, "m", OURS, "the sum must be at least this much more than the largest"
    )
    ramp_severity_2_from: float = _rule(
        1.60, "times", OURS, "from this many times the largest sum on, a ramp has severity 2"
    )

    month_over: float = _rule(
        1.60,
        "times",
        COACH,
        "four weeks above this many times the largest four of the window are a month's rise",
    )
    month_days: int = _rule(28, "d", COACH, "days summed up")
    month_return_days: int = _rule(
        56,
        "d",
        OURS,
        "for this long after a break, what the break left of the month before it is no rise either",
    )
    month_last_days: int = _rule(
        14, "d", OURS, "the last days of those, which must be above the limit by themselves"
    )
    month_window_days: int = _rule(
        84, "d", COACH, "days before those, searched for the largest sum"
    )
    month_history_days: int = _rule(
        84, "d", COACH, "days since the first run before the rule applies"
    )
    month_min_m: float = _rule(20_000.0, "m", COACH, "a smaller largest sum is no baseline")
    month_excess_m: float = _rule(
        30_000.0, "m", COACH, "the sum must be this much more than the largest, or twice as much"
    )

    season_volume_days: int = _rule(
        56, "d", OURS, "days whose volume is compared with the usual one"
    )
    season_easy_share: float = _rule(
        0.50, "share", OURS, "a volume at most this share of the usual is an easy season"
    )
    season_within_days: int = _rule(
        84, "d", OURS, "after an easy season this recent, it's re-training"
    )
    season_year_days: int = _rule(365, "d", OURS, "days whose volumes say what is usual")
    season_percentile: float = _rule(
        75.0, "%", OURS, "the percentile of those volumes that is called usual"
    )
    season_history_days: int = _rule(
        182, "d", OURS, "days since the first run before an easy season is recognised"
    )

    race_within_days: int = _rule(1, "d", OURS, "a run this near the race's day may be the race")
    race_share: float = _rule(0.05, "share", OURS, "if it is this near the race's distance")
    race_maybe_share: float = _rule(
        0.03, "share", OURS, "a run this near a common race distance may have been a race"
    )
    race_maybe_m: tuple[float, ...] = _rule(
        (10_000.0, 21_100.0, 42_200.0), "m", OURS, "the common race distances"
    )

    mail_every_days: int = _rule(
        14, "d", OURS, "at most one alert in this many days, unless the severity is higher"
    )
    mail_every_runs: int = _rule(
        7, "runs", OURS, "at most one alert in this many runs, unless the severity is higher"
    )
    mail_forget_days: int = _rule(
        365, "d", OURS, "an alert mailed longer ago holds nothing back, however few runs followed"
    )
    mail_familiar_days: int = _rule(
        90, "d", OURS, "no alert of severity 1 or 2 within run_over of the longest of these days"
    )
    mail_familiar_level: float = _rule(
        0.75,
        "share",
        OURS,
        "four weeks below this share of the level of twelve are low; re-training counts as low too",
    )
    mail_familiar_low_days: int = _rule(
        60, "d", OURS, "in low weeks, this many days count instead of mail_familiar_days"
    )
    mail_month_days: int = _rule(
        28, "d", OURS, "a month's rise is mailed if there was no alert for this many days"
    )
    mail_far_over: float = _rule(
        FRANDSEN_OVER[1],
        "times",
        OURS,
        "severity 3 above this many times the longest of mail_familiar_days needn't wait for runs",
    )
    mail_within_days: int = _rule(3, "d", OURS, "nothing is mailed for a run older than this")
    mail_thread_days: int = _rule(
        42, "d", OURS, "an alert this soon after another is one thread with it in the mail reader"
    )
    weekly_like_share: float = _rule(
        0.10, "share", OURS, "a week this near the mean of the four before is called much like it"
    )

    recovery_easy_share: float = _rule(
        0.60, "share", COACH, "of the median run, the first easy run after an alert"
    )
    recovery_median_days: int = _rule(
        30, "d", COACH, "days before the alert's day whose median run measures the easy days"
    )
    recovery_min_m: float = _rule(
        1000.0, "m", COACH, "an easy run that would be shorter is a day of rest"
    )
    recovery_easy_days: int = _rule(4, "d", COACH, "days after an alert without a hard session")

    plan_week_over: float = _rule(
        1.25, "times", COACH, "a week is at most this many times the second-largest of four"
    )
    plan_mean_over: float = _rule(
        1.50, "times", COACH, "a week is at most this many times the mean of the four before it"
    )
    plan_absorbed_over: float = _rule(
        1.36, "times", COACH, "a week counts as absorbed up to this many times the mean of four"
    )
    plan_build_over: float = _rule(
        1.10, "times", COACH, "before a race, the weeks grow by at most this factor each"
    )
    plan_long_share: float = _rule(
        0.50, "share", COACH, "of its week a long run is at most this, unless it usually is more"
    )
    plan_long_share_most: float = _rule(
        0.75, "share", COACH, "of its week a long run is never more than this"
    )
    plan_easy_run_share: float = _rule(
        0.75,
        "share",
        COACH,
        "of the long run an easy one is at most this, unless runs usually are longer",
    )
    plan_race_whole_m: float = _rule(
        12_000.0, "m", COACH, "up to this distance, the long run should reach the race's own"
    )
    plan_race_share: float = _rule(
        0.76, "share", COACH, "of a longer race, the part that the long run should reach"
    )
    plan_long_most_m: float = _rule(
        35_000.0, "m", COACH, "no race asks for a longer long run than this"
    )
    plan_easy_after_weeks: int = _rule(
        3, "weeks", COACH, "after this many weeks without a step back comes an easy one"
    )
    plan_step_back_share: float = _rule(
        0.86, "share", COACH, "a week at most this much of a recent one is a step back"
    )
    plan_easy_week_share: float = _rule(0.75, "share", COACH, "of the usual week in an easy one")
    plan_easy_long_share: float = _rule(
        0.70, "share", COACH, "of the usual long run in an easy week"
    )
    plan_taper_marathon_m: float = _rule(
        40_000.0, "m", COACH, "from this distance on a race has a marathon's taper"
    )
    plan_taper_half_m: float = _rule(
        15_000.0, "m", COACH, "from this distance on a race has a half marathon's taper"
    )
    plan_taper_marathon: tuple[float, ...] = _rule(
        (0.8, 0.6, 0.4), "share", COACH, "of the peak week, the last weeks before a marathon"
    )
    plan_taper_half: tuple[float, ...] = _rule(
        (0.7, 0.45), "share", COACH, "of the peak week, the last weeks before a half marathon"
    )
    plan_taper_short: tuple[float, ...] = _rule(
        (0.6,), "share", COACH, "of the peak week, the week of a shorter race"
    )
    plan_taper_marathon_long: tuple[float, ...] = _rule(
        (0.75, 0.5), "share", COACH, "of the peak's long run, those before the week of a marathon"
    )
    plan_taper_half_long: tuple[float, ...] = _rule(
        (0.7,), "share", COACH, "of the peak's long run, that before the week of a half marathon"
    )
    plan_race_week_share: float = _rule(
        0.50, "share", COACH, "of the peak's long run, the longest run in the week of a race"
    )
    plan_gentle_week: tuple[float, ...] = _rule(
        (0.7, 0.9), "share", COACH, "of the usual week, the weeks after a finding"
    )
    plan_gentle_long: tuple[float, ...] = _rule(
        (0.6, 0.9), "share", COACH, "of the usual long run, the weeks after a finding"
    )
    plan_pain_week: tuple[float, ...] = _rule(
        (0.5, 0.75), "share", COACH, "of the usual week, the weeks that follow a week of rest"
    )
    plan_sore_share: float = _rule(0.9, "share", COACH, "of the usual week while sore")
    plan_same_share: float = _rule(
        0.05, "share", COACH, "a planned week that changes by no more than this is called the same"
    )
    plan_spare_weeks: int = _rule(
        2,
        "weeks",
        COACH,
        "a plan that reaches its long run less than this long before the taper is tight",
    )
    plan_most_weeks: int = _rule(
        104, "weeks", COACH, "a race that takes longer to reach than this has no plan"
    )


_COUNTED: Final = frozenset({"d", "runs", "year", "weeks"})
_MAY_BE_ZERO: Final = frozenset(
    {
        "session_gap_min",
        "climb_m_per_km",
        "run_min_runs",
        "run_min_m",
        "run_excess_m",
        "return_min_m",
        "return_excess_m",
        "ramp_excess_m",
        "month_excess_m",
        "race_within_days",
        "race_share",
        "race_maybe_share",
        "mail_every_days",
        "mail_every_runs",
        "mail_familiar_days",
        "mail_familiar_level",
        "mail_familiar_low_days",
        "mail_month_days",
        "mail_within_days",
        "mail_thread_days",
        "weekly_like_share",
        "recovery_min_m",
        "plan_spare_weeks",
    }
)
_RISING: Final = (
    ("run_over", "severity_2_over", "severity_3_over"),
    ("return_over", "severity_2_over"),
    ("ramp_over", "ramp_severity_2_from"),
    ("return_break_days", "return_short_days", "return_medium_days", "return_whole_days"),
    ("return_long_share", "return_medium_share", "return_short_share"),
    ("ramp_days", "ramp_window_days"),
    ("month_last_days", "month_days", "month_window_days"),
    ("mail_every_days", "mail_forget_days"),
    ("season_volume_days", "season_year_days"),
    ("season_volume_days", "season_history_days"),
)
_LEAST_GENTLE_WEEKS: Final = 2
_MOST_PERCENTILE: Final = 100
_MOST_DAYS: Final = 36_525
"""A century: longer windows are typing errors, and dates would leave the calendar."""


def check_rules(rules: Rules) -> None:
    """Check that the rules make sense.

    Raises:
        ValueError: its text begins with the key's name and says what the key must be.
    """
    for item in fields(rules):
        value = getattr(rules, item.name)
        values = value if isinstance(value, tuple) else (value,)
        for number in values:
            reason = _nonsense(item.name, number, unit=item.metadata["unit"])
            if reason:
                raise ValueError(f"{item.name} must be {reason}, not {number!r}")
    weeks = len(rules.plan_gentle_week)
    if weeks < _LEAST_GENTLE_WEEKS or weeks != len(rules.plan_gentle_long):
        raise ValueError(
            "plan_gentle_week must have as many weeks as plan_gentle_long, and at least "
            f"{_LEAST_GENTLE_WEEKS}"
        )
    for names in _RISING:
        for lower, upper in pairwise(names):
            if getattr(rules, lower) > getattr(rules, upper):
                raise ValueError(
                    f"{lower} must be at most {upper}, "
                    f"but {getattr(rules, lower)!r} is more than {getattr(rules, upper)!r}"
                )


def _nonsense(name: str, value: object, *, unit: str) -> str | None:
    """What the value would have to be, or None if it is valid."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "a finite number"
    may_be_zero = name in _MAY_BE_ZERO
    demands = (
        (unit not in _COUNTED or value == int(value), "a whole number"),
        (unit != "times" or value > 1, "a factor above 1"),
        (value > 0 or may_be_zero, "above 0"),
        (value >= 0, "0 or more"),
        (unit != "share" or value <= 1, "a share of at most 1"),
        (unit != "%" or value <= _MOST_PERCENTILE, "a percentile of at most 100"),
        (unit != "d" or value <= _MOST_DAYS, "at most a hundred years of days"),
        (unit != "weeks" or value <= _MOST_DAYS / 7, "at most a hundred years of weeks"),
    )
    return next((demand for holds, demand in demands if not holds), None)
