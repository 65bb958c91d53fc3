"""A simulated intervals.icu without sockets: keys, the activity list, the original files."""

import base64
import gzip
import json
import threading
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from simulators.activity_files import fit_run
from simulators.clock import Clock
from simulators.strava.service import Answer, Question

ATHLETE = "/api/v1/athlete/0"
ACTIVITIES = f"{ATHLETE}/activities"
ACTIVITY = "/api/v1/activity/"


@dataclass(frozen=True)
class Account:
    """An account at intervals.icu."""

    id: str
    name: str
    timezone: str = "Europe/Berlin"


@dataclass
class Activity:
    """One activity; its file is made from its fields unless `file` gives the bytes.

    `origin` is the activity's source; one from `STRAVA` is a stub. `spoilt` overrides fields of the
    JSON that is sent. `packed` gzips the file.
    """

    id: str
    owner: Account
    started_at: datetime
    distance_m: float
    moving_s: float
    name: str = "Morning Run"
    kind: str = "Run"
    sub_type: str = "NONE"
    origin: str = "GARMIN_CONNECT"
    file: bytes | None = None
    has_file: bool = True
    packed: bool = True
    deleted: bool = False
    spoilt: dict[str, Any] = field(default_factory=dict)
    recorded_m: float = 0.0

    @property
    def original(self) -> bytes:
        """The file that was uploaded, without later edits."""
        if self.file is not None:
            return self.file
        return fit_run(
            self.started_at, distance_m=self.recorded_m, moving_s=self.moving_s,
            elapsed_s=self.moving_s + 40, offset_h=1, records=2,
        )  # fmt: skip

    @property
    def local(self) -> datetime:
        return self.started_at.astimezone(ZoneInfo(self.owner.timezone))

    def row(self) -> dict[str, Any]:
        """The activity in the list: many fields, some null."""
        if self.origin == "STRAVA":
            return {
                "id": self.id.removeprefix("i"),
                "icu_athlete_id": self.owner.id,
                "start_date_local": f"{self.local:%Y-%m-%dT%H:%M:%S}",
                "source": "STRAVA",
                "_note": "STRAVA activities are not available via the API",
            }
        return {
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "sub_type": self.sub_type,
            "start_date": f"{self.started_at:%Y-%m-%dT%H:%M:%SZ}",
            "start_date_local": f"{self.local:%Y-%m-%dT%H:%M:%S}",
            "distance": self.distance_m,
            "moving_time": int(self.moving_s),
            "elapsed_time": int(self.moving_s) + 40,
            "file_type": "fit" if self.has_file else None,
            "external_id": None,
            "trainer": None,
            "deleted": self.deleted or None,
            "source": self.origin if self.has_file else "MANUAL",
            "average_heartrate": 147,
        } | self.spoilt


@dataclass
class Service:
    """The whole state of the simulated intervals.icu. `log` holds each request.

    The next `busy` requests are answered with 429.
    """

    clock: Clock = field(default_factory=Clock)
    accounts: list[Account] = field(default_factory=list)
    activities: dict[str, Activity] = field(default_factory=dict)
    keys: dict[str, Account] = field(default_factory=dict)
    log: list[Question] = field(default_factory=list)
    busy: int = 0
    fetch: Any = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def account(self, name: str, **more: Any) -> Account:
        made = Account(f"i{70_001 + len(self.accounts)}", name, **more)
        self.accounts.append(made)
        return made

    def make_key(self, account: Account) -> str:
        """Create a key as the runner does in the settings; it replaces the previous one."""
        key = f"made0intervals0key0{self.clock.now:%H%M%S}{len(self.keys)}"
        self.keys = {k: a for k, a in self.keys.items() if a != account} | {key: account}
        return key

    def add(
        self, owner: Account, started_at: datetime, distance_m: float = 8_000.0, **more: Any
    ) -> Activity:
        """Record an activity, at 5:00 per kilometre unless `moving_s` is given."""
        name = f"i{55_000_001 + 977 * len(self.activities)}"
        moving_s = more.pop("moving_s", float(round(distance_m * 0.3)))
        made = Activity(
            name, owner, started_at.replace(microsecond=0), distance_m, moving_s,
            **{"recorded_m": distance_m, **more},
        )  # fmt: skip
        self.activities[name] = made
        return made

    def weeks_of_runs(
        self, owner: Account, until: datetime, count: int, *, every: timedelta = timedelta(days=2)
    ) -> list[Activity]:
        """Add `count` runs, one in each `every` back from `until`, newest first, all different."""
        return [self.add(owner, until - every * i, 6_000.0 + 10 * (i % 97)) for i in range(count)]

    def calls(self, path: str = "/") -> int:
        """Number of requests whose path begins with `path`."""
        return sum(q.path.startswith(path) for q in self.log)

    def answer(self, question: Question) -> Answer:
        """Answer one request at a time."""
        with self._lock:
            self.log.append(question)
            if self.busy > 0:
                self.busy -= 1
                return _json(429, {"status": 429, "error": "Too many requests"})
            kind, _, word = question.headers.get("authorization", "").partition(" ")
            if kind == "Bearer":
                return _json(403, {"status": 403, "error": "Access denied"})
            user, _, key = base64.b64decode(word).decode().partition(":") if word else ("", "", "")
            account = self.keys.get(key) if (kind, user) == ("Basic", "API_KEY") else None
            if account is None:
                return _json(401, {"status": 401, "error": "Unauthorized"})
            if question.path == ATHLETE:
                return _json(200, {"id": account.id, "name": account.name, "sportSettings": []})
            if question.path == ACTIVITIES:
                return self._list(question.query, account)
            return self._one(question.path, account)

    def _list(self, query: dict[str, str], account: Account) -> Answer:
        if "oldest" not in query:
            return _json(422, {"status": 422, "error": "oldest is required"})
        oldest = date.fromisoformat(query["oldest"])
        newest = date.fromisoformat(query["newest"]) if "newest" in query else date.max
        mine = [
            one
            for one in self.activities.values()
            if one.owner == account and oldest <= one.local.date() <= newest
        ]
        mine.sort(key=lambda one: one.local.replace(tzinfo=None), reverse=True)
        return _json(200, [one.row() for one in mine[: int(query.get("limit", "100000"))]])

    def _one(self, path: str, account: Account) -> Answer:
        name, _, what = path.removeprefix(ACTIVITY).partition("/")
        found = self.activities.get(name) or self.activities.get(f"i{name}")
        if found is None or found.owner != account or found.deleted:
            return _json(404, {"status": 404, "error": "Not found"})
        if found.origin == "STRAVA":
            return _json(422, {"status": 422, "error": "Cannot read Strava activities via the API"})
        if what == "":
            return _json(200, found.row())
        if what != "file" or not found.has_file:
            return _json(404, {"status": 404, "error": "Not found"})
        content = gzip.compress(found.original) if found.packed else found.original
        return Answer(200, content, {"Content-Type": "application/octet-stream"})


def _json(status: int, body: object) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
