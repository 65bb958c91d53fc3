"""Histories as tables: your own CSV, or the list of an account's activities.

A file in, its rows out one at a time, or why the file is no history (`Unreadable`). A row that
can't be read is a value with its line and its reason, and doesn't end the rest. Nothing is judged
here: duplicates, sessions and implausible values are handled elsewhere.

Your own table needs `start_date_local` (local time, ISO or as a spreadsheet writes it) and
`distance_m`. It may have `moving_s` and `elevation_gain_m`, and every row is a run.

Strava's export has a row for each activity. Its dates are UTC, in the athlete's language. Its
header names `Distance` twice, first in kilometres for people, then in metres; older exports have
it once, in either. Garmin Connect's list is in local time, and in miles or kilometres without
saying which: the stride length shows it, or else the athlete's own unit is assumed. Tables of
other services and programs are read if their header names the unit: `Distance (km)`.

Some facts depend on the whole table. The file is therefore read several times, so that only one
row has to be held in memory.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, tzinfo
from itertools import islice
from statistics import median
from typing import IO

from worker.domain.models import METRES_PER, Recording, Units
from worker.domain.shown import plain_title
from worker.sources import Unreadable
from worker.sources.fields import FIRST_YEAR, LAST_YEAR
from worker.sources.formats.sport import named_run
from worker.sources.formats.written_dates import day_comes_first, written_at

MAX_ROWS = 200_000

_OWN_DATE, _OWN_DISTANCE, _OWN_MOVING = "start_date_local", "distance_m", "moving_s"
_OWN_ASCENT = "elevation_gain_m"
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
    "ascent": ("elevation gain",),
}
_PLACES = {"id": 0, "date": 1, "title": 2, "type": 3, "elapsed": 5, "distance": 6}
"""The positions of these columns in an export in any language."""

_GARMIN_LIST = {"activity type", "date", "favorite", "title", "distance", "time"}
_GARMIN_PLACES = {"type": 0, "date": 1, "title": 3, "distance": 4, "moving": 6,
                  "cadence": 10, "stride": 16}  # fmt: skip
"""The positions of these columns in Garmin Connect's list in any language."""

_FOOT_M = 0.3048
"""The unit of heights if distances are in miles."""

_PROGRAMS_NAMES = {
    "id": ("activity id", "id"),
    "date": ("start time", "date", "start date", "activity date", "start", "begin"),
    "title": ("activity name", "title", "name", "route name"),
    "type": ("activity type", "type", "sport", "sport type", "activity"),
    "elapsed": ("elapsed duration (h:m:s)", "elapsed duration", "elapsed time"),
    "moving": ("moving duration (h:m:s)", "moving duration", "moving time",
               "duration (h:m:s)", "duration", "time"),
    "file": ("gpx file", "filename", "file name", "file"),
    "cadence": ("avg run cadence",),
    "stride": ("avg stride length",),
    "ascent": ("total ascent", "elev gain", "elevation gain", "climb (m)", "climb (ft)"),
}  # fmt: skip
_DISTANCE_IN = re.compile(r"distance\s*[\[(]?\s*(km|kilomet\w+|mi|miles?|m|met\w+)\s*[\])]?")

_UNLIKE = 1.27
"""Distances that differ from steps times stride by more than this factor are in the other unit."""
_STRIDE_M, _STEPS_A_MINUTE = (0.3, 2.5), (60.0, 250.0)
"""The ranges of a runner's stride and cadence; values outside are from another column."""

_SHORTEST_MEDIAN_M = 300.0
"""If the median of the runs is below this number, distances are in kilometres."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
_MOST = 1e9
_DURATION = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2}(?:[.,]\d+)?)")
_SHOWN = 40
_CHUNK_BYTES = 64 * 1024

_Row = Sequence[str]
_Numbered = tuple[int, _Row]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be read: its line in the file, from 1, and the reason."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One run of the table. `file` names its own recording in the same export, "" if it has none.

    The recording's source is `import`. Its `external_id` is the activity's id in the export, or
    else derived from start and distance.
    """

    line: int
    recording: Recording
    file: str = ""


