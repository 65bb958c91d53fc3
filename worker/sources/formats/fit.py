"""FIT files: the runs of each session, whatever state the file is in.

    bytes → walk over all that nobody needs → one small sound segment → fitparse → activities

Only what is broken or missing is looked for in the records. Nothing is raised for what a file
holds: a bad checksum, a cut end, a lost summary give their run with a note, or a reason.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import isfinite
from typing import Any

from worker.domain.models import Sport
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, Parsed, credible_offset, one_answer
from worker.sources.formats.fit_walk import FitMessage, Part, is_fit, parts, segment
from worker.sources.formats.sport import GUESSED, not_a_run, untold_sport, why_not_by_pace
from worker.sources.formats.track import Odometer, Point

FILE_ID, SPORT, SESSION, ACTIVITY = 0, 12, 18, 34
RECORD = 20
LAP = 19
# The protocol counts seconds from 1989-12-31; below this they count from the watch's power-up.
EPOCH_S = 631_065_600
FIRST_ABSOLUTE = 0x10000000
MOST_UNTOLD = 8
"""Sessions of no sport that are judged one by one, each by a walk through the records."""
MOST_S = 7 * 86_400.0
MOST_M = 1_000_000.0  # in one recording; an overflow tells more

_LATITUDE, _LONGITUDE, _DISTANCE, _SPEED_DISTANCE = 0, 1, 5, 8
_LAP_SPORT = 25
_DEGREES = 180 / 2**31
_TWELVE_BITS = 0xFFF
_SPEED_DISTANCE_BYTES = 3
WANTED = frozenset({FILE_ID, SPORT, SESSION, ACTIVITY})
MAX_MESSAGES = 256
MAX_PAYLOAD_BYTES = 128 * 1024  # a session takes about 300

RUNNING, RUNNING_NUMBER = "running", 1
SUB_SPORTS: dict[Any, Sport] = {
    "treadmill": "treadmill",
    "indoor_running": "treadmill",
    "trail": "trail",
    "track": "track",
    "virtual_activity": "virtual",
}
NOT_ACTIVITIES = {
    "device": "a device's description",
    "settings": "a device's settings",
    "sport": "a sport's settings",
    "workout": "a workout plan",
    "course": "a course",
    "schedules": "a schedule",
    "weight": "weight measurements",
    "totals": "totals",
    "goals": "goals",
    "blood_pressure": "blood pressure measurements",
    "monitoring_a": "a day's monitoring",
    "monitoring_daily": "a day's monitoring",
    "monitoring_b": "a day's monitoring",
    "segment": "a segment",
    "segment_list": "a list of segments",
}
NOTHING = NotARun("a FIT file without an activity in it")

Fields = dict[str, Any]


def parse_fit(content: bytes) -> Parsed:
    """The running sessions of a FIT file, or why there are none."""
    if not content:
        return Unreadable("an empty file")
    if not is_fit(content):
        return Unreadable("not a FIT file")
    try:
        read = [each for part in parts(content) for each in _read(part)]
        return one_answer([each for each in read if each != NOTHING] or read)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the bytes, the next file must be read
        return Unreadable(f"can't be read as FIT ({type(error).__name__})")


class _Instants:
    """fitparse's hook for values: times become aware; it would make naive ones."""

    def run_type_processor(self, field: Any) -> None:
        absolute = isinstance(field.value, int) and field.value >= FIRST_ABSOLUTE
        if absolute and field.type.name in ("date_time", "local_date_time"):
            field.value = datetime.fromtimestamp(EPOCH_S + field.value, UTC)

    def run_field_processor(self, field: Any) -> None:
        pass

    def run_unit_processor(self, field: Any) -> None:
        pass

    def run_message_processor(self, message: Any) -> None:
        pass


def _read(part: Part) -> list[Activity | NotARun | Unreadable]:
    """What each session of a part is; of other sports all in one."""
    told = summarise(part)
    kind = next(iter(told[FILE_ID]), {}).get("type")
    if kind in NOT_ACTIVITIES:
        return [NotARun(f"{NOT_ACTIVITIES[kind]}, not a recorded run")]
    if not told[SESSION]:
        return [_without_session(part, told)]
    of_all = next(iter(told[SPORT]), {})
    sports = [session.get("sport") or of_all.get("sport") for session in told[SESSION]]
    if RUNNING not in sports:
        of_none = all(sport in (None, "generic") for sport in sports)
        if of_none and len(sports) <= MOST_UNTOLD:
            return [_of_no_sport(part, told, session, of_all) for session in told[SESSION]]
        return [NotARun(not_a_run(sports))]
    return [
        _run(part, told, session)
        for session, sport in zip(told[SESSION], sports, strict=True)
        if sport == RUNNING
    ]


