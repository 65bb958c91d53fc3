"""intervals.icu fulfils the contract of sources."""

from datetime import datetime
from typing import Any

import pytest

from simulators.http_server import Server
from simulators.intervals import ACTIVITIES, Service
from tests.sources.contract import SourceContract, Stand
from worker.sources.intervals.client import Intervals

SPOILT: dict[str, dict[str, Any]] = {
    "run": {}, "ride": {"kind": "Ride"}, "rotten": {"spoilt": {"distance": None}},
}  # fmt: skip


class TestIntervals(SourceContract):
    @pytest.fixture
    def stand(self, intervals: Intervals, service: Service, server: Server) -> Stand:
        runner = service.account("Mira")
        pasted = intervals.with_key(service.make_key(runner), ends_at=None)
        credential = intervals.refresh(pasted, now=service.clock.now)

        def record(at: datetime, distance_m: float, kind: str) -> str:
            return service.add(runner, at, distance_m, **SPOILT[kind]).id

        def fault(kind: Any, status: int) -> None:
            server.fault(kind, ACTIVITIES, status=status)

        return Stand(
            intervals, credential, service.clock, record, fault, service.keys.clear,
            lambda: server.flooded_bytes,
        )  # fmt: skip
