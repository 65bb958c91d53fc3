"""Reading histories: custom tables and account exports, with their bad rows."""

import io
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.domain.models import METRES_PER, Units
from worker.sources import Unreadable
from worker.sources.formats.runtastic import session_row
from worker.sources.formats.tables import (
    MAX_ROWS,
    BadRow,
    Logbook,
    OtherRow,
    TableRow,
    read_table,
    table_rows,
)
from worker.sources.formats.written_dates import day_comes_first, written_at

QUARTER_PAST_FOUR = datetime(2014, 10, 5, 16, 15, 21)  # noqa: DTZ001  as written, without a zone

ENGLISH = (
    "Activity ID,Activity Date,Activity Name,Activity Type,Activity Description,Elapsed Time,"
    "Distance,Max Heart Rate,Relative Effort,Commute,Activity Private Note,Activity Gear,Filename,"
    "Athlete Weight,Bike Weight,Elapsed Time,Moving Time,Distance,Max Speed,Competition"
)
GERMAN = (
    "Aktivitäts-ID,Aktivitätsdatum,Name der Aktivität,Aktivitätsart,Beschreibung,Verstrichene Zeit,"
    "Distanz,Herzfrequenz,Anstrengung,Pendeln,Notiz,Ausrüstung,Dateiname,"
    "Gewicht,Radgewicht,Verstrichene Zeit,Bewegungszeit,Distanz,Tempo,Wettkampf"
)


def logbook(text: str, zone: str = "UTC") -> Logbook:
    read_ = read_table(text.encode(), zone=ZoneInfo(zone))
    assert isinstance(read_, Logbook)
    return read_


def only(text: str, zone: str = "UTC") -> TableRow:
    book = logbook(text, zone)
    assert (len(book.runs), book.bad) == (1, ())
    return book.runs[0]


def exported(**cells: str) -> str:
    """One row of an export; `cells` replace its values."""
    row = {
        "id": "77", "at": '"Oct 5, 2014, 4:15:21 PM"', "name": "Morning Run", "type": "Run",
        "elapsed": "1428", "shown": "3.32", "file": "activities/77.fit.gz",
        "moving": "1411.0", "metres": "3322.949951171875", "race": "",
    } | cells  # fmt: skip
    return (
        "{id},{at},{name},{type},,{elapsed},{shown},,,false,,,{file},,,1428.0,{moving},{metres},"
        "3.2,{race}"
    ).format(**row)


def test_reads_a_table_of_ones_own() -> None:
    """The local clock gives the day; moving time is used if it's there."""
    entry = only("start_date_local,distance_m,moving_s\n2024-03-01T23:30:00,8010.0,2700\n")
    assert entry.recording.day == date(2024, 3, 1)
    assert entry.recording.started_at == datetime(2024, 3, 1, 23, 30, tzinfo=UTC)
    assert (entry.recording.distance_m, entry.recording.moving_s) == (8010.0, 2700.0)
    assert entry.line == 2


@pytest.mark.parametrize(
    "written", ["2024-03-01T23:30:00Z", "2024-03-01T23:30:00+09:00", "2024-03-01 23:30"]
)
def test_a_zone_beside_the_local_clock_changes_nothing(written: str) -> None:
    """Services wrongly mark the local time as UTC; the local time counts."""
    entry = only(f"start_date_local,distance_m\n{written},8010\n")
    assert entry.recording.day == date(2024, 3, 1)


def test_other_columns_are_ignored_wherever_they_stand() -> None:
    """The columns' order, case and neighbours don't matter."""
    entry = only('note,Distance_M,x,START_DATE_LOCAL\n"a,b\nc",5000,,2024-01-02\n')
    assert (entry.recording.distance_m, entry.recording.day) == (5000.0, date(2024, 1, 2))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_reads_what_a_spreadsheet_makes_of_it(delimiter: str) -> None:
    """Semicolons or tabs, decimal commas, a byte order mark."""
    text = "start_date_local,distance_m\n2024-01-02,X\n".replace(",", delimiter)
    content = ("\ufeff" + text.replace("X", "5000,5")).encode()
    book = read_table(content)
    assert isinstance(book, Logbook)
    assert book.runs[0].recording.distance_m == 5000.5
    assert read_table(("\ufeff" + text.replace("X", "5000,5")).encode("utf-16-le")) == book


