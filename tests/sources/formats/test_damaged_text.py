"""Invalid GPX and TCX: stray characters, odd times, unordered points, odd laps."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulators.activity_files import Fix, gpx, straight, tcx
from worker.sources import Unreadable
from worker.sources.formats import Activity, instant_and_offset
from worker.sources.formats.gpx import parse_gpx
from worker.sources.formats.tcx import parse_tcx

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
POINTS = straight(START, distance_m=10_000, seconds=3600, every_s=10)


def the_run(answer: object) -> Activity:
    """The only activity of a file."""
    assert isinstance(answer, tuple), answer
    (run,) = answer
    assert isinstance(run, Activity)
    return run


STRAY = [b"&", b"& ", b"&nbsp;", b"&auml;", b"\x01", b"\x1f", b"\xe4", b"\xed\xa0\x80", b"&#x1;",
         b"&#xD83D;", b"&#55357;&#56832;", b"<3", b"a < b", b"&bogus;"]  # fmt: skip


@given(st.lists(st.sampled_from(STRAY), min_size=1, max_size=6), st.sampled_from([parse_gpx]))
def test_stray_characters_cost_nothing(
    strays: list[bytes], parse: Callable[[bytes], object]
) -> None:
    """Whatever is in a name, the whole run is read, with a note about the repair."""
    content = gpx([POINTS], name="home").replace(b"home", b" to ".join(strays))
    run = the_run(parse(content))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s == 3600
    assert run.note is None or "characters" in run.note


@given(st.integers(0, 200_000), st.sampled_from(STRAY))
def test_a_stray_character_anywhere_costs_a_point_at_most(place: int, stray: bytes) -> None:
    """Between tags, in a time, or at the boundary of two chunks."""
    points = straight(START, distance_m=10_000, seconds=3600, every_s=5)
    head, *rest = gpx([points], name="x").split(b"</time>")
    place %= len(rest)
    content = b"</time>".join([head, *rest[:place], stray + rest[place], *rest[place + 1 :]])
    run = the_run(parse_gpx(content))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)


def test_a_byte_order_mark_and_a_blank_line_come_first() -> None:
    """Some editors write them."""
    run = the_run(parse_gpx(b"\xef\xbb\xbf\r\n" + gpx([POINTS])))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)


def test_a_tcx_is_mended_too() -> None:
    """By the same parser."""
    content = tcx([POINTS], name="x").replace(b"<Notes>x", b"<Notes>a & b")
    assert the_run(parse_tcx(content)).distance_m == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize(
    "declared",
    [
        b'<!DOCTYPE gpx [<!ENTITY a "bbbb"><!ENTITY b "&a;&a;">]>',
        b'<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_mending_lets_no_entity_in(declared: bytes) -> None:
    """A stray character before it causes a second parse, which refuses it again."""
    content = gpx([POINTS], name="a & b &a; &x;")
    start = content.index(b"<gpx")
    refused = parse_gpx(b"\x01" + declared + content[start:])
    assert isinstance(refused, Unreadable)
    assert "entities" in refused.reason


def test_decimal_commas_are_read() -> None:
    """As programs write in many locales."""
    content = gpx([POINTS])
    for whole in (b"48", b"11"):
        content = content.replace(b'="' + whole + b".", b'="' + whole + b",")
    assert the_run(parse_gpx(content)).distance_m == pytest.approx(10_000, rel=0.01)


ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
WRITTEN: list[Callable[[datetime], str]] = [
    lambda at: f"{at.year}-{at.month}-{at.day}T{at.hour}:{at.minute}:{at.second}Z",
    lambda at: f"{at.year}/{at.month}/{at.day} {at.hour}:{at.minute}:{at.second}",
    lambda at: f"{at.year + 543}-{at:%m-%dT%H:%M:%SZ}",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}".translate(ARABIC),
    lambda at: f"{at.timestamp():.0f}",
    lambda at: f"{at.timestamp() * 1000:.0f}",
    lambda at: f"{at:%Y-%m-%d %H:%M:%S} UTC",
    lambda at: f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+02",
    lambda at: f"{at - timedelta(hours=3, minutes=30):%Y-%m-%dT%H:%M:%S}-0330",
]


@given(
    st.integers(1_010_000_000, 4_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.sampled_from(WRITTEN),
)
@example(datetime(2028, 2, 29, 12, tzinfo=UTC), WRITTEN[2])  # the year 2571 is no leap year
def test_an_instant_is_read_however_it_is_written(
    at: datetime, written: Callable[[datetime], str]
) -> None:
    """Without leading zeros, in other digits or calendars, as a number, with any offset."""
    told = instant_and_offset(written(at))
    assert told is not None
    assert told[0] == at


@given(st.text(max_size=30))
def test_no_text_that_is_no_instant_raises(text: str) -> None:
    """Any text is accepted or refused."""
    instant_and_offset(text)


# Order and density of points


@given(st.randoms(use_true_random=False), st.booleans(), st.sampled_from([1, 5, 10, 60]))
def test_the_order_of_points_doesnt_matter(
    chance: random.Random, is_shuffled: bool, every_s: int
) -> None:
    """They are sorted by time, newest first or in any order."""
    points = straight(START, distance_m=10_000, seconds=3600, every_s=every_s)
    mixed = points[::-1]
    if is_shuffled:
        chance.shuffle(mixed)
    run = the_run(parse_gpx(gpx([mixed])))
    assert run.started_at == START
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s == pytest.approx(3600, abs=1)


@given(st.sampled_from([2, 5, 10, 15]), st.booleans())
def test_times_cut_to_the_minute_are_spread(every_s: int, newest_first: bool) -> None:
    """The points of one minute are spread within it, in the file's direction."""
    points = straight(START, distance_m=10_000, seconds=3600, every_s=every_s)
    cut = [replace(one, at=one.at and one.at.replace(second=0)) for one in points]
    run = the_run(parse_gpx(gpx([cut[::-1] if newest_first else cut])))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s == pytest.approx(3600, rel=0.02)


