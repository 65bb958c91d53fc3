"""The odometer: the distance and time of a track's points."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.formats.track import Odometer, Point, step_m

START_S = 1_770_000_000.0
LAT, LON = 48.0, 11.0
METRE_NORTH = 1 / 111_195.0  # degrees, precise enough for the assertions


def north(metres: list[float], *, every_s: float = 1.0, start_s: float = START_S) -> list[Point]:
    """Points that many metres to the north of the first."""
    return [
        Point(start_s + number * every_s, LAT + each * METRE_NORTH, LON)
        for number, each in enumerate(metres)
    ]


def measured(points: list[Point]) -> Odometer:
    """An odometer that was given these points."""
    odometer = Odometer()
    for point in points:
        odometer.add(point)
    return odometer


@pytest.mark.parametrize(
    ("here", "metres"),
    [((0, 0, 1, 0), 110_574.4), ((0, 0, 0, 1), 111_319.5),
     ((60, 10, 60, 10.001), 55.800), ((48, 11, 48.001, 11), 111.195),
     ((-17, 179.9995, -17, -179.9995), 106.488)],
)  # fmt: skip
def test_knows_the_length_of_a_step(here: tuple[float, float, float, float], metres: float) -> None:
    """Published lengths of degrees on the ellipsoid, also across the date line."""
    assert step_m(*here) == pytest.approx(metres, rel=2e-4)


def test_adds_up_an_even_run() -> None:
    """Ten kilometres at three metres a second."""
    way = measured(north([3.0 * second for second in range(3334)]))
    assert way.distance_m == pytest.approx(9999, rel=1e-3)
    assert way.moving_s == way.elapsed_s == 3333


def test_a_receiver_s_wandering_adds_little() -> None:
    """An error of a metre and a half back and forth, which a plain sum would count each second."""
    wander = [3.0 * second for second in range(1000)]
    points = [
        Point(point.at_s, point.lat, LON + 1.5 * METRE_NORTH * math.sin(second * 1.3))
        for second, point in enumerate(north(wander))
    ]
    plain = sum(step_m(a.lat or 0, a.lon or 0, b.lat or 0, b.lon or 0) for a, b in pairwise(points))
    assert plain > 3000 * 1.03
    assert measured(points).distance_m == pytest.approx(2997, rel=0.01)


def test_a_pause_counts_neither_way_nor_time() -> None:
    """A gap of ten minutes with a stroll of a hundred metres."""
    before = north([3.0 * second for second in range(600)])
    after = north([1900.0 + 3.0 * second for second in range(600)], start_s=START_S + 1200)
    way = measured(before + after)
    assert way.distance_m == pytest.approx(2 * 1797, rel=2e-3)
    assert way.moving_s == 2 * 599
    assert way.elapsed_s == 1799


def test_a_tunnel_counts_as_run() -> None:
    """A gap of two minutes at a runner's pace."""
    before = north([3.0 * second for second in range(600)])
    after = north([2157.0 + 3.0 * second for second in range(600)], start_s=START_S + 719)
    way = measured(before + after)
    assert way.distance_m == pytest.approx(3954, rel=2e-3)
    assert way.moving_s == way.elapsed_s == 1318


def test_a_told_gap_counts_nothing() -> None:
    """The distance between two segments wasn't run, however fast."""
    odometer = Odometer()
    for point in north([3.0 * second for second in range(100)]):
        odometer.add(point)
    odometer.gap()
    for point in north([900 + 3.0 * second for second in range(100)], start_s=START_S + 300):
        odometer.add(point)
    assert odometer.distance_m == pytest.approx(2 * 297, rel=0.01)
    assert odometer.moving_s == 2 * 99


def test_a_single_glitch_is_left_out() -> None:
    """One point a kilometre off is ignored."""
    points = north([3.0 * second for second in range(1000)])
    points[500] = Point(points[500].at_s, LAT + 0.01, LON + 0.01)
    way = measured(points)
    assert way.distance_m == pytest.approx(2997, rel=2e-3)
    assert way.glitches == 1


