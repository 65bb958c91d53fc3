"""An instance with one athlete for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import Instance, instance, run_winter
from worker.domain.models import Athlete


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Instance]:
    made = instance(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def mira(made: Instance) -> Athlete:
    """An athlete without runs, with pain in the buttock."""
    return made.add("Mira", pain=("buttock",))


@pytest.fixture
def runner(made: Instance, mira: Athlete) -> Athlete:
    """The same athlete with a winter of runs and a jump at its end."""
    run_winter(made, mira)
    return mira


@pytest.fixture
def client(made: Instance) -> Iterator[TestClient]:
    with made.client() as client:
        yield client
