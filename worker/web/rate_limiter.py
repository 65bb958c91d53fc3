"""Limits on the number of visits of each client, and on actions at the same time."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class _Bucket:
    left: float
    at: datetime


class ClientRateLimiter:
    """Limits visits per client to `burst` at once, then `per_s` a second, for `most` clients.

    Several threads may use it.
    """

    def __init__(self, *, burst: float = 120, per_s: float = 10, most: int = 10_000) -> None:
        self._burst = burst
        self._per_s = per_s
        self._most = most
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, client: str, now: datetime, *, cost: float = 1.0) -> int:
        """Count a visit; returns the seconds to wait if it exceeds the limit, else 0."""
        with self._lock:
            bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
            passed_s = max(0.0, (now - bucket.at).total_seconds())
            left = min(self._burst, bucket.left + passed_s * self._per_s)
            admitted = left >= 1.0
            self._buckets[client] = _Bucket(max(left - cost, 0.0) if admitted else left, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return 0 if admitted else max(1, round((1.0 - left) / self._per_s))


class OneEach:
    """An action that each athlete may only do once at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[int] = set()

    def begin(self, who: int) -> bool:
        """Begin the action; False if it is already going on. Call `end` afterwards."""
        with self._lock:
            is_free = who not in self._busy
            self._busy.add(who)
        return is_free

    def end(self, who: int) -> None:
        with self._lock:
            self._busy.discard(who)