def test_a_bad_row_is_told_by_line_and_reason_and_the_rest_is_read() -> None:
    """Each kind of bad row has its reason; the rows around it are read."""
    book = logbook(
        "start_date_local,distance_m\n2024-01-01,5000\nyesterday,5000\n2024-01-02,far\n"
        "\n2024-01-03\n2024-01-04,-3\n2024-01-05,nan\n0001-01-01,5\n2024-01-06,6000\n"
    )
    assert [entry.line for entry in book.runs] == [2, 10]
    assert [(bad.line, bad.reason) for bad in book.bad] == [
        (3, "start_date_local 'yesterday' is not a date"),
        (4, "distance_m 'far' is not a distance"),
        (6, "distance_m (nothing) is not a distance"),
        (7, "distance_m '-3' is not a distance"),
        (8, "distance_m 'nan' is not a distance"),
        (9, "start_date_local '0001-01-01' is not a date"),
    ]
    assert book.rows == 8


def test_a_cell_without_end_costs_its_row_only() -> None:
    """A row that the csv reader refuses is one bad row, and the rows before it stay."""
    book = logbook(f"start_date_local,distance_m\n2024-01-01,5000\n2024-01-02,{'9' * 140_000}\n")
    assert len(book.runs) == 1
    assert [bad.line for bad in book.bad] == [3]


def test_a_table_without_end_is_read_up_to_a_bound() -> None:
    """Nobody has so many runs; the first rows are read, and the last result says where it ends."""
    many = b"start_date_local,distance_m\n" + b"2024-01-01,5000\n" * (MAX_ROWS + 10)
    *rows, last = table_rows(io.BytesIO(many))
    assert len(rows) == MAX_ROWS
    assert last == BadRow(MAX_ROWS + 2, "only the first 200,000 rows of a table are read")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b" \n\n", "an empty file"),
        (b"\x0e\x20\x00\x00.FIT\x00", "not a table: it isn't text"),
        (b"start_date_local,km\n2024-01-01,5\n", "it has no column distance_m"),
        (b"distance_m\n5\n", "it has no column start_date_local"),
    ],
)
def test_a_file_that_is_no_history_says_why(content: bytes, reason: str) -> None:
    """The reason is the whole result."""
    assert read_table(content) == Unreadable(reason)


def test_a_table_of_something_else_says_what_was_expected() -> None:
    """The message names both kinds of history."""
    answer = read_table(b"a,b\n1,2\n")
    assert isinstance(answer, Unreadable)
    assert "start_date_local" in answer.reason
    assert "activities.csv" in answer.reason


def test_reads_an_accounts_export() -> None:
    """Metres come from the second distance column; the row's other values are kept."""
    entry = only(f"{ENGLISH}\n{exported()}\n")
    run = entry.recording
    assert run.started_at == QUARTER_PAST_FOUR.replace(tzinfo=UTC)
    assert run.distance_m == pytest.approx(3322.95, abs=0.01)
    assert (run.moving_s, run.elapsed_s) == (1411.0, 1428.0)
    assert (run.external_id, run.title, run.device) == ("77", "Morning Run", True)
    assert entry.file == "activities/77.fit.gz"


def test_an_exports_utc_becomes_the_athletes_day() -> None:
    """Late evening in UTC is the next day in Berlin."""
    late = exported(at='"Oct 5, 2014, 11:15:21 PM"')
    assert only(f"{ENGLISH}\n{late}\n").recording.day == date(2014, 10, 5)
    assert only(f"{ENGLISH}\n{late}\n", "Europe/Berlin").recording.day == date(2014, 10, 6)


def test_only_runs_of_an_export_count() -> None:
    """Trail and virtual runs do; rides, walks and Nordic skiing are counted separately."""
    kinds = ("Run", "Trail Run", "Virtual Run", "Ride", "Walk", "Nordic Ski")
    rows = "\n".join(exported(id=str(n), type=kind) for n, kind in enumerate(kinds))
    book = logbook(f"{ENGLISH}\n{rows}\n")
    assert [entry.recording.sport for entry in book.runs] == ["run", "trail", "virtual"]
    assert (book.others, book.bad) == (3, ())


