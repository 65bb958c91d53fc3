"""Garmin keeps the contract of polled sources."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.garmin.service import SEARCH, Service
from tests.polled_contract import PolledContract, Stand
from tests.strava.server import Server
from worker.sources.garmin.client import Garmin
from worker.sources.garmin.grants import Grant
from worker.sources.garmin.rows import LARGEST_PAGE

SPOILT: dict[str, dict[str, Any]] = {
    "run": {}, "ride": {"kind": "cycling"}, "rotten": {"spoilt": {"distance": None}},
}  # fmt: skip


class TestGarmin(PolledContract):
    @pytest.fixture
    def stand(self, garmin: Garmin, service: Service, server: Server) -> Stand:
        runner = service.account("Mira")
        key = service.make_key(runner)
        token = garmin.exchange(key, now=service.clock.now)
        grant = Grant(key, service.clock.now + timedelta(days=365), token)

        def record(at: datetime, distance_m: float, kind: str) -> str:
            return str(service.add(runner, at, distance_m, **SPOILT[kind]).id)

        def fault(kind: Any, status: int) -> None:
            server.fault(kind, SEARCH, status=status)

        return Stand(
            garmin, grant, service.clock, LARGEST_PAGE, record, fault, service.tokens.clear
        )
