"""Adds up a track point by point: distance, moving and elapsed time, in constant memory.

For GPX, which only has points, for TCX, and for FIT files whose summary is lost. Nothing here
reads a file. docs/decisions/gpx-distance.md has the rules, and a comparison with devices' own
figures.

Most tracks are added up as their points arrive. If points are newest first, or many have one
instant, or they are rare, `Odometer.odd` says so, and `retraced` adds up all points again:
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

FASTEST_M_S = 12.5  # no runner's: a step faster than this is a glitch of the receiver
SMOOTHED_POINTS = 16
LASTING_GLITCHES = 5  # this many in a row are a new place, not an error
LONGEST_STEP_S = 30.0  # a longer silence, with no more than a stroll in it, is a pause
LONGEST_RATE_S = 600.0  # a point in ten minutes is no track's rate
SEVERAL_SILENCES = 2.5  # of a track's own rate: what is longer may be a pause
ODD_SHARE = 0.3  # of the points, from which on they're no accident
FEW_POINTS = 5
MAX_RETRACED = 250_000  # points of a track: three days, one a second
FURTHEST_STEP_M = 1000.0  # a device's count that leaps further, faster than anybody, is wrong
LARGEST_FIRST_M = 100.0  # a count that begins further on began before the track
LONGEST_SILENCE_S = 2 * 86_400.0  # a longer one is a broken clock
LONGEST_UNSET_S = 1200.0  # until satellites set the clock
SLOWEST_M_S = 0.8  # what a stroll is
SMOOTHED_S = 5.0  # a place is the mean of so long, as a receiver's error wanders about
LEAST_RISE_M = 10.0  # what is less may be the wandering of a receiver's height
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

    `high_m` is the height above sea level in metres. A tuple, as there are thousands in each
    file.
    """

    at_s: float | None = None
    lat: float | None = None
    lon: float | None = None
    counted_m: float | None = None
    high_m: float | None = None


