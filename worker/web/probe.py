"""The tried write behind `/readyz`."""

import threading
from datetime import datetime, timedelta

from worker.health import WRITE_TICK
from worker.store import Store

_EVERY = timedelta(seconds=2)


class Probe:
    """Writes a row now and then, however often it's asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrote_at: datetime | None = None

    def write(self, store: Store, now: datetime) -> None:
        """Raises `StoreError` where nothing can be written; not every call tries."""
        with self._lock:
            if self._wrote_at is not None and timedelta(0) <= now - self._wrote_at < _EVERY:
                return
            with store.transaction() as tx:
                tx.progress.ticked(WRITE_TICK, at=now)
            self._wrote_at = now
