"""The made Garmin for each test, and Easeback beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.garmin.house import House, house
from tests.garmin.service import Service
from tests.strava.server import Server, running
from worker.sources.garmin.client import Garmin
from worker.sources.garmin.settings import GarminSection


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[Server]:
    with running(service) as server:  # type: ignore[arg-type]  # it answers questions too
        yield server


@pytest.fixture
def garmin(server: Server) -> Iterator[Garmin]:
    """The client, impatient."""
    client = Garmin(GarminSection(base_url=server.base_url), silence_s=1.0, answer_s=1.0)
    yield client
    client.close()


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Iterator[House]:
    with house(server, tmp_path) as made:
        yield made