def test_a_row_that_names_no_sport_is_said_and_decides_nothing() -> None:
    """Neither a run nor "another sport": its file decides."""
    book = logbook(f"{ENGLISH}\n{exported(type='')}\n{exported(id='78')}\n")
    assert [entry.recording.external_id for entry in book.runs] == ["78"]
    assert (book.others, book.bad) == (
        0, (BadRow(2, "an activity that names no sport: it may be a run or not"),)
    )  # fmt: skip


def test_reads_an_export_in_another_language() -> None:
    """Columns are found by position, dates by their words, numbers have commas."""
    row = exported(
        at='"5. Okt. 2014, 16:15:21"', type="Lauf", shown='"3,32"', metres='"3322,95"', race="1.0"
    )
    entry = only(f"{GERMAN}\n{row}\n")
    assert entry.recording.started_at == QUARTER_PAST_FOUR.replace(tzinfo=UTC)
    assert (entry.recording.distance_m, entry.recording.moving_s) == (3322.95, 1411.0)
    assert entry.file == "activities/77.fit.gz"


@pytest.mark.parametrize(
    ("cells", "metres"), [(("8.04", "12.1"), 8040.0), (("8040.2", "12100"), 8040.2)]
)
def test_an_old_export_has_one_distance_in_either_unit(
    cells: tuple[str, str], metres: float
) -> None:
    """No usual run is a few metres long, or hundreds of kilometres."""
    rows = "".join(
        f"{n},2017-05-0{n} 10:00:00,x,Run,,3000,{cell}\n" for n, cell in enumerate(cells, 1)
    )
    book = logbook(f"id,date,name,type,description,elapsed_time,distance\n{rows}")
    assert book.runs[0].recording.distance_m == pytest.approx(metres)


def test_a_race_is_told_by_the_export() -> None:
    """The mark that the athlete set there."""
    assert only(f"{ENGLISH}\n{exported(race='1.0')}\n").recording.is_race


def test_a_title_is_one_line_that_can_be_shown() -> None:
    """Line breaks and direction marks are removed, and it's shortened."""
    row = exported(name=f'"a\n\u202eb{"c" * 200}"')
    entry = only(f"{ENGLISH}\n{row}\n")
    assert entry.recording.title.startswith("a b")
    assert len(entry.recording.title) <= 80


def test_a_bad_row_of_an_export_is_a_value() -> None:
    """A run without a date or a distance is one; bad rides don't matter."""
    rows = [exported(at="soon"), exported(shown="", metres=""), exported(type="Ride", at="soon")]
    book = logbook("\n".join([ENGLISH, *rows]) + "\n")
    assert (len(book.runs), book.others) == (0, 1)
    assert [bad.reason for bad in book.bad] == [
        "'soon' is not a date",
        "(nothing) is not a distance",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Oct 5, 2014, 4:15:21 PM", "Oct 5, 2014, 4:15:21\u202fPM", "5 Oct 2014, 16:15:21",
        "5 oct. 2014 à 16:15:21", "05.10.2014, 16:15:21", "5. Okt. 2014, 16:15:21",
        "5 oct 2014, 16:15:21", "5 de out. de 2014, 16:15:21", "5 ott 2014, 16:15:21",
        "5 okt 2014 16:15:21", "5 paź 2014, 16:15:21", "5 окт. 2014, 16:15:21",
        "2014年10月5日 16:15:21", "2014/10/05 下午4:15:21", "2014. 10. 5. 오후 4:15:21",
        "2014-10-05 16:15:21", "2014-10-05T16:15:21Z", "10/5/2014, 4:15:21 PM",
        "5/10/2014 16:15:21",
    ],
)  # fmt: skip
def test_the_same_instant_in_many_languages(text: str) -> None:
    """Each format is understood."""
    assert written_at(text, day_first=day_comes_first([text])) == QUARTER_PAST_FOUR


def test_midnight_and_noon_of_a_clock_of_twelve_hours() -> None:
    """12 AM is hour 0, 12 PM is hour 12."""
    midnight, noon = written_at("Oct 5, 2014, 12:01:00 AM"), written_at("Oct 5, 2014, 12:01:00 PM")
    assert midnight is not None
    assert noon is not None
    assert (midnight.hour, noon.hour) == (0, 12)


def test_one_date_of_a_file_tells_the_order_of_all() -> None:
    """There is no thirteenth month."""
    assert day_comes_first(["5/10/2014, 4:15 PM", "13/10/2014, 4:15 PM"])
    assert not day_comes_first(["5/10/2014 16:15", "5/13/2014 16:15"])


