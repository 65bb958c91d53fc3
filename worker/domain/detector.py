"""Evaluates a day's running: runs in, a verdict out. Pure, and independent of later days.

Four rules, each a `Signal` with its numbers whether it fires or not:

- `run`: a session longer than the longest of the weeks before it prepared for;
- `return`: too far too soon after a break;
- `ramp`: seven days above the largest seven of the weeks before them;
- `month`: 28 days far above the largest 28 of the months before them, and still rising.

A signal that fires is a `Finding`. `worth_mailing` applies the mail budget and chooses the finding
to mail now, if any. Baselines only use days before the day judged, so one more metre today never
removes a warning. Mails and routines are composed elsewhere (`notify`, `routine`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import ceil
from operator import attrgetter
from typing import Final, Literal

from worker.domain.history import (
    MM,
    TOLERANCE_M,
    Baseline,
    History,
    days_before,
    month_baseline,
    month_left_m,
    ramp_baseline,
    return_baseline,
    run_baseline,
)
from worker.domain.models import Finding, Kind, Race, Season, Session, Signal, Verdict
from worker.domain.rules import COACH, FRANDSEN, NIELSEN, Rules
from worker.domain.shown import counted

_LEADS: Final[dict[Kind, int]] = {"run": 0, "return": 1, "ramp": 2, "month": 3}
"""At equal severity the single run comes first: only its rule has clear evidence in runners."""

_WEEK_DAYS: Final = 7
_YEAR: Final = timedelta(days=364)
"""A year of whole weeks, so that days in this ramp and in last year's have the same weekday."""


@dataclass(frozen=True, slots=True)
class MailedAlert:
    """A mailed alert: the athlete's local day of the mail, and its severity."""

    day: date
    severity: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """One finding of a replay, its verdict, and whether a mail would have been sent."""

    verdict: Verdict
    finding: Finding
    mailed: bool


def judge_day(history: History, day: date, *, rules: Rules, race: Race | None = None) -> Verdict:
    """Judge one day by the sessions up to it; later sessions are ignored."""
    session = history.longest(day, day)
    longest_m = session.distance_m if session else 0.0
    ramp_from = day - timedelta(days=rules.ramp_days - 1)
    graded = (rules.severity_2_over, rules.severity_3_over)
    run = _signal(
        "run",
        longest_m,
        run_baseline(history, day, rules=rules),
        has_run=session is not None,
        bounds=_Bounds(rules.run_over, rules.run_min_m, rules.run_excess_m, graded, FRANDSEN),
    )
    back = _signal(
        "return",
        longest_m,
        return_baseline(history, day, rules=rules),
        has_run=session is not None,
        bounds=_Bounds(rules.return_over, rules.return_min_m, rules.return_excess_m, graded, COACH),
    )
    ramp = _signal(
        "ramp",
        history.sum_m(ramp_from, day),
        ramp_baseline(history, day, before=ramp_from, rules=rules),
        has_run=session is not None,
        bounds=_Bounds(rules.ramp_over, 0.0, rules.ramp_excess_m, (), NIELSEN),
    )
    if ramp.fired:
        if ramp.observed_m >= rules.ramp_severity_2_from * (ramp.baseline_m or 0.0) - TOLERANCE_M:
            ramp = replace(ramp, severity=2)
        # On the day of a ramp, a run or return of severity 1 is raised to 2.
        run, back = (replace(one, severity=2) if one.severity == 1 else one for one in (run, back))
    signals = (run, back, ramp, _month(history, day, has_run=session is not None, rules=rules))
    season = season_of(history, day, rules=rules)
    return Verdict(
        day=day,
        signals=signals,
        findings=_findings(signals, session, retraining=season is not None, race=race, rules=rules),
        season=season,
    )


