"""The simulated Garmin for each test, and Easeback beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.garmin import Service
from simulators.http_server import Server
from tests.sources.garmin.app import GarminApp, garmin_app
from worker.sources.garmin.client import Garmin, GarminSection


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def garmin(server: Server) -> Iterator[Garmin]:
    """The client with short time-outs."""
    client = Garmin(GarminSection(base_url=server.base_url), answer_s=1.0)
    yield client
    client.close()


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[GarminApp]:
    with garmin_app(server, tmp_path) as made:
        yield made
