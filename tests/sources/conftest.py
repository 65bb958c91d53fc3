"""The made service of a test, asked over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from simulators.http_server import Server, running


@pytest.fixture
def server(service: Any) -> Iterator[Server]:
    """What each service's own `service` answers to."""
    with running(service) as server:
        yield server
