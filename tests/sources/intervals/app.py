"""Easeback whole, beside the made intervals.icu, on one clock: for stories."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from simulators.empty_database import put_empty_database
from simulators.http_server import Server
from simulators.intervals import Account, Service
from simulators.shared_reader import with_shared_reader
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.jobs.once import Pass, one_pass
from worker.pipeline.credentials import Connected, connect_with_key
from worker.pipeline.services import Services
from worker.sources.intervals.client import IntervalsSection
from worker.store import SourceState

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class IntervalsApp:
    """The application with a mailbox for mail, and the service."""

    services: Services
    service: Service
    server: Server
    folder: Path

    def clock(self) -> datetime:
        return self.service.clock.now

    def connected(self, name: str = "Mira") -> tuple[Athlete, Account]:
        """An athlete, connected to an account of theirs."""
        account = self.service.account(name)
        new = Athlete(0, name, f"{name}@example.org", self.clock(), timezone=account.timezone)
        with self.services.store.transaction() as tx:
            athlete = tx.athletes.add(new)
        self.give(athlete, self.service.make_key(account))
        return athlete, account

    def give(self, athlete: Athlete, key: str) -> Connected:
        return connect_with_key(self.services, "intervals", athlete, self.clock, key=key)

    def turn(self) -> Pass:
        return one_pass(self.services, self.clock)

    def pass_by(self, time: timedelta, *, step: timedelta = HOUR) -> None:
        """Let time go on, with a pass at each step."""
        until = self.clock() + time
        while self.clock() < until:
            self.service.clock.step(step)
            self.turn()

    def runs(self, athlete: Athlete) -> dict[str, float]:
        """Metres of each run that counts, by its id at the service."""
        with self.services.store.reading() as tx:
            metres = {run.id: run.distance_m for run in tx.runs.counted(athlete)}
            return {
                external_id: metres[kept.run.id]
                for kept in tx.runs.all(athlete)
                for source, external_id in kept.sources
                if source == "intervals" and kept.run.id in metres
            }

    def recorded(self, athlete: Athlete) -> dict[str, Any]:
        """What the service told, by id."""
        with self.services.store.reading() as tx:
            return {r.external_id: r for r in tx.runs.recorded(athlete, "intervals")}

    def state(self, athlete: Athlete) -> SourceState:
        with self.services.store.reading() as tx:
            return tx.progress.sources(athlete)["intervals"]

    def mails(self, kind: str) -> list[Path]:
        return sorted((self.folder / "mailbox").glob(f"*_{kind}_*.eml"))


@contextmanager
def intervals_app(server: Server, folder: Path) -> Iterator[IntervalsApp]:
    """The application in a folder. Waiting moves the clock on."""
    section = IntervalsSection(base_url=server.base_url)
    settings = Settings(data_dir=folder, intervals=section)
    if not (file := folder / "easeback.db").exists():
        put_empty_database(file)
    services = with_shared_reader(build_services(settings, None, patient=False), patient=False)
    service: Any = server.service
    calm = replace(
        services.sources["intervals"],
        jitter=lambda: 0.0,
        wait=lambda seconds: service.clock.step(timedelta(seconds=seconds)),
    )
    services = replace(services, sources={"intervals": calm})
    try:
        yield IntervalsApp(services, service, server, folder)
    finally:
        calm.client.close()
        services.store.close()