def test_points_of_one_instant_are_a_way_without_a_time() -> None:
    """One with a sport is a run of that day with an unknown duration."""
    points = [replace(one, at=START) for one in POINTS]
    run = the_run(parse_gpx(gpx([points])))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s is None


@given(st.integers(31, 300), st.floats(0.5, 3.0))
def test_seldom_points_are_judged_by_their_own_rate(every_s: int, speed_m_s: float) -> None:
    """A watch in battery-saving mode, uphill: no gap between two points is a pause."""
    seconds = 40 * every_s
    points = straight(START, distance_m=speed_m_s * seconds, seconds=seconds, every_s=every_s)
    run = the_run(parse_gpx(gpx([points])))
    assert run.distance_m == pytest.approx(speed_m_s * seconds, rel=0.01)
    assert run.moving_s == seconds


def test_a_pause_stays_one_among_seldom_points() -> None:
    """Half an hour at one place."""
    before = straight(START, distance_m=3000, seconds=1200, every_s=60)
    after = [
        replace(one, lat=one.lat + before[-1].lat - before[0].lat)
        for one in straight(START + timedelta(hours=1), distance_m=3000, seconds=1200, every_s=60)
    ]
    assert the_run(parse_gpx(gpx([before + after]))).moving_s == 2400


def test_a_copy_of_a_track_in_its_file_counts_once() -> None:
    """The log and the saved track: the fuller one is used."""
    shorter = straight(START, distance_m=9000, seconds=3240, every_s=30)
    more = b"<trk>" + gpx([shorter]).split(b"<trk>")[1]
    run = the_run(parse_gpx(gpx([POINTS]).replace(b"</gpx>", more)))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)


# Laps