@dataclass(frozen=True, slots=True)
class OtherRow:
    """An activity of the table that isn't a run, with the table's `word` for its sport.

    `recording` says on the account's behalf that its file isn't a run either; it is None if the
    row has no time. `file` is as in `TableRow`.
    """

    line: int
    word: str
    recording: Recording | None = None
    file: str = ""


NO_SPORT = "an activity that names no sport: it may be a run or not"

TableItem = TableRow | OtherRow | BadRow | Unreadable
"""A run, another activity, or a bad row; or, as the only item, why the file isn't a table."""


@dataclass(frozen=True, slots=True)
class Logbook:
    """The contents of a table: its runs, the number of other activities, and the bad rows."""

    runs: tuple[TableRow, ...]
    others: int = 0
    bad: tuple[BadRow, ...] = ()

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings of the runs."""
        return tuple(entry.recording for entry in self.runs)

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return len(self.runs) + self.others + len(self.bad)


def read_table(content: bytes, *, zone: tzinfo = UTC, units: Units = "km") -> Logbook | Unreadable:
    """All rows of a table at once; see `table_rows`."""
    items = list(table_rows(io.BytesIO(content), zone=zone, units=units))
    if refused := next((one for one in items if isinstance(one, Unreadable)), None):
        return refused
    return Logbook(
        tuple(one for one in items if isinstance(one, TableRow)),
        sum(isinstance(one, OtherRow) for one in items),
        tuple(one for one in items if isinstance(one, BadRow)),
    )


def table_rows(file: IO[bytes], *, zone: tzinfo = UTC, units: Units = "km") -> Iterator[TableItem]:
    """The rows of a table in a seekable file; `zone` and `units` are the athlete's.

    The zone turns an export's UTC dates into days, and a table's local times into instants.
    """
    written = _how_written(file)
    if isinstance(written, Unreadable):
        yield written
        return

    def rows() -> Iterator[_Numbered]:
        found = (row for row in _rows(file, *written) if not isinstance(row, BadRow))
        return islice(found, 1, None)

    header = next(_rows(file, *written), None)
    if header is None or isinstance(header, BadRow):
        yield Unreadable(f"not a table: {_OWN_EXPECTED} was expected")
        return
    names = [name.strip().casefold() for name in header[1]]
    read_row = _row_reader(names, rows, zone=zone, units=units)
    if isinstance(read_row, Unreadable):
        yield read_row
        return
    for number, row in enumerate(_rows(file, *written)):
        if number > MAX_ROWS:
            yield BadRow(row.line if isinstance(row, BadRow) else row[0],
                         f"only the first {MAX_ROWS:,} rows of a table are read")  # fmt: skip
            return
        if isinstance(row, BadRow):
            yield row
        elif number:
            answer = read_row(*row)
            yield BadRow(row[0], answer.reason) if isinstance(answer, Unreadable) else answer


def _row_reader(
    names: Sequence[str], rows: "_Rows", *, zone: tzinfo, units: Units
) -> "_ReadRow | Unreadable":
    """The function that reads the rows below this header, or why there is none."""
    missing = {_OWN_DATE, _OWN_DISTANCE} - set(names)
    if not missing:
        return _own_reader(names, rows, zone=zone)
    if program := _programs_columns(names, rows, units):
        return _programs_reader(*program, rows, zone=zone)
    if columns := _export_columns(names, rows):
        return _export_reader(columns, rows, zone=zone)
    if len(missing) == 1:
        return Unreadable(f"it has no column {next(iter(missing))}")
    return Unreadable(f"not a history: {_OWN_EXPECTED} was expected")


def _how_written(file: IO[bytes]) -> tuple[str, str] | Unreadable:
    """The encoding of a file, and its cell separator."""
    head = file.read(_CHUNK_BYTES)
    encoding = "utf-8-sig"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # as spreadsheets write "Unicode text"
        encoding = "utf-16"
    else:
        decoder = codecs.getincrementaldecoder(encoding)()
        is_blank, chunk = True, head
        while chunk:
            if b"\x00" in chunk:
                return Unreadable("not a table: it isn't text")
            is_blank = is_blank and chunk.isspace()
            following = file.read(_CHUNK_BYTES)
            try:
                decoder.decode(chunk, not following)
            except UnicodeDecodeError:
                # A wrong guess may garble names, but not dates and distances.
                encoding = "cp1252"
            chunk = following
        if is_blank:
            return Unreadable("an empty file")
    start = head.decode(encoding, errors="replace").partition("\n")[0]
    return encoding, max(",;\t", key=start.count)


def _rows(file: IO[bytes], encoding: str, delimiter: str) -> Iterator[_Numbered | BadRow]:
    """The rows that aren't blank, with their line numbers."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding, errors="replace", newline="")
    try:
        reader = csv.reader(text, delimiter=delimiter)
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
    finally:
        text.detach()  # otherwise it would close the file


