"""Adds up a track point by point: distance, moving and elapsed time, in constant memory.

For GPX, which only has points, for TCX, and for FIT files whose summary is lost. Nothing here
reads a file. docs/decisions/gpx-distance.md has the rules, and a comparison with devices' own
figures.

Most tracks are added up as their points arrive. If points are newest first, many share one
instant, or they are rare, `Odometer.odd` is true, and `retrace_odd` adds up all points again:
sorted, spread in time, and judged by their own rate.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from math import cos, hypot, isnan, nan, radians, sin, sqrt
from operator import itemgetter
from statistics import median
from typing import NamedTuple, Protocol

FASTEST_M_S = 12.5  # faster than any runner: such a step is a glitch of the receiver
SMOOTHED_POINTS = 16
LASTING_GLITCHES = 5  # this many in a row are a new place, not an error
LONGEST_STEP_S = 30.0  # a longer silence at less than a stroll is a pause
LONGEST_RATE_S = 600.0  # the longest interval that counts as a track's rate
SEVERAL_SILENCES = 2.5  # times a track's own rate; a longer silence may be a pause
ODD_SHARE = 0.3  # of the points; above this, they are no coincidence
FEW_POINTS = 5
MAX_RETRACED = 250_000  # points of a track: three days, one a second
FURTHEST_STEP_M = 1000.0  # a device's count that leaps further, and too fast, is wrong
LARGEST_FIRST_M = 100.0  # a larger first count began before the track
LONGEST_SILENCE_S = 2 * 86_400.0  # a longer one means a broken clock
LONGEST_UNSET_S = 1200.0  # until satellites set the clock
SLOWEST_M_S = 0.8  # a stroll
SMOOTHED_S = 5.0  # places are averaged over this time, because a receiver's error drifts
LEAST_RISE_M = 10.0  # a smaller rise may be drift of a receiver's height
LARGEST_RISE_M = 100.0  # from one point to the next
MINUTE_S = 60.0
LOOK_EVERY_S = 5.0
EARLIEST_S = 0.0  # 1970
LATEST_S = 4_102_444_800.0  # 2100

POLE_LAT = 90.0
DATE_LINE_LON = 180.0
EQUATOR_M = 6_378_137.0  # WGS 84
ECCENTRICITY_2 = 0.00669437999014


class Point(NamedTuple):
    """One point: seconds since 1970, degrees, and the device's own metres, each if given.

    `high_m` is the height above sea level in metres. It is a tuple, because a file has thousands
    of them.
    """

    at_s: float | None = None
    lat: float | None = None
    lon: float | None = None
    counted_m: float | None = None
    high_m: float | None = None


def step_m(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """Metres between two points near each other, on the WGS 84 ellipsoid.

    The surface is approximated by a plane, with the radii of curvature at the middle latitude.
    For the few metres between two points of a run, the error is well under a millimetre.
    """
    middle = radians((lat + to_lat) / 2)
    shape = 1 - ECCENTRICITY_2 * sin(middle) ** 2
    east_m = EQUATOR_M / sqrt(shape)
    north_m = east_m * (1 - ECCENTRICITY_2) / shape
    east = radians(eastward(lon, to_lon))
    return hypot(north_m * radians(to_lat - lat), east_m * cos(middle) * east)


def eastward(lon: float, to_lon: float) -> float:
    """Degrees from one longitude to another, the shorter way round; negative to the west."""
    return (to_lon - lon + 180) % 360 - 180


class Odometer:
    """Adds up points in the order of the file; call `gap()` where the recording was paused.

    `counted_m` is the device's own count, 0 if it has none; `measured_m`, the length of the way
    between the points; `moving_s`, the time of the recording without pauses. `glitches` counts
    the points, out of `points`, that were too far off to be believed.
    """

    def __init__(self, longest_step_s: float = LONGEST_STEP_S) -> None:
        self.points = 0
        self.glitches = 0
        self._longest_step_s = longest_step_s
        self._backward = 0  # points earlier than the last
        self._at_once = 0  # points at the same instant as the last
        self._seldom = 0  # silences longer than a step
        self.moving_s = 0.0
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.counted_m = 0.0
        self._count_m: float | None = None  # the device's last
        self._leaps_in_a_row = 0
        self._way = _Way()
        self._climb = _Climb()
        self._pace = _FastestMinute()
        self._glitches_in_a_row = 0
        self._strays_in_a_row = 0
        self._strays_from_s = 0.0  # the first of them
        self._stray_s = 0.0  # the last
        self._resumed = True

    @property
    def started_at(self) -> datetime | None:
        """The first point's instant, or None if no point has one."""
        return None if self.first_s is None else datetime.fromtimestamp(self.first_s, UTC)

    @property
    def elapsed_s(self) -> float:
        """From the first point to the last."""
        return (self.last_s or 0.0) - (self.first_s or 0.0)

    @property
    def lon(self) -> float | None:
        """The longitude of the last place, in degrees; None if there is none."""
        return self._way.last_lon

    @property
    def odd(self) -> bool:
        """True if the points have to be sorted or spread before they can be added up."""
        enough = max(ODD_SHARE * (self.points + self._backward), FEW_POINTS)
        return max(self._backward, self._at_once, self._seldom) >= enough

    @property
    def measured_m(self) -> float:
        """The length of the way between the credible points."""
        return self._way.length_m

    @property
    def distance_m(self) -> float:
        """The device's own figure if there is one, else the measured distance."""
        return self.counted_m or self.measured_m

    @property
    def ascent_m(self) -> float | None:
        """The ascent in metres, or None if there are no heights."""
        return self._climb.up_m if self._climb.is_told else None

    @property
    def fastest_m_s(self) -> float:
        """The mean speed of the fastest minute."""
        return self._pace.best_m_s

    def gap(self) -> None:
        """Mark a pause: the way between the last point and the next wasn't run."""
        self._way.leave()
        self._glitches_in_a_row = 0
        self._resumed = True

    def join(self, later: "Odometer") -> None:
        """Add the totals of `later`, which is a part of the same run."""
        self.gap()
        self.points += later.points
        self.glitches += later.glitches
        self.moving_s += later.moving_s
        self.counted_m += later.counted_m
        self.last_s = later.last_s
        self._way.smooth_m += later.measured_m
        self._climb.join(later.ascent_m)
        self._pace.best_m_s = max(self._pace.best_m_s, later.fastest_m_s)

    def add(self, point: Point) -> None:
        """Add a point; one that is out of order in time changes nothing."""
        at_s, lat, lon, counted_m, high_m = point
        if at_s is not None and not self._follows(at_s):
            return
        self.points += 1
        step = 0.0
        if lat is not None and lon is not None:
            step = self._add_place(at_s, lat, lon)
        if counted_m is not None and counted_m >= 0:
            step = self._add_count(at_s, counted_m)
        if high_m is not None:
            self._climb.add(high_m)
        if at_s is not None:
            self._add_time(at_s, step)

    def _follows(self, at_s: float) -> bool:
        """True for an instant after the last; one that is days off has to be confirmed by more."""
        if not EARLIEST_S < at_s < LATEST_S:
            return False
        if self.last_s is None or abs(at_s - self.last_s) <= LONGEST_SILENCE_S:
            self._strays_in_a_row = 0
            is_later = self.last_s is None or at_s >= self.last_s
            self._backward += not is_later
            return is_later
        if not self._strays_in_a_row or not 0 <= at_s - self._stray_s <= LONGEST_SILENCE_S:
            self._strays_from_s, self._strays_in_a_row = at_s, 0
        self._stray_s = at_s
        self._strays_in_a_row += 1
        return self._strays_in_a_row >= LASTING_GLITCHES and self._lasts(at_s, self.last_s)

    def _lasts(self, at_s: float, last_s: float) -> bool:
        """Handle points that are days off: a corrected clock, or a silence of days."""
        strayed = self.points < LASTING_GLITCHES  # the earlier points were wrong
        is_short = not self._resumed and self.elapsed_s <= LONGEST_UNSET_S
        if strayed or is_short:
            self._set_clock(self.elapsed_s if is_short else 0.0)
        elif at_s < last_s:
            return False
        else:
            self.gap()
        return True

    def _set_clock(self, before_s: float) -> None:
        """Continue with a corrected clock, `before_s` seconds after the start."""
        self.first_s = self._strays_from_s - before_s
        self.last_s = self._strays_from_s
        self._pace.restart()
        self._way.leave()

    def _add_count(self, at_s: float | None, counted_m: float) -> float:
        """Metres since the last count."""
        last_m = self._count_m
        if last_m is None:
            step = counted_m if counted_m <= LARGEST_FIRST_M else 0.0
        elif counted_m < last_m / 2:  # restarted; a small decrease is only a correction
            step = counted_m
        else:
            step = max(counted_m - last_m, 0.0)
            counted_m = max(counted_m, last_m)
        if step > FURTHEST_STEP_M and self._leaps(at_s, step):
            self._leaps_in_a_row += 1
            if self._leaps_in_a_row < LASTING_GLITCHES:
                return 0.0
            step = 0.0
        self._leaps_in_a_row = 0
        self._count_m = counted_m
        self.counted_m += step
        return step

    def _leaps(self, at_s: float | None, step: float) -> bool:
        if at_s is None or self.last_s is None or self._resumed:
            return False
        return step > FASTEST_M_S * max(at_s - self.last_s, 1.0)

    def _add_place(self, at_s: float | None, lat: float, lon: float) -> float:
        """Metres since the last place, 0 if this one isn't credible."""
        if not (abs(lat) <= POLE_LAT and abs(lon) <= DATE_LINE_LON) or lat == lon == 0:
            return 0.0
        step, silence_s = self._way.ahead(at_s, lat, lon)
        if step > FASTEST_M_S * silence_s:
            self.glitches += 1
            self._glitches_in_a_row += 1
            if self._glitches_in_a_row < LASTING_GLITCHES:
                return 0.0
            self._way.leave()
            step = 0.0
        elif self._is_pause(step, silence_s):
            self._way.leave()
        self._glitches_in_a_row = 0
        self._way.go(at_s, lat, lon)
        return step

    def _add_time(self, at_s: float, step: float) -> None:
        if self.first_s is None or self.last_s is None:
            self.first_s = at_s
        elif not self._resumed:
            silence_s = at_s - self.last_s
            self._at_once += silence_s == 0
            self._seldom += LONGEST_STEP_S < silence_s <= LONGEST_RATE_S
            if not self._is_pause(step, silence_s):
                self.moving_s += silence_s
        self._resumed = False
        self.last_s = at_s
        self._pace.at(at_s, self.counted_m or self._way.smooth_m)

    def _is_pause(self, step: float, silence_s: float) -> bool:
        """True for a long silence at less than a stroll."""
        return self._longest_step_s < silence_s < float("inf") and step < SLOWEST_M_S * silence_s


