"""A whole Easeback beside the simulated Garmin, on one clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from simulators.empty_database import put_empty_database
from simulators.garmin import Account
from simulators.http_server import Server
from simulators.shared_reader import with_shared_reader
from tests.sources.app import SourceApp
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.pipeline.credentials import Connected, connect_with_key
from worker.pipeline.ingest import take_in_inbox
from worker.pipeline.services import ConnectedSource, Services
from worker.sources.garmin.client import GarminSection

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class GarminApp(SourceApp):
    """The application beside the simulated Garmin."""

    name = "garmin"

    garmin: ConnectedSource

    def connect(self, athlete: Athlete, account: Account, *, days: int = 365) -> Connected:
        """Make a key and connect with it."""
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
        """The services with another Garmin source."""
        return replace(self.services, sources={"garmin": garmin})

    def look(self, times: int = 2) -> None:
        """Look at the watched folder."""
        for _ in range(times):
            take_in_inbox(self.services, self.clock())

    def mail_texts(self, kind: str) -> list[str]:
        """The subject and text of each mail of this kind, oldest first."""
        files = self.mails(kind)
        told = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [f"{mail['Subject']}\n{mail.get_body(('plain',)).get_content()}" for mail in told]

    def stored(self) -> bytes:
        """All bytes of the database, including its WAL."""
        return b"".join(p.read_bytes() for p in self.folder.glob("easeback.db*"))


@contextmanager
def garmin_app(server: Server, folder: Path, **garmin: Any) -> Iterator[GarminApp]:
    """The application in a folder, with `[garmin]` settings. Sleeping advances the clock."""
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
        yield GarminApp(services, service, server, folder, calm)
    finally:
        calm.client.close()
        services.store.close()
