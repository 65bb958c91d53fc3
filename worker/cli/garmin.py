"""Garmin's half of `connect` and `disconnect`: asks for a key without showing it, forgets it."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from worker.cli.context import AttentionError, CommandContext, UsageError, the_athlete

if TYPE_CHECKING:
    from worker.domain.models import Athlete
    from worker.pipeline import Services


def connect_garmin(command: CommandContext, athlete: str | None, expires: str | None) -> None:
    """Ask for the key, try it, keep it sealed, and tell when it runs out."""
    services = command.services()
    _check_on(services)
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    give_key(command, services, who, expires)


def give_key(
    command: CommandContext, services: "Services", who: "Athlete", expires: str | None = None
) -> None:
    """The same for an athlete who is known."""
    from zoneinfo import ZoneInfo

    from worker.pipeline import credentials
    from worker.sources.garmin.client import KEY_PAGE, Garmin

    _check_on(services)
    by_hand = sys.stdin.isatty()
    if by_hand:
        typer.echo(f"Make a key at {KEY_PAGE} (Settings, Personal API).", err=True)
        # Not shown, and never on the command's line, which every process list shows.
        key = str(typer.prompt("The key (it isn't shown)", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
    if expires is None and by_hand:
        offered = ", ".join(map(str, Garmin.key_lives_days))
        question = f"Its expiration, as you chose it there: {offered} days, or the last day's date"
        shortest = str(Garmin.key_lives_days[0])
        expires = str(typer.prompt(question, default=shortest, err=True))
    done = credentials.connect_with_key(
        services, "garmin", who, lambda: datetime.now(UTC), key=key, expires=expires
    )
    assert done.ends_at is not None  # noqa: S101  narrows the type: Garmin's keys end
    ends_on = done.ends_at.astimezone(ZoneInfo(who.timezone)).date()
    command.say(f"{who.name} is connected to Garmin; the key runs out on {ends_on}")


def disconnect_garmin(command: CommandContext, athlete: str | None, *, yes: bool) -> None:
    """Forget the key, and by default the runs that only Garmin told of."""
    from worker.pipeline import credentials
    from worker.sources.garmin.client import KEY_PAGE

    services = command.services()
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    kept = "garmin" in services.keeps_runs_of
    runs = "its runs are kept" if kept else "runs that only Garmin told of go too"
    if not yes and not typer.confirm(f"Disconnect {who.name} from Garmin? ({runs})"):
        raise AttentionError("nothing was disconnected")
    credentials.disconnect(services, "garmin", who, now=datetime.now(UTC))
    command.say(f"{who.name} is disconnected from Garmin; the key itself is deleted at {KEY_PAGE}")


def _check_on(services: "Services") -> None:
    if "garmin" not in services.sources:
        from worker.pipeline.session import off

        raise UsageError(off("garmin"))
