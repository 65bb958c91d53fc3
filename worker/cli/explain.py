"""The command `explain`: each signal of a day, with its numbers and its outcome."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import (
    AsOfOption,
    AthleteOption,
    CommandContext,
    JsonOption,
    UsageError,
    clock_as_of,
    command_of,
    parse_day,
    the_athlete,
)
from worker.cli.reports import mail_words
from worker.domain.models import Athlete, Signal
from worker.domain.shown import counted, format_distance

if TYPE_CHECKING:
    from worker.domain.planner import Absorbed
    from worker.domain.rules import Rules
    from worker.store import StoredFinding, StoredRun, Transaction


def explain(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="DATE|RUN", help="A day, or a run's id; default: the last run."),
    ] = None,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show why a day did or didn't bring a warning.

    Each signal is shown with its numbers, its threshold and its source.
    """
    from worker.domain import detector
    from worker.domain.history import History
    from worker.domain.planner import absorbed

    command = command_of(context)
    rules = command.settings.rules
    now = clock_as_of(as_of)()
    with command.store.reading() as tx:
        who = the_athlete(tx, athlete)
        day = _day_meant(tx, who, what, now)
        history = History.of(tx.runs.counted(who), rules=rules)
        verdict = detector.judge_day(history, day, rules=rules, race=who.race)
        sessions = history.between(day, day)
        missing = detector.too_little(history, day, rules=rules)
        builds_on = absorbed(history, day, rules=rules)
        if as_json:
            judged = {
                "athlete": who.name,
                "day": day,
                "sessions_m": [session.distance_m for session in sessions],
                "verdict": _verdict(verdict.signals, missing),
                "signals": list(map(_signal_json, verdict.signals)),
                "season": verdict.season
                and {
                    "easiest_on": verdict.season.easiest_on,
                    "easiest_m": verdict.season.easiest_m,
                    "usual_m": verdict.season.usual_m,
                },
                "absorbed": {"long_m": builds_on.long_m, "week_m": builds_on.week_m},
            }
            command.print_json(judged | _recorded_json(tx, who, day))
            return
        ran = ", ".join(format_distance(one.distance_m, who.units) for one in sessions) or "no run"
        command.say(f"{who.name}, {day:%A} {day}: {ran}")
        if rules.climb_m_per_km:
            command.say(f"climb counts in all of this: {rules.climb_m_per_km:g} m up as 1 km more")
        if missing:
            command.say(f"no ratio over so little: {missing}")
        for signal in verdict.signals:
            _say_signal(command, who, signal, rules)
        if (season := verdict.season) is not None:
            days = rules.season_volume_days
            span = "four weeks" if days == 28 else counted(days, "day")  # noqa: PLR2004  as people say it
            easiest = format_distance(season.easiest_m, who.units)
            usual = format_distance(season.usual_m, who.units)
            command.say(
                f"re-training: the {span} to {season.easiest_on} held {easiest}, usual is {usual}"
            )
        _say_absorbed(command, who, builds_on, rules)
        _say_recorded(command, tx, who, day)


def _say_absorbed(
    command: CommandContext, athlete: Athlete, found: "Absorbed", rules: "Rules"
) -> None:
    """Print what the plan builds on, and each session in the window that didn't count in full."""
    if not found.sessions:
        return
    long, week = (format_distance(each, athlete.units) for each in (found.long_m, found.week_m))
    command.say()
    command.say(
        f"plan: it builds on a long run of {long}, absorbed in "
        f"{counted(rules.run_window_days, 'day')}, and on a week of {week}, absorbed in four weeks"
    )
    for session, metres in found.sessions:
        if metres < session.distance_m:
            ran = format_distance(session.distance_m, athlete.units)
            instead = format_distance(metres, athlete.units)
            command.say(f"  {ran} on {session.day} counted as {instead}, until it's run twice")


def _day_meant(tx: "Transaction", who: Athlete, what: str | None, now: datetime) -> date:
    from worker.domain.weeks import local_day

    if what is not None and "-" in what:
        return parse_day(what)
    days = tx.runs.days(who)
    if what is None:
        today = local_day(who, now)
        return max((day for day in days.values() if day <= today), default=today)
    for run_id, day in days.items():
        if str(run_id) == what:
            return day
    raise UsageError(f"{what!r} is neither a date such as 2026-03-07 nor the id of one of the runs")


