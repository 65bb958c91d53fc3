"""FIT files: the runs among their sessions, even if the file is damaged.

    bytes → skip what isn't needed → one small valid segment → fitparse → activities

Records are only read if something is broken or missing. A file's contents never raise an
exception: a bad checksum, a truncated end or a lost summary give the run with a note, or a
reason.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from worker.domain.models import Sport
from worker.sources import NotARun, Unreadable
from worker.sources.fields import amount
from worker.sources.formats import Activity, Parsed, credible_offset, one_answer
from worker.sources.formats.clocks import FIRST_FIT, put_right
from worker.sources.formats.fit_figures import Figures
from worker.sources.formats.fit_records import (
    EPOCH_S,
    LAP,
    RECORD,
    degrees,
    lap_sport,
    laps,
    last_point,
    retrace,
)
from worker.sources.formats.fit_walk import (
    EARLIEST_CLOCK,
    FitMessage,
    Part,
    is_fit,
    parts,
    segment,
)
from worker.sources.formats.sport import GUESSED, not_a_run, untold_sport, why_not_by_pace
from worker.sources.formats.track import Odometer, Point

FILE_ID, SPORT, SESSION, ACTIVITY = 0, 12, 18, 34
MOST_UNTOLD = 8
"""The most sessions without a sport that are judged singly, each by a walk over the records."""
WANTED = {
    FILE_ID: frozenset({0, 4}),  # type, time_created
    SPORT: frozenset({0, 1, 3}),  # sport, sub_sport, name
    # start_time, start_position_long, sport, sub_sport, total_elapsed_time, total_timer_time,
    # total_distance, total_ascent, sport_profile_name
    SESSION: frozenset({2, 4, 5, 6, 7, 8, 9, 22, 110}),
    ACTIVITY: frozenset({253, 5}),  # timestamp, local_timestamp
}
"""The messages that are decoded, with the numbers of the fields that this module reads.

Decoding all of a session's hundred fields would take ten times as long.
"""
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
    """fitparse's hook for values: makes times aware, which would be naive otherwise."""

    def run_type_processor(self, field: Any) -> None:
        absolute = isinstance(field.value, int) and field.value >= EARLIEST_CLOCK
        if absolute and field.type.name in ("date_time", "local_date_time"):
            field.value = datetime.fromtimestamp(EPOCH_S + field.value, UTC)

    def run_field_processor(self, field: Any) -> None:
        pass

    def run_unit_processor(self, field: Any) -> None:
        pass

    def run_message_processor(self, message: Any) -> None:
        pass


def _read(part: Part) -> list[Activity | NotARun | Unreadable]:
    """The running sessions of a part, or why there are none."""
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
    """The messages of a part, in fitparse's names and units, by the numbers of `WANTED`."""
    found: dict[int, list[Fields]] = {number: [] for number in WANTED}
    for message in _few(part.messages(WANTED.keys())):
        if fields := _decode(message):
            found[message.definition.number].append(fields)
    return found


def _few(messages: Iterable[FitMessage]) -> Iterator[FitMessage]:
    """At most as many messages as are decoded in about a second, against crafted files."""
    room = MAX_PAYLOAD_BYTES
    for message in islice(messages, MAX_MESSAGES):
        room -= len(message.payload) + 1
        if room > 0:
            yield message


