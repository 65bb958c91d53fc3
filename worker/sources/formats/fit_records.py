"""What a FIT file's records tell where its summary doesn't: the points of the way.

Slower than the walk by far, so only for files that need it.
"""

from collections.abc import Iterator

from worker.sources.formats.fit_walk import Message, Part
from worker.sources.formats.track import Point

RECORD = 20
LAP = 19
# The protocol counts seconds from 1989-12-31; below this they count from the watch's power-up.
EPOCH_S = 631_065_600
FIRST_ABSOLUTE = 0x10000000

_LATITUDE, _LONGITUDE, _DISTANCE, _SPEED_DISTANCE = 0, 1, 5, 8
_LAP_SPORT = 25
_DEGREES = 180 / 2**31
_TWELVE_BITS = 0xFFF
_SPEED_DISTANCE_BYTES = 3


def points(part: Part) -> Iterator[Point]:
    """The part's records in order."""
    compressed = _CompressedDistance()
    for message in part.messages(frozenset({RECORD}), clocked=True):
        clock = message.clock
        lat = message.integer(_LATITUDE, signed=True)
        lon = message.integer(_LONGITUDE, signed=True)
        centimetres = message.integer(_DISTANCE)
        yield Point(
            at_s=None if clock is None or clock < FIRST_ABSOLUTE else float(clock + EPOCH_S),
            lat=None if lat is None else lat * _DEGREES,
            lon=None if lon is None else lon * _DEGREES,
            told_m=compressed.metres(message) if centimetres is None else centimetres / 100,
        )


def lap_sport(part: Part) -> int | None:
    """The sport's number as the first lap that tells it has it."""
    laps = (lap.integer(_LAP_SPORT) for lap in part.messages(frozenset({LAP})))
    return next((sport for sport in laps if sport is not None), None)


class _CompressedDistance:
    """Old foot pods: twelve bits of sixteenths of a metre that start anew every 256 m."""

    def __init__(self) -> None:
        self._sixteenths = 0

    def metres(self, message: Message) -> float | None:
        place = message.definition.find(_SPEED_DISTANCE)
        raw = message.payload[place] if place else b""
        if len(raw) != _SPEED_DISTANCE_BYTES or raw == b"\xff\xff\xff":
            return None
        told = int.from_bytes(raw, "little") >> 12
        self._sixteenths += (told - self._sixteenths) & _TWELVE_BITS
        return self._sixteenths / 16
