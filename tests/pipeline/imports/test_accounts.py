"""Importing whole accounts: files and tables of the same runs."""

import json
from collections import Counter
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from simulators.activity_files import fit_run
from tests.app import TODAY, recording, run_file
from tests.pipeline.imports.exports import (
    DAY,
    Importing,
    export,
    folder_of,
    packed,
    row,
    runs,
    table,
    week_of,
    zipped,
)
from worker.pipeline.edits import correct_run
from worker.sources.archive.manifest import Table, manifest_of


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_a_row_and_its_file_are_one_run_and_rows_stand_in_for_lost_files(
    importing: Importing, tmp_path: Path, as_zip: bool
) -> None:
    """The file's metres are used, and the row's race mark is kept."""
    app, anna = importing.app, importing.app.athlete()
    path = week_of(tmp_path / "export")
    if as_zip:
        path = packed(tmp_path / "export.zip", path)
    assert importing.by(anna, path) == {"imported": 3, "failed": 1}
    assert app.distances_km(anna) == [8.0, 6.0, 7.0]
    with app.services.store.reading() as tx:
        kept = tx.runs.all(anna)
        assert [one.run.is_race for one in kept] == [True, False, False]
        assert [len(one.sources) for one in kept] == [2, 1, 1]
        titles = {one.title for one in tx.runs.recorded(anna, "import") if one.title}
    assert titles == {"Morning"}


@pytest.mark.parametrize(
    ("sheet", "piece"),
    [
        (Table(Path("activities.csv")), "activities/7.fit"),
        (Table(Path("/home/export/activities.csv")), "/home/export/activities/7.fit"),
        (Table(Path("a.zip"), "activities.csv"), "a.zip/activities/7.fit"),
        (Table(Path("a.zip"), "export_1/activities.csv"), "a.zip/export_1/activities/7.fit"),
    ],
)
def test_a_tables_own_names_start_where_it_lies(sheet: Table, piece: str) -> None:
    """In the current folder, in another, in an archive, in a folder of an archive."""
    assert sheet.names("activities/7.fit") == piece


def test_a_lost_file_says_that_its_row_counts(importing: Importing, tmp_path: Path) -> None:
    """So that nobody looks for a run that is there."""
    outcome = importing.start(importing.app.athlete(), week_of(tmp_path / "export"))
    (failed,) = [one for one in outcome if one.verdict == "failed"]
    assert failed.name.endswith("activities/72.fit.gz")
    assert failed.reason.endswith("(its row in activities.csv counts instead)")


def test_the_table_alone_and_the_whole_export_give_the_same_in_either_order(
    importing: Importing, tmp_path: Path
) -> None:
    """The table first, last, or together with the files: the same runs from the same recordings."""
    whole = week_of(tmp_path / "export")
    alone = tmp_path / "activities.csv"
    alone.write_bytes((whole / "activities.csv").read_bytes())
    outcomes = []
    for name, order in (
        ("Whole", [whole]),
        ("First", [alone, whole]),
        ("Last", [whole, alone]),
    ):
        anna = importing.app.athlete(name)
        for path in order:
            importing.by(anna, path)
        outcomes.append(runs(importing.app, anna))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_table_alone_gives_its_runs(importing: Importing, tmp_path: Path) -> None:
    """Runs count, bad rows are reported with their line, other sports are counted once."""
    anna = importing.app.athlete()
    path = tmp_path / "history.csv"
    path.write_text(
        table(
            row(71, TODAY - DAY, 9.0),
            row(72, TODAY, 30.0, kind="Ride"),
            row(73, TODAY, 5.0).replace("Nov", "Nothing"),
        )
    )
    outcome = list(importing.start(anna, path))
    assert Counter(one.verdict for one in outcome) == {"imported": 1, "skipped": 1, "failed": 1}
    assert [one.name for one in outcome if one.verdict == "failed"] == [f"{path}, line 4"]
    assert importing.app.distances_km(anna) == [9.0]


def test_a_table_of_ones_own_hangs_its_clock_where_the_athlete_lives(
    importing: Importing, tmp_path: Path
) -> None:
    """7:00 in Berlin is the watch's 6:00 UTC: one run, not two."""
    anna = importing.app.athlete()
    path = tmp_path / "mine.csv"
    path.write_text(f"start_date_local,distance_m,moving_s\n{TODAY}T07:00:00,8010,2880\n")
    importing.app.runs(anna, [recording(km=8.0)])
    assert importing.by(anna, path) == {"duplicate": 1}
    assert importing.app.distances_km(anna) == [8.0]


