"""The command `backtest`: live a history day by day, and list every warning it would have sent.

The history is the athlete's own in the database, or a table. From a table the rows that can't be
read are left out and counted on standard error in one line; that is worth an exit status of 1
only where nothing is left. A file that is no history at all is wrong usage. Nothing is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.reports import far
from worker.cli.shell import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    instant,
    shell_of,
    the_athlete,
)
from worker.model import Athlete, Run, Units, Week

if TYPE_CHECKING:
    from rich.table import Table

    from worker.detect import Replayed
    from worker.load import History
    from worker.rules import Rules
    from worker.sources.history import Logbook

WEEKS_A_YEAR = 52.18
_LARGEST_FILE_BYTES = 256 * 2**20
_EXPORTED = "activities.csv"


def register(app: typer.Typer) -> None:
    app.command("backtest")(backtest)


@dataclass(frozen=True, slots=True)
class Lived:
    """A history as replayed: its weeks from the first run to the last, and every finding."""

    history: "History"
    weeks: tuple[Week, ...]
    replayed: "tuple[Replayed, ...]"

    @property
    def runs(self) -> int:
        return sum(week.runs for week in self.weeks)

    @property
    def weeks_running(self) -> int:
        return sum(week.runs > 0 for week in self.weeks)

    @property
    def mailed(self) -> int:
        return sum(one.mailed for one in self.replayed)

    @property
    def mailed_per_year(self) -> float:
        """Mails a year of running; weeks without a run don't water it down."""
        return self.mailed / (self.weeks_running / WEEKS_A_YEAR) if self.weeks_running else 0.0

    @property
    def days(self) -> int:
        """Days from the first run to the last, both counted."""
        first, last = self.history.first_day, self.history.last_day
        return (last - first).days + 1 if first and last else 0


@dataclass(frozen=True, slots=True)
class _Subject:
    """The runs that count and whose they are, as far as that is known; `oddities` don't count.

    `others` are rows of a table that tell of other activities; `left_out` says in words which
    rows couldn't be read, "" where all could.
    """

    title: str
    runs: tuple[Run, ...]
    oddities: tuple[tuple[date, str], ...] = ()
    others: int = 0
    left_out: str = ""
    units: Units = "km"
    week_starts: int = 0
    athlete: Athlete | None = None


