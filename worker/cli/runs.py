"""The command `runs`: lists runs, and edits them with `exclude`, `include`, `correct` and `add`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import (
    AthleteOption,
    CommandContext,
    JsonOption,
    UsageError,
    athletes_meant,
    command_of,
    listed_id,
    parse_day,
    the_athlete,
)
from worker.domain.models import Athlete
from worker.domain.shown import format_distance

if TYPE_CHECKING:
    from worker.pipeline.services import Services
    from worker.store import StoredRun

RunArgument = Annotated[
    int, typer.Argument(metavar="RUN", help="Its id, as `runs` lists it.", parser=listed_id)
]
KmOption = Annotated[float, typer.Option("--km", metavar="N", help="Its distance in kilometres.")]

runs_commands = typer.Typer(rich_markup_mode=None)


@runs_commands.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    athlete: AthleteOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include the runs that don't count, and why.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the runs that count, oldest first; or exclude, include, correct or add one."""
    if context.invoked_subcommand is not None:
        return
    command = command_of(context)
    climbs = command.settings.rules.climb_m_per_km > 0
    with command.store.reading() as tx:
        listed = [
            (who, one)
            for who in athletes_meant(tx, athlete)
            for one in tx.runs.all(who)
            if everything or one.quarantine is None
        ]
    listed.sort(key=lambda pair: (pair[1].run.started_at, pair[1].run.id))
    titles = ("id", "athlete", "day", "distance", "time", "sport", "from")
    command.print_list(
        (*titles, "left out") if everything else titles,
        [
            (
                str(one.run.id),
                who.name,
                f"{one.run.day:%a %Y-%m-%d}",
                format_distance(one.run.distance_m, who.units),
                _clock_time(one.run.moving_s or one.run.elapsed_s),
                one.run.sport + (" race" if one.run.is_race else ""),
                ", ".join(sorted({source for source, _ in one.sources})),
                *((one.quarantine or "",) if everything else ()),
            )
            for who, one in listed
        ],
        as_json=as_json,
        json=(_run_json(who, one, climbs=climbs) for who, one in listed),
        empty="no runs yet: drop FIT files into the inbox, or `easeback import` them",
    )


@runs_commands.command("exclude")
def exclude(context: typer.Context, run: RunArgument) -> None:
    """Exclude a run, even if its sources send it again."""
    from worker.pipeline.edits import exclude_run

    _edit(context, run, lambda services, who: exclude_run(
        services, who, run, by="operator", now=datetime.now(UTC)
    ), "is left out")  # fmt: skip


@runs_commands.command("include")
def include(context: typer.Context, run: RunArgument) -> None:
    """Include a run again that was excluded."""
    from worker.pipeline.edits import include_run

    _edit(context, run, lambda services, who: include_run(
        services, who, run, now=datetime.now(UTC)
    ), "counts again")  # fmt: skip


@runs_commands.command("correct")
def correct(context: typer.Context, run: RunArgument, km: KmOption) -> None:
    """Correct a run's distance, even if its sources send it again."""
    from worker.pipeline.edits import correct_run

    _edit(context, run, lambda services, who: correct_run(
        services, who, run, distance_m=km * 1000, by="operator", now=datetime.now(UTC)
    ), "is corrected")  # fmt: skip


@runs_commands.command("add")
def add(
    context: typer.Context,
    day: Annotated[str, typer.Option("--date", metavar="D", help="Its day, e.g. 2026-03-07.")],
    km: KmOption,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="How long it took.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="HH:MM", help="When it started, local time.")
    ] = None,
    athlete: AthleteOption = None,
) -> None:
    """Add a run that no source has."""
    from worker.pipeline.edits import add_run

    command = command_of(context)
    on = parse_day(day)
    at = None
    if start is not None:
        try:
            at = datetime.strptime(start, "%H:%M").time()  # noqa: DTZ007  on the athlete's clock
        except ValueError as error:
            raise UsageError(f"--start: {start!r} is not a time such as 07:30") from error
    services = command.services()
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    with _in_one_line():
        stored = add_run(
            services, who, day=on, distance_m=km * 1000, minutes=minutes, start=at,
            now=datetime.now(UTC),
        )  # fmt: skip
    _say(command, who, stored, "is added")


def _edit(
    context: typer.Context,
    run_id: int,
    edit: "Callable[[Services, Athlete], StoredRun]",
    done: str,
) -> None:
    command = command_of(context)
    services = command.services()
    with services.store.reading() as tx:
        athlete_id = tx.runs.whose(run_id)
        who = None if athlete_id is None else tx.athletes.by_id(athlete_id)
    if who is None:
        raise UsageError(f"there is no run {run_id}; `easeback runs --all` lists them")
    with _in_one_line():
        stored = edit(services, who)
    _say(command, who, stored, done)


@contextmanager
def _in_one_line() -> Iterator[None]:
    from worker.pipeline.edits import EditError

    try:
        yield
    except EditError as error:
        raise UsageError(str(error)) from error


def _say(command: CommandContext, who: Athlete, stored: "StoredRun", done: str) -> None:
    run = stored.run
    command.say(
        f"run {run.id} {done}: {who.name}, {run.day:%a %Y-%m-%d}, "
        f"{format_distance(run.distance_m, who.units)}; judged again from that day on"
    )
    if stored.quarantine and not stored.excluded:
        command.say(f"it still doesn't count: {stored.quarantine}")


def _run_json(who: Athlete, listed: "StoredRun", *, climbs: bool) -> dict[str, Any]:
    """One run for `--json`, with its ascent if climb counts."""
    run = listed.run
    shown: dict[str, Any] = {
        "id": run.id,
        "athlete": who.name,
        "started_at": run.started_at,
        "day": run.day,
        "distance_m": run.distance_m,
        "moving_s": run.moving_s,
        "elapsed_s": run.elapsed_s,
        "sport": run.sport,
        "sources": [
            {"source": source, "external_id": external_id} for source, external_id in listed.sources
        ],
    }
    if climbs:
        shown["ascent_m"] = run.ascent_m
    if listed.edited:
        shown["edited"] = True
    if listed.quarantine is not None:
        shown |= {"excluded": True, "reason": listed.quarantine}
    return shown


def _clock_time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
