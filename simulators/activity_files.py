"""Makes the files that the tests read: FIT with Garmin's encoder, GPX and TCX as text.

fit_run(started_at, distance_m=8000, moving_s=2700)      one run of a watch, as bytes
fit_activity([leg(...), leg(...)])                        several sessions in one file
gpx(points), tcx(points)                                  a track as text
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from fastcrc.crc16 import arc
from garmin_fit_sdk import Encoder, Profile

FIT_EPOCH = datetime(1989, 12, 31, tzinfo=UTC)
NUMBER = Profile["mesg_num"]
METRES_PER_DEGREE = 111_195.0


@dataclass(frozen=True, slots=True)
class Leg:
    """One session of a FIT file; None leaves a field out.

    `recorded_m` is the distance at the end of the records, `distance_m` by default. `extra` are
    further session fields; they override the session's own.
    """

    started_at: datetime | None
    distance_m: float | None = 8000.0
    moving_s: float | None = 2700.0
    elapsed_s: float | None = None
    sport: str | int | None = "running"
    sub_sport: str | int | None = "generic"
    extra: dict[str, Any] = field(default_factory=dict)
    recorded_m: float | None = None


def fit_run(
    started_at: datetime,
    *,
    distance_m: float | None = 8000.0,
    moving_s: float | None = 2700.0,
    elapsed_s: float | None = None,
    offset_h: float | None = None,
    sport: str | int | None = "running",
    sub_sport: str | int | None = "generic",
    records: int = 60,
) -> bytes:
    """One recorded activity as a watch writes it: `records` evenly spaced points, then a session.

    `elapsed_s` defaults to `moving_s`. `offset_h` is how far the watch's clock is ahead of UTC;
    None leaves the local time out.
    """
    leg = Leg(started_at, distance_m, moving_s, elapsed_s or moving_s, sport, sub_sport)
    return fit_activity([leg], offset_h=offset_h, records=records)


def fit_activity(
    legs: Sequence[Leg],
    *,
    offset_h: float | None = None,
    records: int = 60,
    session: bool = True,
    file_type: str | int = "activity",
    after: Callable[[Encoder], None] | None = None,
) -> bytes:
    """A FIT file with these sessions; `session=False` writes only their records."""
    encoder = Encoder()
    began = legs[0].started_at or datetime(2026, 1, 1, tzinfo=UTC)
    ended = began
    _write(encoder, "FILE_ID", type=file_type, manufacturer="garmin", product=3290,
           serial_number=12345, time_created=began)  # fmt: skip
    for leg in legs:
        start = leg.started_at or began
        ended = start + timedelta(seconds=leg.elapsed_s or leg.moving_s or 0)
        _write_records(encoder, start, ended, leg.recorded_m or leg.distance_m or 0.0, records)
        if session:
            told = {"start_time": leg.started_at, "total_distance": leg.distance_m,
                    "total_timer_time": leg.moving_s, "total_elapsed_time": leg.elapsed_s,
                    "sport": leg.sport, "sub_sport": leg.sub_sport, **leg.extra}  # fmt: skip
            _write(encoder, "SESSION", timestamp=ended, **told)
    if session:
        local = None if offset_h is None else ended + timedelta(hours=offset_h)
        _write(encoder, "ACTIVITY", timestamp=ended, local_timestamp=local, num_sessions=len(legs),
               type="manual", event="activity", event_type="stop")  # fmt: skip
    if after:
        after(encoder)
    return bytes(encoder.close())


def _write(encoder: Encoder, name: str, **fields: Any) -> None:
    given = {key: value for key, value in fields.items() if value is not None}
    encoder.write_mesg({"mesg_num": NUMBER[name], **given})


def _write_records(
    encoder: Encoder, start: datetime, end: datetime, distance_m: float, records: int
) -> None:
    """Write the points of a straight line due north at an even pace."""
    for step in range(records):
        share = step / max(records - 1, 1)
        latitude = 48.0 + share * distance_m / METRES_PER_DEGREE
        _write(encoder, "RECORD", timestamp=start + share * (end - start),
               distance=share * distance_m, heart_rate=140, position_lat=semicircles(latitude),
               position_long=semicircles(11.0))  # fmt: skip


def semicircles(degrees: float) -> int:
    """Degrees in FIT's unit, semicircles."""
    return round(degrees * 2**31 / 180)


def fit_file(body: bytes, *, data_size: int | None = None) -> bytes:
    """A FIT file with these raw records, with header and checksum."""
    size = len(body) if data_size is None else data_size
    content = struct.pack("<BBHI4sH", 14, 0x20, 2100, size, b".FIT", 0) + body
    return content + struct.pack("<H", arc(content))