def step_m(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """Metres between two points near each other, on the WGS 84 ellipsoid.

    The radii of curvature at the middle latitude make a plane of it; for the few metres between
    two points of a run that is exact to well under a millimetre.
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
    """Give it points in their order, and `gap()` where the recording was paused.

    `counted_m` is the device's own count, 0 where it kept none; `measured_m` the way between the
    points; `moving_s` the time of the recording without its pauses. `glitches` counts the points,
    out of `points`, that were too far off to be believed.
    """

    def __init__(self, longest_step_s: float = LONGEST_STEP_S) -> None:
        self.points = 0
        self.glitches = 0
        self._longest_step_s = longest_step_s
        self._backward = 0  # points that came before the last
        self._at_once = 0  # points at the last one's instant
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
        """The first point's instant, None where no point has one."""
        return None if self.first_s is None else datetime.fromtimestamp(self.first_s, UTC)

    @property
    def elapsed_s(self) -> float:
        """From the first point to the last."""
        return (self.last_s or 0.0) - (self.first_s or 0.0)

    @property
    def lon(self) -> float | None:
        """The longitude of the last place, in degrees; None where there is none."""
        return self._way.last_lon

    @property
    def odd(self) -> bool:
        """True where the points must be put in order, or spread, before they can be added up."""
        enough = max(ODD_SHARE * (self.points + self._backward), FEW_POINTS)
        return max(self._backward, self._at_once, self._seldom) >= enough

    @property
    def measured_m(self) -> float:
        """The way between the points that could be believed."""
        return self._way.length_m

    @property
    def distance_m(self) -> float:
        """The device's own figure where it gave one, else what was measured."""
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
        """The recording was paused: what lies between two points wasn't run."""
        self._way.leave()
        self._glitches_in_a_row = 0
        self._resumed = True

    def join(self, later: "Odometer") -> None:
        """What `later` has added up is more of the same run."""
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
        """One more point; one that is out of order in time changes nothing."""
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
        """True for an instant after the last; one days off is only believed when it lasts."""
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
        """What to make of points days off: another clock from there on, or a silence of days."""
        strayed = self.points < LASTING_GLITCHES  # what came before was the stray
        is_short = not self._resumed and self.elapsed_s <= LONGEST_UNSET_S
        if strayed or is_short:
            self._set_clock(self.elapsed_s if is_short else 0.0)
        elif at_s < last_s:
            return False
        else:
            self.gap()
        return True

    def _set_clock(self, before_s: float) -> None:
        """The device learnt the date on its way; for so long it had been on its way before."""
        self.first_s = self._strays_from_s - before_s
        self.last_s = self._strays_from_s
        self._pace.restart()
        self._way.leave()

    def _add_count(self, at_s: float | None, counted_m: float) -> float:
        """Metres since the last count."""
        last_m = self._count_m
        if last_m is None:
            step = counted_m if counted_m <= LARGEST_FIRST_M else 0.0
        elif counted_m < last_m / 2:  # it restarted; a metre less is only a correction
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
        """Metres since the last place, 0 where this one can't be believed."""
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
        """A long silence with no more than a stroll in it."""
        return self._longest_step_s < silence_s < float("inf") and step < SLOWEST_M_S * silence_s


_Numbers = tuple[float, float, float, float, float]
"""A point's instant, latitude, longitude, count and height, "not a number" for what is missing."""
_NUMBERS = 5


class Retrace:
    """All points of a track, kept as numbers, for one that is `odd`. Give them as to `Odometer`."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def gap(self) -> None:
        """What lies between two points is told by their times here."""

    def add(self, point: Point) -> None:
        """One more point, at an instant that can be one."""
        if len(self._numbers) < _NUMBERS * MAX_RETRACED and (
            point.at_s is None or EARLIEST_S < point.at_s < LATEST_S
        ):
            told = (point.at_s, point.lat, point.lon, point.counted_m, point.high_m)
            self._numbers.extend(nan if one is None else one for one in told)

    def odometer(self) -> Odometer:
        """The track added up: sorted, spread in time, its pauses those of its own rate."""
        instants = sorted({at_s for at_s in self._numbers[::_NUMBERS] if not isnan(at_s)})
        apart = [later - at_s for at_s, later in pairwise(instants)]
        rate_s = min(median(apart), LONGEST_RATE_S) if apart else 0.0
        track = Odometer(max(LONGEST_STEP_S, SEVERAL_SILENCES * rate_s))
        for point in _spread(self._in_order(), rate_s):
            track.add(point)
        return track

    def _in_order(self) -> Iterator[_Numbers]:
        """The points by time; one without stays behind the one that it came after."""
        numbers = self._numbers
        times = [at_s for at_s in numbers[::_NUMBERS] if not isnan(at_s)]
        # Newest first all along, the points of one instant are so too.
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
    """Spread points of one instant evenly over the time up to the next; without a next,
    over none.
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
        """On to the next height. A leap is none of a runner's: from there on it begins anew."""
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
        """What another climb came to is more of the same."""
        self._done_m += later_m or 0.0
        self.is_told = self.is_told or later_m is not None

    def _turn(self, high_m: float) -> None:
        self._done_m, self._rises, self._low_m = self.up_m, False, high_m


class _Way:
    """The length of a line through the means of the last few seconds' places.

    `smooth_m` is the length up to the latest mean, `length_m` up to the last place itself.
    """

    def __init__(self) -> None:
        self.smooth_m = 0.0
        self._recent: deque[tuple[float | None, float, float, float]] = deque()
        self._mean: tuple[float, float] | None = None
        self._first_lon = 0.0
        self._sum_lat = 0.0
        self._sum_east = 0.0  # from the first longitude, so that the date line is nothing special

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
        """Metres and seconds from the last place; endless seconds where no time is told."""
        if not self._recent:
            return 0.0, float("inf")
        last_s, last_lat, last_lon, _ = self._recent[-1]
        step = step_m(last_lat, last_lon, lat, lon)
        if at_s is None or last_s is None:
            return step, float("inf")
        return step, max(at_s - last_s, 1.0)

    def go(self, at_s: float | None, lat: float, lon: float) -> None:
        """On to the next place."""
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
    """The best mean speed over a minute, from a look every few seconds."""

    def __init__(self) -> None:
        self.best_m_s = 0.0
        self._looks: deque[tuple[float, float]] = deque()

    def restart(self) -> None:
        """What comes next has another clock."""
        self._looks.clear()

    def at(self, at_s: float, distance_m: float) -> None:
        """So far at this instant."""
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
    """A track with what its points add up to, and the points where they were kept."""

    odometer: Odometer
    points: Retrace | None


def retrace_odd(tracks: Sequence[Measured], read_again: Callable[[], Sequence[Measured]]) -> None:
    """Measure the tracks that are `odd` anew; `read_again` gives all of them with their points."""
    if not any(track.odometer.odd for track in tracks):
        return
    for track, again in zip(tracks, read_again(), strict=True):
        if again.points and track.odometer.odd:
            track.odometer = again.points.odometer()
