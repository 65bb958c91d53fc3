"""Which clients used the operator's token: the log has each of them once an hour."""

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

LOGGED_EVERY = timedelta(hours=1)


class AccessLog:
    """Remembers when each of `most` clients was last logged."""

    def __init__(self, *, most: int = 1_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._logged_at: OrderedDict[str, datetime] = OrderedDict()

    def should_log(self, client: str, now: datetime) -> bool:
        """True the first time, and again an hour after it was last true."""
        with self._lock:
            at = self._logged_at.get(client)
            if at is not None and timedelta(0) <= now - at < LOGGED_EVERY:
                return False
            self._logged_at[client] = now
            self._logged_at.move_to_end(client)
            while len(self._logged_at) > self._most:
                self._logged_at.popitem(last=False)
            return True
