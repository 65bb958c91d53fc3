"""The command `status`: the state of everything, and what needs attention."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from worker import __version__
from worker.cli.context import AttentionError, CommandContext, JsonOption, command_of, zulu
from worker.domain.checkins import Reason, stop_of
from worker.domain.files import FileVerdict
from worker.domain.models import Athlete
from worker.domain.shown import counted
from worker.domain.weeks import local_day

if TYPE_CHECKING:
    from worker.store import Transaction
    from worker.store.outbox import State

_REASONS: Mapping[Reason, str] = {
    "emergency": "a sign of an emergency",
    "flag": "a red flag",
    "severe": "strong pain",
    "repeated": "pain on more than one day",
    "rising": "rising pain",
}
_STATES: Mapping[str, str] = {
    "ok": "works",
    "waiting": "nothing yet",
    "failing": "doesn't work",
    "off": "off",
}
_FILES: Mapping[str, str] = {
    "waiting": "waits:",
    "unread": "will be read again:",
    "failed": "couldn't be read:",
    "skipped": "is no run:",
}
_MORE: Mapping[str, str] = {
    "waiting": "wait",
    "unread": "will be read again",
    "failed": "couldn't be read",
    "skipped": "are no runs",
}
_FOUND: Mapping[str, str] = {
    "run": "the warning about a long run",
    "return": "the warning about the return from a break",
    "ramp": "the warning about a week",
    "month": "the warning about a month",
}
"""Words for findings, as above for reasons, sources and files; the JSON has the codes."""

_LISTED: tuple[FileVerdict, ...] = ("waiting", "unread", "failed", "skipped")
_MOST_LISTED = 10_000
"""The most files of a kind in the JSON, because a folder may hold hundreds of thousands."""
_MOST_SAID = 50
_MOST_NOTES = 5


def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the state of athletes, sources, mail and inbox."""
    command = command_of(context)
    with command.store.reading() as tx:
        report = _status(command, tx)
    if as_json:
        command.print_json(report)
    else:
        _print_status(command, report)
    if not report["ok"]:
        raise AttentionError(report["attention"][0])


def _status(command: CommandContext, tx: "Transaction") -> dict[str, Any]:
    from worker.health import MADE_UP_TICK, Audience, check_health, shown_ticks
    from worker.jobs.rhythm import rhythms

    outbox, inbox = tx.outbox.counts(), tx.inbox.counts()
    files = {
        verdict: [
            {"file": e.path, "reason": e.reason}
            for e in tx.inbox.with_verdict(
                verdict, most=_MOST_LISTED, reasoned=verdict == "waiting"
            )
        ]
        for verdict in _LISTED
    }
    noted = tx.inbox.with_verdict("imported", most=_MOST_LISTED, reasoned=True)
    ticks = tx.progress.ticks()
    # Ticks by a simulated clock show how the runs ended, but not when.
    is_made_up = MADE_UP_TICK in ticks
    now = max(tick.at for tick in ticks.values()) if is_made_up else datetime.now(UTC)
    troubles = check_health(
        tx,
        now,
        patience={
            name: rhythm.patience for name, rhythm in rhythms(command.settings.inbox.every).items()
        },
        audience=Audience.STATUS,
        unusable=_unusable(command),
        works_elsewhere=command.store.works_elsewhere(),
        most=_MOST_SAID,
    )
    return {
        "ok": not troubles,
        "version": __version__,
        "database": command.store.engine.url.render_as_string(hide_password=True),
        "athletes": [_athlete_status(tx, who, now) for who in tx.athletes.all()],
        "outbox": {
            "queued": sum(outbox.get(state, 0) for state in ("queued", "claimed", "at_dot")),
            "retrying": outbox.get("retry", 0),
            "dead": outbox.get("dead", 0),
            "held": outbox.get("held", 0),
            "being_sent": outbox.get("claimed", 0),
            "awaiting_answer": outbox.get("at_dot", 0),
        },
        "inbox": {
            "imported": inbox.get("imported", 0),
            "duplicate": inbox.get("duplicate", 0),
            "failed": files["failed"],
            "skipped": files["skipped"],
            "waiting": files["waiting"],
            "unread": files["unread"],
            "noted": [{"file": one.path, "reason": one.reason} for one in noted],
            "more": {
                verdict: inbox.get(verdict, 0) - len(listed)
                for verdict, listed in files.items()
                if len(listed) == _MOST_LISTED
            },
        },
        "ticks": {
            name: {"at": tick.at, "trouble": tick.trouble}
            for name, tick in shown_ticks(ticks).items()
        },
        "crew": [
            {"role": worker.role, "place": worker.place, "seen": worker.seen_at}
            for worker in tx.workers.living(within=timedelta(minutes=1))
        ],
        "attention": [trouble.text for trouble in troubles],
    }


def _athlete_status(tx: "Transaction", who: Athlete, now: datetime) -> dict[str, Any]:
    from worker.sources.sections import SECTIONS
    from worker.store.progress import SourceState

    number, last_at = tx.runs.count(who)
    stop = stop_of(tx.checkins.all(who), today=local_day(who, now))
    sources = {"inbox": SourceState("waiting")} | dict(tx.progress.sources(who))
    return {
        "name": who.name,
        "runs": number,
        "last_run": last_at,
        "sources": {
            source: {
                "state": state.state,
                "last_success": state.last_success_at,
                "last_error": state.last_error,
                "backlog": state.backlog,
            }
            for source, state in sources.items()
        },
        "next_weekly": tx.athletes.next_weekly_at(who),
        "paused_since": who.paused_at,
        "stopped": stop
        and {
            "state": stop.advice.state,
            "reasons": stop.advice.reasons,
            "since": stop.since,
            "ends_on": stop.ends_on,
        },
        "quarantined": [
            {
                "run_id": kept.run.id,
                "day": kept.run.day,
                "distance_m": kept.run.distance_m,
                "reason": kept.quarantine,
            }
            for kept in tx.runs.quarantined(who)
        ],
        "unreadable": [
            {"source": source, "external_id": one.external_id, "reason": one.reason}
            for source in SECTIONS
            for one in tx.source(source).unreadable(who)
        ],
        "withdrawn": [
            {
                "id": found.id,
                "day": found.finding.day,
                "kind": found.finding.kind,
                "withdrawn_at": found.withdrawn_at,
            }
            for found in tx.findings.withdrawn(who)
        ],
    }


