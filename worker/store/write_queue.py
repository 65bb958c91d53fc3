"""Turns: the threads of one process write one after another, in the order in which they came.

SQLite lets one write at a time; the others ask again and again, each time later, and whoever has
just written is the first to ask. Behind two hundred weekly mails in a row a page could wait so
for seconds. Here it waits for one of them.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class WriteQueueError(Exception):
    """Somebody else's turn lasted too long."""


class WriteQueue:
    """One thread at a time has its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self, *, within_s: float) -> Iterator[None]:
        """Wait for one's turn, and have it until the block ends; raises `WriteQueueError`."""
        mine = self._queue_up()
        try:
            if not mine.wait(within_s):
                raise WriteQueueError
            yield
        finally:
            self._end(mine)

    def _queue_up(self) -> threading.Event:
        mine = threading.Event()
        with self._lock:
            if self._taken:
                self._waiting.append(mine)
            else:
                self._taken = True
                mine.set()
        return mine

    def _end(self, mine: threading.Event) -> None:
        """Let the next one in; who never had a turn only leaves the queue."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
