"""A simulated Garmin without sockets: keys, tokens, the activity list, the original files."""

import base64
import io
import json
import threading
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from simulators.activity_files import fit_run
from simulators.clock import Clock
from simulators.strava.service import Answer, Question

EXCHANGE = "/personalapitoken-service/personal-api/personal-api-key/token"
SEARCH = "/activitylist-service/activities/search/activities"
DOWNLOAD = "/download-service/files/activity/"
FAILS_BEYOND = 45
OWN_DEFAULT = 99

_SUB_SPORT = {"running": "generic", "trail_running": "trail", "treadmill_running": "treadmill"}


@dataclass(frozen=True)
class Account:
    """An account at Garmin."""

    id: int
    name: str
    timezone: str = "Europe/Berlin"


@dataclass
class Activity:
    """One activity; its file is made from its fields unless `file` gives the bytes.

    `spoilt` overrides fields of the JSON that is sent.
    """

    id: int
    owner: Account
    started_at: datetime
    distance_m: float
    moving_s: float
    elapsed_s: float
    name: str = "Berlin Running"
    kind: str = "running"
    event: str = "uncategorized"
    file: bytes | None = None
    has_file: bool = True
    spoilt: dict[str, Any] = field(default_factory=dict)
    recorded_m: float = 0.0

    @property
    def original(self) -> bytes:
        """The file that the watch uploaded, without later edits."""
        if self.file is not None:
            return self.file
        return fit_run(
            self.started_at, distance_m=self.recorded_m, moving_s=self.moving_s,
            elapsed_s=self.elapsed_s, offset_h=1, records=2,
            sub_sport=_SUB_SPORT.get(self.kind, "generic"),
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The activity in the list: many fields, some null, times without a zone."""
        local = self.started_at.astimezone(ZoneInfo(self.owner.timezone))
        return {
            "activityId": self.id,
            "activityName": self.name,
            "description": None,
            "startTimeLocal": f"{local:%Y-%m-%d %H:%M:%S}",
            "startTimeGMT": f"{self.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            "activityType": {"typeId": 1, "typeKey": self.kind, "parentTypeId": 17},
            "eventType": {"typeId": 9, "typeKey": self.event, "sortOrder": 10},
            "distance": round(self.distance_m, 2),
            "duration": self.moving_s,
            "elapsedDuration": self.elapsed_s,
            "movingDuration": None,
            "averageHR": 147.5,
            "isParent": False,
            "parentId": None,
            "ownerId": self.owner.id,
            "ownerFullName": self.owner.name,
            "privacy": {"typeId": 2, "typeKey": "private"},
            "beginTimestamp": int(self.started_at.timestamp() * 1000),
            "sportTypeId": 1,
            "hasPolyline": True,
        } | self.spoilt


@dataclass
class Key:
    """A key made by an account's owner."""

    account: Account
    ends_at: datetime
    deleted: bool = False


@dataclass
class Token:
    """The token that a key was exchanged for."""

    account: Account
    ends_at: datetime


@dataclass
class Service:
    """The whole state of the simulated Garmin.

    `log` holds each request and `times` its arrival. The next `busy` requests are answered with
    429, with `retry_after` if set.
    """

    clock: Clock = field(default_factory=Clock)
    accounts: list[Account] = field(default_factory=list)
    activities: dict[int, Activity] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    log: list[Question] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    retry_after: str | None = None
    busy: int = 0
    fetch: Any = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def account(self, name: str, **more: Any) -> Account:
        made = Account(7_000_001 + len(self.accounts), name, **more)
        self.accounts.append(made)
        return made

    def make_key(self, account: Account, *, days: int = 365) -> str:
        """Create a key as the runner does in Garmin Connect, where it is shown only once."""
        key = f"made-garmin-key-{len(self.keys)}-of-{account.id}"
        self.keys[key] = Key(account, self.clock.now + timedelta(days=days))
        return key

    def add(
        self, owner: Account, started_at: datetime, distance_m: float = 8_000.0, **more: Any
    ) -> Activity:
        """Record an activity, at 5:00 per kilometre unless `moving_s` is given."""
        number = 21_000_000_001 + 977 * len(self.activities)
        moving_s = more.pop("moving_s", float(round(distance_m * 0.3)))
        elapsed_s = more.pop("elapsed_s", moving_s + 40)
        made = Activity(
            number, owner, started_at.replace(microsecond=0), distance_m, moving_s, elapsed_s,
            **{"recorded_m": distance_m, **more},
        )  # fmt: skip
        self.activities[number] = made
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
            self.times.append(self.clock.now)
            if self.busy > 0:
                self.busy -= 1
                told = {"Retry-After": self.retry_after} if self.retry_after else {}
                return _json(429, {}, told)
            if (question.method, question.path) == ("POST", EXCHANGE):
                return self._exchange(question)
            return self._data(question)

    def _data(self, question: Question) -> Answer:
        token = self.tokens.get(_credentials(question, "Bearer"))
        if token is None or token.ends_at <= self.clock.now:
            return _json(401, {})
        if question.method != "GET":
            return _json(405, {})
        if question.path == SEARCH:
            return self._search(question.query, token.account)
        if question.path.startswith(DOWNLOAD):
            return self._download(question, token.account)
        return _json(404, {})

    def _exchange(self, question: Question) -> Answer:
        key = self.keys.get(_credentials(question, "ApiKey"))
        if key is None:
            return _json(403, {})
        if key.deleted or key.ends_at <= self.clock.now:
            return _json(401, {"error": "NotAuthorizedException", "message": None})
        ends_at = self.clock.now + timedelta(hours=24)
        value = _jwt({"exp": int(ends_at.timestamp()), "n": len(self.tokens)})
        self.tokens[value] = Token(key.account, ends_at)
        return Answer(200, value.encode(), {"Content-Type": "text/plain"})

    def _search(self, query: dict[str, str], account: Account) -> Answer:
        start, limit = int(query.get("start", "0")), int(query.get("limit", str(OWN_DEFAULT)))
        if limit > FAILS_BEYOND:
            return _json(500, {"error": "InternalServerError", "errorId": "made"})
        zone = ZoneInfo(account.timezone)
        until = date.fromisoformat(query["endDate"]) if "endDate" in query else date.max
        mine = [
            a
            for a in self.activities.values()
            if a.owner == account and a.started_at.astimezone(zone).date() <= until
        ]
        mine.sort(key=lambda a: a.started_at.astimezone(zone).replace(tzinfo=None), reverse=True)
        return _json(200, [a.row() for a in mine[start : start + limit]])

    def _download(self, question: Question, account: Account) -> Answer:
        if question.headers.get("accept") != "application/x-zip-compressed":
            return _json(406, {"error": "NotAcceptableException"})
        found = self.activities.get(int(question.path.removeprefix(DOWNLOAD)))
        if found is None or not found.has_file:
            return _json(404, {})
        if found.owner != account:
            return _json(403, {})
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{found.id}_ACTIVITY.fit", found.original)
        return Answer(200, packed.getvalue(), {"Content-Type": "application/x-zip-compressed"})


def _credentials(question: Question, kind: str) -> str:
    given, _, value = question.headers.get("authorization", "").partition(" ")
    return value if given == kind else ""


def _jwt(claims: dict[str, Any]) -> str:
    def part(told: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.made-signature"


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