def _month(history: History, day: date, *, has_run: bool, rules: Rules) -> Signal:
    """Four weeks against the largest four before: a rise that continues after the first warning.

    For low mileage, the rise in metres may be smaller: twice the baseline is enough. The last two
    weeks must be above the limit by themselves; otherwise the rise is over. After a break, whose
    weeks count as zero, the month must also be above what the break left of the month before it.
    """
    begin = day - timedelta(days=rules.month_days - 1)
    baseline = month_baseline(history, day, before=begin, rules=rules)
    excess_m = min(rules.month_excess_m, baseline.distance_m or 0.0)
    bounds = _Bounds(rules.month_over, 0.0, excess_m, (), COACH)
    month = _signal("month", history.sum_m(begin, day), baseline, has_run=has_run, bounds=bounds)
    if not month.fired or month.limit_m is None:
        return month
    last_m = history.sum_m(day - timedelta(days=rules.month_last_days - 1), day)
    if last_m <= month.limit_m * rules.month_last_days / rules.month_days + TOLERANCE_M:
        why = (
            f"the last {counted(rules.month_last_days, 'day')} of it are inside the limit: "
            f"{last_m:.0f} m (month_last_days = {rules.month_last_days})"
        )
        return replace(month, fired=False, severity=0, held_by=why)
    left_m = month_left_m(history, day, rules=rules)
    if left_m is not None and month.observed_m <= rules.month_over * left_m + TOLERANCE_M:
        why = (
            f"inside the limit above what the break left of the month before it, {left_m:.0f} m "
            f"(month_return_days = {rules.month_return_days})"
        )
        return replace(month, fired=False, severity=0, held_by=why)
    return replace(month, severity=2)


def too_little(history: History, day: date, *, rules: Rules) -> str | None:
    """What history is missing before any rule can apply on `day`, in words; None if nothing is."""
    ramp_from = day - timedelta(days=rules.ramp_days - 1)
    run = run_baseline(history, day, rules=rules)
    back = return_baseline(history, day, rules=rules)
    ramp = ramp_baseline(history, day, before=ramp_from, rules=rules)
    known = any(one.distance_m is not None and not one.unknown for one in (run, back, ramp))
    return None if known else run.unknown


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The limits that a signal must exceed to fire; `graded` are those of severity 2 and 3."""

    over: float
    min_m: float
    excess_m: float
    graded: tuple[float, ...]
    source: str


def _signal(
    kind: Kind, observed_m: float, baseline: Baseline, *, has_run: bool, bounds: _Bounds
) -> Signal:
    """Compare the observation with the baseline, and name the first gate that it doesn't pass."""
    baseline_m, limit_m, severity = baseline.distance_m, None, 0
    if baseline.unknown or baseline_m is None:
        held_by = baseline.unknown
    else:
        limit_m = baseline_m * bounds.over
        held_by = None
        if not has_run:
            held_by = "no run on this day"
        elif observed_m < bounds.min_m - TOLERANCE_M:
            held_by = f"shorter than the rule looks at ({kind}_min_m = {bounds.min_m:.0f})"
        elif observed_m <= limit_m + TOLERANCE_M:
            held_by = f"inside the limit ({kind}_over = {bounds.over:g})"
        elif observed_m - baseline_m < bounds.excess_m - TOLERANCE_M:
            held_by = f"too little above the baseline ({kind}_excess_m = {bounds.excess_m:.0f})"
        else:
            graded_m = [band * baseline_m + TOLERANCE_M for band in bounds.graded]
            severity = 1 + sum(observed_m > most_m for most_m in graded_m)
    return Signal(
        kind=kind,
        observed_m=observed_m,
        baseline_m=baseline_m,
        limit_m=limit_m,
        fired=severity > 0,
        severity=severity,
        held_by=held_by,
        against=baseline.against,
        source=bounds.source,
    )


def _findings(
    signals: Sequence[Signal],
    session: Session | None,
    *,
    retraining: bool,
    race: Race | None,
    rules: Rules,
) -> tuple[Finding, ...]:
    if session is None:
        return ()
    run = max(session.runs, key=attrgetter("distance_m"))
    return tuple(
        Finding(
            day=session.day,
            kind=signal.kind,
            run_id=run.id,
            severity=signal.severity,
            observed_m=signal.observed_m,
            baseline_m=signal.baseline_m,
            race=_raced(session, race=race, rules=rules),
            retraining=retraining,
        )
        for signal in signals
        if signal.fired and signal.baseline_m is not None
    )


