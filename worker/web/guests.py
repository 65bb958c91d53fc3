"""Whom the operator's token let in, so that the log tells of it now and then, not each time."""

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

EVERY = timedelta(hours=1)


class GuestBook:
    """Remembers when each client was last written down; `most` of them."""

    def __init__(self, *, most: int = 1_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._written_at: OrderedDict[str, datetime] = OrderedDict()

    def is_news(self, client: str, now: datetime) -> bool:
        """True the first time, and again an hour after it was last true."""
        with self._lock:
            at = self._written_at.get(client)
            if at is not None and timedelta(0) <= now - at < EVERY:
                return False
            self._written_at[client] = now
            self._written_at.move_to_end(client)
            while len(self._written_at) > self._most:
                self._written_at.popitem(last=False)
            return True
