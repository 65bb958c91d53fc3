"""The commands about athletes: add, list, set, pause, resume, remove, diary, relink, forget."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import PARSERS, changed_athlete, race_of
from worker.cli.context import (
    BY_ITS_NAME,
    AthleteArgument,
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    YesOption,
    check_language,
    command_of,
    the_athlete,
)
from worker.domain.models import PAIN_AREAS, Athlete, folder_name
from worker.domain.shown import counted, printable
from worker.domain.weeks import told_days_after

if TYPE_CHECKING:
    from worker.store import Transaction

NAME = typer.Option("--name", help="The athlete's name.")
EMAIL = typer.Option("--email", help="Their mail address.")
TimezoneOption = Annotated[
    str | None, typer.Option("--timezone", help="E.g. Europe/Berlin; default: this machine's.")
]
UnitsOption = Annotated[str | None, typer.Option("--units", help="km or mi.")]
ClockOption = Annotated[str | None, typer.Option("--clock", help="24 or 12.")]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        "--language", help='Of their mails and pages: en, de or fr; "none": what [mail] sets.'
    ),
]
WeekStartsOption = Annotated[str | None, typer.Option("--week-starts", help="monday or sunday.")]
WeeklyOption = Annotated[
    str | None, typer.Option("--weekly", help='When the weekly mail is due: "mon 07:00".')
]
PainOption = Annotated[
    str | None, typer.Option("--pain", help=f'Where it hurts, or "none": {", ".join(PAIN_AREAS)}.')
]
RaceOption = Annotated[str | None, typer.Option("--race", help='The race\'s name, or "none".')]
RaceDateOption = Annotated[str | None, typer.Option("--race-date", help="E.g. 2027-05-09.")]
RaceKmOption = Annotated[float | None, typer.Option("--race-km", help="E.g. 21.1.")]

athlete_commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Add, list, change and remove athletes."
)


@athlete_commands.command("add")
def add_athlete(
    context: typer.Context,
    name: Annotated[str | None, NAME] = None,
    email: Annotated[str | None, EMAIL] = None,
    timezone: TimezoneOption = None,
    units: UnitsOption = None,
    clock: ClockOption = None,
    language: LanguageOption = None,
    week_starts: WeekStartsOption = None,
    weekly: WeeklyOption = None,
    pain: PainOption = None,
    race: RaceOption = None,
    race_date: RaceDateOption = None,
    race_km: RaceKmOption = None,
    welcome: Annotated[
        bool | None,
        typer.Option(
            "--welcome/--no-welcome",
            help="Send the first mail, with a link to the athlete's settings. By default, it is "
            "sent if other machines can open the link (base_url).",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Add everybody in this file, or nobody."),
    ] = None,
    invite: Annotated[
        bool, typer.Option("--invite", help="With --csv: send each of them the first mail.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --csv: print JSON only.")] = False,
) -> None:
    """Add an athlete.

    By default: kilometres, a 24-hour clock, weeks from Monday, the weekly mail on Mondays at 7:00.

    With --csv, add everybody in a file. Its header names columns after these options: name, email,
    and any of timezone, units, clock, language, week_starts, weekly, pain, race, race_date and
    race_km. Other options apply to everybody in it.
    """
    command, given = command_of(context), _given(context)
    if file is not None:
        if (name, email, race, race_date, race_km) != (None,) * 5:
            raise UsageError("--csv: names, addresses and races stand in the file")
        _add_from_csv(command, file, given, invite=invite or welcome is True, as_json=as_json)
        return
    if invite or as_json:
        raise UsageError("--invite and --json go with --csv")
    if name is None or email is None:
        missing = "--name" if name is None else "--email"
        raise UsageError(f"{missing} is missing: name an athlete and where their mail goes")
    wanted = changed_athlete(_fresh(given), race_of(None, race, race_date, race_km), given)
    check_language(command, wanted.language)
    save_new_athlete(command, wanted, welcome=welcome)


def _add_from_csv(
    command: CommandContext,
    file: Path,
    given: dict[str, str | None],
    *,
    invite: bool,
    as_json: bool,
) -> None:
    """Add everybody in the file, or nobody if a line can't be used, and print the result."""
    from worker.cli.athlete_csv import CsvProblem, read_athletes
    from worker.pipeline.welcome import queue_welcome

    rows, problems = read_athletes(file, _fresh(given), given)
    for one in rows:
        try:
            check_language(command, one.athlete.language)
        except UsageError as error:
            problems.append(CsvProblem(one.line, str(error).removeprefix("--")))
    added: list[Athlete] = []
    services = command.services()
    with services.store.transaction() as tx:
        taken = {folder_name(one.name): one.name for one in tx.athletes.all()}
        problems += [
            CsvProblem(one.line, f"name: there is an athlete called {taken[key]} already")
            for one in rows
            if (key := folder_name(one.athlete.name)) in taken
        ]
        if not problems:
            added = [tx.athletes.add(one.athlete) for one in rows]
        for athlete in added if invite else ():
            queue_welcome(tx, services, athlete, now=athlete.added_at)
    problems.sort(key=lambda one: one.line)
    if as_json:
        command.print_json(
            {
                "added": [_athlete_json(one) for one in added],
                "problems": [{"line": one.line, "reason": one.reason} for one in problems],
            }
        )
    if problems:
        for problem in problems:
            typer.echo(printable(f"{file}: {problem}"), err=True)
        bad = counted(len({one.line for one in problems}), "line")
        raise UsageError(f"nobody was added: mend {bad} of {file}")
    if not as_json:
        mail = "; the first mail goes to each" if invite else ""
        command.say(f"added {counted(len(added), 'athlete')}{mail}")