_ReadRow = Callable[[int, _Row], TableRow | OtherRow | Unreadable]
_Rows = Callable[[], Iterable[_Numbered]]


def _own_reader(names: Sequence[str], rows: _Rows, *, zone: tzinfo) -> _ReadRow:
    date, distance = names.index(_OWN_DATE), names.index(_OWN_DISTANCE)
    moving, ascent = (
        names.index(name) if name in names else None for name in (_OWN_MOVING, _OWN_ASCENT)
    )
    day_first = day_comes_first(_cell(row, date) for _, row in rows())

    def read_row(line: int, row: _Row) -> TableRow | Unreadable:
        local = _on_the_wall(_cell(row, date), day_first=day_first)
        if local is None:
            return Unreadable(f"{_OWN_DATE} {_quoted(_cell(row, date))} is not a date")
        distance_m = _number(_cell(row, distance))
        if distance_m is None:
            return Unreadable(f"{_OWN_DISTANCE} {_quoted(_cell(row, distance))} is not a distance")
        moving_s = _seconds(_cell(row, moving))
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
                # Without a time of day, two runs of a day are distinguished by their durations.
                hidden_start=local.time() == time.min,
                ascent_m=_number(_cell(row, ascent)),
            ),
        )

    return read_row


_Columns = Mapping[str, int | None]
"""The columns of an export by the keys of `_NAMES`; `metres` is the second of two distances."""


def _export_columns(names: Sequence[str], rows: _Rows) -> _Columns | None:
    """The columns by their English names, else by position; None if it isn't an export."""
    places = _places(names, _NAMES)
    if None in (places["date"], places["type"], places["distance"]):
        first = next(iter(rows()), None)
        if first is None or len(names) <= _PLACES["distance"] or not _looks_exported(first[1]):
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


def _places(names: Sequence[str], known: Mapping[str, Sequence[str]]) -> dict[str, int | None]:
    """The column of each key by the first of its `known` names that the header has."""
    return {
        key: next((names.index(name) for name in options if name in names), None)
        for key, options in known.items()
    }


def _looks_exported(row: _Row) -> bool:
    return _cell(row, _PLACES["id"]).isdecimal() and bool(written_at(_cell(row, _PLACES["date"])))


def _twin(names: Sequence[str], place: int | None) -> int | None:
    """The last other column of the same name, if any."""
    if place is None:
        return None
    last = len(names) - 1 - names[::-1].index(names[place])
    return last if last != place else None


def _file_column(rows: _Rows) -> int | None:
    """The column with the names of the recordings' files, whatever its name."""
    found = (
        place
        for _, row in rows()
        for place, cell in enumerate(row)
        if cell.startswith("activities/")
    )
    return next(found, None)


