"""Histories as tables: a CSV of one's own, or the `activities.csv` of an account export.

Bytes in, a `Logbook` out, or why the file is no history (`Unreadable`). A row that can't be read
is a value with its line and its reason, and never the end of the rest. Nothing is judged here:
duplicates, sessions and what can't be true are the business of lower rooms.

A table of one's own needs `start_date_local` (ISO, the clock on the runner's wall) and
`distance_m`; it may have `moving_s`, and every row is a run. An export has a row for each
activity: its dates are UTC, in words of the athlete's language; its header names `Distance`
twice, first in kilometres for people, then in metres; older ones have it once, in either.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from statistics import median

from worker.domain.models import Recording
from worker.sources import NotARun, Unreadable
from worker.sources.archive.written_dates import day_comes_first, written_at
from worker.sources.formats.sport import named_run

_OWN_DATE, _OWN_DISTANCE, _OWN_MOVING = "start_date_local", "distance_m", "moving_s"
_OWN_EXPECTED = f"a header with {_OWN_DATE} and {_OWN_DISTANCE}, or an export's activities.csv"

_NAMES = {
    "id": ("activity id", "id"),
    "date": ("activity date", "date"),
    "title": ("activity name", "name"),
    "type": ("activity type", "type"),
    "elapsed": ("elapsed time", "elapsed_time"),
    "distance": ("distance",),
    "moving": ("moving time", "moving_time"),
    "file": ("filename",),
    "race": ("competition",),
}
_PLACES = {"id": 0, "date": 1, "title": 2, "type": 3, "elapsed": 5, "distance": 6}
"""Where an export has these columns, whatever its language calls them."""

_SHORTEST_MEDIAN_M = 300.0
"""Runs whose median is below this number are counted in kilometres."""

_ALSO_RUNS = frozenset({"ラン", "ランニング", "跑步", "달리기", "běh", "koşu"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
_MOST = 1e9
_FIRST_YEAR, _LAST_YEAR = 1900, 2999
_LONGEST_TITLE = 80
_SHOWN = 40

_Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be read, by its line in the file from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One run of the table. `file` names its own recording in the same export, "" if it has none.

    The recording's source is `import`; its `external_id` the activity's id in the export, else
    made of start and distance.
    """

    line: int
    recording: Recording
    file: str = ""