def definition(
    number: int,
    fields: Sequence[tuple[int, int, int]],
    *,
    local: int = 0,
    big: bool = False,
    developer: Sequence[tuple[int, int, int]] = (),
) -> bytes:
    """A raw definition message; each field is (number, size, base type)."""
    order = ">" if big else "<"
    head = struct.pack(order + "BBBHB", 0x40 | 0x20 * bool(developer) | local, 0, big, number,
                       len(fields))  # fmt: skip
    body = b"".join(bytes(each) for each in fields)
    extra = bytes([len(developer)]) + b"".join(map(bytes, developer)) if developer else b""
    return head + body + extra


def fit_seconds(at: datetime) -> int:
    """An instant as FIT's seconds since its epoch."""
    return round((at - FIT_EPOCH).total_seconds())


@dataclass(frozen=True, slots=True)
class Fix:
    """One point of a GPX or TCX track."""

    at: datetime | None
    lat: float
    lon: float
    distance_m: float | None = None
    high_m: float = 500.0


def straight(
    started_at: datetime, *, distance_m: float, seconds: int, every_s: int = 1
) -> list[Fix]:
    """Points of an even run due north."""
    return [
        Fix(
            started_at + timedelta(seconds=second),
            48.0 + distance_m * second / seconds / METRES_PER_DEGREE,
            11.0,
            distance_m * second / seconds,
        )
        for second in range(0, seconds + 1, every_s)
    ]


def gpx(
    segments: Sequence[Sequence[Fix]], *, kind: str | None = "running", name: str = ""
) -> bytes:
    """A GPX 1.1 track of these segments; its type is `kind`, or absent if None."""
    track = "".join(f"<trkseg>{''.join(map(_trkpt, part))}</trkseg>" for part in segments)
    typed = "" if kind is None else f"<type>{kind}</type>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gpx version="1.1" creator="made" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><name>{name}</name>{typed}{track}</trk></gpx>"
    ).encode()


def _trkpt(fix: Fix) -> str:
    time = "" if fix.at is None else f"<time>{fix.at:%Y-%m-%dT%H:%M:%SZ}</time>"
    return f'<trkpt lat="{fix.lat:.7f}" lon="{fix.lon:.7f}"><ele>{fix.high_m:g}</ele>{time}</trkpt>'


def tcx(
    laps: Sequence[Sequence[Fix]], *, sport: str = "Running", totals: bool = True, name: str = ""
) -> bytes:
    """A TCX activity with one lap per list of points; `totals=False` omits the laps' own totals."""
    body = "".join(_lap(points, totals=totals) for points in laps)
    first = next((fix.at for points in laps for fix in points if fix.at), None)
    identity = f"<Id>{first:%Y-%m-%dT%H:%M:%SZ}</Id>" if first else "<Id/>"
    return (
        '<?xml version="1.0"?><TrainingCenterDatabase '
        'xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2"><Activities>'
        f'<Activity Sport="{sport}">{identity}{body}<Notes>{name}</Notes></Activity>'
        "</Activities></TrainingCenterDatabase>"
    ).encode()


def _lap(points: Sequence[Fix], *, totals: bool) -> str:
    seconds = sum(
        (after.at - before.at).total_seconds()
        for before, after in pairwise(points)
        if before.at and after.at
    )
    metres = (points[-1].distance_m or 0.0) - (points[0].distance_m or 0.0)
    start = f' StartTime="{points[0].at:%Y-%m-%dT%H:%M:%SZ}"' if points[0].at else ""
    figures = (
        f"<TotalTimeSeconds>{seconds}</TotalTimeSeconds><DistanceMeters>{metres}</DistanceMeters>"
        if totals
        else ""
    )
    return f"<Lap{start}>{figures}<Track>{''.join(map(_trackpoint, points))}</Track></Lap>"


def _trackpoint(fix: Fix) -> str:
    metres = "" if fix.distance_m is None else f"<DistanceMeters>{fix.distance_m}</DistanceMeters>"
    return (
        f"<Trackpoint><Time>{fix.at:%Y-%m-%dT%H:%M:%SZ}</Time><Position>"
        f"<LatitudeDegrees>{fix.lat}</LatitudeDegrees><LongitudeDegrees>{fix.lon}"
        f"</LongitudeDegrees></Position><AltitudeMeters>{fix.high_m:g}</AltitudeMeters>{metres}"
        "</Trackpoint>"
    )
