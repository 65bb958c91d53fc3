"""Leaps of the clock: the calendar ends and tells nothing until a new time has stood for a while.

Some machines wake in another year, and are set right a minute later. By such a clock a week would
be told before it's over, and mail would be too old to send.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

LEAP = timedelta(minutes=1)
"""A clock that is off by less is being kept in time."""

STANDS_FOR_S = 300.0
"""So many seconds a new time has to stand before anything ends or is told by it."""

OFF_AT_MOST = timedelta(hours=1)
"""A worker that starts so long after the last one doesn't know whether its clock is right."""

STANDS_AT_START_FOR_S = 80.0
"""Then it waits so long: a machine that was off is commoner than a wrong clock."""


def steady_s() -> float:
    """Seconds that only go forward, while the machine sleeps too where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SharedClock:
    """The database's clock, which all workers share: set at each heartbeat, counted on between."""

    def __init__(self, now: datetime) -> None:
        self.set(now)

    def set(self, now: datetime) -> None:
        self._set = now, steady_s()

    def __call__(self) -> datetime:
        now, counted_s = self._set
        return now + timedelta(seconds=steady_s() - counted_s)


class LeapGuard:
    """Holds a clock against a counter that only goes forward.

    `last` is the latest time of which an earlier worker was sure. `steady` counts seconds.
    """

    def __init__(
        self, now: datetime, *, last: datetime | None = None, steady: Callable[[], float] = steady_s
    ) -> None:
        self.trouble: str | None = None
        """What a leap that was seen means, in words, until the new time has stood."""
        self._lock = threading.Lock()
        self._steady = steady
        self._known, self._known_s = now, steady()
        self._leap, self._until_s = timedelta(0), 0.0
        if last is not None and now - last > OFF_AT_MOST:
            self._known, self._leap = last, now - last
            self._until_s = self._known_s + STANDS_AT_START_FOR_S
        elif last is not None and last - now > LEAP:
            self._known = last

    def doubts(self, now: datetime) -> bool:
        """True while nothing may end or be told by the calendar."""
        with self._lock:
            counted_s = self._steady()
            expected = self._known + timedelta(seconds=counted_s - self._known_s)
            leap = now - expected
            if abs(leap) > LEAP:
                if abs(leap - self._leap) > LEAP:
                    self._leap, self._until_s = leap, counted_s + STANDS_FOR_S
                    self.trouble = (
                        f"the clock leapt from {expected:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} "
                        "UTC: no mail ends and no week is told until the new time has stood for "
                        f"{STANDS_FOR_S / 60:.0f} minutes"
                    )
                if counted_s < self._until_s:
                    return True
            self._known, self._known_s = now, counted_s
            self._leap, self.trouble = timedelta(0), None
            return False