@pytest.mark.parametrize("text", ["", "soon", "31 Feb 2014, 10:00", "5 Foo 2014", "99/99/2014"])
def test_what_is_no_date_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert written_at(text) is None


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    """Whatever the file contains, the result is a logbook or a reason."""
    assert isinstance(read_table(content), Logbook | Unreadable)


CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["2024-01-01", "5000", "5,5", "1e9", "Oct 5, 2014, 4:15:21 PM", '"', "\x00"]),
)


@given(
    st.sampled_from(["start_date_local,distance_m,moving_s", ENGLISH, GERMAN]),
    st.lists(st.lists(CELLS, max_size=20), max_size=6),
)
def test_no_rows_break_the_reader(header: str, rows: list[list[str]]) -> None:
    """Every row is a run, another sport or a bad row; every run has valid values."""
    text = "\n".join([header, *(",".join(row) for row in rows)])
    answer = read_table(text.encode("utf-8", "replace"))
    if isinstance(answer, Logbook):
        for entry in answer.runs:
            assert 0 <= entry.recording.distance_m < 1e9
            assert 1900 <= entry.recording.started_at.year <= 2999


def test_real_histories_and_exports_are_read_whole() -> None:
    """No row of the available real files is bad."""
    folder = os.environ.get("EASEBACK_REAL_DATA")
    if not folder:
        pytest.skip("EASEBACK_REAL_DATA names no folder of real files")
    files = [
        *(path for path in Path(folder, "histories").glob("*.csv") if path.stem != "index"),
        *Path(folder, "exports").glob("*activities.csv"),
    ]
    assert files
    for path in files:
        book = read_table(path.read_bytes())
        assert isinstance(book, Logbook), path
        assert book.bad == (), path


GARMIN = (
    "Activity Type,Date,Favorite,Title,Distance,Calories,Time,Avg HR,Max HR,Aerobic TE,"
    "Avg Run Cadence,Max Run Cadence,Avg Pace,Best Pace,Total Ascent,Total Descent,"
    "Avg Stride Length,Moving Time,Elapsed Time"
)
GARMIN_GERMAN = (
    "Aktivitätstyp,Datum,Favorit,Titel,Distanz,Kalorien,Zeit,Ø Herzfrequenz,Max. HF,Aerober TE,"
    "Ø Schrittfrequenz (Laufen),Max. Schrittfrequenz,Ø Pace,Beste Pace,Anstieg,Abstieg,"
    "Ø Schrittlänge,Zeit in Bewegung,Verstrichene Zeit"
)


def listed(number: str, *, stride: str = "1.10", kind: str = "Running", lasted: str = "00:55:54",
           ) -> str:  # fmt: skip
    """A row of Garmin Connect's list: 160 steps a minute with strides of 1.10 m give 9.84 km."""
    return (
        f'{kind},2026-05-04 19:30:00,false,"Evening","{number}","600","{lasted}","140","150","3.0",'
        f'"160","170","8:59","7:00","20","20","{stride}","{lasted}","00:57:00"'
    )


@pytest.mark.parametrize("header", [GARMIN, GARMIN_GERMAN], ids=["English", "German"])
@pytest.mark.parametrize(
    ("number", "metres"), [("6.21", 6.21 * 1609.344), ("10.00", 10_000.0)], ids=["mi", "km"]
)
@pytest.mark.parametrize("units", ["km", "mi"])
def test_the_list_of_garmin_connect_is_read_in_the_unit_that_its_strides_tell(
    header: str, number: str, metres: float, units: Units
) -> None:
    """In local time, by column positions, whatever unit the athlete uses."""
    kind = "Laufen" if header == GARMIN_GERMAN else "Running"
    rows = [listed(number, kind=kind), listed("15.00", kind="Radfahren"), ""]
    book = read_table("\n".join([header, *rows]).encode(), zone=ZoneInfo("America/New_York"),
                      units=units)  # fmt: skip
    assert isinstance(book, Logbook)
    (run,) = book.recordings
    assert run.started_at == datetime(2026, 5, 4, 23, 30, tzinfo=UTC)
    assert run.day == date(2026, 5, 4)
    assert run.distance_m == pytest.approx(metres)
    assert (run.note, run.account, book.others, book.bad) == (None, True, 1, ())