@pytest.mark.parametrize(
    ("km", "seconds", "believed"),
    [
        pytest.param(8.05, 2880, 8.0, id="as told"),
        pytest.param(10.0, 2880, 10.0, id="by hand"),
        pytest.param(5.02, 1800, 5.02, id="cropped"),
        pytest.param(8.0 / 1.609344, 2880, 8.0, id="in miles"),
        pytest.param(12.0, 7200, 12.0, id="of more than the file has"),
    ],
)
def test_a_distance_that_was_corrected_in_the_account_is_believed(
    importing: Importing, tmp_path: Path, km: float, seconds: int, believed: float
) -> None:
    """A crop or a distance set by hand is; other differences aren't. It's reported."""
    anna = importing.app.athlete()
    told = row(71, TODAY, km, file="activities/71.fit").replace(str(round(360 * km)), str(seconds))
    path = export(tmp_path / "export", [told], {"71.fit": run_file(8.0)})
    outcome = list(importing.start(anna, path))
    assert importing.app.distances_km(anna) == [believed]
    said = [one.reason for one in outcome if one.verdict == "corrected"]
    is_corrected = believed not in (8.0, 12.0)
    assert said == [f"{km:.2f} km in the account, 8.00 km in its file"] * is_corrected
    assert Counter(one.verdict for one in importing.start(anna, path))["duplicate"] == 1
    assert importing.app.distances_km(anna) == [believed]


@pytest.mark.parametrize("kind", ["Walk", "Ride", "Wanderung", "Fietsrit"])
@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_a_run_that_its_owner_turned_into_something_else_is_none(
    importing: Importing, tmp_path: Path, kind: str, as_zip: bool
) -> None:
    """It's reported in the list of files, also when the file comes again without the table."""
    anna = importing.app.athlete()
    path = export(
        tmp_path / "export",
        [row(71, TODAY, 8.0, file="activities/71.fit", kind=kind)],
        {"71.fit": run_file(8.0)},
    )
    alone = tmp_path / "alone.fit"
    alone.write_bytes(run_file(8.0))
    if as_zip:
        path = packed(tmp_path / "export.zip", path)
    (skipped,) = importing.start(anna, path)
    assert (skipped.verdict, skipped.reason) == (
        "skipped", f"by its row the account calls it '{kind}', not a run",
    )  # fmt: skip
    assert [one.verdict for one in importing.start(anna, alone)] == ["put_aside"]
    assert importing.app.distances_km(anna) == []


def test_what_the_account_calls_a_walk_stays_a_run_by_the_athletes_word(
    importing: Importing, tmp_path: Path
) -> None:
    """Files first, then the account: the run is removed; the athlete's edit restores it."""
    app, anna = importing.app, importing.app.athlete()
    alone = tmp_path / "alone.fit"
    alone.write_bytes(run_file(8.0))
    importing.by(anna, alone)
    path = export(
        tmp_path / "export",
        [row(71, TODAY, 8.0, file="activities/71.fit", kind="Walk")],
        {"71.fit": run_file(8.0)},
    )
    importing.by(anna, path)
    assert app.distances_km(anna) == []
    with app.services.store.reading() as tx:
        ((aside),) = tx.runs.all(anna)
    assert aside.quarantine == "the account calls it 'Walk', not a run"
    correct_run(app.services, anna, aside.run.id, distance_m=7500, by="athlete", now=app.now)
    assert app.distances_km(anna) == [7.5]


def test_the_sport_of_a_whole_triathlon_is_not_that_of_its_run(
    importing: Importing, tmp_path: Path
) -> None:
    """The row lasts three times as long as the run in its file."""
    anna = importing.app.athlete()
    told = row(71, TODAY, 8.0, file="activities/71.fit", kind="Workout").replace("2880", "9000")
    path = export(tmp_path / "export", [told], {"71.fit": run_file(8.0)})
    assert importing.by(anna, path) == {"imported": 1}
    assert importing.app.distances_km(anna) == [8.0]