def _export_reader(columns: _Columns, rows: _Rows, *, zone: tzinfo) -> _ReadRow:
    day_first = day_comes_first(_cell(row, columns["date"]) for _, row in rows())
    unit_m = _unit_m(columns, rows)

    def read_row(line: int, row: _Row) -> TableRow | OtherRow | Unreadable:
        written = written_at(_cell(row, columns["date"]), day_first=day_first)
        is_date = written is not None and FIRST_YEAR <= written.year <= LAST_YEAR
        started_at = written.replace(tzinfo=UTC) if written and is_date else None
        shown = _number(_cell(row, columns["distance"]))
        distance_m = _number(_cell(row, columns["metres"]))
        if distance_m is None and shown is not None:
            distance_m = shown * unit_m
        return _activity(
            line,
            row,
            columns,
            when=(started_at, started_at.astimezone(zone).date()) if started_at else None,
            distance_m=distance_m,
            id_of=lambda made: _cell(row, columns["id"]) or made,
        )

    return read_row


def _activity(
    line: int,
    row: _Row,
    columns: _Columns,
    *,
    when: tuple[datetime, date] | None,
    distance_m: float | None,
    id_of: Callable[[str], str],
    height_m: float = 1.0,
) -> TableRow | OtherRow | Unreadable:
    """An account's row: a run, another sport, or what is missing for a run.

    `height_m` is the unit of its heights, in metres.
    """
    word = _cell(row, columns["type"])
    if not word:
        return Unreadable(NO_SPORT)
    sport = named_run(word)
    file = _cell(row, columns["file"])
    if sport is None and when is None:
        return OtherRow(line, word, file=file)
    if when is None:
        return Unreadable(f"{_quoted(_cell(row, columns['date']))} is not a date")
    if sport is not None and distance_m is None:
        return Unreadable(f"{_quoted(_cell(row, columns['distance']))} is not a distance")
    moving_s, elapsed_s = (_seconds(_cell(row, columns[key])) for key in ("moving", "elapsed"))
    ascent = _number(_cell(row, columns["ascent"]))
    recording = Recording(
        source="import",
        external_id=id_of(_made_id(when[0], distance_m or 0.0)),
        started_at=when[0],
        day=when[1],
        distance_m=distance_m or 0.0,
        moving_s=moving_s,
        elapsed_s=elapsed_s,
        sport=sport or "run",
        is_race=bool(_number(_cell(row, columns.get("race")))),
        device=bool(file),
        title=plain_title(_cell(row, columns["title"])),
        account=True,
        ascent_m=None if ascent is None else ascent * height_m,
    )
    if sport is None:
        return OtherRow(line, word, no_run(recording, word), file)
    return TableRow(line, recording, file)


def no_run(recording: Recording, word: str) -> Recording:
    """The account's statement that an activity is another sport."""
    note = f"the account calls it {_quoted(word)}, not a run"
    return replace(recording, note=note, about=recording.key, excluded=True)


def _programs_columns(
    names: Sequence[str], rows: _Rows, units: Units
) -> tuple[_Columns, float, str | None] | None:
    """The columns of Garmin Connect's list, or of a table that names its unit; None for others.

    They come with the unit of distances in metres, and a note if that was guessed.
    """
    places = _places(names, _PROGRAMS_NAMES)
    found = next(
        ((at, m[1]) for at, n in enumerate(names) if (m := _DISTANCE_IN.fullmatch(n))), None
    )
    if found and None not in (places["date"], places["type"]):
        place, unit = found
        miles_or_metres = METRES_PER["mi"] if unit.startswith("mi") else 1.0
        unit_m = METRES_PER["km"] if unit.startswith("k") else miles_or_metres
        return places | {"distance": place}, unit_m, None
    if not set(names) >= _GARMIN_LIST:
        first = next(iter(rows()), None)
        if first is None or not _looks_listed_by_garmin(first[1]):
            return None
        places |= _GARMIN_PLACES
    columns = places | {"distance": _GARMIN_PLACES["distance"]}
    by_stride = _unit_by_stride(columns, rows)
    note = None if by_stride else f"taken to be in {units}: its table doesn't say"
    return columns, by_stride or METRES_PER[units], note


