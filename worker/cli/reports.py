"""Commands that tell: runs, alerts, status, explain, ceiling."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker import __version__
from worker.cli.shell import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    JsonOption,
    Shell,
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
    app.command("status")(status)
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


def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """How Easeback feels: database, athletes, sources, mail, inbox."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        told = _status(shell, tx)
    if as_json:
        shell.print_json(told)
    else:
        _print_status(shell, told)
    if not told["ok"]:
        raise AttentionError(told["attention"][0])


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
                "next_run_m": found.next_run_m,
                "week_m": found.week_m,
                "week_done_m": found.week_done_m,
                "longest_30d_m": found.longest_30d_m,
                "basis": found.basis,
            }
        )
        return
    next_run, week_m = far(found.next_run_m, who.units), far(found.week_m, who.units)
    shell.say(f"next run: at most {next_run}")
    shell.say(f"this week: at most {week_m}, {far(found.week_done_m, who.units)} done so far")
    shell.say(f"longest of the last 30 days: {far(found.longest_30d_m, who.units)}")
    shell.say(f"why: {found.basis}")
    if found.readiness is not None:
        ready = found.readiness
        short = f", {ready.weeks_short} weeks short" if ready.weeks_short else ""
        shell.say(f"{ready.race.name} on {ready.race.day}: {ready.state}{short}")
        for long_run in ready.plan:
            shell.say(f"  {long_run.day:%a} {long_run.day}  {far(long_run.distance_m, who.units)}")


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


def _status(shell: Shell, tx: "Transaction") -> dict[str, Any]:
    outbox, inbox = tx.outbox.counts(), tx.inbox.counts()
    files = {
        verdict: [{"file": e.path, "reason": e.reason} for e in tx.inbox.with_verdict(verdict)]
        for verdict in ("failed", "skipped", "waiting")
    }
    waiting = [entry for entry in files["waiting"] if entry["reason"]]
    athletes = [_athlete_status(tx, who) for who in tx.athletes.all()]
    attention = _attention(tx, outbox, waiting, athletes)
    return {
        "ok": not attention,
        "version": __version__,
        "database": shell.store.engine.url.render_as_string(hide_password=True),
        "athletes": athletes,
        "outbox": {
            "queued": sum(outbox.get(state, 0) for state in ("queued", "claimed", "at_dot")),
            "retrying": outbox.get("retry", 0),
            "dead": outbox.get("dead", 0),
            "held": outbox.get("held", 0),
        },
        "inbox": {
            "imported": inbox.get("imported", 0),
            "duplicate": inbox.get("duplicate", 0),
            "failed": files["failed"],
            "skipped": files["skipped"],
            "waiting": waiting,
        },
        "ticks": {
            name: {"at": zulu(tick.at), "trouble": tick.trouble}
            for name, tick in tx.progress.ticks().items()
        },
        "attention": attention,
    }


def _athlete_status(tx: "Transaction", who: Athlete) -> dict[str, Any]:
    from worker.store import SourceState

    number, last_at = tx.runs.count(who)
    sources = {"inbox": SourceState("waiting")} | dict(tx.progress.sources(who))
    return {
        "name": who.name,
        "runs": number,
        "last_run": zulu(last_at),
        "sources": {
            source: {
                "state": state.state,
                "last_success": zulu(state.last_success_at),
                "last_error": state.last_error,
                "backlog": state.backlog,
            }
            for source, state in sources.items()
        },
        "next_weekly": zulu(tx.athletes.next_weekly_at(who)),
        "quarantined": [
            {
                "run_id": kept.run.id,
                "day": kept.run.day.isoformat(),
                "distance_m": kept.run.distance_m,
                "reason": kept.quarantine,
            }
            for kept in tx.runs.quarantined(who)
        ],
        "unreadable": [
            {"source": "strava", "external_id": one.external_id, "reason": one.reason}
            for one in tx.strava.unreadable(who)
        ],
        "withdrawn": [
            {
                "id": found.id,
                "day": found.finding.day.isoformat(),
                "kind": found.finding.kind,
                "withdrawn_at": zulu(found.withdrawn_at),
            }
            for found in tx.findings.withdrawn(who)
        ],
    }


def _attention(
    tx: "Transaction",
    outbox: dict[str, int],
    waiting: list[dict[str, str]],
    athletes: list[dict[str, Any]],
) -> list[str]:
    """What somebody should look at, the gravest first."""
    dead = outbox.get("dead", 0)
    errors = [letter.last_error for letter in tx.outbox.unsent() if letter.last_error]
    return [
        *([f"{dead} mail(s) could not be delivered: {errors[-1]}"] if dead else []),
        *(
            [f"mail is being retried: {errors[-1]}"]
            if outbox.get("retry", 0) and not dead and errors
            else []
        ),
        *(f"{name}: {tick.trouble}" for name, tick in tx.progress.ticks().items() if tick.trouble),
        *(
            f"{athlete['name']}, {source}: {state['last_error']}"
            for athlete in athletes
            for source, state in athlete["sources"].items()
            if state["state"] == "failing"
        ),
        *(f"{entry['file']} waits: {entry['reason']}" for entry in waiting),
    ]


def _print_status(shell: Shell, told: dict[str, Any]) -> None:
    shell.say(f"easeback {told['version']}: {'all well' if told['ok'] else 'needs attention'}")
    shell.say(f"database  {told['database']}")
    for athlete in told["athletes"]:
        last = athlete["last_run"] or "none yet"
        shell.say(f"{athlete['name']}: {athlete['runs']} runs, the last {last}")
        shell.say(f"  weekly mail next at {athlete['next_weekly']}")
        for source, state in athlete["sources"].items():
            error = f", {state['last_error']}" if state["last_error"] else ""
            last = f", last {state['last_success']}" if state["last_success"] else ""
            shell.say(f"  {source}: {state['state']}{last}{error}")
        for one in athlete["quarantined"]:
            shell.say(f"  run {one['run_id']} of {one['day']} doesn't count: {one['reason']}")
        for one in athlete["unreadable"]:
            shell.say(f"  {one['source']} {one['external_id']} isn't counted: {one['reason']}")
        for one in athlete["withdrawn"]:
            shell.say(f"  {one['kind']} of {one['day']} was withdrawn: its cause has gone")
    outbox, inbox = told["outbox"], told["inbox"]
    shell.say(
        f"mail      {outbox['queued']} queued, {outbox['retrying']} retrying, {outbox['dead']} dead"
    )
    shell.say(f"inbox     {inbox['imported']} imported, {inbox['duplicate']} known already")
    for verdict in ("waiting", "failed", "skipped"):
        for entry in inbox[verdict]:
            shell.say(f"  {verdict} {entry['file']}: {entry['reason']}")
    for line in told["attention"]:
        shell.say(f"! {line}")