def test_what_is_put_aside_is_said_with_its_reason(importing: Importing, tmp_path: Path) -> None:
    """It isn't reported as `imported`; a row that makes it plausible reverses that."""
    anna = importing.app.athlete()
    car = fit_run(datetime(2026, 11, 19, 6, tzinfo=UTC), distance_m=48_000, moving_s=3600)
    folder = folder_of(tmp_path / "files", {"car.fit": car, "run.fit": run_file(8.0)})
    assert {(one.verdict, one.reason) for one in importing.start(anna, folder)} == {
        ("imported", ""),
        ("put_aside", "it is faster than the world record over its distance"),
    }
    path = export(
        tmp_path / "export",
        [row(71, TODAY - DAY, 10.02, file="activities/71.fit")],
        {"71.fit": car},
    )
    assert {one.verdict for one in importing.start(anna, path)} == {"duplicate", "corrected"}
    assert importing.app.distances_km(anna) == [10.02, 8.0]


def test_a_table_of_days_beside_the_files_counts_nothing_twice(
    importing: Importing, tmp_path: Path
) -> None:
    """A row matches the run of its day and length, or all of the day's; the rest are new."""
    anna = importing.app.athlete()
    files = {
        "a.fit": run_file(10.0, day=TODAY - 3 * DAY),
        "b.fit": run_file(2.0, day=TODAY - 2 * DAY),
        "c.fit": run_file(9.0, day=TODAY - 2 * DAY, hour=9),
    }
    folder = folder_of(tmp_path / "files", files)
    days = {3: 10_010, 2: 11_000, 1: 7_000}
    (folder / "mine.csv").write_text(
        "start_date_local,distance_m\n"
        + "".join(f"{TODAY - back * DAY},{metres}\n" for back, metres in days.items())
    )
    importing.by(anna, folder, folder / "mine.csv")
    assert importing.app.distances_km(anna) == [10.0, 2.0, 9.0, 7.0]


def runtastic_account(folder: Path) -> Path:
    (folder / "Sport-sessions" / "GPS-data").mkdir(parents=True)
    for name, number, day, km in (("a", 1, 3, 8.0), ("b", 14, 2, 9.0), ("c", 3, 1, 8.5)):
        at = datetime.combine(TODAY - day * DAY, time(6), tzinfo=UTC)
        told = {"id": name, "sport_type_id": str(number), "start_time": at.timestamp() * 1000,
                "duration": 360_000 * km, "distance": 1000 * km}  # fmt: skip
        (folder / "Sport-sessions" / f"{name}.json").write_text(json.dumps(told))
        if name != "b":
            (folder / "Sport-sessions" / "GPS-data" / f"{name}.gpx").write_bytes(
                run_file(km, day=TODAY - day * DAY)
            )
    return folder


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_the_sessions_of_a_runtastic_account_are_its_table(
    importing: Importing, tmp_path: Path, as_zip: bool
) -> None:
    """A session without a track counts; a track whose session is a ride doesn't."""
    anna = importing.app.athlete()
    path = runtastic_account(tmp_path / "account")
    if as_zip:
        path = packed(tmp_path / "account.zip", path)
    assert importing.by(anna, path) == {"imported": 2, "skipped": 1}
    assert importing.app.distances_km(anna) == [8.0, 9.0]


def test_archives_within_an_archive_are_read(importing: Importing, tmp_path: Path) -> None:
    """A Garmin export: zips of FIT files in a zip, most of them not activities."""
    anna = importing.app.athlete()
    uploaded = "DI_CONNECT/DI-Connect-Uploaded-Files/UploadedFiles_0-_Part{}.zip"
    content = zipped(
        {
            uploaded.format(1): zipped({"a_1.fit": run_file(8.0, day=TODAY - DAY)}),
            uploaded.format(2): zipped({"a_2.fit": run_file(9.0), "a_3.fit": b"\x0e\x10"}),
            "DI_CONNECT/DI-Connect-User/user_profile.json": b"{}",
        }
    )
    path = tmp_path / "account.zip"
    path.write_bytes(content)
    assert importing.by(anna, path) == {"imported": 2, "failed": 1}
    assert manifest_of([path]).open_ended


def summaries(*activities: dict[str, object]) -> bytes:
    return json.dumps([{"summarizedActivitiesExport": list(activities)}]).encode()


