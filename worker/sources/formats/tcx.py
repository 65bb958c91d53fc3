"""TCX files: their running activities, by the laps' own figures.

A lap tells its metres and seconds as the device counted them, pauses left out; where it doesn't,
the track's points are added up (see `track.py`).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.domain.shown import plain_title
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed, instant_and_offset, one_answer
from worker.sources.formats.markup import Refused, Walk, parse_number
from worker.sources.formats.sport import sport_told
from worker.sources.formats.track import Odometer, Point

MAX_ACTIVITIES = 256


def parse_tcx(content: bytes) -> Parsed:
    """The running activities of a TCX file, or why there are none."""
    reader = _Reader()
    try:
        damage = reader.walk.run(content)
    except Refused as refusal:
        return Unreadable(f"not read: {refusal}")
    if not reader.activities:
        if damage:
            return Unreadable(f"can't be read as TCX: {damage}")
        return NotARun("a TCX file without an activity, not a recorded run")
    return one_answer(_activity(each, damage) for each in reader.activities)


@dataclass(slots=True)
class _Recorded:
    """One activity as it is being read."""

    sport: str
    title: str = ""
    started_at: datetime | None = None
    offset: timedelta | None = None
    laps_m: float = 0.0
    laps_s: float = 0.0
    odometer: Odometer = field(default_factory=Odometer)

    def starts(self, text: str) -> None:
        """The first instant told is the start."""
        if self.started_at is None and (instant := instant_and_offset(text)):
            self.started_at, self.offset = instant


class _Reader:
    """Collects the activities while the walk goes over their elements."""

    def __init__(self) -> None:
        self.activities: list[_Recorded] = []
        self.walk = Walk(
            starts={"Activity": self._activity, "Lap": self._lap, "Track": self._track,
                    "Trackpoint": self._trackpoint},
            ends={"Id": self._id, "Notes": self._notes, "TotalTimeSeconds": self._seconds,
                  "DistanceMeters": self._metres, "Time": self._time,
                  "LatitudeDegrees": self._latitude, "LongitudeDegrees": self._longitude,
                  "Trackpoint": self._trackpoint_ends},
        )  # fmt: skip
        self._current: _Recorded | None = None
        self._activity_depth = 0
        self._lap_depth = 0
        self._in_point = False
        self._at_s: float | None = None
        self._lat: float | None = None
        self._lon: float | None = None
        self._counted_m: float | None = None

    def _activity(self, attributes: dict[str, str]) -> None:
        self._activity_depth = self.walk.depth
        self._current = _Recorded(plain_title(attributes.get("Sport", "")))
        if len(self.activities) < MAX_ACTIVITIES:
            self.activities.append(self._current)

    def _lap(self, attributes: dict[str, str]) -> None:
        self._lap_depth = self.walk.depth
        if self._current:
            self._current.starts(attributes.get("StartTime", ""))

    def _track(self, _attributes: dict[str, str]) -> None:
        if self._current:
            self._current.odometer.gap()

    def _id(self, text: str) -> None:
        if self._current:
            self._current.starts(text)

    def _notes(self, text: str) -> None:
        if self._current and self.walk.depth == self._activity_depth + 1:
            self._current.title = plain_title(text)

    def _seconds(self, text: str) -> None:
        if self._current and self.walk.depth == self._lap_depth + 1:
            self._current.laps_s += max(parse_number(text) or 0.0, 0.0)

    def _metres(self, text: str) -> None:
        if self._in_point:
            self._counted_m = parse_number(text)
        elif self._current and self.walk.depth == self._lap_depth + 1:
            self._current.laps_m += max(parse_number(text) or 0.0, 0.0)

    def _trackpoint(self, _attributes: dict[str, str]) -> None:
        self._in_point = True
        self._at_s = self._lat = self._lon = self._counted_m = None

    def _time(self, text: str) -> None:
        if self._in_point and (instant := instant_and_offset(text)):
            self._at_s = instant[0].timestamp()

    def _latitude(self, text: str) -> None:
        self._lat = parse_number(text)

    def _longitude(self, text: str) -> None:
        self._lon = parse_number(text)

    def _trackpoint_ends(self, _text: str) -> None:
        self._in_point = False
        if self._current:
            self._current.odometer.add(Point(self._at_s, self._lat, self._lon, self._counted_m))


def _activity(recorded: _Recorded, damage: str | None) -> Activity | NotARun | Unreadable:
    way = recorded.odometer
    told = sport_told(recorded.sport, way)
    if isinstance(told, NotARun):
        return told
    started_at = recorded.started_at or way.started_at
    distance_m = recorded.laps_m or way.distance_m
    if not distance_m:
        return Unreadable("a run without distance: neither laps nor points tell any")
    if started_at is None:
        return Unreadable("a run without a date")
    moving_s = recorded.laps_s or way.moving_s or None
    sport, guessed = told
    return Activity(
        started_at=started_at,
        offset=recorded.offset,
        distance_m=distance_m,
        moving_s=moving_s,
        elapsed_s=max(way.elapsed_s, moving_s or 0.0) or None,
        sport=sport,
        device=way.points > 0,
        title=recorded.title,
        note="; ".join(filter(None, (damage and f"recovered: {damage}", guessed))) or None,
    )
