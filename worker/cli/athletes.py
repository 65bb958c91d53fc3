"""Commands about athletes: add, list, set, remove, forget; diary and relink hang here too."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worker.cli.diary import diary
from worker.cli.relink import relink
from worker.cli.said import changed, local_timezone, race_of
from worker.cli.shell import (
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    shell_of,
    the_athlete,
)
from worker.model import (
    PAIN_AREAS,
    Athlete,
    Race,
)

if TYPE_CHECKING:
    from worker.store import Transaction

NameOption = Annotated[str | None, typer.Option("--name", help="The athlete's name.")]
EmailOption = Annotated[str | None, typer.Option("--email", help="Where the mail goes.")]
TimezoneOption = Annotated[
    str | None, typer.Option("--timezone", help="E.g. Europe/Berlin; default: this machine's.")
]
UnitsOption = Annotated[str | None, typer.Option("--units", help="km or mi.")]
ClockOption = Annotated[str | None, typer.Option("--clock", help="24 or 12 hours.")]
WeekStartsOption = Annotated[str | None, typer.Option("--week-starts", help="monday or sunday.")]
WeeklyOption = Annotated[
    str | None, typer.Option("--weekly", help='When the weekly mail is due: "mon 07:00".')
]
PainOption = Annotated[
    str | None,
    typer.Option("--pain", help=f'Where it hurts, or "none": {", ".join(PAIN_AREAS)}.'),
]
RaceOption = Annotated[str | None, typer.Option("--race", help='The race\'s name, or "none".')]
RaceDateOption = Annotated[str | None, typer.Option("--race-date", help="E.g. 2027-05-09.")]
RaceKmOption = Annotated[float | None, typer.Option("--race-km", help="E.g. 21.1.")]
MailOption = Annotated[
    str | None, typer.Option("--mail", help='Which mail is sent: "alert,weekly", or "none".')
]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def register(app: typer.Typer) -> None:
    athlete = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who runs.")
    athlete.command("add")(add)
    athlete.command("list")(show)
    athlete.command("set")(change)
    athlete.command("remove")(remove)
    athlete.command("diary")(diary)
    athlete.command("relink")(relink)
    app.add_typer(athlete, name="athlete")
    app.command("forget")(forget)


def add(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="The athlete's name.")],
    email: Annotated[str, typer.Option("--email", help="Where the mail goes.")],
    timezone: TimezoneOption = None,
    units: UnitsOption = None,
    clock: ClockOption = None,
    week_starts: WeekStartsOption = None,
    weekly: WeeklyOption = None,
    pain: PainOption = None,
    race: RaceOption = None,
    race_date: RaceDateOption = None,
    race_km: RaceKmOption = None,
) -> None:
    """Add an athlete."""
    add_athlete(
        shell_of(context),
        name=name,
        email=email,
        timezone=timezone,
        units=units,
        clock=clock,
        week_starts=week_starts,
        weekly=weekly,
        pain=pain,
        race=race_of(None, race, race_date, race_km),
    )


def add_athlete(
    shell: Shell,
    *,
    name: str,
    email: str,
    timezone: str | None = None,
    units: str | None = None,
    clock: str | None = None,
    week_starts: str | None = None,
    weekly: str | None = None,
    pain: str | None = None,
    race: Race | None = None,
) -> None:
    """Keep a new athlete by what was said, and say so; raises `UsageError`."""
    fresh = Athlete(id=0, name="", email="", added_at=datetime.now(UTC), timezone=local_timezone())
    wanted = changed(
        fresh,
        name=name,
        email=email,
        timezone=timezone,
        units=units,
        clock=clock,
        week_starts=week_starts,
        weekly=weekly,
        pain=pain,
        race=race,
    )
    with shell.store.transaction() as tx:
        _refuse_taken(tx, wanted)
        added = tx.athletes.add(wanted)
    shell.say(f"added {added.name}: weekly mail {added.weekly} {added.timezone}, to {added.email}")


def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the athletes."""
    shell = shell_of(context)
    with shell.store.reading() as tx:
        everybody = tx.athletes.all()
    if as_json:
        shell.print_json([_as_json(athlete) for athlete in everybody])
        return
    if not everybody:
        shell.say("no athlete yet: add one with `easeback athlete add`")
        return
    from rich.table import Table

    table = Table("name", "e-mail", "zone", "units", "weekly mail", "pain", "race", box=None)
    for one in everybody:
        race = f"{one.race.name}, {one.race.day}" if one.race else ""
        table.add_row(
            one.name, one.email, one.timezone, one.units, str(one.weekly), ", ".join(one.pain), race
        )
    shell.out.print(table)