def test_a_list_without_strides_is_in_the_athletes_unit_and_says_so() -> None:
    """The file doesn't say; a note says that it's a guess."""
    content = f"{GARMIN}\n{listed('6.21', stride='--')}\n".encode()
    for units, metres in (("mi", 6.21 * 1609.344), ("km", 6210.0)):
        book = read_table(content, units=units)  # type: ignore[arg-type]  # the loop's text
        assert isinstance(book, Logbook)
        assert book.recordings[0].distance_m == pytest.approx(metres)
        assert book.recordings[0].note == f"taken to be in {units}: its table doesn't say"
        assert (book.recordings[0].moving_s, book.recordings[0].elapsed_s) == (3354, 3420)


@given(
    st.floats(1.0, 42.2),
    st.floats(3.0, 9.0),
    st.floats(150.0, 200.0),
    st.sampled_from(["km", "mi"]),
    st.floats(0.85, 1.15),
)
def test_the_length_of_strides_tells_kilometres_from_miles(
    number: float, minutes_a_unit: float, steps: float, unit: Units, off: float
) -> None:
    """For any runner whose watch measures strides within 15 %."""
    unit_m = METRES_PER[unit]
    seconds = 60 * minutes_a_unit * number
    stride_m = number * unit_m / (steps * seconds / 60) * off
    assume(0.3 <= stride_m <= 2.5)
    clock = f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02}:{seconds % 60:04.1f}"
    row = listed(f"{number:.2f}", stride=f"{stride_m:.3f}", lasted=clock).replace(
        '"160"', f'"{steps:.0f}"'
    )
    book = read_table(f"{GARMIN}\n{row}\n".encode(), units="km" if unit == "mi" else "mi")
    assert isinstance(book, Logbook)
    assert book.recordings[0].distance_m == pytest.approx(number * unit_m, rel=0.01)


RUNKEEPER = (
    "Activity Id,Date,Type,Route Name,Distance ({unit}),Duration,Average Pace,GPX File\n"
    "abc,2026-05-04 07:30:00,Running,,{number},{lasted},6:00,2026-05-04-073000.gpx\n"
    "ghi,2026-05-07 07:30:00,Cycling,,13.00,1:00:00,,2026-05-07-073000.gpx\n"
)


@pytest.mark.parametrize(
    ("unit", "number", "metres"),
    [("km", "10.00", 10_000.0), ("mi", "6.21", 6.21 * 1609.344), ("m", "10000", 10_000.0),
     ("km", "10,00", 10_000.0)],
)  # fmt: skip
@pytest.mark.parametrize(("lasted", "seconds"), [("1:00:00", 3600.0), ("58:20", 3500.0)])
def test_a_table_that_names_its_unit_is_read_whoever_wrote_it(
    unit: str, number: str, metres: float, lasted: str, seconds: float
) -> None:
    """Local times, durations with colons, the file of each activity, and other sports."""
    number = f'"{number}"' if "," in number else number
    text = RUNKEEPER.format(unit=unit, number=number, lasted=lasted)
    run, other = table_rows(io.BytesIO(text.encode()), zone=ZoneInfo("Europe/Berlin"))
    assert isinstance(run, TableRow)
    assert run.recording.started_at == datetime(2026, 5, 4, 5, 30, tzinfo=UTC)
    assert run.recording.distance_m == pytest.approx(metres)
    assert run.recording.moving_s == seconds
    assert run.file == "2026-05-04-073000.gpx"
    assert isinstance(other, OtherRow)
    assert (other.word, other.file) == ("Cycling", "2026-05-07-073000.gpx")
    assert other.recording is not None
    assert other.recording.excluded


def test_an_offset_beside_a_programs_time_is_believed() -> None:
    """At the run's place the hour and day differ from the athlete's zone."""
    text = (
        '"Start Time","Activity ID","Duration (h:m:s)","Activity Type","Distance (km)"\n'
        '"2026-05-05T06:30:00+09:00","124","1:00:00","Treadmill Running","9.00000"\n'
    )
    run = only(text, "Europe/Berlin").recording
    assert run.started_at == datetime(2026, 5, 4, 21, 30, tzinfo=UTC)
    assert (run.day, run.sport) == (date(2026, 5, 5), "treadmill")


