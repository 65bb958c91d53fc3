"""The commands `plan` and `ceiling`: what to run next, and in each week up to a race."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import race_of
from worker.cli.context import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    clock_as_of,
    command_of,
    the_athlete,
)
from worker.domain.models import Athlete, Plan, PlannedWeek, Race, Units, Week
from worker.domain.shown import counted, format_distance, format_most

if TYPE_CHECKING:
    from datetime import datetime

    from worker.domain.history import History

_FINDINGS = timedelta(days=28)


def show_plan(
    context: typer.Context,
    history: Annotated[
        Path | None,
        typer.Argument(
            metavar="HISTORY.csv",
            help="With start_date_local and distance_m; default: the runs in the database.",
        ),
    ] = None,
    athlete: AthleteOption = None,
    race_date: Annotated[str | None, typer.Option(help="E.g. 2027-05-09.")] = None,
    race_km: Annotated[float | None, typer.Option(help="E.g. 21.1.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
    as_ics: Annotated[
        bool, typer.Option("--ics", help="Print a calendar (iCalendar) of the long runs only.")
    ] = False,
) -> None:
    """Show the weeks to come, up to the race if there is one."""
    command = command_of(context)
    race = _race(race_date, race_km)
    if as_ics and as_json:
        raise UsageError("--ics and --json can't both be printed: choose one")
    now = clock_as_of(as_of)()
    if as_ics:
        typer.echo(_calendar(command, history, athlete, race, now), nl=False)
        return
    who, known, planned = _plan(command, history, athlete, race, now)
    if as_json:
        command.print_json(
            {
                "day": planned.day,
                "state": planned.state,
                "weeks_short": planned.weeks_short,
                "reason": planned.reason,
                "weeks": [
                    {
                        "starts_on": week.starts_on,
                        "kind": week.kind,
                        "week_m": week.week_m,
                        "long_m": week.long_m,
                        "long_on": week.long_on,
                    }
                    for week in planned.weeks
                ],
            }
        )
        return
    _print_plan(command, planned, known, race or (who.race if who else None), who)


def show_ceiling(
    context: typer.Context,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the longest next run and week that stay inside the rules."""
    from worker.domain.planner import ceiling

    command = command_of(context)
    rules = command.settings.rules
    who, history, planned = _plan(command, None, athlete, None, clock_as_of(as_of)())
    found = ceiling(planned, history, rules=rules)
    if as_json:
        command.print_json(
            {
                "day": found.day,
                "next_run_m": found.next_run_m,
                "week_m": found.week_m,
                "week_done_m": round(found.week_done_m, 3),
                "longest_30d_m": round(found.longest_window_m, 3),
                "basis": found.basis,
            }
        )
        return
    units = who.units if who else "km"
    done = format_distance(found.week_done_m, units)
    if planned.weeks and planned.weeks[0].is_used_up:
        begins = f"{planned.weeks[0].next_starts_on:%a %Y-%m-%d}"
        command.say(f"next run: with the week from {begins}; what this one allows is used up")
    else:
        command.say(f"next run: {_at_most(found.next_run_m, units)}")
    command.say(f"this week: {_at_most(found.week_m, units)}, {done} done so far")
    longest = format_distance(found.longest_window_m, units)
    command.say(f"longest of the last {counted(rules.run_window_days, 'day')}: {longest}")
    command.say(f"why: {found.basis}")