_Numbers = tuple[float, float, float, float, float]
"""A point's instant, latitude, longitude, count and height; NaN for missing values."""
_NUMBERS = 5


class Retrace:
    """Keeps all points of an `odd` track as numbers. Points are added as to `Odometer`."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def gap(self) -> None:
        """Ignored: pauses are found by the times of the points here."""

    def add(self, point: Point) -> None:
        """Add a point, unless its instant is impossible."""
        if len(self._numbers) < _NUMBERS * MAX_RETRACED and (
            point.at_s is None or EARLIEST_S < point.at_s < LATEST_S
        ):
            told = (point.at_s, point.lat, point.lon, point.counted_m, point.high_m)
            self._numbers.extend(nan if one is None else one for one in told)

    def odometer(self) -> Odometer:
        """Add up the track: sorted, spread in time, with pauses by its own rate."""
        instants = sorted({at_s for at_s in self._numbers[::_NUMBERS] if not isnan(at_s)})
        apart = [later - at_s for at_s, later in pairwise(instants)]
        rate_s = min(median(apart), LONGEST_RATE_S) if apart else 0.0
        track = Odometer(max(LONGEST_STEP_S, SEVERAL_SILENCES * rate_s))
        for point in _spread(self._in_order(), rate_s):
            track.add(point)
        return track

    def _in_order(self) -> Iterator[_Numbers]:
        """The points by time; one without a time stays behind its predecessor."""
        numbers = self._numbers
        times = [at_s for at_s in numbers[::_NUMBERS] if not isnan(at_s)]
        # If the track is newest first, so are points of one instant.
        falling = sum(b < a for a, b in pairwise(times)) > sum(b > a for a, b in pairwise(times))
        places = range(0, len(numbers), _NUMBERS)
        keyed = []
        latest_s = EARLIEST_S
        for place in reversed(places) if falling else places:
            if not isnan(numbers[place]):
                latest_s = numbers[place]
            keyed.append((latest_s, place))
        keyed.sort(key=itemgetter(0))
        for _, place in keyed:
            at_s, lat, lon, counted_m, high_m = numbers[place : place + _NUMBERS]
            yield at_s, lat, lon, counted_m, high_m


def _spread(points: Iterable[_Numbers], rate_s: float) -> Iterator[Point]:
    """Spread points of one instant evenly over the time up to the next instant, if there is
    one.
    """
    for at_s, group in groupby(points, key=itemgetter(0)):
        together = list(group)
        for number, (_, *told) in enumerate(together):
            rest = [None if isnan(one) else one for one in told]
            if isnan(at_s) or (number and not rate_s):
                yield Point(None, *rest)
            else:
                yield Point(at_s + number * rate_s / len(together), *rest)


class _Climb:
    """The metres up of all rises above the noise of a receiver or barometer."""

    def __init__(self) -> None:
        self.is_told = False
        self._done_m = 0.0
        self._low_m = self._high_m = self._last_m = 0.0
        self._rises = False

    @property
    def up_m(self) -> float:
        return self._done_m + (self._high_m - self._low_m if self._rises else 0.0)

    def add(self, high_m: float) -> None:
        """Add the next height. After an impossible leap, it starts again from there."""
        if not self.is_told or abs(high_m - self._last_m) > LARGEST_RISE_M:
            self._turn(high_m)
        self.is_told, self._last_m = True, high_m
        if self._rises:
            if high_m > self._high_m:
                self._high_m = high_m
            elif high_m <= self._high_m - LEAST_RISE_M:
                self._turn(high_m)
        elif high_m < self._low_m:
            self._low_m = high_m
        elif high_m >= self._low_m + LEAST_RISE_M:
            self._rises, self._high_m = True, high_m

    def join(self, later_m: float | None) -> None:
        """Add the ascent of another climb."""
        self._done_m += later_m or 0.0
        self.is_told = self.is_told or later_m is not None

    def _turn(self, high_m: float) -> None:
        self._done_m, self._rises, self._low_m = self.up_m, False, high_m


class _Way:
    """The length of a line through moving averages of the places over a few seconds.

    `smooth_m` is the length up to the latest average, `length_m` up to the last place itself.
    """

    def __init__(self) -> None:
        self.smooth_m = 0.0
        self._recent: deque[tuple[float | None, float, float, float]] = deque()
        self._mean: tuple[float, float] | None = None
        self._first_lon = 0.0
        self._sum_lat = 0.0
        self._sum_east = 0.0  # relative to the first longitude, because of the date line

    @property
    def last_lon(self) -> float | None:
        return self._recent[-1][2] if self._recent else None

    @property
    def length_m(self) -> float:
        if not self._mean:
            return self.smooth_m
        _, lat, lon, _ = self._recent[-1]
        return self.smooth_m + step_m(*self._mean, lat, lon)

    def ahead(self, at_s: float | None, lat: float, lon: float) -> tuple[float, float]:
        """Metres and seconds from the last place; infinite seconds without a time."""
        if not self._recent:
            return 0.0, float("inf")
        last_s, last_lat, last_lon, _ = self._recent[-1]
        step = step_m(last_lat, last_lon, lat, lon)
        if at_s is None or last_s is None:
            return step, float("inf")
        return step, max(at_s - last_s, 1.0)

    def go(self, at_s: float | None, lat: float, lon: float) -> None:
        """Move to the next place."""
        recent = self._recent
        if not recent:
            self._first_lon = lon
        east = eastward(self._first_lon, lon)
        recent.append((at_s, lat, lon, east))
        self._sum_lat += lat
        self._sum_east += east
        while len(recent) > SMOOTHED_POINTS or (
            len(recent) > 1 and not _is_recent(recent[0][0], at_s)
        ):
            self._forget_first()
        mean = self._sum_lat / len(recent), self._first_lon + self._sum_east / len(recent)
        if self._mean:
            self.smooth_m += step_m(*self._mean, *mean)
        self._mean = mean

    def leave(self) -> None:
        """Start again with the next point, wherever it is."""
        self.smooth_m = self.length_m
        self._recent.clear()
        self._mean = None
        self._sum_lat = self._sum_east = 0.0

    def _forget_first(self) -> None:
        _, lat, _, east = self._recent.popleft()
        self._sum_lat -= lat
        self._sum_east -= east


def _is_recent(first_s: float | None, last_s: float | None) -> bool:
    return first_s is not None and last_s is not None and last_s - first_s < SMOOTHED_S


class _FastestMinute:
    """The fastest mean speed over a minute, sampled every few seconds."""

    def __init__(self) -> None:
        self.best_m_s = 0.0
        self._looks: deque[tuple[float, float]] = deque()

    def restart(self) -> None:
        """Start again, because the clock changes."""
        self._looks.clear()

    def at(self, at_s: float, distance_m: float) -> None:
        """Add the distance at an instant."""
        looks = self._looks
        if looks and at_s - looks[-1][0] < LOOK_EVERY_S:
            return
        looks.append((at_s, distance_m))
        while at_s - looks[0][0] > MINUTE_S + LOOK_EVERY_S:
            looks.popleft()
        first_s, first_m = looks[0]
        if at_s - first_s >= MINUTE_S:
            self.best_m_s = max(self.best_m_s, (distance_m - first_m) / (at_s - first_s))


class Measured(Protocol):
    """A track with the totals of its points, and the points if they were kept."""

    odometer: Odometer
    points: Retrace | None


def retrace_odd(tracks: Sequence[Measured], read_again: Callable[[], Sequence[Measured]]) -> None:
    """Measure `odd` tracks again; `read_again` returns all tracks with their points."""
    if not any(track.odometer.odd for track in tracks):
        return
    for track, again in zip(tracks, read_again(), strict=True):
        if again.points and track.odometer.odd:
            track.odometer = again.points.odometer()
