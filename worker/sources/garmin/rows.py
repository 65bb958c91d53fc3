"""Garmin's JSON and files → recordings, one activity at a time. Pure.

Any field may be missing or null, and instants come as text or as milliseconds. Only the fields that
the product needs are looked at. What kind of activity it is, Garmin's own word decides, which the
athlete can change; of a multisport activity only the file knows the legs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from worker.model import Athlete, Recording
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.fields import number, numeric_id, title
from worker.sources.formats.sport import named_run
from worker.sources.formats.unpack import Member
from worker.sources.inbox import recordings

LARGEST_PAGE = 45
"""Garmin fails on larger ones, its own default included."""

KEPT = (
    "activityId", "activityName", "activityType", "eventType", "startTimeGMT", "startTimeLocal",
    "beginTimestamp", "distance", "duration", "elapsedDuration",
)  # fmt: skip
"""All that is ever kept of an activity."""

EDITED_SHARE = 0.01
"""Where the summary differs from the file by more, the athlete changed it at Garmin."""

_MULTISPORT = frozenset({"multi_sport", "multisport"})


@dataclass(frozen=True, slots=True)
class GarminRow:
    """One activity of the list, by its summary.

    `external_id` is its id as text, or empty where it has none; `started_at` None where that can't
    be read. `payload` is JSON of the fields the product uses. `wants_file`: the original file tells
    more than the summary.
    """

    external_id: str
    started_at: datetime | None
    reading: Recording | NotARun | Unreadable
    payload: str = "{}"
    wants_file: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list as it came."""

    rows: tuple[GarminRow, ...]


def read_row(raw: object) -> GarminRow:
    """One activity as the service tells it → a recording, or why there is none."""
    if not isinstance(raw, dict):
        return GarminRow("", None, Unreadable("this isn't an activity"))
    external_id = numeric_id(raw.get("activityId"))
    started_at = _instant(raw.get("startTimeGMT")) or _instant(raw.get("beginTimestamp"))
    kept = {name: raw[name] for name in KEPT if name in raw}
    payload = json.dumps(kept, ensure_ascii=True, sort_keys=True, default=str)
    reading = _reading(raw, external_id, started_at)
    wants_file = bool(external_id) and not isinstance(reading, NotARun)
    return GarminRow(external_id, started_at, reading, payload, wants_file)


def kept_row(external_id: str, payload: str) -> GarminRow:
    """The row that was kept as this payload."""
    try:
        row = read_row(json.loads(payload))
    except ValueError:
        row = GarminRow(external_id, None, Unreadable("what was kept of it can't be read"), payload)
    return replace(row, external_id=external_id)


def with_file(
    row: GarminRow, members: Sequence[Member], athlete: Athlete, *, edited: bool = False
) -> Reading:
    """What the original file tells, and where it tells nothing the summary, with the reason.

    The summary's distance is believed where it's known as `edited`, or isn't the file's: the
    athlete changed it. Of a multisport activity each running leg is a recording of its own.
    """
    runs = next((runs for m in members if (runs := _runs_of(m, athlete))), ())
    if not runs:
        told = [m.parsed for m in members if not isinstance(m.parsed, tuple)]
        if told and isinstance(told[0], NotARun) and _is_multisport(row):
            return told[0]
        return without_file(row, told[0].reason if told else "Garmin's archive holds no file")
    summary = row.reading
    if len(runs) == 1 and isinstance(summary, Recording) and (edited or differs(summary, runs[0])):
        return (corrected(summary, sha256=runs[0].sha256),)
    return tuple(
        replace(
            run,
            external_id=f"{row.external_id}:{run.leg}" if run.leg else row.external_id,
            title=title(_parsed(row.payload).get("activityName")) or run.title,
            is_race=run.is_race or (isinstance(summary, Recording) and summary.is_race),
        )
        for run in runs
    )


def without_file(row: GarminRow, reason: str) -> Reading:
    """The summary alone, saying why; for what only a file could tell, the reason."""
    summary = row.reading
    if isinstance(summary, Recording):
        return (replace(summary, note=f"by Garmin's summary: {reason}"),)
    known = "a multisport activity" if _is_multisport(row) else summary.reason
    return Unreadable(f"{known}: {reason}")


def corrected(summary: Recording, *, sha256: str | None) -> Recording:
    """The summary's figures, as the athlete's own; the file's digest still says which run it is."""
    return replace(summary, edited=True, sha256=sha256)


def differs(one: Recording, other: Recording) -> bool:
    return abs(one.distance_m - other.distance_m) > EDITED_SHARE * other.distance_m


def _runs_of(member: Member, athlete: Athlete) -> tuple[Recording, ...]:
    reading = recordings(member, athlete=athlete, source="garmin")
    return reading if isinstance(reading, tuple) else ()


def _reading(
    raw: Mapping[str, Any], external_id: str, started_at: datetime | None
) -> Recording | NotARun | Unreadable:
    kind = _key(raw.get("activityType"))
    if not kind:
        return Unreadable("Garmin doesn't say what kind of activity this is")
    if kind in _MULTISPORT:
        return Unreadable("a multisport activity, whose file isn't read yet")
    sport = named_run(kind)
    if sport is None:
        return NotARun(f"Garmin calls it {title(kind)}")
    if not external_id or started_at is None:
        return Unreadable(f"a run without {'a readable start' if external_id else 'an id'}")
    distance_m = number(raw.get("distance"))
    if not distance_m:
        return Unreadable("a run without a distance at Garmin")
    moving_s = number(raw.get("duration")) or None
    return Recording(
        source="garmin",
        external_id=external_id,
        started_at=started_at,
        day=_day(raw, started_at),
        distance_m=distance_m,
        moving_s=moving_s,
        elapsed_s=number(raw.get("elapsedDuration")) or moving_s,
        sport=sport,
        is_race=_key(raw.get("eventType")) == "race",
        title=title(raw.get("activityName")),
    )


def _is_multisport(row: GarminRow) -> bool:
    return _key(_parsed(row.payload).get("activityType")) in _MULTISPORT


def _parsed(payload: str) -> Mapping[str, Any]:
    try:
        kept = json.loads(payload)
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _key(told: object) -> str:
    """The key of a type: `{"typeKey": "running", ...}`."""
    key = told.get("typeKey") if isinstance(told, dict) else None
    return key.lower() if isinstance(key, str) else ""


def _day(raw: Mapping[str, Any], started_at: datetime) -> date:
    """The date on the runner's clock, which is the only thing the local time is good for."""
    local = _instant(raw.get("startTimeLocal"))
    return (local or started_at).date()


def _instant(value: object) -> datetime | None:
    """`2026-10-21 07:15:54`, with a T, a fraction or an offset perhaps, or milliseconds."""
    try:
        if isinstance(value, str):
            instant = datetime.fromisoformat(value)
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        milliseconds = number(value)
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