def save_new_athlete(
    command: CommandContext, wanted: Athlete, *, welcome: bool | None = None
) -> None:
    """Create what is missing, save the athlete, queue the first mail and print the result.

    `welcome` says whether the first mail is sent; None means only if its link opens on other
    machines. Raises `UsageError` for a name that is taken.
    """
    from worker.pipeline.welcome import queue_welcome
    from worker.setting_types import is_loopback

    services = command.services()
    with services.store.transaction() as tx:
        _check_name_is_free(tx, wanted)
        added = tx.athletes.add(wanted)
        opens = command.settings.web.enabled and not is_loopback(command.settings.base_url)
        if welcome or (welcome is None and opens):
            queue_welcome(tx, services, added, now=added.added_at)
    command.say(
        f"added {added.name}: weekly mail {added.weekly} {added.timezone} "
        f"about the week that {_week_of_mail(added)}, to {added.email}"
    )


@athlete_commands.command("list")
def list_athletes(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the athletes."""
    command = command_of(context)
    with command.store.reading() as tx:
        everybody = tx.athletes.all()
    command.print_list(
        (
            "name",
            "e-mail",
            "zone",
            "units",
            "language",
            "weekly mail",
            "about the week that",
            "pain",
            "race",
        ),
        [
            (
                one.name,
                one.email,
                one.timezone,
                one.units,
                one.language,
                f"paused since {one.paused_at:%Y-%m-%d}" if one.paused_at else str(one.weekly),
                _week_of_mail(one),
                ", ".join(one.pain),
                f"{one.race.name}, {one.race.day}" if one.race else "",
            )
            for one in everybody
        ],
        as_json=as_json,
        json=[_athlete_json(athlete) for athlete in everybody],
        empty="no athlete yet: add one with `easeback athlete add`",
    )


@athlete_commands.command("set")
def change_athlete(
    context: typer.Context,
    athlete: AthleteArgument = None,
    whose: Annotated[str | None, typer.Option("--athlete", hidden=True)] = None,
    name: Annotated[str | None, NAME] = None,
    email: Annotated[str | None, EMAIL] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="E.g. Europe/Berlin.")] = None,
    units: UnitsOption = None,
    clock: ClockOption = None,
    language: LanguageOption = None,
    week_starts: WeekStartsOption = None,
    weekly: WeeklyOption = None,
    pain: PainOption = None,
    race: RaceOption = None,
    race_date: RaceDateOption = None,
    race_km: RaceKmOption = None,
    wants: Annotated[
        str | None, typer.Option("--mail", help='Which mail is sent: "alert,weekly", or "none".')
    ] = None,
) -> None:
    """Change an athlete's settings. Everything that you don't name stays as it is."""
    command = command_of(context)
    with command.store.transaction() as tx:
        chosen = athlete or whose
        if chosen is None and name is not None and tx.athletes.named(name) is not None:
            chosen = name  # `--name` may name an existing athlete, as in `add`
        before = the_athlete(tx, chosen, how=BY_ITS_NAME)
        after = race_of(before.race, race, race_date, race_km)
        wanted = changed_athlete(before, after, _given(context))
        if wanted.language != before.language:
            check_language(command, wanted.language)
        if wanted == before:
            raise UsageError("nothing to change was named (see `easeback athlete set --help`)")
        if wanted.name.casefold() != before.name.casefold():
            _check_name_is_free(tx, wanted)
        tx.athletes.change(wanted, now=datetime.now(UTC))
        if wanted.email != before.email:
            tx.addresses.drop(before)  # an address that waits for confirmation is obsolete
    is_another_week = (wanted.weekly, wanted.week_starts) != (before.weekly, before.week_starts)
    about = f": weekly mail {wanted.weekly} about the week that {_week_of_mail(wanted)}"
    command.say(f"changed {wanted.name}{about if is_another_week else ''}")


@athlete_commands.command("pause")
def pause(context: typer.Context, athlete: AthleteArgument = None) -> None:
    """Pause an athlete's mail.

    No alert, weekly mail or request to reconnect is sent, and none is sent later for that time.
    Runs are still read and judged, and red flags are still mailed.
    """
    command = command_of(context)
    with command.store.transaction() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
        if who.paused_at is None:
            tx.athletes.pause(who, since=datetime.now(UTC))
    ends = f"easeback athlete resume {shlex.quote(who.name)}"
    command.say(f"mail to {who.name} is paused until `{ends}`")


@athlete_commands.command("resume")
def resume(context: typer.Context, athlete: AthleteArgument = None) -> None:
    """End the pause of an athlete's mail."""
    command = command_of(context)
    with command.store.transaction() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
        tx.athletes.pause(who, since=None)
    command.say(f"mail to {who.name} goes out again: weekly {who.weekly}")


@athlete_commands.command("remove")
def forget(
    context: typer.Context,
    athlete: Annotated[str, typer.Argument(metavar="ATHLETE", help="The athlete's name.")],
    yes: YesOption = False,
) -> None:
    """Remove an athlete and everything about them.

    That includes runs, findings, mail and credentials.
    """
    from worker.pipeline.forget import forget_athlete
    from worker.pipeline.housekeeping import remove_traces

    command = command_of(context)
    with command.store.reading() as tx:
        who = the_athlete(tx, athlete)
        runs, _ = tx.runs.count(who)
    command.confirm(
        f"Forget {who.name} with {counted(runs, 'run')} and every mail? This can't be undone.",
        yes=yes,
        otherwise="nothing was forgotten",
    )
    services = command.services()
    trouble = forget_athlete(
        services, who, data_dir=command.settings.data_dir, now=datetime.now(UTC)
    )
    is_gone = remove_traces(services, datetime.now(UTC))
    command.say(f"forgot {who.name}; files in the inbox are the runner's own and stay")
    if trouble:
        raise AttentionError(trouble)
    if not is_gone:
        raise AttentionError(
            "the database's log can't be emptied while somebody reads it; what was deleted stands "
            "in it until the worker's next housekeeping, within an hour"
        )


@athlete_commands.command("diary")
def show_diary(
    context: typer.Context,
    athlete: AthleteArgument = None,
    as_json: JsonOption = False,
) -> None:
    """List the pain diary: one answer a day, oldest first."""
    command = command_of(context)
    with command.store.reading() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
        answers = tx.checkins.since(who, date.min)
    command.print_list(
        ("day", "feels", "of 10", "where", "warning signs"),
        [
            (
                f"{answer.day:%a %Y-%m-%d}",
                answer.feels,
                "–" if answer.level is None else str(answer.level),
                ", ".join(answer.areas),
                ", ".join(answer.flags),
            )
            for answer in answers
        ],
        as_json=as_json,
        json=[asdict(answer) for answer in answers],
        empty=f"{who.name} hasn't answered yet: each alert asks how it feels",
    )


@athlete_commands.command("relink")
def relink(
    context: typer.Context,
    athlete: AthleteArgument = None,
) -> None:
    """Close an athlete's mailed links, and print a fresh one.

    The fresh link opens their page. Links that unsubscribe continue to work.
    """
    command = command_of(context)
    with command.store.transaction() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
        begins_at = tx.athletes.close_links(who, now=datetime.now(UTC))
    command.say(f"links made for {who.name} until now open nothing any more; a fresh one:")
    address = command.signer.sign("athlete", who, now=begins_at)
    print(address)  # noqa: T201  alone on its line, for scripts and people


def _fresh(given: Mapping[str, str | None]) -> Athlete:
    """A new athlete with the default settings; the machine's time zone unless one is given."""
    from worker.config import machine_timezone

    zone = machine_timezone() if given.get("timezone") is None else "UTC"
    return Athlete(id=0, name="", email="", added_at=datetime.now(UTC), timezone=zone)


def _given(context: typer.Context) -> dict[str, str | None]:
    """The options that describe an athlete, as given."""
    return {field: context.params.get(field) for field in PARSERS}


def _week_of_mail(athlete: Athlete) -> str:
    """When the week of the weekly mail ends, relative to the mail's day."""
    days = told_days_after(athlete)
    if not days:
        return "ends that day"
    return "ended the day before" if days == 1 else f"ended {days} days before"


def _check_name_is_free(tx: "Transaction", wanted: Athlete) -> None:
    taken = tx.athletes.named(wanted.name)
    if taken is not None and taken.id != wanted.id:
        raise UsageError(
            f"there is an athlete called {taken.name} already: "
            f"choose another name, or change that one with `easeback athlete set`"
        )


def _athlete_json(athlete: Athlete) -> dict[str, object]:
    race = athlete.race
    return {
        "name": athlete.name,
        "email": athlete.email,
        "timezone": athlete.timezone,
        "units": athlete.units,
        "clock": athlete.clock,
        "language": athlete.language or None,
        "week_starts": "monday" if athlete.week_starts == 0 else "sunday",
        "weekly": str(athlete.weekly),
        "pain": list(athlete.pain),
        "race": {"name": race.name, "date": race.day, "km": race.distance_m / 1000}
        if race
        else None,
        "mail": sorted(athlete.wants & {"alert", "weekly"}),
        "paused_since": athlete.paused_at,
    }
