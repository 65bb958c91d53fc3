"""Commands that tell: runs, alerts, explain, ceiling."""

import math
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.shell import (
    AsOfOption,
    AthleteOption,
    JsonOption,
    UsageError,
    athletes_meant,
    clock,
    day_of,
    shell_of,
    the_athlete,
    zulu,
)
from worker.model import METRES_PER, Athlete, Units

if TYPE_CHECKING:
    from worker.store import Found, Kept, Transaction


def register(app: typer.Typer) -> None:
    app.command("runs")(runs)
    app.command("alerts")(alerts)
    app.command("explain")(explain)
    app.command("ceiling")(ceiling)


def runs(
    context: typer.Context, athlete: AthleteOption = None, as_json: JsonOption = False
) -> None:
    """The runs that count, oldest first."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        kept = [
            (who, one)
            for who in athletes_meant(tx, athlete)
            for one in tx.runs.kept(who)
            if one.quarantine is None
        ]
    kept.sort(key=lambda pair: (pair[1].run.started_at, pair[1].run.id))
    if as_json:
        shell.print_json([_run_json(who, one) for who, one in kept])
        return
    if not kept:
        shell.say("no runs yet: drop FIT files into the inbox, or `easeback import` them")
        return
    from rich.table import Table

    table = Table("id", "athlete", "day", "distance", "time", "sport", "from", box=None)
    for who, one in kept:
        run = one.run
        table.add_row(
            str(run.id),
            who.name,
            f"{run.day:%a} {run.day}",
            far(run.distance_m, who.units),
            _clock_time(run.moving_s or run.elapsed_s),
            run.sport + (" race" if run.is_race else ""),
            ", ".join(sorted({source for source, _ in one.sources})),
        )
    shell.out.print(table)


def alerts(
    context: typer.Context, athlete: AthleteOption = None, as_json: JsonOption = False
) -> None:
    """What was found, and what was mailed of it."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        found = [
            (who, one) for who in athletes_meant(tx, athlete) for one in tx.findings.standing(who)
        ]
    found.sort(key=lambda pair: (pair[1].finding.day, pair[1].id))
    if as_json:
        shell.print_json([_alert_json(who, one) for who, one in found])
        return
    if not found:
        shell.say("nothing was found so far (that doesn't mean safe)")
        return
    from rich.table import Table

    table = Table("id", "athlete", "day", "kind", "weight", "ran", "against", "×", "mail", box=None)
    for who, one in found:
        f = one.finding
        table.add_row(
            str(one.id),
            who.name,
            f"{f.day:%a} {f.day}",
            f.kind,
            str(f.severity),
            far(f.observed_m, who.units),
            far(f.baseline_m, who.units),
            f"{f.ratio:.2f}",
            _mail_words(one),
        )
    shell.out.print(table)


def explain(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[DATE|RUN]", help="A day, or a run's id; default: the last run."),
    ] = None,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Why it did or didn't warn: each signal, its numbers, its threshold, its source."""
    from worker.cli.explaining import explain_day

    shell = shell_of(context)
    now = clock(as_of)()
    with shell.store.reading() as tx:
        who = the_athlete(tx, athlete)
        day = _day_meant(tx, who, what, now)
        explain_day(shell, tx, who, day)


def ceiling(
    context: typer.Context,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """The longest next run and the week that stay inside the rules today."""
    from worker import ceiling as rule
    from worker.load import History
    from worker.pipeline import today_of

    shell = shell_of(context)
    now = clock(as_of)()
    with shell.store.reading() as tx:
        who = the_athlete(tx, athlete)
        history = History.of(tx.runs.counted(who), rules=shell.settings.rules)
    today = today_of(who, now)
    found = rule.ceiling(
        history, today, rules=shell.settings.rules, week_starts=who.week_starts, race=who.race
    )
    if as_json:
        shell.print_json(
            {
                "day": found.day.isoformat(),
                "next_run_m": _to_mm(found.next_run_m),
                "week_m": _to_mm(found.week_m),
                "week_done_m": _to_mm(found.week_done_m),
                "longest_30d_m": _to_mm(found.longest_window_m),
                "basis": found.basis,
            }
        )
        return
    done = far(found.week_done_m, who.units)
    shell.say(f"next run: {_at_most(found.next_run_m, who.units)}")
    shell.say(f"this week: {_at_most(found.week_m, who.units)}, {done} done so far")
    days = shell.settings.rules.run_window_days
    shell.say(f"longest of the last {days} days: {far(found.longest_window_m, who.units)}")
    shell.say(f"why: {found.basis}")
    if found.readiness is not None:
        ready = found.readiness
        state = f"{ready.weeks_short} weeks short" if ready.weeks_short else ready.state
        shell.say(f"{ready.race.name} on {ready.race.day}: {state}")
        for one in ready.plan:
            shell.say(f"  {one.day:%a} {one.day}  {_at_most(one.distance_m, who.units)}")


def _to_mm(metres: float | None) -> float | None:
    return None if metres is None else round(metres, 3)


def _at_most(metres: float | None, units: Units) -> str:
    """A ceiling, rounded down: what is shown must lie inside it."""
    if metres is None:
        return "not known yet"
    return f"at most {math.floor(metres / METRES_PER[units] * 10 + 1e-9) / 10:.1f} {units}"


def far(metres: float | None, units: Units) -> str:
    """A distance as the athlete counts it."""
    return "–" if metres is None else f"{metres / METRES_PER[units]:.1f} {units}"


def _run_json(who: Athlete, kept: "Kept") -> dict[str, Any]:
    run = kept.run
    return {
        "id": run.id,
        "athlete": who.name,
        "started_at": zulu(run.started_at),
        "day": run.day.isoformat(),
        "distance_m": run.distance_m,
        "moving_s": run.moving_s,
        "elapsed_s": run.elapsed_s,
        "sport": run.sport,
        "sources": [
            {"source": source, "external_id": external_id} for source, external_id in kept.sources
        ],
    }


def _alert_json(who: Athlete, found: "Found") -> dict[str, Any]:
    f = found.finding
    return {
        "id": found.id,
        "athlete": who.name,
        "day": f.day.isoformat(),
        "kind": f.kind,
        "severity": f.severity,
        "observed": f.observed_m,
        "baseline": f.baseline_m,
        "ratio": f.ratio,
        "run_id": f.run_id,
        "mailed_at": zulu(found.mailed_at),
        "message_id": found.message_id,
    }


def _mail_words(found: "Found") -> str:
    if found.mailed_at is not None:
        return f"mailed {found.mailed_at:%Y-%m-%d %H:%M} UTC"
    return "queued" if found.told_on is not None else f"not mailed: {found.silence}"


def _clock_time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _day_meant(tx: "Transaction", who: Athlete, what: str | None, now: datetime) -> date:
    from worker.pipeline import today_of

    if what is not None and "-" in what:
        return day_of(what)
    kept = tx.runs.kept(who)
    if what is None:
        days = [one.run.day for one in kept if one.run.day <= today_of(who, now)]
        return max(days, default=today_of(who, now))
    for one in kept:
        if str(one.run.id) == what:
            return one.run.day
    raise UsageError(f"{what!r} is neither a date such as 2026-03-07 nor the id of one of the runs")
