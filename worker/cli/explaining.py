"""The words of `explain`: each signal of a day with its numbers, and what became of it."""

from datetime import date
from typing import TYPE_CHECKING

from worker import detect
from worker.cli.reports import far
from worker.cli.shell import Shell
from worker.load import History
from worker.model import Athlete, Signal
from worker.rules import Rules

if TYPE_CHECKING:
    from worker.store import Transaction


def explain_day(shell: Shell, tx: "Transaction", athlete: Athlete, day: date) -> None:
    """Print why a day warned or didn't."""
    rules = shell.settings.rules
    history = History.of(tx.runs.counted(athlete), rules=rules)
    verdict = detect.judge(history, day, rules=rules, race=athlete.race)
    sessions = history.between(day, day)
    ran = ", ".join(far(session.distance_m, athlete.units) for session in sessions) or "no run"
    shell.say(f"{athlete.name}, {day:%A} {day}: {ran}")
    if verdict.too_little:
        shell.say(f"no ratio over so little: {verdict.too_little}")
    for signal in verdict.signals:
        _say_signal(shell, athlete, signal, rules)
    if verdict.season is not None:
        season, days = verdict.season, rules.season_volume_days
        span = "four weeks" if days == 28 else f"{days} days"  # noqa: PLR2004  as people say it
        shell.say(
            f"re-training: the {span} to {season.easiest_on} held "
            f"{far(season.easiest_m, athlete.units)}, usual is {far(season.usual_m, athlete.units)}"
        )
    _say_kept(shell, tx, athlete, day)


def _measured(signal: Signal, rules: Rules) -> tuple[str, str]:
    """What a signal sets against what."""
    if signal.kind == "ramp":
        return (
            f"the last {rules.ramp_days} days",
            f"the largest {rules.ramp_days} days of the {rules.ramp_window_days} before",
        )
    if signal.kind == "return":
        return "the day's longest session", "what the break leaves of the longest before it"
    return "the day's longest session", f"the longest of the {rules.run_window_days} days before"


def _say_signal(shell: Shell, athlete: Athlete, signal: Signal, rules: Rules) -> None:
    units = athlete.units
    observed, baseline = _measured(signal, rules)
    shell.say("")
    outcome = f"fired, severity {signal.severity}" if signal.fired else "did not fire"
    shell.say(f"{signal.kind}: {outcome}")
    shell.say(f"  {observed}: {far(signal.observed_m, units)}")
    if signal.baseline_m:
        against = f" (on {signal.against})" if signal.against else ""
        ratio = signal.observed_m / signal.baseline_m
        shell.say(f"  {baseline}: {far(signal.baseline_m, units)}{against}, so × {ratio:.2f}")
    if signal.limit_m is not None:
        shell.say(f"  threshold: {far(signal.limit_m, units)}")
    if signal.held_by:
        shell.say(f"  held by: {signal.held_by}")
    shell.say(f"  source: {signal.source}")


def _say_kept(shell: Shell, tx: "Transaction", athlete: Athlete, day: date) -> None:
    """What was kept of that day: findings and their mail, withdrawn ones, runs that don't count."""
    shell.say("")
    for found in tx.findings.standing(athlete, since=day):
        if found.finding.day == day:
            mail = (
                f"mailed at {found.mailed_at:%Y-%m-%d %H:%M} UTC"
                if found.mailed_at
                else "its mail is queued"
                if found.told_on
                else f"not mailed: {found.silence}"
            )
            shell.say(f"finding {found.id} ({found.finding.kind}): {mail}")
    for found in tx.findings.withdrawn(athlete):
        if found.finding.day == day:
            shell.say(f"finding {found.id} ({found.finding.kind}): withdrawn, its cause has gone")
    for kept in tx.runs.quarantined(athlete):
        if kept.run.day == day:
            shell.say(
                f"run {kept.run.id}, {far(kept.run.distance_m, athlete.units)}, "
                f"doesn't count: {kept.quarantine}"
            )
