"""Exports one athlete's data: as JSON, or as a zip that also contains tables."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, date, datetime, time
from typing import IO, Any

from worker.domain.models import Athlete, WeeklyHour
from worker.store import Transaction

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def export(tx: Transaction, athlete: Athlete, *, now: datetime) -> dict[str, Any]:
    """Settings, runs, findings, check-ins and sources.

    Credentials aren't included because they are secret, nor mails, which the athlete has.
    """
    settings = asdict(athlete)
    del settings["link_id"]  # only of use in our links
    waiting = tx.addresses.waiting(athlete, now=now)
    return {
        "athlete": {**settings, "weekly": athlete.weekly, "wants": sorted(athlete.wants)},
        "new_address": waiting.address if waiting else None,
        "runs": [
            {
                **_row(stored.run),
                "sources": [
                    {"source": source, "external_id": external_id}
                    for source, external_id in stored.sources
                ],
                "does_not_count_because": stored.quarantine,
                "edited": stored.edited,
            }
            for stored in tx.runs.all(athlete)
        ],
        "findings": [
            {
                **_row(found.finding),
                "ratio": found.finding.ratio,
                "mailed_at": found.mailed_at,
                "not_mailed_because": found.silence,
            }
            for found in tx.findings.standing(athlete)
        ],
        "checkins": [_row(answer) for answer in tx.checkins.all(athlete)],
        "sources": {name: asdict(state) for name, state in tx.progress.sources(athlete).items()},
    }


def write_json(exported: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write the JSON in chunks, so that the whole text is never in memory."""
    text = io.TextIOWrapper(file, "utf-8")
    json.dump(exported, text, ensure_ascii=False, indent=1, default=_plain)
    text.detach()


def write_zip(exported: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write the JSON, and one table each of runs, findings and check-ins."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("easeback.json", "w") as member:
            write_json(exported, member)
        for name in ("runs", "findings", "checkins"):
            with archive.open(f"{name}.csv", "w") as member:
                _write_table(exported[name], member)


def _write_table(rows: Sequence[Mapping[str, Any]], file: IO[bytes]) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    text.detach()


def _row(of: Any) -> dict[str, Any]:
    """The fields of a flat dataclass, without the deep copies of `asdict`."""
    return {field.name: getattr(of, field.name) for field in fields(of)}


def _cell(value: object) -> object:
    """One cell. Text that a spreadsheet would read as a formula gets an apostrophe in front."""
    if isinstance(value, list | tuple):
        value = " ".join(
            ":".join(map(str, one.values())) if isinstance(one, Mapping) else str(one)
            for one in value
        )
    plain = value if isinstance(value, str | int | float | None) else _plain(value)
    return f"'{plain}" if isinstance(plain, str) and plain.startswith(_FORMULA_SIGNS) else plain


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, WeeklyHour):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an export")