def summarise(part: Part) -> Mapping[int, Sequence[Fields]]:
    """What a part says of itself in fitparse's names and units, by the numbers of `WANTED`."""
    found: dict[int, list[Fields]] = {number: [] for number in WANTED}
    for message in _few(part.messages(WANTED)):
        if fields := _decode(message):
            found[message.definition.number].append(fields)
    return found


def _few(messages: Iterable[FitMessage]) -> Iterator[FitMessage]:
    """No more than a decoder gets through in a second, however many a crafted file holds."""
    room = MAX_PAYLOAD_BYTES
    for message in islice(messages, MAX_MESSAGES):
        room -= len(message.payload) + 1
        if room > 0:
            yield message


def _decode(message: FitMessage) -> Fields:
    """A message's fields; alone in its segment, one that is refused takes none along."""
    from fitparse import FitFile

    try:
        decoder = FitFile(
            io.BytesIO(segment([message])),
            check_crc=False,  # the segment's is right; the file's own is judged by the walk
            data_processor=_Instants(),
        )
        fields: Fields = next(decoder.get_messages()).get_values()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # fitparse raises all sorts for crafted values
        return {}
    return fields


def _of_no_sport(
    part: Part, told: Mapping[int, Sequence[Fields]], session: Fields, of_all: Fields
) -> Activity | NotARun | Unreadable:
    """A session whose sport is none: by its sub-sport, what the watch calls it, or its pace."""
    if session.get("sub_sport") in SUB_SPORTS:
        return _run(part, told, session)
    if session.get("sub_sport") not in (None, "generic"):
        return NotARun(not_a_run([session.get("sport")]))
    names = [session.get("sport_profile_name"), session.get("unknown_110"), of_all.get("name")]
    started_at = session.get("start_time")
    track = _retrace(part, started_at if isinstance(started_at, datetime) else None,
                     _positive(session.get("total_elapsed_time")))  # fmt: skip
    titles = [name for name in names if isinstance(name, str)]
    sport = untold_sport(track, titles=titles) or NotARun(not_a_run([None]))
    if isinstance(sport, NotARun):
        return sport
    kind, note = sport
    run = _run(part, told, session, notes=[note])
    return replace(run, sport=kind) if isinstance(run, Activity) else run


def _without_session(
    part: Part, told: Mapping[int, Sequence[Fields]]
) -> Activity | NotARun | Unreadable:
    """A part that was never summed up: measured from its records, its sport from the laps."""
    if RECORD not in part.defined:
        return Unreadable(f"nothing in it: {part.damage}") if part.damage else NOTHING
    sports = next(iter(told[SPORT]), {})
    sport = sports.get("sport")
    is_running = sport == RUNNING or (sport is None and lap_sport(part) == RUNNING_NUMBER)
    if sport is not None and not is_running:
        return NotARun(not_a_run([sport]))
    track = _retrace(part, None, None)
    if not is_running and (reason := why_not_by_pace(track)):
        return NotARun(reason)
    notes = ["it has no summary"] if is_running else ["it has no summary", GUESSED]
    return _run(part, told, {"sub_sport": sports.get("sub_sport")}, track=track, notes=notes)