def _plan(
    command: CommandContext,
    table: Path | None,
    athlete: str | None,
    race: Race | None,
    now: "datetime",
) -> "tuple[Athlete | None, History, Plan]":
    """The athlete, their history and the plan; for a CSV the database stays closed."""
    from worker.domain import detector
    from worker.domain.history import History, implausible
    from worker.domain.planner import plan
    from worker.domain.weeks import local_day
    from worker.pipeline.plans import stored_plan

    rules = command.settings.rules
    if table is not None:
        from worker.cli.backtest import read_history

        given = read_history(table, None, now)
        runs = [
            run for run in given.runs if implausible(run, today=given.today, rules=rules) is None
        ]
        if not runs:
            raise AttentionError(f"{given.title}: there is no run in it that counts")
        history, day = History.of(runs, rules=rules), given.today
        days = [one for one in history.days() if day - _FINDINGS <= one <= day]
        found = [
            finding
            for one in days
            for finding in detector.judge_day(history, one, rules=rules, race=race).findings
        ]
        return None, history, plan(history, day, race=race, findings=found, rules=rules)
    with command.store.reading() as tx:
        who = the_athlete(tx, athlete)
        day = local_day(who, now)
        history = History.of(tx.runs.counted(who), rules=rules)
        planned = stored_plan(tx, who, history, day, race=race or who.race, rules=rules)
    return who, history, planned


def _calendar(
    command: CommandContext,
    table: Path | None,
    athlete: str | None,
    race: Race | None,
    now: "datetime",
) -> bytes:
    """The plan as a calendar; for an athlete, the same as behind the link on their page."""
    from worker.app import calendar_composer
    from worker.notify import CalendarFacts
    from worker.pipeline.plans import calendar_facts

    rules = command.settings.rules
    if table is None:
        with command.store.reading() as tx:
            who = the_athlete(tx, athlete)
            facts = calendar_facts(tx, who, rules=rules, now=now, race=race)
    else:
        _, _, planned = _plan(command, table, athlete, race, now)
        nobody = Athlete(0, table.name, "", now, link_id=str(table.absolute()))
        facts = CalendarFacts(nobody, planned, rules=rules, changed_at=now)
    return calendar_composer(command.settings, command.file).calendar(facts)


def _race(on: str | None, km: float | None) -> Race | None:
    if on is None and km is None:
        return None
    if on is None or km is None:
        raise UsageError("a race needs both --race-date DATE and --race-km N")
    return race_of(None, "the race", on, km)


def _print_plan(
    command: CommandContext,
    planned: Plan,
    history: "History",
    race: Race | None,
    who: Athlete | None,
) -> None:
    from worker.cli.terminal_chart import print_weeks
    from worker.domain.weeks import past_weeks

    units: Units = who.units if who else "km"
    if not planned.weeks:
        command.say(f"no plan: {planned.reason}")
        return
    state = (
        f"{counted(planned.weeks_short, 'week')} short" if planned.weeks_short else planned.state
    )
    if race is not None and len(planned.weeks) > 1:
        distance = format_distance(race.distance_m, units)
        command.say(f"{distance} on {race.day:%a %Y-%m-%d}: {state}")
    if planned.reason:
        command.say(planned.reason)
    command.print_table(
        ("week", "kind", "all runs", "long run", "on"),
        [_row(week, units) for week in planned.weeks],
        right=(2, 3),
    )
    command.say()
    week_starts = who.week_starts if who else 0
    starts_on = planned.weeks[0].starts_on
    before = starts_on - timedelta(days=1)
    done = past_weeks(history, until=before, count=8, week_starts=week_starts)
    to_come = [
        Week(week.starts_on, week.week_m, len(week.easy_m), week.long_m, 0.0)
        for week in planned.weeks
    ]
    print_weeks(command, [*done, *to_come], (), units=units, planned_from=starts_on)
    command.say(f"why: {planned.basis}")


def _row(week: PlannedWeek, units: Units) -> tuple[str, ...]:
    return (
        f"{week.starts_on:%Y-%m-%d}",
        week.kind,
        format_most(week.week_m, units),
        format_most(week.long_m, units) if week.long_on else "",
        f"{week.long_on:%a %Y-%m-%d}" if week.long_on else "",
    )


def _at_most(metres: float | None, units: Units) -> str:
    if metres is None:
        return "not known yet"
    return f"at most {format_most(metres, units)}" if metres else "none: rest"
