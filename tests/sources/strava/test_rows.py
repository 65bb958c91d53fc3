"""Strava's JSON to recordings: what counts, what's stored, what can't be read."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.models import Recording
from worker.domain.shown import printable
from worker.sources import NotARun, Unreadable
from worker.sources.base import ListedActivity
from worker.sources.strava.parse import SAVED_FIELDS, parse_strava_activity

SOUND: dict[str, Any] = {
    "id": 15_000_000_001,
    "name": "Along the canal",
    "sport_type": "Run",
    "type": "Run",
    "start_date": "2026-03-01T05:10:00Z",
    "start_date_local": "2026-03-01T06:10:00Z",
    "timezone": "(GMT+01:00) Europe/Berlin",
    "utc_offset": 3600.0,
    "distance": 10_012.4,
    "moving_time": 3000,
    "elapsed_time": 3100,
    "workout_type": None,
    "trainer": False,
    "manual": False,
    "external_id": "garmin_ping_1",
    "device_name": "Made Watch 3",
}


def read(**changes: Any) -> Recording:
    reading = parse_strava_activity(SOUND | changes).parsed
    assert isinstance(reading, Recording)
    return reading


def test_a_run_becomes_a_recording() -> None:
    """All values that the product needs are read, the start as a UTC time."""
    assert read() == Recording(
        source="strava",
        external_id="15000000001",
        started_at=datetime(2026, 3, 1, 5, 10, tzinfo=UTC),
        day=date(2026, 3, 1),
        distance_m=10_012.4,
        moving_s=3000.0,
        elapsed_s=3100.0,
        sport="run",
        device=True,
        title="Along the canal",
    )


@pytest.mark.parametrize(
    ("changes", "sport"),
    [
        ({"sport_type": "TrailRun"}, "trail"),
        ({"sport_type": "VirtualRun", "trainer": True}, "virtual"),
        ({"trainer": True}, "treadmill"),
        ({"sport_type": None}, "run"),
    ],
)
def test_the_kind_of_run_is_told(changes: dict[str, Any], sport: str) -> None:
    """Sports and the trainer flag are mapped to ours; an old row has `type` alone."""
    assert read(**changes).sport == sport


@pytest.mark.parametrize("word", ["Ride", "Walk", "Hike", "Workout", "Padel2031"])
def test_anything_else_is_not_a_run(word: str) -> None:
    """Known and unknown words alike: by `sport_type`, never guessed from `type`."""
    assert parse_strava_activity(SOUND | {"sport_type": word}).parsed == NotARun(
        f"Strava calls it {word}"
    )


def test_the_day_is_the_runners_own() -> None:
    """A late run in Los Angeles belongs to its local day."""
    late = read(start_date="2026-03-02T06:30:00Z", timezone="(GMT-08:00) America/Los_Angeles")
    assert late.day == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("zone", "offset", "day"),
    [
        ("(GMT+99:00) Nowhere/Atall", -28_800.0, date(2026, 3, 1)),
        (None, -28_800, date(2026, 3, 1)),
        ("../../etc/passwd", None, date(2026, 3, 2)),
        (7, "x", date(2026, 3, 2)),
    ],
)
def test_without_a_known_zone_the_offset_counts_and_then_utc(
    zone: object, offset: object, day: date
) -> None:
    """An unknown zone doesn't lose the run."""
    row = {"start_date": "2026-03-02T06:30:00Z", "timezone": zone, "utc_offset": offset}
    assert read(**row).day == day


def test_a_race_is_marked() -> None:
    """1 is a race; 2 and 3 are long runs and workouts."""
    assert read(workout_type=1).is_race
    assert not read(workout_type=2).is_race


def test_a_hidden_start_is_noticed() -> None:
    """One second after local midnight indicates a start that the runner hides."""
    assert read(start_date="2026-02-28T23:00:01Z").hidden_start
    assert not read(start_date="2026-03-01T00:00:01Z").hidden_start


def test_the_uploaded_file_is_named() -> None:
    """Strava's external id is a file's name, or an id at the device's service."""
    assert read(external_id="Morning-14.fit").file_name == "morning-14"
    assert read(external_id="garmin_ping_1").file_name == ""
    assert read(external_id=None).file_name == ""


def test_an_entry_by_hand_is_no_device() -> None:
    """Entries by hand were measured by nobody."""
    assert not read(manual=True).device
    assert not read(external_id=None, device_name=None).device


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"distance": 0.0}, "0 m"),
        ({"distance": None}, "readable distance"),
        ({"distance": "10 km"}, "readable distance"),
        ({"distance": float("nan")}, "readable distance"),
        ({"distance": -5}, "readable distance"),
        ({"start_date": None}, "readable start"),
        ({"start_date": "yesterday"}, "readable start"),
        ({"start_date": "0001-01-01T00:00:00Z"}, "readable start"),
        ({"id": None}, "an id"),
        ({"id": {"$gt": 0}}, "an id"),
        ({"sport_type": None, "type": 7}, "what kind"),
    ],
)
def test_a_rotten_row_says_why(changes: dict[str, Any], reason: str) -> None:
    """Each kind of bad row has its reason."""
    west = {"timezone": "(GMT-08:00) America/Los_Angeles"}
    reading = parse_strava_activity(SOUND | west | changes).parsed
    assert isinstance(reading, Unreadable)
    assert reason in reading.reason


def test_a_rotten_row_still_says_which_it_is() -> None:
    """So that it isn't taken for deleted."""
    row = parse_strava_activity(SOUND | {"distance": None})
    assert row.external_id == "15000000001"
    assert row.started_at == datetime(2026, 3, 1, 5, 10, tzinfo=UTC)


def test_a_title_is_made_fit_to_be_shown() -> None:
    """One line, no control characters or direction marks, at most 80 characters."""
    title = read(name="Easy\r\nBcc: you\u202e \x00" + "long " * 40).title
    assert title.startswith("Easy Bcc: you long")
    assert title.isprintable()
    assert len(title) <= 80


def test_what_joins_letters_stays_in_a_title() -> None:
    """A multi-character emoji stays whole, and so does a word with joined letters."""
    family, joined = (
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u06cc\u200c\u062f\u0648\u0645",
    )
    assert read(name=f"{family} {joined}").title == f"{family} {joined}"


def test_nothing_is_kept_that_the_product_does_not_use() -> None:
    """Heart rates, positions and other people aren't in the payload."""
    row = parse_strava_activity(
        SOUND | {"average_heartrate": 150, "start_latlng": [52.5, 13.4], "kudos": 3}
    )
    assert set(json.loads(row.payload)) <= set(SAVED_FIELDS)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*SAVED_FIELDS, "start_date_local"]), anything) | anything)
def test_no_row_whatever_breaks_the_reading(changes: object) -> None:
    """Any JSON gives a row, and a recording has a real distance and day."""
    raw = SOUND | changes if isinstance(changes, dict) else changes
    row = parse_strava_activity(raw)
    assert isinstance(row, ListedActivity)
    if isinstance(row.parsed, Recording):
        assert row.parsed.distance_m > 0
        assert printable(row.parsed.title) == row.parsed.title