def _run(
    part: Part,
    told: Mapping[int, Sequence[Fields]],
    session: Fields,
    *,
    track: Odometer | None = None,
    notes: Sequence[str] = (),
) -> Activity | Unreadable:
    """A running session. What it doesn't tell comes from the records: `track`, if measured yet."""
    notes = list(notes)
    activity = next(reversed(told[ACTIVITY]), {})
    distance_m, moving_s, elapsed_s = _figures(session, notes)
    started_at, offset = session.get("start_time"), _offset(activity)
    if isinstance(started_at, int) and (local := _local_start(started_at, activity)):
        started_at, offset = local, timedelta(0)
        notes.append("the watch knew only its local time")
    elif not isinstance(started_at, datetime):
        started_at = None
    if started_at is None or distance_m is None or moving_s is None:
        track = track or _retrace(part, started_at, elapsed_s)
        if distance_m is None and track.distance_m:
            notes.append("the distance comes from its records")
        distance_m = distance_m or track.distance_m or None
        moving_s = moving_s or track.moving_s or None
        elapsed_s = elapsed_s or track.elapsed_s or None
        if started_at is None:
            created = next(iter(told[FILE_ID]), {}).get("time_created")
            started_at = track.started_at or (created if isinstance(created, datetime) else None)
            notes.append("the start comes from its records")
    if distance_m is None:
        lasted = f" in {moving_s:.0f} s" if moving_s else ""
        return Unreadable(f"a run without distance: the file tells none{lasted}")
    if started_at is None:
        return Unreadable("a run without a date: the watch's clock was never set")
    if part.damage:
        notes.insert(0, part.damage)
    return Activity(
        started_at=started_at,
        offset=offset,
        distance_m=distance_m,
        moving_s=moving_s,
        elapsed_s=elapsed_s,
        sport=SUB_SPORTS.get(session.get("sub_sport"), "run"),
        device=RECORD in part.defined,
        note=f"recovered: {'; '.join(notes)}" if notes else None,
    )


def _figures(session: Fields, notes: list[str]) -> tuple[float | None, float | None, float | None]:
    """Metres, moving and elapsed seconds as a session tells them, where they can be true."""
    elapsed_s = _positive(session.get("total_elapsed_time"))
    moving_s = _positive(session.get("total_timer_time")) or elapsed_s
    elapsed_s = elapsed_s or moving_s
    if moving_s and elapsed_s and moving_s > elapsed_s:  # swapped, or an overflow
        moving_s, elapsed_s = elapsed_s, min(moving_s, MOST_S)
    distance_m = _positive(session.get("total_distance"))
    if distance_m and distance_m > MOST_M:
        notes.append("its summary tells a distance that nobody runs")
        distance_m = None
    return distance_m, moving_s, elapsed_s


def _retrace(part: Part, started_at: datetime | None, elapsed_s: float | None) -> Odometer:
    """The records within the session, or all of them where its time isn't known."""
    track = Odometer()
    first_s = started_at.timestamp() if started_at else float("-inf")
    last_s = first_s + elapsed_s if elapsed_s else float("inf")
    before_m = 0.0  # what the legs before this one left on the watch's count
    for point in points(part):
        if point.at_s is not None and point.at_s < first_s:
            before_m = point.counted_m or before_m
        elif point.at_s is None or point.at_s <= last_s + 1:
            counted_m = None if point.counted_m is None else max(point.counted_m - before_m, 0.0)
            track.add(replace(point, counted_m=counted_m))
    return track


def _offset(activity: Fields) -> timedelta | None:
    """The local clock's lead over UTC, where both are told and their difference is one."""
    local, at = activity.get("local_timestamp"), activity.get("timestamp")
    if not (isinstance(local, datetime) and isinstance(at, datetime)):
        return None
    # Nought is also what a watch tells that knows no zone: the athlete's own says as much.
    return credible_offset(local - at) or None


def _local_start(start: int, activity: Fields) -> datetime | None:
    """The start by the local clock, for a watch that counts its seconds from power-up."""
    local, at = activity.get("local_timestamp"), activity.get("timestamp")
    if isinstance(local, datetime) and isinstance(at, int) and at >= start:
        return local - timedelta(seconds=at - start)
    return None


def _positive(value: Any) -> float | None:
    """A figure that says something: a number above nought."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and isfinite(value) and value > 0 else None


# The records, where the summary lacks something: slower by far than the summary


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
            counted_m=compressed.metres(message) if centimetres is None else centimetres / 100,
        )


def lap_sport(part: Part) -> int | None:
    """The sport's number as the first lap that tells it has it."""
    laps = (lap.integer(_LAP_SPORT) for lap in part.messages(frozenset({LAP})))
    return next((sport for sport in laps if sport is not None), None)


class _CompressedDistance:
    """Old foot pods: twelve bits of sixteenths of a metre that start anew every 256 m."""

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
