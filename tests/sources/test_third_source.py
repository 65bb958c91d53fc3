"""A service that nobody has written yet: one class, and the engine does the rest.

Its athletes give a key that never ends and is sent with every call; files come gzipped; activities
that came from another service are stubs without figures. Nothing of Easeback knows its name.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from simulators.activity_files import fit_run
from simulators.clock import Clock
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete, Recording
from worker.pipeline.credentials import connect_with_key
from worker.pipeline.services import ConnectedSource, Services
from worker.pipeline.sync import SourceSync
from worker.setting_types import SourceSection
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    ListedActivity,
    NotARun,
    NotFound,
    Observe,
    Page,
    Source,
    SourceError,
    Unreadable,
    ignore,
)
from worker.sources.rate_limit import RateLimit, Spacing

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Intervals(ApiKey):
    """As small as a service can be; `activities` is what stands there, newest first."""

    name: ClassVar[str] = "intervals"
    section: ClassVar[type[SourceSection]] = SourceSection
    title: ClassVar[str] = "Intervals"
    off: ClassVar[str] = "Intervals is off"
    about: ClassVar[str] = "Intervals. Free."
    precedence: ClassVar[int] = 1
    limits: ClassVar[type[RateLimit]] = Spacing
    largest_page: ClassVar[int] = 50
    has_files: ClassVar[bool] = True
    calls_at_once: ClassVar[int | None] = 20
    key_page: ClassVar[str] = "https://intervals.example/settings"
    key_menu: ClassVar[str] = "Developer settings"
    every: timedelta = HOUR
    reach: timedelta = 400 * DAY
    key: str = "good"
    activities: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def is_stale(self, credential: Credential, now: datetime) -> bool:
        return False  # the key itself is sent

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        if credential.secrets[0] != self.key:
            raise self.ended()
        return replace(credential, account_id="i7")

    def list_activities(
        self, credential: Credential, *, now: datetime, observe: Observe = ignore,
        page: int = 1, size: int = 50, before: datetime | None = None,
    ) -> Page:  # fmt: skip
        self._open(credential)
        newest = str((before or now).date())
        listed = [raw for raw in self.activities if raw["start"][:10] <= newest]
        return Page(tuple(map(self.parse, listed[(page - 1) * size : page * size])))

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> bytes:
        self._open(credential)
        if external_id not in self.files:
            raise NotFound("there is no file of it")
        return self.files[external_id]

    def parse(self, raw: object) -> ListedActivity:
        if not isinstance(raw, dict) or "start" not in raw:
            return ListedActivity("", None, Unreadable("this isn't an activity"))
        name, began = str(raw["id"]), datetime.fromisoformat(raw["start"])
        parsed: Recording | NotARun = NotARun("it came from Strava, which shows it itself")
        if "distance" in raw:
            took_s = raw["distance"] / 3
            parsed = Recording(
                "intervals", name, began, began.date(), raw["distance"], took_s, took_s
            )
        wants_file = isinstance(parsed, Recording)
        return ListedActivity(name, began, parsed, json.dumps(raw), wants_file=wants_file)

    def _open(self, credential: Credential) -> None:
        if credential.secrets[0] != self.key:
            raise AccessRefused("the key was refused")


@pytest.fixture
def service() -> Intervals:
    return Intervals()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def services(service: Intervals, clock: Clock, tmp_path: Path) -> Iterator[Services]:
    built = build_services(Settings(data_dir=tmp_path), None, patient=False)
    client: Source = service

    def wait(seconds: float) -> None:
        clock.step(timedelta(seconds=seconds))

    there = replace(built.sources["garmin"], client=client, jitter=lambda: 0.0, wait=wait)
    sources: dict[str, ConnectedSource] = {"intervals": there}
    with closing(built.store):
        yield replace(built, sources=sources)


def connected(services: Services) -> Athlete:
    with services.store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW - DAY))
    connect_with_key(services, "intervals", mira, lambda: NOW, key=" good\n")
    return mira


def add(service: Intervals, days: int, metres: float) -> str:
    began, name = NOW - days * DAY, f"i{days}"
    service.activities.append({"id": name, "start": began.isoformat(), "distance": metres})
    service.files[name] = gzip.compress(
        fit_run(began, distance_m=metres, moving_s=metres / 3, offset_h=0)
    )
    return name


def recordings(services: Services, athlete: Athlete) -> dict[str, Recording]:
    with services.store.reading() as tx:
        return {one.external_id: one for one in tx.runs.recorded(athlete, "intervals")}


def test_a_key_leads_to_runs_with_their_files(
    services: Services, service: Intervals, clock: Clock
) -> None:
    """Stubs are left out; each run is believed by its own file."""
    names = [add(service, days, 8_000.0 + days) for days in range(1, 61)]
    service.activities.insert(0, {"id": 9, "start": NOW.isoformat(), "source": "STRAVA"})
    mira = connected(services)
    SourceSync.of(services, "intervals", lambda: clock.now).all_due()
    told = recordings(services, mira)
    assert told.keys() == set(names)
    assert [one.note for one in told.values() if not one.device] == []
    assert all(one.sha256 for one in told.values())
    with services.store.reading() as tx:
        assert tx.progress.sources(mira)["intervals"].state == "ok"
        assert tx.progress.sources(mira)["intervals"].backlog == 0


def test_a_refused_key_is_asked_for_once(services: Services, service: Intervals) -> None:
    """One mail, a state, and no call more."""
    mira = connected(services)
    service.key = "another"
    for hours in range(1, 6):
        clock = partial(datetime.fromisoformat, (NOW + hours * HOUR).isoformat())
        SourceSync.of(services, "intervals", clock).all_due()
    with services.store.reading() as tx:
        assert tx.progress.sources(mira)["intervals"].state == "failing"
        assert [one.kind for one in tx.outbox.all()].count("reconnect") == 1


def test_a_wrong_key_changes_nothing(services: Services, service: Intervals) -> None:
    """It's said in the service's words."""
    with services.store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))
    with pytest.raises(SourceError, match="doesn't accept this key"):
        connect_with_key(services, "intervals", mira, lambda: NOW, key="bad")
    with services.store.reading() as tx:
        assert tx.source("intervals").credential(mira) is None
