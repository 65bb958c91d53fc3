"""The JSON of intervals.icu → recordings, one activity at a time. Pure.

Any field may be missing or null. An activity from Strava is a stub: a numeric id, a local start
and nothing else.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.domain.models import Recording, Sport
from worker.sources import NotARun, Unreadable
from worker.sources.base import ListedActivity
from worker.sources.fields import amount, instant, title
from worker.sources.formats.sport import named_run

_SAVED_FIELDS = (
    "id", "name", "type", "sub_type", "start_date", "start_date_local", "distance", "moving_time",
    "elapsed_time", "trainer", "file_type", "source", "deleted", "total_elevation_gain",
)  # fmt: skip
"""The only fields of an activity that are saved."""

_ID = re.compile(r"i?[0-9]{1,31}")


def is_hidden(raw: object) -> bool:
    """True for the stub of an activity that came from Strava."""
    return isinstance(raw, Mapping) and raw.get("source") == "STRAVA"


def parse_intervals_activity(raw: object) -> ListedActivity:
    """Turn one activity as the service returns it into a recording, or the reason for none."""
    if not isinstance(raw, dict):
        return ListedActivity("", None, Unreadable("this isn't an activity"))
    told = str(raw.get("id"))
    external_id = told if _ID.fullmatch(told) else ""
    started_at = instant(raw.get("start_date")) or instant(raw.get("start_date_local"))
    parsed = _not_shown(raw) or _parsed(raw, external_id, started_at)
    saved = {name: raw[name] for name in _SAVED_FIELDS if name in raw}
    return ListedActivity(
        external_id,
        started_at,
        parsed,
        json.dumps(saved, ensure_ascii=True, sort_keys=True, default=str),
        wants_file=isinstance(parsed, Recording) and bool(raw.get("file_type")),
        title=title(raw.get("name")),
    )


def _not_shown(raw: Mapping[str, Any]) -> NotARun | None:
    if is_hidden(raw):
        return NotARun("it came from Strava, whose terms hide it here")
    return NotARun("it was deleted at intervals.icu") if raw.get("deleted") is True else None


def _parsed(
    raw: Mapping[str, Any], external_id: str, started_at: datetime | None
) -> Recording | NotARun | Unreadable:
    kind = raw.get("type")
    if not isinstance(kind, str) or not kind:
        return Unreadable("intervals.icu doesn't say what kind of activity this is")
    sport = named_run(kind)
    if sport is None:
        return NotARun(f"intervals.icu calls it {title(kind)}")
    if not external_id or started_at is None:
        return Unreadable(f"a run without {'a readable start' if external_id else 'an id'}")
    distance_m = amount(raw.get("distance"))
    if not distance_m:
        return Unreadable("a run without a distance at intervals.icu")
    moving_s = amount(raw.get("moving_time")) or None
    local = instant(raw.get("start_date_local")) or started_at
    return Recording(
        source="intervals",
        external_id=external_id,
        started_at=started_at,
        day=local.date(),
        distance_m=distance_m,
        moving_s=moving_s,
        elapsed_s=amount(raw.get("elapsed_time")) or moving_s,
        sport=_sport(sport, raw),
        is_race=raw.get("sub_type") == "RACE",
        title=title(raw.get("name")),
        ascent_m=amount(raw.get("total_elevation_gain")),
    )


def _sport(sport: Sport, raw: Mapping[str, Any]) -> Sport:
    """`trainer` marks a treadmill; a virtual run counts as a separate sport."""
    return "treadmill" if sport == "run" and raw.get("trainer") is True else sport