def _looks_listed_by_garmin(row: _Row) -> bool:
    """True for a sport, date and time, yes or no, title, distance, calories, and duration."""
    if len(row) <= _GARMIN_PLACES["moving"]:
        return False
    _, at, favourite, _, distance, _, lasted, *_ = (cell.strip() for cell in row)
    return bool(
        _iso(at)
        and favourite.casefold() in ("true", "false")
        and _number(distance) is not None
        and _DURATION.fullmatch(lasted)
    )


def _unit_by_stride(columns: _Columns, rows: _Rows) -> float | None:
    """The unit, in metres, in which steps × stride length gives the distance, if any."""
    ratios = []
    for _, row in rows():
        number = _number(_cell(row, columns["distance"]))
        seconds = _seconds(_cell(row, columns["moving"]))
        stride_m, steps = (_number(_cell(row, columns[key])) for key in ("stride", "cadence"))
        if not (number and seconds and stride_m and steps):
            continue
        is_stride = _STRIDE_M[0] <= stride_m <= _STRIDE_M[1]
        are_steps = _STEPS_A_MINUTE[0] <= steps <= _STEPS_A_MINUTE[1]
        if is_stride and are_steps and named_run(_cell(row, columns["type"])):
            ratios.append(stride_m * steps * seconds / 60 / number)
    middle = median(ratios) if ratios else 0.0
    near = (unit for unit in METRES_PER.values() if unit / _UNLIKE < middle < unit * _UNLIKE)
    return next(near, None)


def _programs_reader(
    columns: _Columns, unit_m: float, note: str | None, rows: _Rows, *, zone: tzinfo
) -> _ReadRow:
    day_first = day_comes_first(_cell(row, columns["date"]) for _, row in rows())

    def read_row(line: int, row: _Row) -> TableRow | OtherRow | Unreadable:
        number = _number(_cell(row, columns["distance"]))
        read = _activity(
            line,
            row,
            columns,
            when=_instant(_cell(row, columns["date"]), zone, day_first=day_first),
            distance_m=None if number is None else number * unit_m,
            id_of=lambda made: f"row {_cell(row, columns['id']) or made}",
            height_m=_FOOT_M if unit_m == METRES_PER["mi"] else 1.0,
        )
        if note and isinstance(read, TableRow):
            return replace(read, recording=replace(read.recording, note=note))
        return read

    return read_row


def _unit_m(columns: _Columns, rows: _Rows) -> float:
    """The unit, in metres, of the first distance column; old exports have metres there."""
    if columns["metres"] is not None:
        return 1000.0
    runs = [
        number
        for _, row in rows()
        if named_run(_cell(row, columns["type"]))
        and (number := _number(_cell(row, columns["distance"])))
    ]
    return 1.0 if runs and median(runs) >= _SHORTEST_MEDIAN_M else 1000.0


def _cell(row: _Row, place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""


def _iso(text: str) -> datetime | None:
    """The local time of an ISO text; its offset or Z is ignored."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if FIRST_YEAR <= at.year <= LAST_YEAR else None


def _on_the_wall(text: str, *, day_first: bool) -> datetime | None:
    """The local time as people, programs or spreadsheets write it."""
    if at := _iso(text):
        return at
    written = written_at(text, day_first=day_first)
    if written is None or not FIRST_YEAR <= written.year <= LAST_YEAR:
        return None
    return written.replace(tzinfo=UTC)


def _instant(text: str, zone: tzinfo, *, day_first: bool) -> tuple[datetime, date] | None:
    """The instant and the local day, by the offset in the text, else by `zone`."""
    local = _on_the_wall(text, day_first=day_first)
    if local is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = local.replace(tzinfo=None)
    return (at if at.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC), local.date()


def _seconds(text: str) -> float | None:
    """A duration: a number of seconds, 5:30 or 1:05:30; None for none."""
    found = _DURATION.fullmatch(text)
    if not found:
        return _number(text) or None
    hours, minutes, seconds = found.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", ".")) or None


def _number(text: str) -> float | None:
    """A number that isn't negative, with a decimal point or comma."""
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


def _quoted(text: str) -> str:
    """A cell for display: one short line, or a word for nothing."""
    return repr(text[:_SHOWN]) if text else "(nothing)"