def backtest(
    context: typer.Context,
    history: Annotated[
        Path | None,
        typer.Argument(
            metavar="[HISTORY.csv]",
            help="With start_date_local and distance_m, or an account export's activities.csv; "
            "default: the runs in the database.",
        ),
    ] = None,
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a history day by day and list every warning it would have sent."""
    shell = shell_of(context)
    now = instant(as_of) if as_of else None
    subject = (
        _from_database(shell, athlete, now)
        if history is None
        else _from_table(shell, history, athlete, now)
    )
    lived = live(
        subject.runs,
        rules=shell.settings.rules,
        week_starts=subject.week_starts,
        athlete=subject.athlete,
    )
    if as_json:
        shell.print_json(_as_json(lived))
    elif subject.runs:
        _show(shell, subject, lived)
    troubles = ([] if subject.runs else [_why_none(subject)]) + [subject.left_out]
    if any(troubles):
        raise AttentionError(f"{subject.title}: {'; '.join(filter(None, troubles))}")


def live(
    runs: Iterable[Run], *, rules: "Rules", week_starts: int = 0, athlete: Athlete | None = None
) -> Lived:
    """Replay runs that count."""
    from worker import detect, week
    from worker.load import History, week_start

    history = History.of(runs, rules=rules)
    weeks: tuple[Week, ...] = ()
    if history.first_day is not None and history.last_day is not None:
        first = week_start(history.first_day, week_starts)
        count = (week_start(history.last_day, week_starts) - first).days // 7 + 1
        weeks = week.weeks(history, until=history.last_day, count=count, week_starts=week_starts)
    race = athlete.race if athlete else None
    return Lived(history, weeks, detect.replay(history, rules=rules, race=race))


def _from_database(shell: Shell, name: str | None, now: datetime | None) -> _Subject:
    from worker.pipeline import today_of

    with shell.store.reading() as tx:
        who = the_athlete(tx, name)
        runs = tx.runs.counted(who)
    today = today_of(who, now or datetime.now(UTC))
    counted, oddities = _plausible(runs, today=today, rules=shell.settings.rules)
    return _Subject(
        title=who.name,
        runs=counted,
        oddities=oddities,
        units=who.units,
        week_starts=who.week_starts,
        athlete=who,
    )


def _from_table(shell: Shell, path: Path, name: str | None, now: datetime | None) -> _Subject:
    """The runs of a file; with an athlete named they are taken for theirs: zone, units, week."""
    from zoneinfo import ZoneInfo

    from worker.cli.said import local_timezone
    from worker.recordings import facts, group
    from worker.sources import Unreadable
    from worker.sources.history import read

    who = _named(shell, name)
    zone = ZoneInfo(who.timezone if who else local_timezone())
    book = read(_content(path), zone=zone)
    if isinstance(book, Unreadable):
        raise UsageError(f"{path}: {book.reason}")
    bundles = group(book.recordings)
    runs = [facts(bundle).as_run(number) for number, bundle in enumerate(bundles, 1)]
    # Nobody knows where the wall hung whose clock a history tells: now is this machine's day.
    today = now.date() if now else datetime.now(zone).date()
    counted, oddities = _plausible(runs, today=today, rules=shell.settings.rules)
    return _Subject(
        title=str(path),
        runs=counted,
        oddities=oddities,
        others=book.others,
        left_out=_left_out(book),
        units=who.units if who else "km",
        week_starts=who.week_starts if who else 0,
        athlete=who,
    )


def _named(shell: Shell, name: str | None) -> Athlete | None:
    if name is None:
        return None  # and the database stays closed
    with shell.store.reading() as tx:
        return the_athlete(tx, name)


def _content(path: Path) -> bytes:
    """The file's bytes; of an unpacked account export the table in it."""
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


def _left_out(book: "Logbook") -> str:
    if not book.bad:
        return ""
    first = book.bad[0]
    return (
        f"{len(book.bad)} of {book.rows} rows can't be read and were left out; "
        f"the first is line {first.line}: {first.reason}"
    )


def _plausible(
    runs: Iterable[Run], *, today: date, rules: "Rules"
) -> tuple[tuple[Run, ...], tuple[tuple[date, str], ...]]:
    """The runs that count, and for each of the others its day and why it doesn't."""
    from worker.load import implausible

    judged = [(run, implausible(run, today=today, rules=rules)) for run in runs]
    counted = tuple(run for run, reason in judged if reason is None)
    return counted, tuple((run.day, reason) for run, reason in judged if reason is not None)


def _why_none(subject: _Subject) -> str:
    """Why there is nothing to replay."""
    if subject.oddities:
        day, reason = subject.oddities[0]
        return f"no run in it counts; the first is that of {day}: {reason}"
    others = f", and {subject.others} of other sports" if subject.others else ""
    return f"there is no run in it{others}"


def _as_json(lived: Lived) -> dict[str, Any]:
    first, last = lived.history.first_day, lived.history.last_day
    return {
        "runs": lived.runs,
        "first_day": first.isoformat() if first else None,
        "last_day": last.isoformat() if last else None,
        "days": lived.days,
        "weeks_running": lived.weeks_running,
        "alerts": [
            {
                "day": one.finding.day.isoformat(),
                "kind": one.finding.kind,
                "severity": one.finding.severity,
                "observed": one.finding.observed_m,
                "baseline": one.finding.baseline_m,
                "ratio": one.finding.ratio,
                "mailed": one.mailed,
            }
            for one in lived.replayed
        ],
        "mailed_per_year": lived.mailed_per_year,
    }


def _show(shell: Shell, subject: _Subject, lived: Lived) -> None:
    from worker.cli.picture import Mark, picture

    marks = [Mark(one.finding.day, one.mailed) for one in lived.replayed]
    columns, encoding = shell.out.width, shell.out.encoding
    chart = picture(lived.weeks, marks, units=subject.units, columns=columns, encoding=encoding)
    shell.out.print(chart, no_wrap=True, crop=False)
    shell.say()
    if lived.replayed:
        shell.out.print(_table(lived.replayed, subject.units))
        shell.say()
    first, last = lived.history.first_day, lived.history.last_day
    shell.say(f"{subject.title}: {_count(lived.runs, 'run')} from {first} to {last}")
    if subject.oddities:
        day, reason = subject.oddities[0]
        number = _count(len(subject.oddities), "run")
        shell.say(f"not counted: {number}; the first is that of {day}: {reason}")
    shell.say(
        f"{_count(lived.mailed, 'mail')} in {_count(lived.weeks_running, 'running week')}, "
        f"{lived.mailed_per_year:.1f} a year of running; "
        f"{len(lived.replayed) - lived.mailed} more noticed and not mailed"
    )


def _table(replayed: "Iterable[Replayed]", units: Units) -> "Table":
    from rich.table import Table

    table = Table("day", "kind", "weight", "ran", "against", "ratio", "", box=None)
    for one in replayed:
        found = one.finding
        table.add_row(
            f"{found.day:%a} {found.day}",
            found.kind,
            str(found.severity),
            far(found.observed_m, units),
            far(found.baseline_m, units),
            f"{found.ratio:.2f}",
            "mailed" if one.mailed else "",
        )
    return table


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
