"""TCX files: their running activities, by the laps' own figures.

A lap usually has metres and seconds as the device counted them, without pauses. If it doesn't,
the track's points are added up (see `track.py`). Laps that can't all be true, because they are
cumulative or overlap, are compared with the points. In version 1 of the format, an activity is a
`Run` in `Running`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.domain.shown import plain_title
from worker.sources import NotARun, Unreadable
from worker.sources.formats import (
    Activity,
    Parsed,
    credible_offset,
    instant_and_offset,
    one_answer,
)
from worker.sources.formats.clocks import FIRST_TRACK, put_right
from worker.sources.formats.laps import MAX_LAPS, Lap, add_up
from worker.sources.formats.markup import Refused, Walk, parse_number, read_through
from worker.sources.formats.sport import sport_told
from worker.sources.formats.track import Odometer, Point, Retrace, retrace_odd

MAX_ACTIVITIES = 256


def parse_tcx(content: bytes) -> Parsed:
    """The running activities of a TCX file, or why there are none."""
    try:
        reader, damage = read_through(content, _Reader)
        retrace_odd(
            reader.activities,
            lambda: read_through(content, lambda: _Reader(retrace=True))[0].activities,
        )
    except Refused as refusal:
        return Unreadable(f"not read: {refusal}")
    if not reader.activities:
        if damage:
            return Unreadable(f"can't be read as TCX: {damage}")
        return NotARun("a TCX file without an activity, not a recorded run")
    return one_answer(_activity(each, damage) for each in reader.activities)


@dataclass(slots=True)
class _Recorded:
    """One activity while it is read."""

    sport: str
    title: str = ""
    identity: str = ""
    lap_starts: str = ""
    laps: list["_LapTotals"] = field(default_factory=list)
    odometer: Odometer = field(default_factory=Odometer)
    points: Retrace | None = None

    def start(self) -> tuple[datetime | None, timedelta | None]:
        """When it began, and its offset from UTC, by its laps, its name or its points.

        A time without a zone in the name is local.
        """
        named = instant_and_offset(self.identity)
        lap = instant_and_offset(self.lap_starts)
        if lap is None:
            return named or (self.odometer.started_at, None)
        at, offset = lap
        if named and offset is None:
            told = named[1]
            is_local = told is None and not self.identity.endswith("Z")
            offset = credible_offset(named[0] - at) or None if is_local else told
        return at, offset

    def figures(self) -> tuple[float, float]:
        """Metres and moving seconds: the laps', unless the points contradict them."""
        way = self.odometer
        return add_up(
            [Lap(lap.started_s, lap.metres, lap.seconds) for lap in self.laps],
            way_m=way.distance_m,
            way_s=way.moving_s,
            lasted_s=way.elapsed_s,
        )


@dataclass(slots=True)
class _LapTotals:
    """A lap's own totals, or those of its points."""

    started_s: float | None
    told_m: float | None = None
    told_s: float | None = None
    before_m: float = 0.0
    before_s: float = 0.0
    way_m: float = 0.0
    way_s: float = 0.0

    @property
    def metres(self) -> float:
        return self.told_m or self.way_m

    @property
    def seconds(self) -> float:
        return self.told_s or self.way_s


