"""Garmin's JSON and files → recordings, one activity at a time. Pure.

Any field may be missing or null, and instants are text or milliseconds. Only the fields that
Easeback needs are read. Garmin's own type, which the athlete can change, decides the kind of
activity; only the file has the legs of a multisport activity.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from worker.domain.models import Recording
from worker.sources import NotARun, Unreadable
from worker.sources.base import ListedActivity
from worker.sources.fields import amount, instant, numeric_id, title
from worker.sources.formats.sport import named_run

_SAVED_FIELDS = (
    "activityId", "activityName", "activityType", "eventType", "startTimeGMT", "startTimeLocal",
    "beginTimestamp", "distance", "duration", "elapsedDuration", "elevationGain",
)  # fmt: skip
"""The only fields of an activity that are saved."""

_MULTISPORT = frozenset({"multi_sport", "multisport"})


def parse_garmin_activity(raw: object) -> ListedActivity:
    """Turn one activity as the service returns it into a recording, or the reason for none."""
    if not isinstance(raw, dict):
        return ListedActivity("", None, Unreadable("this isn't an activity"))
    external_id = numeric_id(raw.get("activityId"))
    started_at = instant(raw.get("startTimeGMT")) or instant(raw.get("beginTimestamp"))
    saved = {name: raw[name] for name in _SAVED_FIELDS if name in raw}
    payload = json.dumps(saved, ensure_ascii=True, sort_keys=True, default=str)
    parsed = _parsed(raw, external_id, started_at)
    return ListedActivity(
        external_id,
        started_at,
        parsed,
        payload,
        wants_file=bool(external_id) and not isinstance(parsed, NotARun),
        has_legs=_key(raw.get("activityType")) in _MULTISPORT,
        title=title(raw.get("activityName")),
    )


def _parsed(
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
    distance_m = amount(raw.get("distance"))
    if not distance_m:
        return Unreadable("a run without a distance at Garmin")
    moving_s = amount(raw.get("duration")) or None
    return Recording(
        source="garmin",
        external_id=external_id,
        started_at=started_at,
        day=_day(raw, started_at),
        distance_m=distance_m,
        moving_s=moving_s,
        elapsed_s=amount(raw.get("elapsedDuration")) or moving_s,
        sport=sport,
        is_race=_key(raw.get("eventType")) == "race",
        title=title(raw.get("activityName")),
        ascent_m=amount(raw.get("elevationGain")),
    )


def _key(value: object) -> str:
    """The key of a type: `{"typeKey": "running", ...}`."""
    key = value.get("typeKey") if isinstance(value, dict) else None
    return key.lower() if isinstance(key, str) else ""


def _day(raw: Mapping[str, Any], started_at: datetime) -> date:
    """The date on the runner's clock, the only use of the local time."""
    local = instant(raw.get("startTimeLocal"))
    return (local or started_at).date()
