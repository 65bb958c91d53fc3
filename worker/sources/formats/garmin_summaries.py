"""The summaries in a Garmin account's export: `..._summarizedActivities.json`, a list in a list.

Bytes in, table rows out, or the reason why there are none. Distances are in centimetres,
durations in milliseconds, and instants in milliseconds since 1970. Such a file may be large,
because each activity includes its splits, so activities are decoded one at a time. They contain
less than the FIT files of the same export, and can only be matched with them by time.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from worker.domain.models import Recording
from worker.domain.shown import plain_title
from worker.sources import Unreadable
from worker.sources.fields import amount, instant
from worker.sources.formats.sport import named_run
from worker.sources.formats.tables import NO_SPORT, BadRow, OtherRow, TableItem, TableRow, no_run

CM_PER_M = 100.0
_MS_PER_S = 1000.0

_LIST = re.compile(r'"summarizedActivitiesExport"\s*:\s*\[')
_NEXT = re.compile(r"[\s,]*")
_LONGEST_ID = 128


def summary_rows(content: bytes) -> Iterator[TableItem]:
    """The runs of a file of summaries; unreadable ones don't affect the others."""
    text = content.decode("utf-8", errors="replace")
    if not _LIST.search(text):
        yield Unreadable("not a file of activities' summaries")
        return
    for number, summary in enumerate(_summaries(text), 1):
        yield _row(number, summary)


def _summaries(text: str) -> Iterator[Any]:
    """Each activity of each list, up to the first invalid one."""
    decoder = json.JSONDecoder()
    for start in _LIST.finditer(text):
        at = start.end()
        while (spaces := _NEXT.match(text, at)) and text[spaces.end() : spaces.end() + 1] == "{":
            try:
                summary, at = decoder.raw_decode(text, spaces.end())
            except (ValueError, RecursionError):
                yield None
                break
            yield summary


def _row(number: int, summary: Any) -> TableItem:
    if not isinstance(summary, dict):
        return BadRow(number, "not an activity: the file is torn or damaged")
    word = str(summary.get("activityType") or "")
    if not word:
        return BadRow(number, NO_SPORT)
    sport = named_run(word)
    started_at = instant(summary.get("beginTimestamp") or summary.get("startTimeGmt"))
    if started_at is None:
        return BadRow(number, "a run without a date") if sport else OtherRow(number, word)
    centimetres = amount(summary.get("distance")) or None
    if sport and centimetres is None:
        return BadRow(number, "a run without distance")
    moving_ms = amount(summary.get("duration"))
    elapsed_ms = amount(summary.get("elapsedDuration")) or moving_ms
    up_cm = amount(summary.get("elevationGain"))
    local = instant(summary.get("startTimeLocal")) or started_at
    recording = Recording(
        source="import",
        external_id=f"garmin {summary.get('activityId')}"[:_LONGEST_ID],
        started_at=started_at,
        day=local.date(),
        distance_m=(centimetres or 0.0) / CM_PER_M,
        moving_s=moving_ms / _MS_PER_S if moving_ms else None,
        elapsed_s=elapsed_ms / _MS_PER_S if elapsed_ms else None,
        sport=sport or "run",
        title=plain_title(str(summary.get("name") or "")),
        account=True,
        ascent_m=up_cm / CM_PER_M if up_cm else None,
    )
    if sport is None:
        return OtherRow(number, word, no_run(recording, word))
    return TableRow(number, recording)