class _Reader:
    """Collects the activities while the walk visits their elements."""

    def __init__(self, *, retrace: bool = False) -> None:
        self.activities: list[_Recorded] = []
        self.walk = Walk(
            starts={"Activity": self._activity, "Run": self._run_of_version_1,
                    "Lap": self._lap, "Track": self._track, "Trackpoint": self._trackpoint},
            texts={"Id": self._id, "Notes": self._notes, "TotalTimeSeconds": self._seconds,
                   "DistanceMeters": self._metres, "Time": self._time,
                   "LatitudeDegrees": self._latitude, "LongitudeDegrees": self._longitude,
                   "AltitudeMeters": self._altitude},
            ends={"Lap": self._lap_ends, "Trackpoint": self._trackpoint_ends},
        )  # fmt: skip
        self._retrace = retrace
        self._current: _Recorded | None = None
        self._lap_now: _LapTotals | None = None
        self._activity_depth = 0
        self._lap_depth = 0
        self._in_point = False
        self._at_s: float | None = None
        self._lat: float | None = None
        self._lon: float | None = None
        self._counted_m: float | None = None
        self._high_m: float | None = None

    def _activity(self, attributes: dict[str, str]) -> None:
        self._activity_depth = self.walk.depth
        points = Retrace() if self._retrace else None
        self._current = _Recorded(plain_title(attributes.get("Sport", "")), points=points)
        if len(self.activities) < MAX_ACTIVITIES:
            self.activities.append(self._current)

    def _run_of_version_1(self, _attributes: dict[str, str]) -> None:
        self._activity({"Sport": "Running"})

    def _lap(self, attributes: dict[str, str]) -> None:
        self._lap_depth = self.walk.depth
        self._lap_now = None
        if self._current and len(self._current.laps) < MAX_LAPS:
            text = attributes.get("StartTime", "")
            self._current.lap_starts = self._current.lap_starts or text
            began = instant_and_offset(text)
            way = self._current.odometer
            self._lap_now = _LapTotals(
                began[0].timestamp() if began else None,
                before_m=way.distance_m,
                before_s=way.moving_s,
            )
            self._current.laps.append(self._lap_now)

    def _lap_ends(self) -> None:
        if self._current and (lap := self._lap_now):
            lap.way_m = max(self._current.odometer.distance_m - lap.before_m, 0.0)
            lap.way_s = self._current.odometer.moving_s - lap.before_s
        self._lap_now = None

    def _track(self, _attributes: dict[str, str]) -> None:
        if self._current:
            self._current.odometer.gap()

    def _id(self, text: str) -> None:
        if self._current:
            self._current.identity = self._current.identity or text

    def _notes(self, text: str) -> None:
        if self._current and self.walk.depth == self._activity_depth + 1:
            self._current.title = plain_title(text)

    def _seconds(self, text: str) -> None:
        if self._lap_now and self.walk.depth == self._lap_depth + 1:
            self._lap_now.told_s = max(parse_number(text) or 0.0, 0.0)

    def _metres(self, text: str) -> None:
        if self._in_point:
            self._counted_m = parse_number(text)
        elif self._lap_now and self.walk.depth == self._lap_depth + 1:
            self._lap_now.told_m = max(parse_number(text) or 0.0, 0.0)

    def _trackpoint(self, _attributes: dict[str, str]) -> None:
        self._in_point = True
        self._at_s = self._lat = self._lon = self._counted_m = self._high_m = None

    def _time(self, text: str) -> None:
        if self._in_point and (instant := instant_and_offset(text)):
            self._at_s = instant[0].timestamp()

    def _latitude(self, text: str) -> None:
        self._lat = parse_number(text)

    def _longitude(self, text: str) -> None:
        self._lon = parse_number(text)

    def _altitude(self, text: str) -> None:
        self._high_m = parse_number(text)

    def _trackpoint_ends(self) -> None:
        self._in_point = False
        if self._current:
            track = self._current.points or self._current.odometer
            track.add(Point(self._at_s, self._lat, self._lon, self._counted_m, self._high_m))


def _activity(recorded: _Recorded, damage: str | None) -> Activity | NotARun | Unreadable:
    way = recorded.odometer
    told = sport_told(recorded.sport, way, titles=[recorded.title])
    if isinstance(told, NotARun):
        return told
    started_at, offset = recorded.start()
    distance_m, moving_s = recorded.figures()
    if not distance_m:
        return Unreadable("a run without distance: neither laps nor points tell any")
    if started_at is None:
        return Unreadable("a run without a date")
    sport, guessed = told
    started_at, doubt = put_right(started_at, first=FIRST_TRACK)
    recovered = damage and f"recovered: {damage}"
    return Activity(
        started_at=started_at,
        offset=offset,
        distance_m=distance_m,
        moving_s=moving_s or None,
        elapsed_s=max(way.elapsed_s, moving_s) or None,
        sport=sport,
        device=way.points > 0,
        title=recorded.title,
        lon=way.lon,
        note="; ".join(filter(None, (recovered, doubt, guessed))) or None,
        ascent_m=way.ascent_m,
    )