def _raced(session: Session, *, race: Race | None, rules: Rules) -> Literal["race", "maybe"] | None:
    """Whether a run of the session was a race, or may have been one judging by its distance."""
    if any(run.is_race for run in session.runs):
        return "race"
    distances_m = [run.distance_m for run in session.runs]
    if race and abs((session.day - race.day).days) <= rules.race_within_days:
        near_m = race.distance_m * rules.race_share + TOLERANCE_M
        if any(abs(metres - race.distance_m) <= near_m for metres in distances_m):
            return "race"
    common = any(
        abs(metres - common_m) <= common_m * rules.race_maybe_share + TOLERANCE_M
        for metres in distances_m
        for common_m in rules.race_maybe_m
    )
    return "maybe" if common else None


def season_of(history: History, day: date, *, rules: Rules) -> Season | None:
    """The easy season before `day`, or None if there was none: then it isn't re-training."""
    age_days = history.age_days(day)
    if age_days < rules.season_history_days:
        return None
    days = rules.season_volume_days
    known_days = min(rules.season_year_days, age_days - days + 1)
    volumes_mm = sorted(history.sums_mm(*days_before(day, known_days), days=days))
    usual_mm = volumes_mm[ceil(rules.season_percentile / 100 * known_days) - 1]
    easy_mm = rules.season_easy_share * usual_mm
    easiest_mm, easiest_on = _easiest(history, day, rules=rules)
    if usual_mm == 0 or easiest_mm > easy_mm:
        return None
    weeks = max(1, ceil((day - easiest_on).days / _WEEK_DAYS))
    last_mm, last_on = _easiest(history, day - _YEAR, rules=rules)
    was_easy = history.age_days(last_on) >= days and last_mm <= easy_mm

    def weekly_m(after: date) -> tuple[float, ...]:
        """The sums of the weeks after a day; runs later than `day` don't count."""
        starts = [after + timedelta(days=1 + _WEEK_DAYS * week) for week in range(weeks)]
        return tuple(
            history.sum_m(start, min(start + timedelta(days=_WEEK_DAYS - 1), day))
            for start in starts
        )

    return Season(
        easiest_on=easiest_on,
        easiest_m=easiest_mm / MM,
        usual_m=usual_mm / MM,
        this_ramp_m=weekly_m(easiest_on),
        last_ramp_m=weekly_m(last_on) if was_easy else (),
    )


def _easiest(history: History, day: date, *, rules: Rules) -> tuple[int, date]:
    """The smallest volume in `season_within_days` up to `day`, in mm, and its latest last day."""
    first = day - timedelta(days=rules.season_within_days - 1)
    volumes_mm = history.sums_mm(first, day, days=rules.season_volume_days)
    volumes_mm.reverse()
    smallest_mm = min(volumes_mm)
    return smallest_mm, day - timedelta(days=volumes_mm.index(smallest_mm))


def worth_mailing(
    findings: Sequence[Finding],
    *,
    mailed: Sequence[MailedAlert],
    today: date,
    rules: Rules,
    history: History | None = None,
) -> Finding | str:
    """The one finding to mail now, or the reason why there is none.

    The most severe comes first; at equal severity the single run, then the newest. `mailed` are
    the alerts mailed in the last `mail_forget_days`. With the `history`, the budget is finer:
    infrequent runners don't get the same alert at every other run, and a run isn't mailed if about
    the same distance was run not long before. The caller keeps a first import silent.
    """
    if not findings:
        return "there was nothing to warn of"
    recent = [one for one in findings if (today - one.day).days <= rules.mail_within_days]
    if not recent:
        days = min((today - one.day).days for one in findings)
        return (
            f"the run was {counted(days, 'day')} ago (mail_within_days = {rules.mail_within_days})"
        )
    known = {one: _familiar(history, one, rules=rules) if history else None for one in recent}
    news = [one for one, why in known.items() if not why]
    if not news:
        return str(known[min(recent, key=_lead)])
    leading = min(news, key=_lead)
    return _held_back(leading, mailed, today=today, history=history, rules=rules) or leading


