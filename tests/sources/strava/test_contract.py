"""Strava fulfils the contract of sources."""

from datetime import datetime
from typing import Any

import pytest

from simulators.http_server import Server
from simulators.strava.accounts import Account
from simulators.strava.service import Service
from tests.sources.contract import SourceContract, Stand
from tests.sources.strava.app import ACTIVITIES
from worker.sources.base import Credential
from worker.sources.strava.client import Strava

SPOILT: dict[str, dict[str, Any]] = {
    "run": {}, "ride": {"sport_type": "Ride"}, "rotten": {"spoilt": {"distance": None}},
}  # fmt: skip


class TestStrava(SourceContract):
    @pytest.fixture
    def stand(
        self, strava: Strava, service: Service, server: Server, runner: Account, grant: Credential
    ) -> Stand:
        def record(at: datetime, distance_m: float, kind: str) -> str:
            return str(service.diary.add(runner, at, distance_m, **SPOILT[kind]).id)

        def fault(kind: Any, status: int) -> None:
            server.fault(kind, ACTIVITIES, status=status)

        return Stand(
            strava,
            grant,
            service.clock,
            record,
            fault,
            service.tokens.live.clear,
            lambda: server.flooded_bytes,
        )
