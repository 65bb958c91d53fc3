"""A database as version 0007 left it, with rows in every table of the services."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, DateTime, Engine, MetaData, insert

from worker.store import migrations
from worker.store.tables import Utc

THEN = datetime(2026, 11, 20, 18, tzinfo=UTC)
DAY = timedelta(days=1)
BLOB = b"\x00\xffwhat only the key opens"

LIMITS: Mapping[str, Mapping[str, Any]] = {
    "strava": {
        "at": THEN,
        "read": {"quarter": 100, "day": 1000, "quarter_used": 7, "day_used": 70},
        "overall": None,
        "closed_until": THEN + DAY,
    },
    "garmin": {"free_at": THEN, "closed_until": None, "refused": 3},
}


def upgrade_to(connection: Connection, schema: str) -> None:
    """Bring a database to the schema of an older version."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    settings.attributes["connection"] = connection
    command.upgrade(settings, schema)


def make_0007(engine: Engine) -> None:
    """Three athletes: one fully read, one half-way through the past, one with dead grants."""
    with engine.begin() as connection:
        upgrade_to(connection, "0007")
    old = MetaData()
    old.reflect(engine)
    for table in old.tables.values():
        for column in table.columns:
            # As the old version wrote them: aware, in UTC.
            if isinstance(column.type, DateTime):
                column.type = Utc()
    with engine.begin() as connection:
        for name, rows in _rows().items():
            connection.execute(insert(old.tables[name]), rows)


def _athlete(number: int, name: str) -> dict[str, Any]:
    return {
        "id": number, "name": name, "folder": name.casefold(), "email": f"{name}@example.org",
        "added_at": THEN - 90 * DAY, "timezone": "UTC", "units": "km", "week_starts": 0,
        "weekly_weekday": 0, "weekly_at": datetime(2026, 1, 1, 7).time(), "pain": [],  # noqa: DTZ001
        "wants": ["reconnect"], "next_weekly_at": THEN + DAY, "clock": "24",
    }  # fmt: skip


def standing(number: int) -> dict[str, Any]:
    """How far this athlete's list is read: the first to the end, the second half-way."""
    back = {1: 500, 2: 90, 3: 400}[number]
    return {
        "read_until": THEN - number * timedelta(hours=1), "read_back_to": THEN - back * DAY,
        "looked_back_at": THEN - DAY, "doubted_at": THEN - DAY if number == 3 else None,
        "failures": number - 1,
    }  # fmt: skip


def grant(number: int) -> dict[str, Any]:
    """The columns that both services' grants share: the second is leased, the third dead."""
    return {
        "athlete_id": number, "sealed": BLOB + bytes([number]), "version": 4 + number,
        "connected_at": THEN - 30 * DAY, "dead_since": THEN - DAY if number == 3 else None,
        "due_at": THEN + number * timedelta(minutes=5),
        "leased_until": THEN + timedelta(minutes=9) if number == 2 else None,
        **standing(number),
    }  # fmt: skip


def seen(number: int, external_id: str) -> dict[str, Any]:
    """An activity: every second one edited, every third unreadable."""
    n = int(external_id)
    return {
        "athlete_id": number, "external_id": external_id,
        "started_at": None if n % 3 == 0 else THEN - n * DAY,
        "payload": json.dumps({"id": n, "distance": 8000.5}),
        "reason": "a run without a start" if n % 3 == 0 else None, "edited": n % 2 == 0,
        "seen_at": THEN,
    }  # fmt: skip


FILES: Mapping[str, Mapping[str, Any]] = {
    "11": {"file": "due", "file_due_at": THEN + DAY, "file_tries": 3, "silence": "the past"},
    "12": {"file": "read", "file_due_at": None, "file_tries": 0, "silence": None},
    "13": {"file": "none", "file_due_at": None, "file_tries": 8, "silence": None},
}
EVENTS = [(1, ""), (1, "15000000001"), (2, "7-Ä")]


def _rows() -> Mapping[str, list[dict[str, Any]]]:
    people = (1, 2, 3)
    return {
        "athlete": [_athlete(n, name) for n, name in zip(people, ("Ann", "Ben", "Cleo"),
                                                         strict=True)],
        "strava_grant": [
            {**grant(n), "strava_id": 2**40 + n, "expires_at": THEN + timedelta(hours=n),
             "scopes": ["activity:read_all", "read"]} for n in people
        ],
        "garmin_grant": [{**grant(n), "key_expires_at": THEN + n * 30 * DAY} for n in people],
        "strava_activity": [seen(n, str(10 * n + m)) for n in people for m in people],
        "garmin_activity": [{**seen(1, name), **file} for name, file in FILES.items()],
        "strava_wish": [
            {"athlete_id": n, "external_id": name, "due_at": THEN + DAY, "tries": n}
            for n, name in EVENTS
        ],
        "strava_budget": [{"id": 1, **LIMITS["strava"]}],
        "garmin_pace": [{"id": 1, **LIMITS["garmin"]}],
        "strava_subscription": [
            {"id": 2**33, "callback_url": "https://easeback.example/w", "made_at": THEN,
             "dropped": 5}
        ],
        "used_state": [{"state_hash": "ab" * 32, "used_at": THEN}],
    }  # fmt: skip
