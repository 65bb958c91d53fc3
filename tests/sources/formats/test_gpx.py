"""GPX: tracks give their runs; anything else has a reason."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.activity_files import Fix, gpx, straight
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity
from worker.sources.formats.gpx import parse_gpx

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
GUESSED = "the file names no sport: taken for a run by its pace"


def only(content: bytes) -> Activity:
    """The only run of a file."""
    parsed = parse_gpx(content)
    assert isinstance(parsed, tuple), parsed
    assert len(parsed) == 1, parsed
    return parsed[0]


def run_of(metres: float, seconds: int, *, at: datetime = START) -> list[Fix]:
    """A run at an even pace."""
    return straight(at, distance_m=metres, seconds=seconds, every_s=5)


def test_measures_a_run() -> None:
    """Start, distance and times come from the points, the title from the track's name."""
    run = only(gpx([run_of(6000, 1800)], name="Along the river"))
    assert run.started_at == START
    assert run.offset is None
    assert run.distance_m == pytest.approx(6000, rel=2e-3)
    assert run.moving_s == run.elapsed_s == 1800
    assert run.title == "Along the river"
    assert run.note is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("running", "run"), ("Run", "run"), ("9", "run"), ("street_running", "run"),
     ("trail_running", "trail"), ("Trail Run", "trail"), ("treadmill_running", "treadmill"),
     ("track_running", "track"), ("virtual_run", "virtual"), ("Laufen", "run"),
     ("TrailRun", "trail"), ("Course à pied", "run"), ("Løpetur", "run"), ("ランニング", "run")],
)  # fmt: skip
def test_knows_a_run_by_its_type(kind: str, expected: str) -> None:
    """Apps have many names for running."""
    assert only(gpx([run_of(6000, 1800)], kind=kind)).sport == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("wheelchair_push_run", "another sport (wheelchair push run), not a run"),
     ("Skilanglauf", "another sport (skilanglauf), not a run"),
     ("cycling", "a ride (cycling), not a run"), ("1", "a ride (cycling), not a run"),
     ("hiking", "a hike (hiking), not a run"), ("10", "a walk (walking), not a run"),
     ("Other", "another sport (other), not a run"),
     ("77", "another sport (sport number 77), not a run")],
)  # fmt: skip
def test_says_what_another_type_is(kind: str, expected: str) -> None:
    """A track of another type isn't a run, whatever its pace."""
    assert parse_gpx(gpx([run_of(6000, 1800)], kind=kind)) == NotARun(expected)


def test_names_from_strangers_come_short_and_plain() -> None:
    """Control characters and direction marks are removed from a name, and it's shortened."""
    name = "Long \u202erun\u2066\u0085 " + "x" * 300
    run = only(gpx([run_of(6000, 1800)], name=name))
    assert run.title.startswith("Long run xxx")
    assert len(run.title) == 80
    parsed = parse_gpx(gpx([run_of(6000, 1800)], kind=name.replace("run", "rum")))
    assert isinstance(parsed, NotARun)
    assert parsed.reason.isprintable()
    assert len(parsed.reason) < 130


@pytest.mark.parametrize("kind", [None, "", "unknown"])
def test_takes_an_untyped_track_for_a_run_by_its_pace(kind: str | None) -> None:
    """Without a sport, five minutes per kilometre is a run, and the note says so."""
    assert only(gpx([run_of(6000, 1800)], kind=kind)).note == GUESSED


@pytest.mark.parametrize(
    ("metres", "expected"),
    [(2000, "no sport named, and too slow for a run"),
     (11_000, "no sport named, and too fast for a run"),
     (90_000, "no sport named, and too fast for a run")],
)  # fmt: skip
def test_an_untyped_walk_ride_or_drive_is_no_run(metres: float, expected: str) -> None:
    """Four, twenty-two and a hundred and eighty kilometres an hour."""
    assert parse_gpx(gpx([run_of(metres, 1800)], kind=None)) == NotARun(expected)


def test_an_untyped_ride_at_a_runner_s_mean_shows_in_its_fastest_minute() -> None:
    """A leisurely ride stops often, and then rolls down a hill."""
    slow = run_of(3000, 1200)
    hill = [
        Fix(each.at, each.lat + 3000 / 111_195, each.lon)
        for each in run_of(1000, 120, at=START + timedelta(seconds=1200))
    ]
    assert parse_gpx(gpx([slow + hill[1:]], kind=None)) == NotARun(
        "no sport named, and too fast for a run"
    )


def test_pauses_between_segments_are_not_run() -> None:
    """A segment begins where the pause ended, half a kilometre on."""
    second = [
        Fix(each.at, each.lat + 3500 / 111_195, each.lon)
        for each in run_of(3000, 900, at=START + timedelta(seconds=1500))
    ]
    run = only(gpx([run_of(3000, 900), second]))
    assert run.distance_m == pytest.approx(6000, rel=5e-3)
    assert run.moving_s == 1800
    assert run.elapsed_s == 2400


