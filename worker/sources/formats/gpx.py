"""GPX files: the runs of their tracks, measured from point to point.

GPX holds no summary, so distance and times are added up (see `track.py`). A track that goes on
within an hour of the one before it is the same run, as some apps begin a new one after each pause.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from worker.domain.shown import plain_title
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed, instant_and_offset, one_answer
from worker.sources.formats.markup import Refused, Walk, parse_number
from worker.sources.formats.sport import sport_told
from worker.sources.formats.track import Odometer, Point

SAME_RUN_S = 3600.0
MAX_TRACKS = 256


def parse_gpx(content: bytes) -> Parsed:
    """The running tracks of a GPX file, or why there are none."""
    reader = _Reader()
    try:
        damage = reader.walk.run(content)
    except Refused as refusal:
        return Unreadable(f"not read: {refusal}")
    recorded = [track for track in reader.tracks if track.odometer.points]
    if not recorded:
        if damage:
            return Unreadable(f"can't be read as GPX: {damage}")
        return NotARun("a GPX file without a track, not a recorded run")
    return one_answer(_activity(track, damage) for track in recorded)


@dataclass(slots=True)
class _Track:
    """One track as it is being read."""

    name: str = ""
    sport: str = ""
    offset: timedelta | None = None
    odometer: Odometer = field(default_factory=Odometer)

    def goes_on(self, sport: str, at_s: float | None) -> bool:
        """True where a new track of this sport, from this instant, is more of the same run."""
        last_s = self.odometer.last_s
        if at_s is None or last_s is None:
            return False
        return sport in ("", self.sport) and 0 <= at_s - last_s <= SAME_RUN_S


class _Reader:
    """Collects the tracks while the walk goes over their elements."""

    def __init__(self) -> None:
        self.tracks: list[_Track] = []
        self.walk = Walk(
            starts={"trk": self._track, "trkseg": self._segment, "trkpt": self._point},
            ends={"name": self._name, "type": self._type, "time": self._time,
                  "trkpt": self._point_ends},
        )  # fmt: skip
        self._track_depth = 0
        self._point_depth = 0
        self._new = _Track()
        self._at_s: float | None = None
        self._place: tuple[float | None, float | None] = (None, None)
        self._offset: timedelta | None = None

    def _track(self, _attributes: dict[str, str]) -> None:
        self._track_depth = self.walk.depth
        self._new = _Track()

    def _name(self, text: str) -> None:
        if self.walk.depth == self._track_depth + 1 and not self._point_depth:
            self._new.name = plain_title(text)

    def _type(self, text: str) -> None:
        if self.walk.depth == self._track_depth + 1 and not self._point_depth:
            self._new.sport = plain_title(text)

    def _segment(self, _attributes: dict[str, str]) -> None:
        if self.tracks:
            self.tracks[-1].odometer.gap()

    def _point(self, attributes: dict[str, str]) -> None:
        self._point_depth = self.walk.depth
        self._at_s = None
        self._place = parse_number(attributes.get("lat")), parse_number(attributes.get("lon"))

    def _time(self, text: str) -> None:
        if self._point_depth and self.walk.depth == self._point_depth + 1:
            instant = instant_and_offset(text)
            self._at_s = instant[0].timestamp() if instant else None
            self._offset = instant[1] if instant else None

    def _point_ends(self, _text: str) -> None:
        self._point_depth = 0
        track = self._current()
        if track.offset is None:
            track.offset = self._offset
        lat, lon = self._place
        track.odometer.add(Point(self._at_s, lat, lon))

    def _current(self) -> _Track:
        """The track that the point belongs to; decided with a new track's first point."""
        new = self._new
        if self.tracks and self.tracks[-1] is new:
            return new
        if self.tracks and self.tracks[-1].goes_on(new.sport, self._at_s):
            self._new = self.tracks[-1]
        elif len(self.tracks) < MAX_TRACKS:
            self.tracks.append(new)
        return self._new


def _activity(track: _Track, damage: str | None) -> Activity | NotARun | Unreadable:
    way = track.odometer
    if way.started_at is None:
        return NotARun("a route without times, not a recorded run")
    told = sport_told(track.sport, way)
    if isinstance(told, NotARun):
        return told
    if not way.distance_m:
        return Unreadable(f"a run without distance: {way.points} points in one place")
    sport, guessed = told
    return Activity(
        started_at=way.started_at,
        offset=track.offset,
        distance_m=way.distance_m,
        moving_s=way.moving_s or way.elapsed_s or None,
        elapsed_s=way.elapsed_s or None,
        sport=sport,
        title=track.name,
        note="; ".join(filter(None, (damage and f"recovered: {damage}", guessed))) or None,
    )
