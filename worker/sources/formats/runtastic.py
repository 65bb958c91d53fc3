"""The sessions of a Runtastic (adidas Running) account, each in a file of `Sport-sessions`.

Bytes in, a table row out. Instants and durations are in milliseconds, distances in metres, and
sports are numbers. A session's track, if any, is beside it in `GPS-data/<id>.gpx`, and names no
sport.
"""

import json
from datetime import timedelta
from typing import Any

from worker.domain.models import Recording, Sport
from worker.sources.fields import instant
from worker.sources.formats.tables import BadRow, OtherRow, TableItem, TableRow, no_run

_MS_PER_S = 1000.0
MOST_BYTES = 4 * 1024 * 1024  # of one session, which contains no track

_RUNS: dict[str, Sport] = {
    "1": "run", "14": "treadmill", "82": "trail", "84": "run", "114": "virtual",
}  # fmt: skip
_OTHERS = {"2": "Nordic walking", "3": "cycling", "4": "mountain biking", "7": "hiking",
           "18": "swimming", "19": "walking", "22": "race cycling"}  # fmt: skip
_LONGEST_ID = 100
_MOST = 1e15  # beyond any date
_DAY_MS = 86_400_000


def session_row(content: bytes, *, name: str, line: int = 1) -> TableItem:
    """The session in the file of this name, reported as this line of its table."""
    try:
        session = json.loads(content)
    except (ValueError, RecursionError):
        return BadRow(line, "not a session: the file is torn or damaged")
    if not isinstance(session, dict) or "sport_type_id" not in session:
        return BadRow(line, "not a session of a Runtastic account")
    return _row(session, name, line)


def _row(session: dict[str, Any], name: str, line: int) -> TableItem:
    number = str(session["sport_type_id"])
    sport = _RUNS.get(number)
    word = _OTHERS.get(number, f"sport number {number[:_LONGEST_ID]}")
    file = f"GPS-data/{name.rpartition('/')[2].rpartition('.')[0]}.gpx"
    started_ms = _positive(session.get("start_time"))
    started_at = instant(started_ms)
    if started_ms is None or started_at is None:
        return BadRow(line, "a run without a date") if sport else OtherRow(line, word, file=file)
    distance_m = _positive(session.get("distance"))
    if sport and distance_m is None:
        return BadRow(line, "a run without distance")
    moving_ms = _positive(session.get("duration"))
    ended_ms = _positive(session.get("end_time")) or 0.0
    lead_ms = session.get("start_time_timezone_offset")
    if not isinstance(lead_ms, int) or abs(lead_ms) >= _DAY_MS:
        lead_ms = 0
    recording = Recording(
        source="import",
        external_id=f"runtastic {str(session.get('id') or name)[:_LONGEST_ID]}",
        started_at=started_at,
        day=(started_at + timedelta(milliseconds=lead_ms)).date(),
        distance_m=distance_m or 0.0,
        moving_s=moving_ms / _MS_PER_S if moving_ms else None,
        elapsed_s=max(ended_ms - started_ms, moving_ms or 0.0) / _MS_PER_S or None,
        sport=sport or "run",
        account=True,
        ascent_m=_positive(session.get("elevation_gain")),
    )
    if sport is None:
        return OtherRow(line, word, no_run(recording, word), file)
    return TableRow(line, recording, file)


def _positive(value: Any) -> float | None:
    """A number above zero, which may be written as text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < _MOST else None
