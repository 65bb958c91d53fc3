"""Garmin fulfils the contract of sources."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from simulators.garmin import SEARCH, Service
from simulators.http_server import Server
from tests.sources.contract import SourceContract, Stand
from worker.sources.garmin.client import Garmin

SPOILT: dict[str, dict[str, Any]] = {
    "run": {}, "ride": {"kind": "cycling"}, "rotten": {"spoilt": {"distance": None}},
}  # fmt: skip


class TestGarmin(SourceContract):
    @pytest.fixture
    def stand(self, garmin: Garmin, service: Service, server: Server) -> Stand:
        runner = service.account("Mira")
        key = service.make_key(runner)
        ends_at = service.clock.now + timedelta(days=365)
        pasted = garmin.with_key(key, ends_at=ends_at)
        credential = garmin.refresh(pasted, now=service.clock.now)

        def record(at: datetime, distance_m: float, kind: str) -> str:
            return str(service.add(runner, at, distance_m, **SPOILT[kind]).id)

        def fault(kind: Any, status: int) -> None:
            server.fault(kind, SEARCH, status=status)

        return Stand(
            garmin,
            credential,
            service.clock,
            record,
            fault,
            service.tokens.clear,
            lambda: server.flooded_bytes,
        )
