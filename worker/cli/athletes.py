"""Commands about athletes: add, list, set, remove, forget; diary and relink hang here too."""

import re
import zoneinfo
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worker.cli.diary import diary
from worker.cli.relink import relink
from worker.cli.shell import (
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    day_of,
    shell_of,
    the_athlete,
)
from worker.model import (
    METRES_PER,
    PAIN_AREAS,
    WEEKDAYS,
    Athlete,
    Dial,
    MailKind,
    Race,
    Units,
    WeeklyHour,
)

if TYPE_CHECKING:
    from worker.store import Transaction

_WEEK_STARTS = {"monday": 0, "sunday": 6}
_LONGEST_NAME = 80
_WEEKLY = re.compile(
    rf"(?P<day>{'|'.join(WEEKDAYS)})((s|nes|rs|ur)?day)?"
    r"\s+(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
)
_EMAIL = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")

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
        race=_race(None, race, race_date, race_km),
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
    wanted = _changed(
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
        wanted = _changed(
            before,
            name=name,
            email=email,
            timezone=timezone,
            units=units,
            clock=clock,
            week_starts=week_starts,
            weekly=weekly,
            pain=pain,
            race=_race(before.race, race, race_date, race_km),
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


def _changed(
    athlete: Athlete,
    *,
    name: str | None,
    email: str | None,
    timezone: str | None,
    units: str | None,
    clock: str | None,
    week_starts: str | None,
    weekly: str | None,
    pain: str | None,
    race: Race | None,
    mail: str | None = None,
) -> Athlete:
    """The athlete with everything that was said; raises `UsageError` for what makes no sense."""
    return replace(
        athlete,
        name=athlete.name if name is None else _name(name),
        email=athlete.email if email is None else _email(email),
        timezone=athlete.timezone if timezone is None else _timezone(timezone),
        units=athlete.units if units is None else _units(units),
        clock=athlete.clock if clock is None else _clock(clock),
        week_starts=athlete.week_starts if week_starts is None else _week_starts(week_starts),
        weekly=athlete.weekly if weekly is None else _weekly(weekly),
        pain=athlete.pain if pain is None else _pain(pain),
        race=race,
        wants=athlete.wants if mail is None else _wants(mail),
    )


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"--name: a name has 1 to {_LONGEST_NAME} characters that can be shown")
    if "/" in name or "\\" in name or name.startswith("."):
        raise UsageError("--name: it names a folder too, so no slash, and no dot in front")
    return name


def _email(text: str) -> str:
    address = text.strip()
    if not _EMAIL.fullmatch(address) or not address.isprintable():
        raise UsageError(f"--email: {text!r} is not an address such as anna@example.org")
    return address


def _timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        import difflib

        near = difflib.get_close_matches(text, zoneinfo.available_timezones(), n=1)
        hint = f"; the nearest is {near[0]}" if near else ", such as Europe/Berlin"
        raise UsageError(f"--timezone: {text!r} is not a time zone{hint}") from error
    return text


def _units(text: str) -> Units:
    if text not in METRES_PER:
        raise UsageError(f"--units: {text!r} is neither km nor mi")
    return text


def _clock(text: str) -> Dial:
    if text == "24":
        return "24"
    if text == "12":
        return "12"
    raise UsageError(f"--clock: {text!r} is neither 24 nor 12")


def _week_starts(text: str) -> int:
    if text.lower() not in _WEEK_STARTS:
        raise UsageError(f"--week-starts: {text!r} is neither monday nor sunday")
    return _WEEK_STARTS[text.lower()]


def _weekly(text: str) -> WeeklyHour:
    said = _WEEKLY.fullmatch(text.strip().lower())
    if said is None:
        raise UsageError(f'--weekly: {text!r} is not a weekday and an hour: "mon 07:00"')
    return WeeklyHour(WEEKDAYS.index(said["day"]), time(int(said["hour"]), int(said["minute"])))


def _pain(text: str) -> tuple[str, ...]:
    areas = [area.strip().lower().replace("-", "_") for area in text.split(",") if area.strip()]
    if areas in ([], ["none"]):
        return ()
    for area in areas:
        if area not in PAIN_AREAS:
            raise UsageError(f"--pain: {area!r} is none of {', '.join(PAIN_AREAS)}")
    return tuple(dict.fromkeys(areas))


def _wants(text: str) -> frozenset[MailKind]:
    choices: dict[str, MailKind] = {"alert": "alert", "weekly": "weekly"}
    named = {word.strip().lower() for word in text.split(",")} - {"none", ""}
    if not named <= choices.keys():
        raise UsageError(f'--mail: {text!r} is not a choice of alert and weekly, or "none"')
    return frozenset({choices[word] for word in named} | {"reconnect", "notice"})


def _race(before: Race | None, name: str | None, on: str | None, km: float | None) -> Race | None:
    """The race as it is to stand: parts that aren't named stay as they were."""
    if name is not None and name.strip().lower() == "none":
        return None
    if name is None and on is None and km is None:
        return before
    race_name = name if name is not None else before.name if before else None
    day: date | None = day_of(on) if on is not None else before.day if before else None
    distance_m = km * 1000 if km is not None else before.distance_m if before else None
    if race_name is None or day is None or distance_m is None:
        raise UsageError("a race needs all of --race NAME --race-date DATE --race-km N")
    if not 0 < distance_m <= 1_000_000:  # noqa: PLR2004  no race is longer than 1,000 km
        raise UsageError(f"--race-km: {km} is not the length of a race")
    return Race(_name(race_name), day, distance_m)


def local_timezone() -> str:
    """The zone of the machine by its IANA name, else UTC."""
    from tzlocal import get_localzone_name

    try:
        name = get_localzone_name()
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
    return name


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
