"""The simulated service of a test, served over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from simulators.http_server import Server, running


@pytest.fixture
def server(service: Any) -> Iterator[Server]:
    """The HTTP server of the `service` fixture."""
    with running(service) as server:
        yield server