def _measured(signal: Signal, rules: "Rules") -> tuple[str, str]:
    """The two quantities that a signal compares."""
    if signal.kind == "ramp":
        week = counted(rules.ramp_days, "day")
        return f"the last {week}", f"the largest {week} of the {rules.ramp_window_days} before"
    if signal.kind == "month":
        month = counted(rules.month_days, "day")
        return f"the last {month}", f"the largest {month} of the {rules.month_window_days} before"
    if signal.kind == "return":
        return "the day's longest session", "what the break leaves of the longest before it"
    return (
        "the day's longest session",
        f"the longest of the {counted(rules.run_window_days, 'day')} before",
    )


def _say_signal(command: CommandContext, athlete: Athlete, signal: Signal, rules: "Rules") -> None:
    units = athlete.units
    observed, baseline = _measured(signal, rules)
    command.say("")
    outcome = f"fired, severity {signal.severity}" if signal.fired else "did not fire"
    command.say(f"{signal.kind}: {outcome}")
    command.say(f"  {observed}: {format_distance(signal.observed_m, units)}")
    if signal.baseline_m:
        against = f" (on {signal.against})" if signal.against else ""
        measured = format_distance(signal.baseline_m, units)
        ratio = signal.observed_m / signal.baseline_m
        command.say(f"  {baseline}: {measured}{against}, so × {ratio:.2f}")
    if signal.limit_m is not None and signal.baseline_m:
        limit = format_distance(signal.limit_m, units)
        times = format_distance(signal.baseline_m, units)
        command.say(f"  threshold: {_factor(signal):.2f} × {times} = {limit}")
    if signal.held_by:
        command.say(f"  held by: {signal.held_by}")
    command.say(f"  source: {signal.source}")


def _factor(signal: Signal) -> float | None:
    """The threshold as a multiple of the baseline."""
    if signal.limit_m is None or not signal.baseline_m:
        return None
    return round(signal.limit_m / signal.baseline_m, 4)


def _verdict(signals: Sequence[Signal], missing: str | None) -> str:
    if any(signal.fired for signal in signals):
        return "fired"
    return f"no ratio over so little: {missing}" if missing else "did not fire"


def _signal_json(signal: Signal) -> dict[str, Any]:
    """A signal's numbers; distances in metres."""
    return {
        "kind": signal.kind,
        "fired": signal.fired,
        "severity": signal.severity,
        "observed_m": signal.observed_m,
        "baseline_m": signal.baseline_m,
        "baseline_on": signal.against,
        "factor": _factor(signal),
        "threshold_m": signal.limit_m,
        "held_by": signal.held_by,
        "source": signal.source,
    }


def _recorded(
    tx: "Transaction", who: Athlete, day: date
) -> "tuple[list[StoredFinding], list[StoredFinding], list[StoredRun]]":
    """What is stored about a day: its findings, those withdrawn, and its runs that don't count."""
    return (
        [one for one in tx.findings.standing(who, since=day) if one.finding.day == day],
        [one for one in tx.findings.withdrawn(who) if one.finding.day == day],
        [one for one in tx.runs.quarantined(who) if one.run.day == day],
    )


def _recorded_json(tx: "Transaction", who: Athlete, day: date) -> dict[str, Any]:
    """What is stored about a day, for `--json`; withdrawn findings have no mail."""
    standing, withdrawn, left_out = _recorded(tx, who, day)
    return {
        "findings": [
            {"id": one.id, "kind": one.finding.kind, "withdrawn": False, "mail": mail_words(one)}
            for one in standing
        ]
        + [
            {"id": one.id, "kind": one.finding.kind, "withdrawn": True, "mail": None}
            for one in withdrawn
        ],
        "left_out": [
            {"run_id": one.run.id, "distance_m": one.run.distance_m, "reason": one.quarantine}
            for one in left_out
        ],
    }


def _say_recorded(command: CommandContext, tx: "Transaction", athlete: Athlete, day: date) -> None:
    """Print what is stored about a day."""
    standing, withdrawn, left_out = _recorded(tx, athlete, day)
    command.say("")
    for found in standing:
        command.say(f"finding {found.id} ({found.finding.kind}): {mail_words(found)}")
    for found in withdrawn:
        command.say(f"finding {found.id} ({found.finding.kind}): withdrawn, its cause has gone")
    for one in left_out:
        distance = format_distance(one.run.distance_m, athlete.units)
        command.say(f"run {one.run.id}, {distance}, doesn't count: {one.quarantine}")