def _decode(message: FitMessage) -> Fields:
    """A message's fields. Each is decoded alone, so that a bad one doesn't affect others."""
    from fitparse import FitFile

    try:
        decoder = FitFile(
            io.BytesIO(segment([message], fields=WANTED[message.definition.number])),
            check_crc=False,  # the segment's is right; the walk checks the file's own
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
    """A session without a sport, judged by its sub-sport, its name on the watch, or its pace."""
    if session.get("sub_sport") in SUB_SPORTS:
        return _run(part, told, session)
    if session.get("sub_sport") not in (None, "generic"):
        return NotARun(not_a_run([session.get("sport")]))
    names = [session.get("sport_profile_name"), session.get("unknown_110"), of_all.get("name")]
    track = _track_of(part, told, session)
    titles = [name for name in names if isinstance(name, str)]
    sport = untold_sport(track, titles=titles) or NotARun(not_a_run([None]))
    if isinstance(sport, NotARun):
        return sport
    kind, note = sport
    run = _run(part, told, session, track=track, notes=[note])
    return replace(run, sport=kind) if isinstance(run, Activity) else run


def _without_session(
    part: Part, told: Mapping[int, Sequence[Fields]]
) -> Activity | NotARun | Unreadable:
    """A part without a summary: measured from its records, with the sport of its laps."""
    if not part.defined & {RECORD, LAP}:
        return Unreadable(f"nothing in it: {part.damage}") if part.damage else NOTHING
    sports = next(iter(told[SPORT]), {})
    sport = sports.get("sport")
    is_running = sport == RUNNING or (sport is None and lap_sport(part) == RUNNING_NUMBER)
    if sport is not None and not is_running:
        return NotARun(not_a_run([sport]))
    track = _track_of(part, told, {})
    if not is_running and (reason := why_not_by_pace(track)):
        return NotARun(reason)
    notes = ["it has no summary"] if is_running else ["it has no summary", GUESSED]
    return _run(part, told, {"sub_sport": sports.get("sub_sport")}, track=track, notes=notes)


def _track_of(part: Part, told: Mapping[int, Sequence[Fields]], session: Fields) -> Odometer:
    """The records of a session: all of them, if it's the only one."""
    if len(told[SESSION]) <= 1:
        return retrace(part, None, None)
    started_at = session.get("start_time")
    figures = Figures.told(session, started_at if isinstance(started_at, datetime) else None)
    return retrace(part, figures.started_s, figures.elapsed_s)


def _run(
    part: Part,
    told: Mapping[int, Sequence[Fields]],
    session: Fields,
    *,
    track: Odometer | None = None,
    notes: Sequence[str] = (),
) -> Activity | Unreadable:
    """A running session. Missing figures come from the records (`track`, if already measured)."""
    notes = list(notes)
    activity = next(reversed(told[ACTIVITY]), {})
    started_at, offset = session.get("start_time"), _offset(activity)
    if isinstance(started_at, int) and (local := _local_start(started_at, activity)):
        started_at, offset = local, timedelta(0)
        notes.append("the watch knew only its local time")
    figures = Figures.told(session, started_at if isinstance(started_at, datetime) else None)
    alone = len(told[SESSION]) <= 1
    last = last_point(part)
    if not figures.complete or (alone and figures.contradicted_by(last)):
        span = (None, None) if alone else (figures.started_s, figures.elapsed_s)
        track = track or _track_of(part, told, session)
        notes += figures.weigh(track, laps(part, *span), alone=alone)
    created = _created(told)
    if figures.started_at is None and created:
        figures.started_at = created
        notes.append("the start comes from its file")
    if figures.distance_m is None:
        lasted = f" in {figures.moving_s:.0f} s" if figures.moving_s else ""
        return Unreadable(f"a run without distance: the file tells none{lasted}")
    if figures.started_at is None:
        return Unreadable("a run without a date: the watch's clock was never set")
    started_at, doubt = put_right(
        figures.started_at, first=FIRST_FIT, written=[created] if created else [], rolls=True
    )
    notes = [*filter(None, [part.damage, doubt]), *notes]
    return Activity(
        started_at=started_at,
        offset=offset,
        distance_m=figures.distance_m,
        moving_s=figures.moving_s,
        elapsed_s=figures.elapsed_s,
        sport=SUB_SPORTS.get(session.get("sub_sport"), "run"),
        device=RECORD in part.defined,
        lon=None if part.damage else _longitude(session, last),
        note=f"recovered: {'; '.join(notes)}" if notes else None,
        ascent_m=amount(session.get("total_ascent")),
    )


def _created(told: Mapping[int, Sequence[Fields]]) -> datetime | None:
    """When the file was created, by the watch's clock."""
    created = next(iter(told[FILE_ID]), {}).get("time_created")
    return created if isinstance(created, datetime) else None


def _longitude(session: Fields, last: Point | None) -> float | None:
    """The longitude where a session began, else where its records end, in degrees."""
    lon = session.get("start_position_long")
    if isinstance(lon, int):
        return degrees(lon)
    return last.lon if last else None


def _offset(activity: Fields) -> timedelta | None:
    """The local clock's offset from UTC, if both are given and their difference is plausible."""
    local, at = activity.get("local_timestamp"), activity.get("timestamp")
    if not (isinstance(local, datetime) and isinstance(at, datetime)):
        return None
    # A watch without a time zone also writes zero; the athlete's own zone is used instead.
    return credible_offset(local - at) or None


def _local_start(start: int, activity: Fields) -> datetime | None:
    """The start by the local clock, for a watch that counts its seconds from power-up."""
    local, at = activity.get("local_timestamp"), activity.get("timestamp")
    if isinstance(local, datetime) and isinstance(at, int) and at >= start:
        return local - timedelta(seconds=at - start)
    return None