SUMMARY: dict[str, object] = {
    "activityId": 11,
    "name": "Berlin Running",
    "activityType": "trail_running",
    "beginTimestamp": 1_792_400_400_000,
    "startTimeLocal": 1_792_407_600_000.0,
    "distance": 812_345.0,
    "duration": 2_880_000.5,
    "elapsedDuration": 3_000_000.0,
    "splits": [{"measurements": []}],
}


def test_a_garmin_accounts_summaries_stand_in_where_there_are_no_files(
    importing: Importing, tmp_path: Path
) -> None:
    """Centimetres and milliseconds; rides are ignored, runs without a distance are reported."""
    anna = importing.app.athlete()
    path = tmp_path / "anna_0_summarizedActivities.json"
    ride = SUMMARY | {"activityType": "cycling"}
    path.write_bytes(summaries(SUMMARY, ride, SUMMARY | {"distance": None}))
    assert importing.by(anna, path) == {"imported": 1, "skipped": 1, "failed": 1}
    with importing.app.services.store.reading() as tx:
        ((kept),) = tx.runs.all(anna)
    assert (kept.run.distance_m, kept.run.moving_s) == (8123.45, 2880.0005)
    assert (kept.run.day, kept.run.sport) == (date(2026, 10, 19), "trail")


def summary_of(number: int, day: date, km: float, **changes: object) -> dict[str, object]:
    """The account's summary of the run that `run_file` makes of that morning."""
    at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC).timestamp() * 1000
    ms = 360_000.0 * km
    times = {"beginTimestamp": at, "startTimeLocal": at + 3_600_000}
    lengths = {"distance": km * 100_000, "duration": ms, "elapsedDuration": ms}
    return SUMMARY | {"activityId": number, "activityType": "running"} | times | lengths | changes


def garmin_account(path: Path, *activities: dict[str, object], **files: bytes) -> Path:
    uploaded = zipped({f"{name}.fit": content for name, content in files.items()})
    path.write_bytes(
        zipped(
            {
                "DI-Connect-Fitness/anna_0_summarizedActivities.json": summaries(*activities),
                "UploadedFiles_0-_Part1.zip": uploaded,
            }
        )
    )
    return path


def test_every_summary_of_a_garmin_account_without_a_file_is_a_run(
    importing: Importing, tmp_path: Path
) -> None:
    """Runs entered by hand have no file and count beside those with one; none counts twice."""
    anna = importing.app.athlete()
    path = garmin_account(
        tmp_path / "account.zip",
        summary_of(1, TODAY - 2 * DAY, 8.0),
        summary_of(2, TODAY - DAY, 5.0),
        summary_of(3, TODAY, 12.0, activityType="treadmill_running"),
        a=run_file(8.0, day=TODAY - 2 * DAY),
    )
    assert importing.by(anna, path) == {"imported": 3, "duplicate": 1}
    assert importing.app.distances_km(anna) == [8.0, 5.0, 12.0]


def test_what_a_garmin_account_made_of_a_file_is_believed(
    importing: Importing, tmp_path: Path
) -> None:
    """A corrected distance, and a run turned into a walk; both are reported."""
    anna = importing.app.athlete()
    path = garmin_account(
        tmp_path / "account.zip",
        summary_of(1, TODAY - DAY, 8.0, distance=1_000_000.0),
        summary_of(2, TODAY, 6.0, activityType="walking"),
        a=run_file(8.0, day=TODAY - DAY),
        b=run_file(6.0, day=TODAY),
    )
    outcome = list(importing.start(anna, path))
    assert [one.reason for one in outcome if one.verdict == "put_aside"] == [
        "the account calls it 'walking', not a run"
    ]
    assert importing.app.distances_km(anna) == [10.0]


@pytest.mark.parametrize("cut", range(60, 400, 17))
def test_a_torn_file_of_summaries_gives_what_it_has(
    importing: Importing, tmp_path: Path, cut: int
) -> None:
    """The complete entries before the tear, and a message about the rest."""
    path = tmp_path / "anna_0_summarizedActivities.json"
    whole = summaries(SUMMARY, SUMMARY | {"activityId": 12, "beginTimestamp": 1_792_500_000_000})
    path.write_bytes(whole[:cut])
    outcome = importing.by(importing.app.athlete(), path)
    assert outcome["imported"] == (cut >= whole.index(b"}, {") + 1)
    assert outcome["failed"] <= 1
