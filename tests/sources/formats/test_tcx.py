"""TCX: activities give their runs by the laps' totals; anything else has a reason."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.activity_files import Fix, straight, tcx
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity
from worker.sources.formats.tcx import parse_tcx

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)


def only(content: bytes) -> Activity:
    """The only run of a file."""
    parsed = parse_tcx(content)
    assert isinstance(parsed, tuple), parsed
    assert len(parsed) == 1, parsed
    return parsed[0]


def lap(metres: float, seconds: int, *, at: datetime = START) -> list[Fix]:
    """A lap at an even pace."""
    return straight(at, distance_m=metres, seconds=seconds, every_s=5)


def test_adds_up_the_laps_as_the_device_counted_them() -> None:
    """Metres and seconds come from the laps; the pause between them only counts as elapsed."""
    second = lap(2000, 600, at=START + timedelta(seconds=1000))
    run = only(tcx([lap(3000, 900), second], name="Tempo"))
    assert run == Activity(
        started_at=START,
        offset=None,
        distance_m=5000.0,
        moving_s=1500.0,
        elapsed_s=1600.0,
        sport="run",
        title="Tempo",
        ascent_m=0.0,  # all its heights are equal
    )


def test_measures_the_points_where_the_laps_tell_nothing() -> None:
    """Without the laps' totals the points' own distance counts."""
    run = only(tcx([lap(3000, 900)], totals=False))
    assert run.distance_m == pytest.approx(3000)
    assert run.moving_s == 900


def test_measures_the_way_where_nothing_tells_a_distance() -> None:
    """Positions alone are enough."""
    bare = [Fix(each.at, each.lat, each.lon) for each in lap(3000, 900)]
    assert only(tcx([bare], totals=False)).distance_m == pytest.approx(3000, rel=5e-3)


@pytest.mark.parametrize(
    ("sport", "expected"),
    [("Biking", "a ride (biking), not a run"), ("Other", "another sport (other), not a run")],
)
def test_says_what_another_sport_is(sport: str, expected: str) -> None:
    """TCX has running, biking and other."""
    assert parse_tcx(tcx([lap(3000, 900)], sport=sport)) == NotARun(expected)


def test_takes_the_running_activities_of_several() -> None:
    """A multisport session has one activity for each sport."""
    swim = tcx([lap(1000, 900)], sport="Other").decode()
    run = tcx([lap(5000, 1500, at=START + timedelta(hours=1))]).decode()
    activity = run[run.index("<Activity ") : run.index("</Activities>")]
    both = swim.replace("</Activities>", activity + "</Activities>")
    assert only(both.encode()).distance_m == 5000


def test_takes_the_offset_that_times_are_written_with() -> None:
    """Some devices write local times."""
    run = only(tcx([lap(3000, 900)]).replace(b":00Z", b":00-04:00"))
    assert run.started_at == START + timedelta(hours=4)
    assert run.offset == timedelta(hours=-4)


def test_a_run_typed_in_by_hand_is_not_a_device_s() -> None:
    """Laps without a single point were never measured."""
    content = (
        b'<TrainingCenterDatabase><Activities><Activity Sport="Running">'
        b'<Id>2026-03-01T07:00:00Z</Id><Lap StartTime="2026-03-01T07:00:00Z">'
        b"<TotalTimeSeconds>1800</TotalTimeSeconds><DistanceMeters>6000</DistanceMeters></Lap>"
        b"</Activity></Activities></TrainingCenterDatabase>"
    )
    run = only(content)
    assert (run.distance_m, run.moving_s, run.elapsed_s) == (6000, 1800, 1800)
    assert not run.device


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_no_calendar_reaches_is_none(written: str) -> None:
    """Programs write such a time for none; the points tell the start, if there are any."""
    content = tcx([lap(3000, 900)])
    stamp = f"{START:%Y-%m-%dT%H:%M:%SZ}"
    lapless = content.replace(f'StartTime="{stamp}"'.encode(), f'StartTime="{written}"'.encode())
    lapless = lapless.replace(f"<Id>{stamp}</Id>".encode(), f"<Id>{written}</Id>".encode())
    assert only(lapless).started_at == START
    assert parse_tcx(content.replace(b"2026-03-01T", f"{written[:10]}T".encode())) == Unreadable(
        "a run without a date"
    )


def test_recovers_what_is_there_of_a_torn_file() -> None:
    """Complete laps count by their totals, and a note says that the rest is lost."""
    content = tcx([lap(3000, 900), lap(3000, 900, at=START + timedelta(seconds=900))])
    run = only(content[: content.rindex(b"<Lap") + 10])
    assert run.distance_m == 3000
    assert run.note == "recovered: the file is cut off"


def test_a_course_is_no_recorded_run() -> None:
    """A course file has no activity."""
    assert parse_tcx(b"<TrainingCenterDatabase><Courses/></TrainingCenterDatabase>") == NotARun(
        "a TCX file without an activity, not a recorded run"
    )


def test_a_run_without_distance_is_unreadable() -> None:
    """Neither laps nor points have one."""
    still = [Fix(START, 48.0, 11.0)]
    assert parse_tcx(tcx([still], totals=False)) == Unreadable(
        "a run without distance: neither laps nor points tell any"
    )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_never_raises_whatever_the_bytes(data: Any) -> None:
    """A valid file with a few changed bytes and its end cut off gives runs or a reason."""
    content = bytearray(tcx([straight(START, distance_m=900, seconds=300, every_s=60)]))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    parsed = parse_tcx(bytes(content[: data.draw(st.integers(0, len(content)))]))
    assert isinstance(parsed, tuple | NotARun | Unreadable)
