"""A whole Easeback beside a simulated service, on one clock: shared by each service's stories."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from simulators.http_server import Server
from worker.domain.models import Athlete, Recording, SourceName
from worker.jobs.once import Pass, one_pass
from worker.pipeline.deliver import deliver
from worker.pipeline.services import Services
from worker.pipeline.sync import SourceSync
from worker.store.progress import SourceState


@dataclass
class SourceApp:
    """The application with a mailbox folder, and the service; `pass_by` advances the clock."""

    name: ClassVar[SourceName]

    services: Services
    service: Any
    server: Server
    folder: Path

    def clock(self) -> datetime:
        return self.service.clock.now  # type: ignore[no-any-return]  # every service has one

    def add(self, name: str = "Mira") -> tuple[Athlete, Any]:
        """Add an athlete; returns them and their account at the service."""
        account = self.service.account(name)
        new = Athlete(0, name, f"{name}@example.org", self.clock(), timezone=account.timezone)
        with self.services.store.transaction() as tx:
            return tx.athletes.add(new), account

    def turn(self) -> Pass:
        return one_pass(self.services, self.clock)

    def pass_by(self, time: timedelta, *, step: timedelta = timedelta(minutes=15)) -> None:
        """Advance the clock, polling the service and sending mail at each step."""
        until = self.clock() + time
        while self.clock() < until:
            self.service.clock.step(step)
            SourceSync.of(self.services, self.name, self.clock).all_due()
            deliver(self.services, self.clock)

    def runs(self, athlete: Athlete) -> dict[str, float]:
        """The metres of each run that counts, by its id at the service."""
        with self.services.store.reading() as tx:
            metres = {run.id: run.distance_m for run in tx.runs.counted(athlete)}
            return {
                external_id: metres[kept.run.id]
                for kept in tx.runs.all(athlete)
                for source, external_id in kept.sources
                if source == self.name and kept.run.id in metres
            }

    def recorded(self, athlete: Athlete) -> dict[str, Recording]:
        """The recordings from the service, by id."""
        with self.services.store.reading() as tx:
            return {r.external_id: r for r in tx.runs.recorded(athlete, self.name)}

    def state(self, athlete: Athlete) -> SourceState:
        with self.services.store.reading() as tx:
            return tx.progress.sources(athlete)[self.name]

    def mails(self, kind: str) -> list[Path]:
        """The sent mails of this kind, oldest first."""
        return sorted((self.folder / "mailbox").glob(f"*_{kind}_*.eml"))
