"""Easeback whole, beside the made Garmin, on one clock: for stories."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from simulators.empty_database import put_empty_database
from simulators.garmin import Account, Service
from simulators.http_server import Server
from simulators.shared_reader import with_shared_reader
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.jobs.once import Pass, one_pass
from worker.pipeline.credentials import Connected, connect_with_key
from worker.pipeline.deliver import deliver
from worker.pipeline.ingest import take_in_inbox
from worker.pipeline.services import ConnectedSource, Services
from worker.pipeline.sync import SourceSync
from worker.sources.garmin.client import GarminSection
from worker.store import SourceState

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class GarminApp:
    """Works with a mailbox for mail; `pass_by` lets time go on."""

    services: Services
    garmin: ConnectedSource
    service: Service
    server: Server
    folder: Path

    def clock(self) -> datetime:
        return self.service.clock.now

    def add(self, name: str = "Mira") -> tuple[Athlete, Account]:
        """An athlete, and their account at Garmin."""
        account = self.service.account(name)
        new = Athlete(0, name, f"{name}@example.org", self.clock(), timezone=account.timezone)
        with self.services.store.transaction() as tx:
            return tx.athletes.add(new), account

    def connect(self, athlete: Athlete, account: Account, *, days: int = 365) -> Connected:
        """Make a key and give it."""
        key = self.service.make_key(account, days=days)
        return self.give(athlete, key, days=days)

    def give(self, athlete: Athlete, key: str, *, days: int = 365) -> Connected:
        return connect_with_key(
            self.services, "garmin", athlete, self.clock, key=key, expires=f"{days} days"
        )

    def connected(self, name: str = "Mira", *, days: int = 365) -> tuple[Athlete, Account]:
        athlete, account = self.add(name)
        self.connect(athlete, account, days=days)
        return athlete, account

    def changed(self, garmin: ConnectedSource) -> Services:
        """The works with another Garmin."""
        return replace(self.services, sources={"garmin": garmin})

    def turn(self) -> Pass:
        return one_pass(self.services, self.clock)

    def look(self, times: int = 2) -> None:
        """Look at the watched folder."""
        for _ in range(times):
            take_in_inbox(self.services, self.clock())

    def pass_by(self, time: timedelta, *, step: timedelta = timedelta(minutes=15)) -> None:
        """Let time go on, with a turn at Garmin and the mail at each step."""
        until = self.clock() + time
        while self.clock() < until:
            self.service.clock.step(step)
            SourceSync.of(self.services, "garmin", self.clock).all_due()
            deliver(self.services, self.clock)

    def runs(self, athlete: Athlete) -> dict[str, float]:
        """Metres of each run that counts, by its id at Garmin."""
        with self.services.store.reading() as tx:
            metres = {run.id: run.distance_m for run in tx.runs.counted(athlete)}
            return {
                external_id: metres[kept.run.id]
                for kept in tx.runs.all(athlete)
                for source, external_id in kept.sources
                if source == "garmin" and kept.run.id in metres
            }

    def recorded(self, athlete: Athlete) -> dict[str, Any]:
        """What Garmin told, by id."""
        with self.services.store.reading() as tx:
            return {r.external_id: r for r in tx.runs.recorded(athlete, "garmin")}

    def state(self, athlete: Athlete) -> SourceState:
        with self.services.store.reading() as tx:
            return tx.progress.sources(athlete)["garmin"]

    def mails(self, kind: str) -> list[str]:
        """The mails of this kind that went out, oldest first, as text."""
        files = sorted((self.folder / "mailbox").glob(f"*_{kind}_*.eml"))
        told = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [f"{mail['Subject']}\n{mail.get_body(('plain',)).get_content()}" for mail in told]

    def stored(self) -> bytes:
        """Every byte the database holds, its log included."""
        return b"".join(p.read_bytes() for p in self.folder.glob("easeback.db*"))


@contextmanager
def garmin_app(server: Server, folder: Path, **garmin: Any) -> Iterator[GarminApp]:
    """The application in a folder, with settings of `[garmin]`. Waiting moves the clock on."""
    settings = Settings(data_dir=folder, garmin=GarminSection(base_url=server.base_url, **garmin))
    if not (file := folder / "easeback.db").exists():
        put_empty_database(file)
    services = with_shared_reader(build_services(settings, None, patient=False), patient=False)
    service: Any = server.service
    calm = replace(
        services.sources["garmin"],
        jitter=lambda: 0.0,
        wait=lambda seconds: service.clock.step(timedelta(seconds=seconds)),
    )
    services = replace(services, sources={"garmin": calm})
    try:
        yield GarminApp(services, calm, service, server, folder)
    finally:
        calm.client.close()
        services.store.close()
