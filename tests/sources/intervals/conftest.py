"""The simulated intervals.icu for each test, and Easeback beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.http_server import Server
from simulators.intervals import Service
from tests.sources.intervals.app import IntervalsApp, intervals_app
from worker.sources.intervals.client import Intervals, IntervalsSection


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def intervals(server: Server) -> Iterator[Intervals]:
    """The client with short time-outs."""
    client = Intervals(IntervalsSection(base_url=server.base_url), answer_s=1.0)
    yield client
    client.close()


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[IntervalsApp]:
    with intervals_app(server, tmp_path) as made:
        yield made