@pytest.mark.parametrize(
    "written", ["04.05.2026 07:30", "04.05.26 07:30", "4/5/2026 7:30", "2026-05-04 07:30:00"]
)
def test_ones_own_table_is_read_after_a_spreadsheet_saved_it(written: str) -> None:
    """Dates in the local format, a duration like a time of day."""
    text = f"start_date_local;distance_m;moving_s\n{written};10000;1:00:00\n"
    run = only(text, "Europe/Berlin").recording
    assert run.started_at == datetime(2026, 5, 4, 5, 30, tzinfo=UTC)
    assert (run.distance_m, run.moving_s, run.hidden_start) == (10_000.0, 3600.0, False)


@pytest.mark.parametrize(
    ("written", "month"),
    [
        ("4 Ağu 2025 07:12:33", 8), ("4 Şub 2025 07:12:33", 2), ("4 Kas 2025, 07:12:33", 11),
        ("4 Agu 2025 07.12.33", 8), ("4 Des 2025 07.12.33", 12), ("4 sie 2025, 07:12:33", 8),
        ("4 sty 2025, 07:12:33", 1), ("4 elokuuta 2025 7.12.33", 8), ("2025. aug. 4. 7:12:33", 8),
        ("4 thg 8, 2025, 07:12:33", 8), ("4 čvn 2025 7:12:33", 6), ("4 iun. 2025, 07:12:33", 6),
        ("4 augusti 2025 07:12:33", 8), ("4. marraskuuta 2025 7.12.33", 11),
    ],
)  # fmt: skip
def test_months_are_known_in_the_languages_that_accounts_are_kept_in(
    written: str, month: int
) -> None:
    """Turkish, Indonesian, Polish, Finnish, Hungarian, Vietnamese, Czech, Romanian, Swedish."""
    assert written_at(written) == datetime(2025, month, 4, 7, 12, 33)  # noqa: DTZ001  as written


def test_a_month_that_begins_like_another_is_told_by_its_longer_name() -> None:
    """červenec is July, červen June; marraskuu November, mars March."""
    found = [written_at(f"4 {name} 2025") for name in ("červenec", "červen", "marras", "mars")]
    assert [at and at.month for at in found] == [7, 6, 11, 3]


def session(**changes: object) -> bytes:
    told = {
        "start_time": 1777872600000, "end_time": 1777876300000, "duration": 3600000,
        "distance": 10000, "sport_type_id": "1", "id": "a", "start_time_timezone_offset": 7200000,
    }  # fmt: skip
    return json.dumps(told | changes).encode()


def test_a_session_of_runtastic_is_a_row() -> None:
    """Milliseconds and metres; its track is beside it under its name."""
    row = session_row(session(sport_type_id=14), name="Sport-sessions/a.json")
    assert isinstance(row, TableRow)
    run = row.recording
    assert (run.distance_m, run.moving_s, run.elapsed_s, run.sport) == (
        10_000.0, 3600.0, 3700.0, "treadmill",
    )  # fmt: skip
    assert (run.day, row.file) == (date(2026, 5, 4), "GPS-data/a.gpx")
    other = session_row(session(sport_type_id="3"), name="c.json")
    assert isinstance(other, OtherRow)
    assert (other.word, other.file) == ("cycling", "GPS-data/c.gpx")


@given(
    st.dictionaries(
        st.sampled_from(["start_time", "duration", "distance", "sport_type_id", "end_time",
                         "start_time_timezone_offset", "id"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                  st.lists(st.integers(), max_size=2)),
    )
)  # fmt: skip
def test_no_session_breaks_its_reader(changes: dict[str, object]) -> None:
    """Whatever is in it, the result is a row."""
    row = session_row(session(**changes), name="a.json")
    assert isinstance(row, TableRow | OtherRow | BadRow)


def test_a_session_at_the_end_of_the_calendar_has_no_date() -> None:
    """Its neighbouring days couldn't be compared with it."""
    row = session_row(session(start_time=253_402_214_400_000), name="a.json")
    assert row == BadRow(1, "a run without a date")
    row = session_row(session(start_time_timezone_offset=-60_000_000_000_000), name="a.json")
    assert isinstance(row, TableRow)
    assert row.recording.day == date(2026, 5, 4)
