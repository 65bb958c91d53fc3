"""The command `backtest`: replays a history, and lists every warning it would have sent.

The history is the athlete's own in the database, or a table. Rows of a table that can't be read are
left out and counted in one line on standard error; the exit status is only 1 if no run is left. A
file that isn't a history is wrong usage. Nothing is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    command_of,
    parse_as_of,
    the_athlete,
)
from worker.cli.reports import FINDING_TITLES, finding_cells, finding_json
from worker.domain.models import Athlete, Race, Run, Units, Week
from worker.domain.shown import counted

if TYPE_CHECKING:
    from worker.domain.detector import Replayed
    from worker.domain.rules import Rules

WEEKS_A_YEAR = 52.18
_LARGEST_FILE_BYTES = 256 * 2**20
_EXPORTED = "activities.csv"


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A replayed history: its weeks from the first run to the last, and every finding.

    `days` counts from the first run to the last, both included. `mailed_per_year` is per year of
    running: weeks without a run don't count.
    """

    first_day: date | None
    last_day: date | None
    days: int
    weeks: tuple[Week, ...]
    runs: int
    weeks_running: int
    replayed: "tuple[Replayed, ...]"
    mailed: int
    mailed_per_year: float


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """The runs of a table or of an athlete, and the day up to which they are plausible.

    `others` counts the rows of a table that are other activities; `left_out` describes
    the rows that couldn't be read, or is "".
    """

    title: str
    runs: Sequence[Run]
    today: date
    others: int = 0
    left_out: str = ""


def backtest(
    context: typer.Context,
    history: Annotated[
        Path | None,
        typer.Argument(
            metavar="HISTORY.csv",
            help="With start_date_local and distance_m, or an account export's activities.csv; "
            "default: the runs in the database.",
        ),
    ] = None,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a history and list the warnings it would have sent."""
    from worker.domain.history import implausible

    command = command_of(context)
    rules = command.settings.rules
    now = parse_as_of(as_of) if as_of else None
    who: Athlete | None = None
    if history is None or athlete is not None:  # a table alone needs no database
        with command.store.reading() as tx:
            who = the_athlete(tx, athlete)
            runs = tx.runs.counted(who) if history is None else ()
    if history is not None:
        given = read_history(history, who, now)
    elif who is not None:
        from worker.domain.weeks import local_day

        given = ReadHistory(who.name, runs, local_day(who, now or datetime.now(UTC)))
    judged = [(run, implausible(run, today=given.today, rules=rules)) for run in given.runs]
    plausible = [run for run, reason in judged if reason is None]
    odd = [f"{run.day}: {reason}" for run, reason in judged if reason is not None]
    result = replay_runs(
        plausible,
        rules=rules,
        week_starts=who.week_starts if who else 0,
        race=who.race if who else None,
    )
    if as_json:
        command.print_json(_result_json(result))
    elif plausible:
        _print_result(command, given.title, result, odd, units=who.units if who else "km")
    troubles = [given.left_out] if given.left_out else []
    if not plausible and odd:
        troubles.insert(0, f"no run in it counts; the first is that of {odd[0]}")
    elif not plausible:
        others = f", and {given.others} of other sports" if given.others else ""
        troubles.insert(0, f"there is no run in it{others}")
    if troubles:
        raise AttentionError(f"{given.title}: {'; '.join(troubles)}")


def replay_runs(
    runs: Iterable[Run], *, rules: "Rules", week_starts: int = 0, race: Race | None = None
) -> BacktestResult:
    """Replay runs that count; weeks start on Monday (0) or Sunday (6)."""
    from worker.domain import detector
    from worker.domain.history import History, week_start
    from worker.domain.weeks import past_weeks

    history = History.of(runs, rules=rules)
    first, last = history.first_day, history.last_day
    weeks: tuple[Week, ...] = ()
    if first is not None and last is not None:
        begins = [week_start(day, week_starts) for day in (first, last)]
        count = (begins[1] - begins[0]).days // 7 + 1
        weeks = past_weeks(history, until=last, count=count, week_starts=week_starts)
    weeks_running = sum(one.runs > 0 for one in weeks)
    replayed = detector.replay(history, rules=rules, race=race)
    mailed = sum(one.mailed for one in replayed)
    return BacktestResult(
        first_day=first,
        last_day=last,
        days=(last - first).days + 1 if first and last else 0,
        weeks=weeks,
        runs=sum(one.runs for one in weeks),
        weeks_running=weeks_running,
        replayed=replayed,
        mailed=mailed,
        mailed_per_year=mailed / (weeks_running / WEEKS_A_YEAR) if weeks_running else 0.0,
    )


def read_history(path: Path, who: Athlete | None, now: datetime | None) -> ReadHistory:
    """The runs of a file, in the time zone of the athlete or else of the machine."""
    from zoneinfo import ZoneInfo

    from worker.config import machine_timezone
    from worker.domain.matching import believed_run, group
    from worker.sources import Unreadable
    from worker.sources.formats.tables import read_table

    zone = ZoneInfo(who.timezone if who else machine_timezone())
    table = read_table(_content(path), zone=zone)
    if isinstance(table, Unreadable):
        raise UsageError(f"{path}: {table.reason}")
    left_out = ""
    if table.bad:
        first = table.bad[0]
        left_out = (
            f"{len(table.bad)} of {counted(table.rows, 'row')} can't be read and were left out; "
            f"the first is line {first.line}: {first.reason}"
        )
    return ReadHistory(
        title=str(path),
        runs=[
            believed_run(one, run_id=number)
            for number, one in enumerate(group(table.recordings), 1)
        ],
        # The table has local times without a zone, so today is the local day.
        today=(now or datetime.now(UTC)).astimezone(zone).date(),
        others=table.others,
        left_out=left_out,
    )


def _content(path: Path) -> bytes:
    """The bytes of the file, or of the table in an unpacked account export."""
    file = path / _EXPORTED if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {file}") from error
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror or error}") from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise UsageError(f"{file}: too large, at most {_LARGEST_FILE_BYTES // 2**20} MiB are read")
    return content


def _result_json(result: BacktestResult) -> dict[str, Any]:
    return {
        "runs": result.runs,
        "first_day": result.first_day,
        "last_day": result.last_day,
        "days": result.days,
        "weeks_running": result.weeks_running,
        "alerts": [{**finding_json(one.finding), "mailed": one.mailed} for one in result.replayed],
        "mailed_per_year": result.mailed_per_year,
    }


def _print_result(
    command: CommandContext, title: str, result: BacktestResult, odd: list[str], *, units: Units
) -> None:
    from worker.cli.terminal_chart import print_weeks

    mailed = [(one.finding.day, one.mailed) for one in result.replayed]
    print_weeks(command, result.weeks, mailed, units=units)
    command.say()
    if result.replayed:
        command.print_table(
            ("day", *FINDING_TITLES, ""),
            [
                (
                    f"{one.finding.day:%a %Y-%m-%d}",
                    *finding_cells(one.finding, units),
                    "mailed" if one.mailed else "",
                )
                for one in result.replayed
            ],
        )
        command.say()
    period = f"from {result.first_day} to {result.last_day}"
    command.say(f"{title}: {counted(result.runs, 'run')} {period}")
    if odd:
        command.say(f"not counted: {counted(len(odd), 'run')}; the first is that of {odd[0]}")
    command.say(
        f"{counted(result.mailed, 'mail')} in {counted(result.weeks_running, 'running week')}, "
        f"{result.mailed_per_year:.1f} a year of running; "
        f"{len(result.replayed) - result.mailed} more noticed and not mailed"
    )