def _familiar(history: History, finding: Finding, *, rules: Rules) -> str | None:
    """Why a run isn't news: about the same distance was run not long before. None if it is news.

    In a low month and in re-training fewer days count, because the body is no longer prepared for
    what was run before them. In re-training, a return of severity 2 is always news: the break is
    what makes the same distance too far.
    """
    if finding.kind not in ("run", "return") or finding.severity > 2:  # noqa: PLR2004  of three
        return None
    month_m = history.sum_m(*days_before(finding.day, rules.month_days))
    season_m = history.sum_m(*days_before(finding.day, rules.month_window_days))
    level_m = season_m * rules.month_days / rules.month_window_days
    if finding.retraining and finding.kind == "return" and finding.severity > 1:
        return None
    key, days = "mail_familiar_days", rules.mail_familiar_days
    if finding.retraining or month_m < rules.mail_familiar_level * level_m:
        key, days = "mail_familiar_low_days", rules.mail_familiar_low_days
    longest = history.longest(*days_before(finding.day, days))
    if longest is None or finding.observed_m > longest.distance_m * rules.run_over + TOLERANCE_M:
        return None
    return f"about as far was run not long before ({key} = {days})"


def _held_back(
    finding: Finding,
    mailed: Sequence[MailedAlert],
    *,
    today: date,
    history: History | None,
    rules: Rules,
) -> str | None:
    """The earlier alert because of which this one isn't mailed, in words, or None."""
    if finding.kind == "month":
        return _month_held_back(mailed, today=today, rules=rules)
    for one in sorted(mailed, key=lambda one: (-one.severity, -one.day.toordinal())):
        if finding.severity > one.severity:
            return None
        days = (today - one.day).days
        weight = "the same" if finding.severity == one.severity else "more"
        alert = f"an alert of {weight} weight was mailed on {one.day}"
        if days < rules.mail_every_days:
            return f"{alert} (mail_every_days = {rules.mail_every_days})"
        if history and days < rules.mail_forget_days and not _far(history, finding, rules=rules):
            runs = len(history.between(one.day + timedelta(days=1), today))
            if runs < rules.mail_every_runs:
                since = counted(runs, "run")
                return f"{alert}, {since} ago (mail_every_runs = {rules.mail_every_runs})"
    return None


def _month_held_back(mailed: Sequence[MailedAlert], *, today: date, rules: Rules) -> str | None:
    """Why a month's rise isn't mailed, or None. It lasts for weeks, so it is mailed less often."""
    last = max((one.day for one in mailed), default=None)
    if last is None or (today - last).days >= rules.mail_month_days:
        return None
    return f"an alert was mailed on {last} (mail_month_days = {rules.mail_month_days})"


def _far(history: History, finding: Finding, *, rules: Rules) -> bool:
    """Whether a run is so much longer than any of the last months that it needn't wait for runs."""
    if finding.kind not in ("run", "return") or finding.severity < 3:  # noqa: PLR2004  of three
        return False
    longest = history.longest(*days_before(finding.day, rules.mail_familiar_days))
    return longest is None or finding.observed_m > rules.mail_far_over * longest.distance_m


def _lead(finding: Finding) -> tuple[int, int, int]:
    return (-finding.severity, _LEADS[finding.kind], -finding.day.toordinal())


def replay(history: History, *, rules: Rules, race: Race | None = None) -> tuple[Replayed, ...]:
    """Replay a history day by day: each finding, and whether it would have been mailed that day."""
    mailed: list[MailedAlert] = []
    replayed: list[Replayed] = []
    for day in history.days():
        verdict = judge_day(history, day, rules=rules, race=race)
        # The last mail is enough: it was only sent because no earlier one held it back.
        choice = worth_mailing(
            verdict.findings, mailed=mailed[-1:], today=verdict.day, rules=rules, history=history
        )
        if isinstance(choice, Finding):
            mailed.append(MailedAlert(verdict.day, choice.severity))
        replayed += [Replayed(verdict, one, mailed=one is choice) for one in verdict.findings]
    return tuple(replayed)
