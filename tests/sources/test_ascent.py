"""Climb from files, services and account tables."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from simulators.activity_files import Fix, Leg, fit_activity, gpx, straight, tcx
from worker.domain.models import Recording
from worker.sources.base import ListedActivity
from worker.sources.formats import Parsed
from worker.sources.formats.fit import parse_fit
from worker.sources.formats.garmin_summaries import summary_rows
from worker.sources.formats.gpx import parse_gpx
from worker.sources.formats.runtastic import session_row
from worker.sources.formats.tables import Logbook, TableRow, read_table
from worker.sources.formats.tcx import parse_tcx
from worker.sources.garmin.parse import parse_garmin_activity
from worker.sources.intervals.parse import parse_intervals_activity
from worker.sources.strava.parse import parse_strava_activity

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)


def hills(heights_m: Sequence[float]) -> list[Fix]:
    """An even run over these heights."""
    way = straight(START, distance_m=12.0 * len(heights_m), seconds=5 * len(heights_m), every_s=5)
    return [replace(fix, high_m=high_m) for fix, high_m in zip(way, heights_m, strict=False)]


def up(parsed: Parsed) -> float | None:
    assert isinstance(parsed, tuple), parsed
    (run,) = parsed
    return run.ascent_m


UP_AND_DOWN = [*range(100, 400, 3), *range(400, 250, -3), *range(250, 350, 3)]
"""300 m up, 150 down, 100 up."""

Read = Callable[[list[Fix]], Parsed]


@pytest.fixture(params=["gpx", "tcx"])
def read(request: pytest.FixtureRequest) -> Read:
    if request.param == "gpx":
        return lambda way: parse_gpx(gpx([way]))
    return lambda way: parse_tcx(tcx([way]))


def test_a_track_s_rises_are_added_up(read: Read) -> None:
    """Descents in between don't reduce it."""
    assert up(read(hills(UP_AND_DOWN))) == pytest.approx(400, abs=6)


def test_a_wandering_height_is_no_climb(read: Read) -> None:
    """GPS heights are off by metres: that adds nothing on the flat, and nothing on a climb."""
    wobble = [4.0, -4.0, 0.0, 3.0, -3.0]
    assert up(read(hills([200 + wobble[n % 5] for n in range(300)]))) == 0
    climb = [200 + n + wobble[n % 5] for n in range(300)]
    assert up(read(hills(climb))) == pytest.approx(300, abs=9)


def test_a_leap_of_the_height_is_no_climb(read: Read) -> None:
    """A height of zero until the barometer has one."""
    assert up(read(hills([0.0] * 5 + [850.0] * 100))) == 0


def test_a_track_that_comes_newest_first_climbs_as_it_was_run() -> None:
    """Once in order, a descent read backwards isn't a climb."""
    down = hills([*range(400, 100, -2)])
    assert up(parse_gpx(gpx([down]))) == up(parse_gpx(gpx([down[::-1]]))) == 0


def test_a_track_without_heights_tells_no_climb() -> None:
    """Unknown isn't zero."""
    content = gpx([hills([500.0] * 100)]).replace(b"<ele>500</ele>", b"")
    assert up(parse_gpx(content)) is None


@pytest.mark.parametrize("told", [None, 0, 431])
def test_a_fit_file_tells_its_climb(told: int | None) -> None:
    """As the watch summed it up."""
    extra = {} if told is None else {"total_ascent": told}
    leg = Leg(START, 9000, moving_s=3000, elapsed_s=3000, extra=extra)
    assert up(parse_fit(fit_activity([leg]))) == told


ABOUT = {"id": 7, "name": "Up", "sport_type": "Run", "start_date": "2026-03-01T07:00:00Z",
         "distance": 9000.0, "total_elevation_gain": 431.5}  # fmt: skip
OF_INTERVALS = ABOUT | {"id": "i7", "type": "Run"}
OF_GARMIN = {"activityId": 7, "activityType": {"typeKey": "running"}, "distance": 9000.0,
             "startTimeGMT": "2026-03-01T07:00:00", "elevationGain": 431.5}  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (parse_strava_activity, ABOUT),
        (parse_intervals_activity, OF_INTERVALS),
        (parse_garmin_activity, OF_GARMIN),
    ],
    ids=["strava", "intervals", "garmin"],
)
def test_services_tell_the_climb_also_once_saved(
    parse: Callable[[object], ListedActivity], raw: dict[str, object]
) -> None:
    """The stored payload gives the same run when read again."""
    first = parse(raw)
    assert first.payload
    for listed in (first, parse(json.loads(first.payload))):
        assert isinstance(listed.parsed, Recording), listed
        assert listed.parsed.ascent_m == 431.5


STRAVA = ("Activity ID,Activity Date,Activity Name,Activity Type,Elapsed Time,Distance,"
          "Elevation Gain")  # fmt: skip
GARMIN = ("Activity Type,Date,Favorite,Title,Distance,Calories,Time,Total Ascent,Avg Run Cadence,"
          "Avg Stride Length")  # fmt: skip
ROW = 'Running,2026-03-01 07:00:00,false,Up,{},600,0:50:00,"{}",160,1.10'
"""8.8 km by its steps."""


@pytest.mark.parametrize(
    ("table", "metres"),
    [
        (f'{STRAVA}\n7,"Mar 1, 2026, 7:00:00 AM",Up,Run,3000,9.0,431.5', 431.5),
        (f'{STRAVA}\n7,"Mar 1, 2026, 7:00:00 AM",Up,Run,3000,9.0,', None),
        (f"{GARMIN}\n{ROW.format('8.80', '1,431')}", 1431),
        (f"{GARMIN}\n{ROW.format('5.47', '1,000')}", 304.8),
        (f"{GARMIN}\n{ROW.format('8.80', '--')}", None),
        ("start_date_local,distance_m,elevation_gain_m\n2026-03-01T07:00:00,9000,431.5", 431.5),
    ],
    ids=["strava", "strava without", "garmin, km", "garmin, miles", "garmin without", "own"],
)
def test_tables_tell_the_climb(table: str, metres: float | None) -> None:
    """In metres; in feet if Garmin's list is in miles."""
    book = read_table(table.encode())
    assert isinstance(book, Logbook), book
    (row,) = book.runs
    assert row.recording.ascent_m == (metres and pytest.approx(metres))


def test_account_exports_tell_the_climb() -> None:
    """Garmin's summaries in centimetres, Runtastic's sessions in metres."""
    summary = {"activityId": 7, "activityType": "running", "beginTimestamp": 1.7722e12,
               "distance": 900_000.0, "elevationGain": 43_150.0}  # fmt: skip
    garmin = next(summary_rows(json.dumps([{"summarizedActivitiesExport": [summary]}]).encode()))
    session = {"sport_type_id": "1", "start_time": 1_772_200_000_000, "distance": 9000,
               "elevation_gain": 431}  # fmt: skip
    runtastic = session_row(json.dumps(session).encode(), name="a.json")
    assert isinstance(garmin, TableRow)
    assert isinstance(runtastic, TableRow)
    assert (garmin.recording.ascent_m, runtastic.recording.ascent_m) == (431.5, 431)