@dataclass(frozen=True, slots=True)
class Logbook:
    """All that a table holds: its runs, how many rows are other activities, and the bad rows."""

    runs: tuple[TableRow, ...]
    others: int = 0
    bad: tuple[BadRow, ...] = ()

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The runs alone."""
        return tuple(entry.recording for entry in self.runs)

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return len(self.runs) + self.others + len(self.bad)


def read_table(content: bytes, *, zone: tzinfo = UTC) -> Logbook | Unreadable:
    """The runs of a table; `zone` is the athlete's: an export's UTC dates become days there, and a
    table's clock on the wall hung there.
    """
    text = _text(content)
    if isinstance(text, Unreadable):
        return text
    rows = _rows(text)
    header = next(rows, None)
    if header is None or isinstance(header, BadRow):
        return Unreadable(f"not a table: {_OWN_EXPECTED} was expected")
    names = [name.strip().casefold() for name in header[1]]
    if _OWN_DATE in names and _OWN_DISTANCE in names:
        return _logbook(rows, _own_reader(names, zone=zone))
    body = list(rows)
    columns = _export_columns(names, [row for row in body if not isinstance(row, BadRow)])
    if columns is not None:
        return _logbook(iter(body), _export_reader(columns, body, zone=zone))
    missing = {_OWN_DATE, _OWN_DISTANCE} - set(names)
    if len(missing) == 1:
        return Unreadable(f"it has no column {missing.pop()}")
    return Unreadable(f"not a history: {_OWN_EXPECTED} was expected")


def _text(content: bytes) -> str | Unreadable:
    if not content.strip():
        return Unreadable("an empty file")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as spreadsheets write "Unicode text"
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content:
        return Unreadable("not a table: it isn't text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Names may suffer from the wrong guess; dates and distances don't.
        return content.decode("cp1252", errors="replace")


def _rows(text: str) -> Iterator[tuple[int, _Row] | BadRow]:
    """The rows with their lines, blank ones left out."""
    start = text[: text.find("\n")]
    delimiter = max(",;\t", key=start.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(line, f"not a row of a table: {error}")
            continue
        if any(cell.strip() for cell in row):
            yield line, row


_ReadRow = Callable[[int, _Row], TableRow | NotARun | Unreadable]


def _logbook(rows: Iterator[tuple[int, _Row] | BadRow], read_row: _ReadRow) -> Logbook:
    runs: list[TableRow] = []
    bad: list[BadRow] = []
    others = 0
    for row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        answer = read_row(*row)
        if isinstance(answer, TableRow):
            runs.append(answer)
        elif isinstance(answer, Unreadable):
            bad.append(BadRow(row[0], answer.reason))
        else:
            others += 1
    return Logbook(tuple(runs), others, tuple(bad))


def _own_reader(names: Sequence[str], *, zone: tzinfo) -> _ReadRow:
    date, distance = names.index(_OWN_DATE), names.index(_OWN_DISTANCE)
    moving = names.index(_OWN_MOVING) if _OWN_MOVING in names else None

    def read_row(line: int, row: _Row) -> TableRow | Unreadable:
        local = _iso(_cell(row, date))
        if local is None:
            return Unreadable(f"{_OWN_DATE} {_quoted(_cell(row, date))} is not a date")
        distance_m = _number(_cell(row, distance))
        if distance_m is None:
            return Unreadable(f"{_OWN_DISTANCE} {_quoted(_cell(row, distance))} is not a distance")
        moving_s = _number(_cell(row, moving)) or None
        return TableRow(
            line,
            Recording(
                source="import",
                external_id=_made_id(local, distance_m),
                started_at=local.replace(tzinfo=zone).astimezone(UTC),
                day=local.date(),
                distance_m=distance_m,
                moving_s=moving_s,
                elapsed_s=moving_s,
                # A date without an hour: two runs of a day are told apart by their durations.
                hidden_start=local.time() == time.min,
            ),
        )

    return read_row


_Columns = Mapping[str, int | None]
"""Where an export has what, by the keys of `_NAMES`; `metres` is the second of two distances."""


def _export_columns(names: Sequence[str], rows: Sequence[tuple[int, _Row]]) -> _Columns | None:
    """The columns by their English names, else by their places; None where it is no export."""
    places: dict[str, int | None] = {
        key: next((names.index(name) for name in known if name in names), None)
        for key, known in _NAMES.items()
    }
    if None in (places["date"], places["type"], places["distance"]):
        if not rows or len(names) <= _PLACES["distance"] or not _looks_exported(rows[0][1]):
            return None
        places |= _PLACES
    elapsed_again = _twin(names, places["elapsed"])
    if elapsed_again is not None:
        places["elapsed"] = elapsed_again
        if places["moving"] is None:
            places["moving"] = elapsed_again + 1
    if places["file"] is None:
        places["file"] = _file_column(rows)
    return places | {"metres": _twin(names, places["distance"])}


def _looks_exported(row: _Row) -> bool:
    return _cell(row, _PLACES["id"]).isdecimal() and bool(written_at(_cell(row, _PLACES["date"])))


def _twin(names: Sequence[str], place: int | None) -> int | None:
    """The last column of the same name, where there is another."""
    if place is None:
        return None
    last = len(names) - 1 - names[::-1].index(names[place])
    return last if last != place else None


def _file_column(rows: Sequence[tuple[int, _Row]]) -> int | None:
    """The column that names the recordings, whatever it is called."""
    found = (
        place for _, row in rows for place, cell in enumerate(row) if cell.startswith("activities/")
    )
    return next(found, None)


def _export_reader(
    columns: _Columns, body: Sequence[tuple[int, _Row] | BadRow], *, zone: tzinfo
) -> _ReadRow:
    rows = [row[1] for row in body if not isinstance(row, BadRow)]
    day_first = day_comes_first(_cell(row, columns["date"]) for row in rows)
    unit_m = _unit_m(columns, rows)

    def read_row(line: int, row: _Row) -> TableRow | NotARun | Unreadable:
        word = _cell(row, columns["type"])
        sport = "run" if word.casefold() in _ALSO_RUNS else named_run(word)
        if sport is None:
            return NotARun(f"it is called {_quoted(word)}")
        written = written_at(_cell(row, columns["date"]), day_first=day_first)
        if written is None or not _FIRST_YEAR <= written.year <= _LAST_YEAR:
            return Unreadable(f"{_quoted(_cell(row, columns['date']))} is not a date")
        shown = _number(_cell(row, columns["distance"]))
        distance_m = _number(_cell(row, columns["metres"]))
        if distance_m is None and shown is not None:
            distance_m = shown * unit_m
        if distance_m is None:
            return Unreadable(f"{_quoted(_cell(row, columns['distance']))} is not a distance")
        started_at = written.replace(tzinfo=UTC)
        file = _cell(row, columns["file"])
        return TableRow(
            line,
            Recording(
                source="import",
                external_id=_cell(row, columns["id"]) or _made_id(started_at, distance_m),
                started_at=started_at,
                day=started_at.astimezone(zone).date(),
                distance_m=distance_m,
                moving_s=_number(_cell(row, columns["moving"])) or None,
                elapsed_s=_number(_cell(row, columns["elapsed"])) or None,
                sport=sport,
                is_race=bool(_number(_cell(row, columns["race"]))),
                device=bool(file),
                title=_title(_cell(row, columns["title"])),
            ),
            file,
        )

    return read_row


def _unit_m(columns: _Columns, rows: Sequence[_Row]) -> float:
    """How many metres a number of the first distances means: old exports have them in metres."""
    if columns["metres"] is not None:
        return 1000.0
    runs = [
        number
        for row in rows
        if named_run(_cell(row, columns["type"]))
        and (number := _number(_cell(row, columns["distance"])))
    ]
    return 1.0 if runs and median(runs) >= _SHORTEST_MEDIAN_M else 1000.0


def _cell(row: _Row, place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""


def _iso(text: str) -> datetime | None:
    """The clock on the wall; an offset or a Z beside it says nothing that counts here."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if _FIRST_YEAR <= at.year <= _LAST_YEAR else None


def _number(text: str) -> float | None:
    """A number that isn't negative, its decimals after a point or a comma."""
    text = text.replace("\u00a0", "").replace("\u202f", "").replace(" ", "")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif text.rfind(",") > text.rfind("."):
        text = text.replace(".", "").replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if 0 <= number < _MOST else None


def _made_id(started_at: datetime, distance_m: float) -> str:
    return f"{started_at:%Y%m%dT%H%M%S}-{distance_m:.0f}"


def _title(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_LONGEST_TITLE]


def _quoted(text: str) -> str:
    """A cell as it may be shown: one short line, or that there's nothing."""
    return repr(text[:_SHOWN]) if text else "(nothing)"
