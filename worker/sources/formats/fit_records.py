"""A FIT file's records and laps, for summaries that are incomplete or contradicted.

This is much slower than the summary, so it is used only when needed.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from worker.sources.formats.fit_walk import EARLIEST_CLOCK, FitMessage, Part
from worker.sources.formats.laps import MAX_LAPS, Lap
from worker.sources.formats.track import Odometer, Point, Retrace

RECORD, LAP = 20, 19
# The protocol counts seconds from 1989-12-31.
EPOCH_S = 631_065_600

_LATITUDE, _LONGITUDE, _DISTANCE, _SPEED_DISTANCE, _TIMESTAMP = 0, 1, 5, 8, 253
_LAP_START, _LAP_ELAPSED_MS, _LAP_TIMER_MS, _LAP_CENTIMETRES, _LAP_SPORT = 2, 7, 8, 9, 25
_DEGREES = 180 / 2**31
_TWELVE_BITS = 0xFFF
_SPEED_DISTANCE_BYTES = 3


def degrees(semicircles: int) -> float:
    """Convert FIT's semicircles (2**31 of them are 180 degrees) to degrees."""
    return semicircles * _DEGREES


def points(part: Part) -> Iterator[Point]:
    """The part's records in order."""
    compressed = _CompressedDistance()
    for message in part.messages(frozenset({RECORD}), clocked=True):
        yield _point(message, message.clock, compressed)


def last_point(part: Part) -> Point | None:
    """The last record of a part that was walked, if it can be found quickly."""
    message = part.last(RECORD)
    return _point(message, message.integer(_TIMESTAMP), None) if message else None


def _point(
    message: FitMessage, clock: int | None, compressed: "_CompressedDistance | None"
) -> Point:
    lat = message.integer(_LATITUDE, signed=True)
    lon = message.integer(_LONGITUDE, signed=True)
    centimetres = message.integer(_DISTANCE)
    counted_m = None if centimetres is None else centimetres / 100
    if compressed and counted_m is None:
        counted_m = compressed.metres(message)
    return Point(
        at_s=_instant(clock),
        lat=None if lat is None else degrees(lat),
        lon=None if lon is None else degrees(lon),
        counted_m=counted_m,
    )


def _instant(clock: int | None) -> float | None:
    return None if clock is None or clock < EARLIEST_CLOCK else float(clock + EPOCH_S)


def retrace(part: Part, started_s: float | None, elapsed_s: float | None) -> Odometer:
    """The sum of the records from an instant on, or of all if it isn't known."""
    track = Odometer()
    for point in _within(part, started_s, elapsed_s):
        track.add(point)
    if not track.odd:
        return track
    kept = Retrace()
    for point in _within(part, started_s, elapsed_s):
        kept.add(point)
    return kept.odometer()


def _within(part: Part, started_s: float | None, elapsed_s: float | None) -> Iterator[Point]:
    """The records of one leg, with its distance counted from the end of the leg before."""
    first_s = float("-inf") if started_s is None else started_s
    last_s = first_s + elapsed_s if elapsed_s else float("inf")
    before_m = 0.0
    for point in points(part):
        if point.at_s is not None and point.at_s < first_s:
            before_m = point.counted_m or before_m
        elif point.at_s is None or point.at_s <= last_s + 1:
            counted_m = None if point.counted_m is None else max(point.counted_m - before_m, 0.0)
            yield point._replace(counted_m=counted_m) if before_m else point


def laps(part: Part, started_s: float | None, elapsed_s: float | None) -> Sequence[Lap]:
    """The laps that began in a period, or all of them if it isn't known."""
    first_s = float("-inf") if started_s is None else started_s - 1
    last_s = first_s + elapsed_s if elapsed_s else float("inf")
    read = (_lap(lap) for lap in part.messages(frozenset({LAP})))
    return [
        lap
        for lap in islice(read, MAX_LAPS)
        if lap.started_s is None or first_s <= lap.started_s <= last_s
    ]


def _lap(message: FitMessage) -> Lap:
    seconds_ms = message.integer(_LAP_TIMER_MS) or message.integer(_LAP_ELAPSED_MS) or 0
    return Lap(
        _instant(message.integer(_LAP_START)),
        (message.integer(_LAP_CENTIMETRES) or 0) / 100,
        seconds_ms / 1000,
        _instant(message.integer(_TIMESTAMP)),
    )


def lap_sport(part: Part) -> int | None:
    """The sport's number, from the first lap that has one."""
    told = (lap.integer(_LAP_SPORT) for lap in part.messages(frozenset({LAP})))
    return next((sport for sport in told if sport is not None), None)


class _CompressedDistance:
    """The distance of old foot pods: 12 bits in 1/16 m, which wrap around every 256 m."""

    def __init__(self) -> None:
        self._sixteenths = 0

    def metres(self, message: FitMessage) -> float | None:
        place = message.definition.find(_SPEED_DISTANCE)
        raw = message.payload[place] if place else b""
        if len(raw) != _SPEED_DISTANCE_BYTES or raw == b"\xff\xff\xff":
            return None
        count = int.from_bytes(raw, "little") >> 12
        self._sixteenths += (count - self._sixteenths) & _TWELVE_BITS
        return self._sixteenths / 16