def joined(*files: bytes) -> bytes:
    """One file with the tracks of several."""
    tracks = b"".join(file[file.index(b"<trk>") : file.index(b"</gpx>")] for file in files)
    return b"<gpx>" + tracks + b"</gpx>"


def test_a_track_that_goes_on_within_the_hour_is_the_same_run() -> None:
    """Some apps start a new track after each pause."""
    later = START + timedelta(minutes=30)
    content = joined(gpx([run_of(3000, 900)]), gpx([run_of(3000, 900, at=later)]))
    assert only(content).distance_m == pytest.approx(6000, rel=0.01)


def test_tracks_hours_apart_are_runs_of_their_own() -> None:
    """A file of a whole week gives each day's run."""
    days = [START + timedelta(days=number) for number in range(3)]
    parsed = parse_gpx(joined(*(gpx([run_of(5000, 1500, at=day)]) for day in days)))
    assert isinstance(parsed, tuple)
    assert [(run.leg, run.started_at) for run in parsed] == list(enumerate(days))


def test_takes_the_offset_that_times_are_written_with() -> None:
    """An app that writes local times gives the athlete's day."""
    content = gpx([run_of(6000, 1800)]).replace(b"Z</time>", b"+02:00</time>")
    run = only(content)
    assert run.started_at == START - timedelta(hours=2)
    assert run.offset == timedelta(hours=2)


def test_a_route_without_times_is_no_recorded_run() -> None:
    """A planned route has positions and no times."""
    route = [Fix(None, each.lat, each.lon) for each in run_of(6000, 1800)]
    assert parse_gpx(gpx([route])) == NotARun("a route without times, not a recorded run")


def test_a_file_without_a_track_says_so() -> None:
    """Waypoints alone aren't an activity."""
    waypoint = b'<gpx><wpt lat="48" lon="11"><time>2026-03-01T07:00:00Z</time></wpt></gpx>'
    assert parse_gpx(waypoint) == NotARun("a GPX file without a track, not a recorded run")


def test_a_typed_run_in_one_place_is_unreadable() -> None:
    """A run without movement has no distance."""
    still = [Fix(START + timedelta(seconds=second), 48.0, 11.0) for second in range(10)]
    assert parse_gpx(gpx([still])) == Unreadable("a run without distance: 10 points in one place")


def test_recovers_what_is_there_of_a_torn_file() -> None:
    """A download that stopped half-way gives half the run, with a note."""
    content = gpx([run_of(6000, 1800)])
    run = only(content[: len(content) // 2])
    assert 2000 < run.distance_m < 4000
    assert run.note == "recovered: the file is cut off"


def test_reads_other_encodings_and_leading_blanks() -> None:
    """Byte order marks, UTF-16 and blanks before the declaration all occur."""
    text = gpx([run_of(6000, 1800)])
    utf16 = text.decode().replace("UTF-8", "UTF-16").encode("utf-16")
    for content in (b"\xef\xbb\xbf" + text, b"   \n" + text, utf16):
        assert only(content).moving_s == 1800


def test_reads_prefixed_names() -> None:
    """Some programs write a prefix before every element."""
    text = gpx([run_of(6000, 1800)]).decode()
    for name in ("trkseg", "trkpt", "trk", "time", "type", "name", "gpx", "ele"):
        text = text.replace(f"<{name}>", f"<g:{name}>").replace(f"</{name}>", f"</g:{name}>")
        text = text.replace(f"<{name} ", f"<g:{name} ")
    text = text.replace('xmlns="', 'xmlns:g="')
    assert only(text.encode()).moving_s == 1800


def test_refuses_entities() -> None:
    """A file that declares entities is an attack; not even a small one is read."""
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa">'
        b'<!ENTITY b "&a;&a;&a;&a;&a;">]><gpx><trk><name>&b;</name></trk></gpx>'
    )
    assert parse_gpx(bomb) == Unreadable("not read: it declares entities, which no activity needs")
    thief = b'<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]><gpx>&x;</gpx>'
    assert parse_gpx(thief) == Unreadable("not read: it declares entities, which no activity needs")


@pytest.mark.parametrize("place", ['lat="x" lon="11"', 'lat="nan" lon="inf"', "", 'lat="48"'])
def test_a_point_without_a_place_costs_only_itself(place: str) -> None:
    """Points without valid coordinates are skipped."""
    content = gpx([run_of(6000, 1800)])
    middle = content.index(b'lat="', len(content) // 2)
    broken = content[:middle] + place.encode() + content[content.index(b">", middle) :]
    assert only(broken).distance_m == pytest.approx(6000, rel=5e-3)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_never_raises_whatever_the_bytes(data: Any) -> None:
    """A valid file with a few changed bytes and its end cut off gives runs or a reason."""
    content = bytearray(gpx([straight(START, distance_m=900, seconds=300, every_s=30)]))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    parsed = parse_gpx(bytes(content[: data.draw(st.integers(0, len(content)))]))
    assert isinstance(parsed, tuple | NotARun | Unreadable)
