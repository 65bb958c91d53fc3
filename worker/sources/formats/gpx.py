"""GPX files: the runs of their tracks, measured from point to point.

GPX has no summary, so distance and times are added up (see `track.py`). A track that begins
within an hour after the one before it is the same run, because some apps begin a new track after
each pause. An overlapping track is a copy. The sport comes from a track's type, from
other fields that apps write, or from its name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.domain.shown import plain_title
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed, instant_and_offset, one_answer
from worker.sources.formats.clocks import FIRST_TRACK, put_right
from worker.sources.formats.markup import Refused, Walk, parse_number, read_through
from worker.sources.formats.sport import rides, sport_told
from worker.sources.formats.track import Odometer, Point, Retrace, retrace_odd

SAME_RUN_S = 3600.0
MAX_TRACKS = 4096

# Elements in which apps write the sport, if not in the track's type: Samsung, OpenTracks,
# Gadgetbridge.
_SPORT_ELEMENTS = ("exercisetype", "activityType", "activity_type", "activity", "sport",
                   "typeTranslated")  # fmt: skip
_FITOTRACK = re.compile(r"\bworkoutTypeId=(\w+)")


def parse_gpx(content: bytes) -> Parsed:
    """The running tracks of a GPX file, or why there are none."""
    try:
        reader, damage = read_through(content, _Reader)
        retrace_odd(
            reader.tracks,
            lambda: read_through(content, lambda: _Reader(retrace=True))[0].tracks,
        )
    except Refused as refusal:
        return Unreadable(f"not read: {refusal}")
    recorded = [track for track in reader.tracks if track.odometer.points]
    if not recorded:
        if damage:
            return Unreadable(f"can't be read as GPX: {damage}")
        return NotARun("a GPX file without a track, not a recorded run")
    for track in recorded:
        track.sport = track.sport or reader.sport
    return one_answer(_activity(track, reader, damage) for track in _joined(recorded))


@dataclass(slots=True)
class _Track:
    """One track while it is read; its `points` are only kept for `Retrace`."""

    name: str = ""
    sport: str = ""
    offset: timedelta | None = None
    odometer: Odometer = field(default_factory=Odometer)
    points: Retrace | None = None


def _joined(tracks: Sequence[_Track]) -> Sequence[_Track]:
    """The tracks, with consecutive ones joined, and only the longer of two copies."""
    joined: list[_Track] = []
    for new in sorted(tracks, key=lambda track: track.odometer.first_s or 0.0):
        last = joined[-1] if joined else None
        if last is None or new.sport not in ("", last.sport):
            joined.append(new)
        elif _is_copy(last.odometer, new.odometer):
            if new.odometer.distance_m > last.odometer.distance_m:
                joined[-1] = new
        elif _goes_on(last.odometer, new.odometer):
            last.odometer.join(new.odometer)
        else:
            joined.append(new)
    return joined


def _goes_on(last: Odometer, new: Odometer) -> bool:
    """True if a track begins soon after another ended, both on foot or both on wheels."""
    if new.first_s is None or last.last_s is None or rides(last) != rides(new):
        return False
    return 0 <= new.first_s - last.last_s <= SAME_RUN_S


def _is_copy(last: Odometer, new: Odometer) -> bool:
    """True if most of the shorter track overlaps the other in time."""
    if None in (last.first_s, last.last_s, new.first_s, new.last_s):
        return False
    common_s = min(last.last_s or 0.0, new.last_s or 0.0) - (new.first_s or 0.0)
    return common_s > min(last.elapsed_s, new.elapsed_s) / 2


class _Reader:
    """Collects the tracks while the walk visits their elements."""

    def __init__(self, *, retrace: bool = False) -> None:
        self.tracks: list[_Track] = []
        self.sport = ""  # as given outside of the tracks
        self.title = ""
        self.written_at: datetime | None = None
        self.walk = Walk(
            starts={"trk": self._track, "trkseg": self._segment, "trkpt": self._point,
                    "metadata": self._metadata},
            texts={"name": self._name, "type": self._type, "time": self._time, "ele": self._ele,
                   **dict.fromkeys(_SPORT_ELEMENTS, self._told_elsewhere)},
            ends={"trk": self._parent_ends, "metadata": self._parent_ends,
                  "trkpt": self._point_ends},
        )  # fmt: skip
        self._retrace = retrace
        self._parent_depth = 1  # of the track, or the file's own description
        self._point_depth = 0
        self._new: _Track | None = None
        self._at_s: float | None = None
        self._place: tuple[float | None, float | None] = (None, None)
        self._high_m: float | None = None
        self._offset: timedelta | None = None

    def _metadata(self, _attributes: dict[str, str]) -> None:
        self._parent_depth = self.walk.depth

    def _track(self, _attributes: dict[str, str]) -> None:
        self._parent_depth = self.walk.depth
        self._new = self._begun()

    def _begun(self) -> _Track:
        track = _Track(points=Retrace() if self._retrace else None)
        if len(self.tracks) < MAX_TRACKS:
            self.tracks.append(track)
        return track

    def _parent_ends(self) -> None:
        self._parent_depth = 1
        self._new = None

    def _name(self, text: str) -> None:
        if self._point_depth or self.walk.depth != self._parent_depth + 1:
            return
        if self._new:
            self._new.name = plain_title(text)
        elif found := _FITOTRACK.search(text):
            self.sport = found[1]
        else:
            self.title = plain_title(text)

    def _type(self, text: str) -> None:
        if self.walk.depth == self._parent_depth + 1 and not self._point_depth:
            if self._new:
                self._new.sport = plain_title(text)
            else:
                self.sport = plain_title(text)

    def _told_elsewhere(self, text: str) -> None:
        if self._point_depth:
            return
        if self._new:
            self._new.sport = self._new.sport or plain_title(text)
        else:
            self.sport = plain_title(text)

    def _segment(self, _attributes: dict[str, str]) -> None:
        if self._new:
            self._new.odometer.gap()

    def _point(self, attributes: dict[str, str]) -> None:
        self._point_depth = self.walk.depth
        self._at_s = self._high_m = None
        self._place = parse_number(attributes.get("lat")), parse_number(attributes.get("lon"))

    def _time(self, text: str) -> None:
        if self._point_depth and self.walk.depth == self._point_depth + 1:
            instant = instant_and_offset(text)
            self._at_s = instant[0].timestamp() if instant else None
            self._offset = instant[1] if instant else None
        elif not self._new and self.walk.depth == self._parent_depth + 1:
            instant = instant_and_offset(text)
            self.written_at = instant[0] if instant else None

    def _ele(self, text: str) -> None:
        if self._point_depth and self.walk.depth == self._point_depth + 1:
            self._high_m = parse_number(text)

    def _point_ends(self) -> None:
        self._point_depth = 0
        self._new = track = self._new or self._begun()  # some files have points without a track
        if track.offset is None:
            track.offset = self._offset
        lat, lon = self._place
        (track.points or track.odometer).add(Point(self._at_s, lat, lon, high_m=self._high_m))


def _activity(track: _Track, file: _Reader, damage: str | None) -> Activity | NotARun | Unreadable:
    way = track.odometer
    if way.started_at is None:
        return NotARun("a route without times, not a recorded run")
    told = sport_told(track.sport, way, titles=[track.name, *filter(None, [file.title])])
    if isinstance(told, NotARun):
        return told
    if not way.distance_m:
        return Unreadable(f"a run without distance: {way.points} points in one place")
    sport, guessed = told
    written = [file.written_at] if file.written_at else []
    started_at, doubt = put_right(way.started_at, first=FIRST_TRACK, written=written)
    recovered = damage and f"recovered: {damage}"
    return Activity(
        started_at=started_at,
        offset=track.offset,
        distance_m=way.distance_m,
        moving_s=way.moving_s or way.elapsed_s or None,
        elapsed_s=way.elapsed_s or None,
        sport=sport,
        title=track.name,
        lon=way.lon,
        note="; ".join(filter(None, (recovered, doubt, guessed))) or None,
        ascent_m=way.ascent_m,
    )