def test_a_lasting_glitch_is_a_new_place() -> None:
    """After a lasting jump the run continues there; the jump itself isn't run."""
    there = north([50_000 + 3.0 * second for second in range(500)], start_s=START_S + 500)
    way = measured(north([3.0 * second for second in range(500)]) + there)
    assert way.distance_m == pytest.approx(2994, rel=0.01)


def test_the_device_s_own_count_goes_before_what_was_measured() -> None:
    """A foot pod is more precise than GPS; a counter that restarts is continued."""
    way = measured([
        Point(START_S + number, LAT, LON, counted_m=told)
        for number, told in enumerate([0.0, 300.0, 600.0, 0.0, 300.0])
    ])  # fmt: skip
    assert way.distance_m == 900


@given(st.lists(st.floats(-10_000, 10_000), max_size=40))
def test_the_count_never_goes_below_nothing(counts_m: list[float]) -> None:
    """A negative counter is damaged and ignored."""
    odometer = measured(
        [Point(START_S + 10 * n, counted_m=count_m) for n, count_m in enumerate(counts_m)]
    )
    assert odometer.distance_m >= 0


def test_points_out_of_order_change_nothing() -> None:
    """A point earlier than the last one is skipped."""
    points = north([3.0 * second for second in range(100)])
    way = measured([*points, points[3]])
    assert way.elapsed_s == 99
    assert way.points == 100


def test_an_instant_years_ahead_is_left_out() -> None:
    """One broken clock reading doesn't make a run of decades."""
    points = north([3.0 * second for second in range(100)])
    points[50] = Point(START_S + 1e9, LAT, LON)
    way = measured(points)
    assert way.elapsed_s == 99
    assert way.distance_m == pytest.approx(297, rel=0.01)


def test_a_first_instant_years_ago_is_left_out() -> None:
    """A watch that gets the date with its first fix began at that time."""
    points = [Point(1000.0, LAT, LON), *north([3.0 * second for second in range(100)])]
    way = measured(points)
    assert way.started_at is not None
    assert way.started_at.timestamp() == pytest.approx(START_S, abs=5)
    assert way.elapsed_s == pytest.approx(99, abs=5)


@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (91.0, 11.0), (48.0, 181.0), (-90.5, 0.1)])
def test_nowhere_on_earth_is_no_place(lat: float, lon: float) -> None:
    """0/0 and positions past the poles come from receivers without a fix."""
    points = north([3.0 * second for second in range(100)])
    points[50] = Point(points[50].at_s, lat, lon)
    assert measured(points).distance_m == pytest.approx(297, rel=0.01)


def test_knows_the_fastest_minute() -> None:
    """Two minutes at six metres a second within a run at three."""
    slow, fast = [3.0] * 300, [6.0] * 120
    metres = [0.0]
    for speed in slow + fast + slow:
        metres.append(metres[-1] + speed)
    assert measured(north(metres)).fastest_m_s == pytest.approx(6.0, rel=0.02)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(-20, 20), st.floats(-20, 20)), max_size=60))
def test_never_measures_less_than_nothing(steps: list[tuple[float, float, float]]) -> None:
    """For any points distance and time aren't negative, and moving time is at most elapsed time."""
    odometer, at_s, north_m, east_m = Odometer(), START_S, 0.0, 0.0
    for seconds, to_north, to_east in steps:
        at_s, north_m, east_m = at_s + seconds, north_m + to_north, east_m + to_east
        odometer.add(Point(at_s, LAT + north_m * METRE_NORTH, LON + east_m * METRE_NORTH))
    assert odometer.distance_m >= 0
    assert 0 <= odometer.moving_s <= odometer.elapsed_s + 1e-6


def test_instants_all_over_the_place_never_count_backward() -> None:
    """Points days apart in any order are neither a new clock nor elapsed time."""
    odometer = Odometer()
    for number, days in enumerate([0, 0, 0, 0, 0, 0, 900, -40, 300, 12, 5000, 3, 77]):
        odometer.add(Point(1_700_000_000.0 + 86_400 * days + number, counted_m=3.0 * number))
    assert odometer.moving_s == 5
    assert odometer.elapsed_s == 5
