"""Strava's JSON → recordings, one activity at a time. Pure.

Only the fields that Easeback needs are read, so an odd heart rate or a new sport does no harm.
The raw `sport_type` decides the kind of activity. The list labels the local start as UTC, so the
start is taken from `start_date` and the day from `timezone`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker.domain.matching import plain_file_name
from worker.domain.models import Recording, Sport
from worker.sources import NotARun, Unreadable
from worker.sources.base import ListedActivity
from worker.sources.fields import amount, instant, numeric_id, title

HIDDEN_START = time(0, 0, 1)
"""If a runner hides the start time, Strava gives one second after local midnight."""

_RACE = 1
"""`workout_type` of a run: 1 race, 2 long run, 3 workout."""

SAVED_FIELDS = (
    "id", "name", "sport_type", "type", "start_date", "timezone", "utc_offset", "distance",
    "moving_time", "elapsed_time", "workout_type", "trainer", "manual", "device_name",
    "external_id", "total_elevation_gain",
)  # fmt: skip
"""The only fields of an activity that are saved."""

_RUNS: dict[str, Sport] = {"Run": "run", "TrailRun": "trail", "VirtualRun": "virtual"}


def parse_strava_activity(raw: object) -> ListedActivity:
    """Turn one activity as the service returns it into a recording, or the reason for none."""
    if not isinstance(raw, dict):
        return ListedActivity("", None, Unreadable("this isn't an activity"))
    external_id = numeric_id(raw.get("id"))
    started_at = instant(raw.get("start_date"))
    saved = {name: raw[name] for name in SAVED_FIELDS if name in raw}
    payload = json.dumps(saved, ensure_ascii=True, sort_keys=True, default=str)
    return ListedActivity(external_id, started_at, _parsed(raw, external_id, started_at), payload)


def _parsed(
    raw: Mapping[str, Any], external_id: str, started_at: datetime | None
) -> Recording | NotARun | Unreadable:
    sport_type = raw.get("sport_type") or raw.get("type")
    if not isinstance(sport_type, str):
        return Unreadable("Strava doesn't say what kind of activity this is")
    if sport_type not in _RUNS:
        return NotARun(f"Strava calls it {title(sport_type)}")
    if not external_id or started_at is None:
        return Unreadable(f"a run without {'a readable start' if external_id else 'an id'}")
    distance_m = amount(raw.get("distance"))
    if not distance_m:
        return Unreadable(
            "a run without a readable distance"
            if distance_m is None
            else "a run without distance: Strava has 0 m for it"
        )
    local = started_at.astimezone(_zone(raw))
    manual = raw.get("manual") is True
    measured = bool(raw.get("device_name") or raw.get("external_id"))
    return Recording(
        source="strava",
        external_id=external_id,
        started_at=started_at,
        day=local.date(),
        distance_m=distance_m,
        moving_s=amount(raw.get("moving_time")),
        elapsed_s=amount(raw.get("elapsed_time")),
        sport=_sport(sport_type, raw),
        is_race=amount(raw.get("workout_type")) == _RACE,
        device=measured and not manual,
        hidden_start=local.time() == HIDDEN_START,
        title=title(raw.get("name")),
        file_name=_file_name(raw.get("external_id")),
        ascent_m=amount(raw.get("total_elevation_gain")),
    )


def _sport(sport_type: str, raw: Mapping[str, Any]) -> Sport:
    """`trainer` marks a treadmill; a virtual run counts as a separate sport."""
    if sport_type == "Run" and raw.get("trainer") is True:
        return "treadmill"
    return _RUNS[sport_type]


def _file_name(value: object) -> str:
    """The name of the uploaded file; activities from a device's service have a number instead."""
    if not isinstance(value, str) or "." not in value or not value.isprintable():
        return ""
    return plain_file_name(value)


def _zone(raw: Mapping[str, Any]) -> tzinfo:
    """The zone of `(GMT-08:00) America/Los_Angeles`, by its name, else its offset, else UTC."""
    told = raw.get("timezone")
    if isinstance(told, str):
        try:
            return ZoneInfo(told.rpartition(") ")[2].strip())
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    offset_s = raw.get("utc_offset")
    if isinstance(offset_s, int | float) and abs(offset_s) < timedelta(days=1).total_seconds():
        return timezone(timedelta(seconds=int(offset_s)))
    return UTC
