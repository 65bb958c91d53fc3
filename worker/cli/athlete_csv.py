"""Athletes from a CSV file: a header that names the columns, then one athlete per line."""

import csv
import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.cli.arguments import PARSERS, changed_athlete, race_of
from worker.cli.context import UsageError
from worker.domain.models import Athlete, Race, folder_name

_NEEDED = ("name", "email")
_RACE = ("race", "race_date", "race_km")
COLUMNS = (*(name for name in PARSERS if name != "wants"), *_RACE)
"""The columns that the header may name. They are named like the options of `athlete add`."""

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class CsvProblem:
    """Why a line of the file can't be added; line 1 is the header."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The athlete of a valid line, and its number."""

    line: int
    athlete: Athlete


def read_athletes(
    file: Path, fresh: Athlete, given: Mapping[str, str | None]
) -> tuple[list[CsvRow], list[CsvProblem]]:
    """The athletes of the file, and the problems of lines without a valid athlete.

    `fresh` has the defaults; values in `given` apply to lines that don't have their own. Raises
    `UsageError` for a file that can't be read at all.
    """
    rows: list[CsvRow] = []
    problems: list[CsvProblem] = []
    lines: dict[str, int] = {}
    for line, cells in _lines(file):
        try:
            athlete = _athlete(fresh, {**given, **cells})
            before = lines.setdefault(folder_name(athlete.name), line)
            if before != line:
                raise UsageError(f"name: {athlete.name} stands on line {before} already")
        except UsageError as error:
            problems.append(CsvProblem(line, str(error)))
        else:
            rows.append(CsvRow(line, athlete))
    if not rows and not problems:
        raise UsageError(f"{file}: there is no athlete below the header")
    return rows, problems


def _lines(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each non-empty line, and its non-empty cells by column."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: isn't text in UTF-8: save it as CSV UTF-8") from error
    head = text.partition("\n")[0]
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=max(_DELIMITERS, key=head.count))
    try:
        columns = _columns(file, next(reader, []))
        for cells in reader:
            if len(cells) > len(columns) and any(cells[len(columns) :]):
                extra = f"it has {len(cells)} cells, and the header names {len(columns)} columns"
                yield reader.line_num, {"": extra}
                continue
            named = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
            if any(named.values()):
                yield reader.line_num, {name: cell for name, cell in named.items() if cell}
    except csv.Error as error:
        raise UsageError(f"{file}: line {reader.line_num}: {error}") from error


def _columns(file: Path, header: list[str]) -> list[str]:
    names = [name.strip().lower().replace("-", "_").replace(" ", "_") for name in header]
    while names and not names[-1]:
        names.pop()  # spreadsheets may add empty columns
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(COLUMNS)}"
            raise UsageError(f"{file}: line 1: no column is called {name!r}; {hint}")
        if names.count(name) > 1:
            raise UsageError(f"{file}: line 1: the column {name!r} stands there twice")
    if missing := [name for name in _NEEDED if name not in names]:
        raise UsageError(f"{file}: line 1: there is no column {' and no '.join(missing)}")
    return names


def _athlete(fresh: Athlete, cells: Mapping[str, str | None]) -> Athlete:
    """The athlete of one line; raises `UsageError` with everything that is wrong with it."""
    if extra := cells.get(""):
        raise UsageError(extra)
    wrong = [f"{name}: it's empty" for name in _NEEDED if not cells.get(name)]
    given = {name: cell for name, cell in cells.items() if name in PARSERS and cell}
    athlete = fresh
    for name, cell in given.items():
        try:
            # Areas in a cell may be separated by semicolons, because commas may separate cells.
            text = cell.replace(";", ",") if name == "pain" else cell
            athlete = changed_athlete(athlete, None, {name: text})
        except UsageError as error:
            wrong.append(_of_column(error))
    try:
        race = _race(cells)
    except UsageError as error:
        wrong.append(_of_column(error))
    if wrong:
        raise UsageError("; ".join(wrong))
    return changed_athlete(athlete, race, {})


def _race(cells: Mapping[str, str | None]) -> Race | None:
    name, day, km = (cells.get(column) or None for column in _RACE)
    if km is None:
        return race_of(None, name, day, None)
    try:
        return race_of(None, name, day, float(km.replace(",", ".")))
    except ValueError as error:
        raise UsageError(f"race_km: {km!r} is not a number of kilometres") from error


def _of_column(error: UsageError) -> str:
    """The error about an option, as an error about the column of the same name."""
    option, colon, reason = str(error).partition(":")
    if not option.startswith("--"):
        return f"race: {error}"
    return f"{option.removeprefix('--').replace('-', '_')}{colon}{reason}"