def _unusable(command: CommandContext) -> list[str]:
    """The problems of the operator's routine and templates that can't be used."""
    from worker.config import SettingsError, folder

    beside = folder(command.file)
    own = (beside / "routine.toml", beside / "templates")
    if not any(path.exists() for path in own) and command.settings.mail.language == "en":
        return []
    from worker.app import UNUSED_KEYS, build_composer, read_routines

    try:
        read_routines(command.file)
        composer = build_composer(command.settings, command.file, UNUSED_KEYS)
        composer.check()
    except SettingsError as error:
        return [str(error)]
    return list(composer.unusable)


def _print_status(command: CommandContext, report: dict[str, Any]) -> None:
    command.say(
        f"easeback {report['version']}: {'all well' if report['ok'] else 'needs attention'}"
    )
    command.say(f"database  {report['database']}")
    for athlete in report["athletes"]:
        _print_athlete(command, athlete)
    outbox, inbox = report["outbox"], report["inbox"]
    command.say(f"mail      {_mail_in_words(outbox)}")
    again = f", {len(inbox['unread'])} waiting to be read again" if inbox["unread"] else ""
    command.say(
        f"inbox     {inbox['imported']} taken in, {inbox['duplicate']} known already{again}"
    )
    _print_files(command, inbox)
    _print_notes(command, inbox["noted"])
    for worker in report["crew"]:
        command.say(f"{worker['role']:9} {worker['place']}, seen {zulu(worker['seen'])}")
    for line in report["attention"]:
        command.say(f"! {line}")


def _mail_in_words(outbox: Mapping[str, int]) -> str:
    """The number of mails by state; rare states only if there are any."""
    from worker.store.outbox import STATES_IN_WORDS

    on_their_way = outbox["being_sent"] + outbox["awaiting_answer"]
    numbers: dict[State, int] = {
        "queued": outbox["queued"] - on_their_way,
        "claimed": outbox["being_sent"],
        "at_dot": outbox["awaiting_answer"],
        "retry": outbox["retrying"],
        "dead": outbox["dead"],
        "held": outbox["held"],
    }
    return ", ".join(
        f"{number} {STATES_IN_WORDS[state]}"
        for state, number in numbers.items()
        if number or state in ("queued", "retry", "dead")
    )


def _print_athlete(command: CommandContext, athlete: dict[str, Any]) -> None:
    last = zulu(athlete["last_run"]) if athlete["last_run"] else "none yet"
    command.say(f"{athlete['name']}: {counted(athlete['runs'], 'run')}, the last {last}")
    if athlete["paused_since"]:
        command.say(f"  mail is paused since {zulu(athlete['paused_since'])}")
    else:
        command.say(f"  weekly mail next at {zulu(athlete['next_weekly'])}")
    if stopped := athlete["stopped"]:
        reasons = ", ".join(_REASONS[reason] for reason in stopped["reasons"])
        command.say(
            f"  no run is suggested since {stopped['since']} ({reasons}): that ends with the "
            f'next answer "fine", or on {stopped["ends_on"]} without an answer'
        )
    for source, state in athlete["sources"].items():
        error = f", {state['last_error']}" if state["last_error"] else ""
        last = f", last {zulu(state['last_success'])}" if state["last_success"] else ""
        command.say(f"  {source}: {_STATES[state['state']]}{last}{error}")
    for one in athlete["quarantined"]:
        command.say(f"  run {one['run_id']} of {one['day']} doesn't count: {one['reason']}")
    for one in athlete["unreadable"]:
        command.say(f"  {one['source']} {one['external_id']} isn't counted: {one['reason']}")
    for one in athlete["withdrawn"]:
        command.say(
            f"  {_FOUND[one['kind']]} of {one['day']} was taken back: the run that caused it "
            "has changed or gone"
        )


def _print_files(command: CommandContext, inbox: dict[str, Any]) -> None:
    """Print the first files of each kind that need a remark."""
    for verdict in _LISTED:
        for entry in inbox[verdict][:_MOST_SAID]:
            command.say(f"  {entry['file']} {_FILES[verdict]} {entry['reason']}")
        more = len(inbox[verdict]) - _MOST_SAID + inbox["more"].get(verdict, 0)
        if more > 0:
            command.say(
                f"  {more:,} more {_MORE[verdict]}: `easeback status --json` lists "
                f"{_MOST_LISTED:,} of each kind"
            )


def _print_notes(command: CommandContext, noted: list[dict[str, Any]]) -> None:
    """Print a few remarks about runs that were recovered or are doubtful."""
    for entry in noted[:_MOST_NOTES]:
        command.say(f"  about {entry['file']}: {entry['reason']}")
    if len(noted) > _MOST_NOTES:
        more = counted(len(noted) - _MOST_NOTES, "more file")
        command.say(f"  about {more}: `easeback status --json` lists them")
