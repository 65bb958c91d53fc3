"""Easeback whole, beside a made service, on one clock: what the stories of each service share."""

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
from worker.store import SourceState


@dataclass
class SourceApp:
    """The application with a mailbox for mail, and the service; `pass_by` lets time go on."""

    name: ClassVar[SourceName]

    services: Services
    service: Any
    server: Server
    folder: Path

    def clock(self) -> datetime:
        return self.service.clock.now  # type: ignore[no-any-return]  # every service has one

    def add(self, name: str = "Mira") -> tuple[Athlete, Any]:
        """An athlete, and their account at the service."""
        account = self.service.account(name)
        new = Athlete(0, name, f"{name}@example.org", self.clock(), timezone=account.timezone)
        with self.services.store.transaction() as tx:
            return tx.athletes.add(new), account

    def turn(self) -> Pass:
        return one_pass(self.services, self.clock)

    def pass_by(self, time: timedelta, *, step: timedelta = timedelta(minutes=15)) -> None:
        """Let time go on, with a turn at the service and the mail at each step."""
        until = self.clock() + time
        while self.clock() < until:
            self.service.clock.step(step)
            SourceSync.of(self.services, self.name, self.clock).all_due()
            deliver(self.services, self.clock)

    def runs(self, athlete: Athlete) -> dict[str, float]:
        """Metres of each run that counts, by its id at the service."""
        with self.services.store.reading() as tx:
            metres = {run.id: run.distance_m for run in tx.runs.counted(athlete)}
            return {
                external_id: metres[kept.run.id]
                for kept in tx.runs.all(athlete)
                for source, external_id in kept.sources
                if source == self.name and kept.run.id in metres
            }

    def recorded(self, athlete: Athlete) -> dict[str, Recording]:
        """What the service told, by id."""
        with self.services.store.reading() as tx:
            return {r.external_id: r for r in tx.runs.recorded(athlete, self.name)}

    def state(self, athlete: Athlete) -> SourceState:
        with self.services.store.reading() as tx:
            return tx.progress.sources(athlete)[self.name]

    def mails(self, kind: str) -> list[Path]:
        """The mails of this kind that went out, oldest first."""
        return sorted((self.folder / "mailbox").glob(f"*_{kind}_*.eml"))