def halves(*, counted: bool = True) -> list[list[Fix]]:
    """Two laps of half an hour."""
    return [
        [one if counted else replace(one, distance_m=None) for one in part]
        for part in (POINTS[:181], POINTS[180:])
    ]


def with_totals(parts: Sequence[Sequence[Fix]], totals: Sequence[tuple[float, float]]) -> bytes:
    """A TCX whose laps have these totals of metres and seconds."""
    head, *laps = tcx(parts, totals=False).split(b"<Track>")
    told = [
        f"<TotalTimeSeconds>{s}</TotalTimeSeconds><DistanceMeters>{m}</DistanceMeters>".encode()
        for m, s in totals
    ]
    return head + b"".join(t + b"<Track>" + lap for t, lap in zip(told, laps, strict=True))


@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=8, unique=True), st.booleans())
def test_laps_that_count_up_are_told_from_those_that_dont(
    shares: list[float], counts_up: bool
) -> None:
    """Either way it's ten kilometres."""
    cuts = sorted({0, *(round(share * 360) for share in shares), 360})
    parts = [POINTS[a : b + 1] for a, b in pairwise(cuts)]
    totals = [
        ((b if counts_up else b - a) / 360 * 10_000, (b - a) * 10.0) for a, b in pairwise(cuts)
    ]
    run = the_run(parse_tcx(with_totals(parts, totals)))
    assert run.distance_m == pytest.approx(10_000, rel=0.11)
    assert run.moving_s == pytest.approx(3600, rel=0.03)


@pytest.mark.parametrize("counted", [True, False])
def test_a_lap_without_totals_counts_by_its_points(counted: bool) -> None:
    """The last lap of an interrupted recording."""
    run = the_run(parse_tcx(with_totals(halves(counted=counted), [(5000, 1800), (0, 0)])))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s == pytest.approx(3600, rel=0.01)


def test_a_lap_over_other_laps_counts_once() -> None:
    """One pressed by hand over two automatic laps."""
    content = tcx(halves())
    over = (
        b'<Lap StartTime="2026-03-01T07:00:00Z"><TotalTimeSeconds>3600</TotalTimeSeconds>'
        b"<DistanceMeters>10000</DistanceMeters></Lap><Notes>"
    )
    run = the_run(parse_tcx(content.replace(b"<Notes>", over)))
    assert (run.distance_m, run.moving_s) == (pytest.approx(10_000, rel=0.01), 3600)


@given(st.floats(200, 60_000))
def test_a_count_that_began_before_the_track_counts_from_there(ahead_m: float) -> None:
    """Such as the leg of a triathlon."""
    points = [replace(one, distance_m=(one.distance_m or 0.0) + ahead_m) for one in POINTS]
    run = the_run(parse_tcx(tcx([points], totals=False)))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)


def test_totals_beyond_any_runner_are_not_believed() -> None:
    """Such as an overflow in a lap."""
    run = the_run(parse_tcx(with_totals([POINTS], [(21_474_836, 4_294_967)])))
    assert run.distance_m == pytest.approx(10_000, rel=0.01)
    assert run.moving_s == pytest.approx(3600, rel=0.01)


def test_an_identity_in_local_time_tells_the_offset_not_the_start() -> None:
    """The laps are in UTC."""
    content = tcx([POINTS]).replace(b"<Id>2026-03-01T07:00:00Z", b"<Id>2026-03-01T09:00:00")
    run = the_run(parse_tcx(content))
    assert (run.started_at, run.offset) == (START, timedelta(hours=2))


def test_the_first_version_of_the_format_is_read() -> None:
    """There an activity is a `Run`."""
    content = (
        tcx([POINTS])
        .replace(b"<Activities>", b'<History><Running Name="Running">')
        .replace(b"</Activities>", b"</Running></History>")
        .replace(b'<Activity Sport="Running">', b"<Run>")
        .replace(b"</Activity>", b"</Run>")
    )
    assert the_run(parse_tcx(content)).distance_m == pytest.approx(10_000, rel=0.01)