def change(
    context: typer.Context,
    athlete: Annotated[
        str | None, typer.Argument(metavar="[ATHLETE]", help="Whose settings.")
    ] = None,
    whose: Annotated[str | None, typer.Option("--athlete", hidden=True)] = None,
    name: NameOption = None,
    email: EmailOption = None,
    timezone: TimezoneOption = None,
    units: UnitsOption = None,
    clock: ClockOption = None,
    week_starts: WeekStartsOption = None,
    weekly: WeeklyOption = None,
    pain: PainOption = None,
    race: RaceOption = None,
    race_date: RaceDateOption = None,
    race_km: RaceKmOption = None,
    mail: MailOption = None,
) -> None:
    """Change an athlete's settings; what isn't named stays."""
    shell = shell_of(context)
    with shell.store.transaction() as tx:
        before = _meant(tx, athlete or whose, name)
        wanted = changed(
            before,
            name=name,
            email=email,
            timezone=timezone,
            units=units,
            clock=clock,
            week_starts=week_starts,
            weekly=weekly,
            pain=pain,
            race=race_of(before.race, race, race_date, race_km),
            mail=mail,
        )
        if wanted == before:
            raise UsageError("nothing to change was named (see `easeback athlete set --help`)")
        if wanted.name.casefold() != before.name.casefold():
            _refuse_taken(tx, wanted)
        tx.athletes.change(wanted, now=datetime.now(UTC))
    shell.say(f"changed {wanted.name}")


def remove(
    context: typer.Context,
    athlete: Annotated[str, typer.Argument(metavar="ATHLETE", help="Who.")],
    yes: YesOption = False,
) -> None:
    """Remove an athlete and everything about them (the same as forget)."""
    _forget(shell_of(context), athlete, yes=yes)


def forget(
    context: typer.Context,
    athlete: Annotated[str, typer.Argument(metavar="ATHLETE", help="Whom.")],
    yes: YesOption = False,
) -> None:
    """Everything about one athlete gone: runs, findings, mail, grants."""
    _forget(shell_of(context), athlete, yes=yes)


def _forget(shell: Shell, name: str, *, yes: bool) -> None:
    from worker.pipeline.forgetting import forget_athlete

    with shell.store.reading() as tx:
        athlete = the_athlete(tx, name)
        runs, _ = tx.runs.count(athlete)
    if not yes and not typer.confirm(
        f"Forget {athlete.name} with {runs} runs and every mail? This can't be undone."
    ):
        raise AttentionError("nothing was forgotten")
    trouble = forget_athlete(
        shell.works(), athlete, mailbox=shell.settings.mailbox_path, now=datetime.now(UTC)
    )
    shell.say(f"forgot {athlete.name}; files in the inbox are the runner's own and stay")
    if trouble:
        raise AttentionError(trouble)


def _meant(tx: "Transaction", athlete: str | None, name: str | None) -> Athlete:
    """Who is to be changed: `--name` alone names somebody who exists, as `add` would."""
    if athlete is None and name is not None and tx.athletes.named(name) is not None:
        return the_athlete(tx, name)
    return the_athlete(tx, athlete, how="by its name")


def _refuse_taken(tx: "Transaction", wanted: Athlete) -> None:
    taken = tx.athletes.named(wanted.name)
    if taken is not None and taken.id != wanted.id:
        raise UsageError(
            f"there is an athlete called {taken.name} already: "
            f"choose another name, or change that one with `easeback athlete set`"
        )


def _as_json(athlete: Athlete) -> dict[str, object]:
    week_starts: Literal["monday", "sunday"] = "monday" if athlete.week_starts == 0 else "sunday"
    race = athlete.race
    return {
        "name": athlete.name,
        "email": athlete.email,
        "timezone": athlete.timezone,
        "units": athlete.units,
        "clock": athlete.clock,
        "week_starts": week_starts,
        "weekly": str(athlete.weekly),
        "pain": list(athlete.pain),
        "race": {"name": race.name, "date": race.day.isoformat(), "km": race.distance_m / 1000}
        if race
        else None,
        "mail": sorted(athlete.wants & {"alert", "weekly"}),
    }
