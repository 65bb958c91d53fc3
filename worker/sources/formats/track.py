"""Adds up a track point by point: distance, moving and elapsed time, in constant memory.

For GPX, which holds nothing but points, for TCX, and for a FIT file whose summary is lost. Nothing
here reads a file. The rules, and how they compare to devices' own figures, are written down in
docs/decisions/gpx-distance.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, hypot, radians, sin, sqrt

FASTEST_M_S = 12.5  # no runner's: a step faster than this is a glitch of the receiver
SLOWEST_M_S = 0.5  # in a silence slower than this the runner stood still
LONGEST_STEP_S = 30.0  # a longer silence, with no more than a stroll in it, is a pause
LASTING_GLITCHES = 5  # so many in a row are a new place, not an error
EARLIEST_S = 0.0  # 1970
LATEST_S = 4_102_444_800.0  # 2100

POLE_LAT = 90.0
DATE_LINE_LON = 180.0
EQUATOR_M = 6_378_137.0  # WGS 84
ECCENTRICITY_2 = 0.00669437999014


@dataclass(frozen=True, slots=True)
class Point:
    """One point: seconds since 1970, degrees, and the device's own metres, each where it's told."""

    at_s: float | None = None
    lat: float | None = None
    lon: float | None = None
    told_m: float | None = None


def step_m(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """Metres between two points near each other, on the WGS 84 ellipsoid.

    The radii of curvature at the middle latitude make a plane of it; for the few metres between
    two points of a run that is exact to well under a millimetre.
    """
    middle = radians((lat + to_lat) / 2)
    shape = 1 - ECCENTRICITY_2 * sin(middle) ** 2
    east_m = EQUATOR_M / sqrt(shape)
    north_m = east_m * (1 - ECCENTRICITY_2) / shape
    turned = (to_lon - lon + 180) % 360 - 180
    return hypot(north_m * radians(to_lat - lat), east_m * cos(middle) * radians(turned))


class Odometer:
    """Give it points in their order, and `gap()` where the recording was paused.

    `told_m` is the device's own count, 0 where it kept none; `measured_m` the sum of the steps
    between believed places; `moving_s` the time of the recording without its pauses. `glitches`
    counts the points, out of `points`, that were too far off to be believed.
    """

    def __init__(self) -> None:
        self.points = 0
        self.glitches = 0
        self.measured_m = 0.0
        self.moving_s = 0.0
        self.first_s: float | None = None
        self.last_s: float | None = None
        self._told_m = 0.0
        self._told_before_m = 0.0  # of parts before the device's count started anew
        self._place: Point | None = None  # the last one believed
        self._glitches_in_a_row = 0
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
    def told_m(self) -> float:
        """The device's own count over all its parts."""
        return self._told_before_m + self._told_m

    @property
    def distance_m(self) -> float:
        """The device's own figure where it gave one, else the sum of the steps."""
        return self.told_m or self.measured_m

    def gap(self) -> None:
        """The recording was paused: what lies between two points wasn't run."""
        self._place = None
        self._glitches_in_a_row = 0
        self._resumed = True

    def add(self, point: Point) -> None:
        """One more point; one that is out of order in time changes nothing."""
        if point.at_s is not None and not self._follows(point.at_s):
            return
        before_m = self.distance_m
        self.points += 1
        if point.told_m is not None:
            self._add_told(point.told_m)
        if point.lat is not None and point.lon is not None:
            self._add_place(point, point.lat, point.lon)
        if point.at_s is not None:
            self._add_time(point.at_s, self.distance_m - before_m)

    def _follows(self, at_s: float) -> bool:
        return EARLIEST_S < at_s < LATEST_S and (self.last_s is None or at_s >= self.last_s)

    def _add_told(self, told_m: float) -> None:
        if told_m < self._told_m / 2:  # it started anew; a metre less is only a correction
            self._told_before_m += self._told_m
            self._told_m = 0.0
        self._told_m = max(self._told_m, told_m)

    def _add_place(self, point: Point, lat: float, lon: float) -> None:
        if not (abs(lat) <= POLE_LAT and abs(lon) <= DATE_LINE_LON) or lat == lon == 0:
            return
        last = self._place
        if last is None or last.lat is None or last.lon is None:
            self._place = point
            return
        step = step_m(last.lat, last.lon, lat, lon)
        if step <= self._reach_m(last, point):
            self.measured_m += step
        else:
            self.glitches += 1
            self._glitches_in_a_row += 1
            if self._glitches_in_a_row < LASTING_GLITCHES:
                return
        self._glitches_in_a_row = 0
        self._place = point

    @staticmethod
    def _reach_m(last: Point, point: Point) -> float:
        """How far a runner may have got between two points."""
        if last.at_s is None or point.at_s is None:
            return float("inf")
        return FASTEST_M_S * max(point.at_s - last.at_s, 1.0)

    def _add_time(self, at_s: float, step: float) -> None:
        if self.first_s is None or self.last_s is None:
            self.first_s = at_s
        elif not self._resumed:
            silence_s = at_s - self.last_s
            if silence_s <= LONGEST_STEP_S or step >= SLOWEST_M_S * silence_s:
                self.moving_s += silence_s
        self._resumed = False
        self.last_s = at_s
