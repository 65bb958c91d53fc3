"""A whole Easeback beside the simulated intervals.icu, on one clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from simulators.empty_database import put_empty_database
from simulators.http_server import Server
from simulators.intervals import Account
from simulators.shared_reader import with_shared_reader
from tests.sources.app import SourceApp
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.pipeline.credentials import Connected, connect_with_key
from worker.sources.intervals.client import IntervalsSection

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class IntervalsApp(SourceApp):
    """The application beside the simulated intervals.icu."""

    name = "intervals"

    def connected(self, name: str = "Mira") -> tuple[Athlete, Account]:
        """An athlete, connected to their account."""
        athlete, account = self.add(name)
        self.give(athlete, self.service.make_key(account))
        return athlete, account

    def give(self, athlete: Athlete, key: str) -> Connected:
        return connect_with_key(self.services, "intervals", athlete, self.clock, key=key)

    def pass_by(self, time: timedelta, *, step: timedelta = HOUR) -> None:
        """Advance the clock, with a pass at each step."""
        until = self.clock() + time
        while self.clock() < until:
            self.service.clock.step(step)
            self.turn()


@contextmanager
def intervals_app(server: Server, folder: Path) -> Iterator[IntervalsApp]:
    """The application in a folder. Sleeping advances the clock."""
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
