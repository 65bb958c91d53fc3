"""Leaps of the clock: nothing expires and no weekly mail is due until a new time has held.

Some machines start with a wrong year and are corrected a minute later. With such a clock, a week
would be mailed before it is over, and mail would count as too old to send.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from worker.health import BOOT_TICK, CLOCK_TICK, LEAP_TICK
from worker.store import Transaction

LEAP = timedelta(minutes=1)
"""A clock that is off by less counts as an ordinary adjustment."""

STANDS_FOR_S = 300.0
"""How long a new time has to hold before anything expires or falls due by it."""

OFF_AT_MOST = timedelta(hours=1)
"""A worker that starts this long after the last one can't tell whether its clock is right."""

STANDS_AT_START_FOR_S = 80.0
"""How long it waits then; short, because a machine that was off is likelier than a wrong clock."""


def steady_s() -> float:
    """A counter in seconds that only goes forward, also during sleep if the system counts that."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_name() -> str | None:
    """The name of the tick for this boot of the machine; None if boots can't be told apart.

    Within one boot, `steady_s` continues from process to process.
    """
    with suppress(OSError):
        return f"{BOOT_TICK} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return None


class SharedClock:
    """The database's clock, which all workers share: set at each heartbeat, counted in between."""

    def __init__(self, now: datetime) -> None:
        self.set(now)

    def set(self, now: datetime) -> None:
        self._set = now, steady_s()

    def __call__(self) -> datetime:
        now, counted_s = self._set
        return now + timedelta(seconds=steady_s() - counted_s)


class LeapGuard:
    """Compares a clock with a counter that only goes forward.

    `last` is the latest time that was certain to an earlier worker. `steady` counts seconds.
    """

    def __init__(
        self, now: datetime, *, last: datetime | None = None, steady: Callable[[], float] = steady_s
    ) -> None:
        self.trouble: str | None = None
        """What the detected leap means, in words, until the new time has held long enough."""
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
        """True while nothing may expire or fall due by the calendar."""
        with self._lock:
            counted_s = self._steady()
            expected = self._known + timedelta(seconds=counted_s - self._known_s)
            leap = now - expected
            if abs(leap) > LEAP:
                if abs(leap - self._leap) > LEAP:
                    self._leap, self._until_s = leap, counted_s + STANDS_FOR_S
                    self.trouble = _in_words(expected, now)
                if counted_s < self._until_s:
                    return True
            self._known, self._known_s = now, counted_s
            self._leap, self.trouble = timedelta(0), None
            return False


def leap_between_passes(
    tx: Transaction, now: datetime, *, boot: str | None, counted_s: float
) -> str | None:
    """Why a single pass must not rely on its clock, in words; None if it may.

    A pass is too short to see a leap. The pass before it has saved its time, and when the machine
    was started. Within one boot (`boot_name`, and `counted_s` since it), that instant only moves
    if the clock does. What this pass sees is saved for the next one.
    """
    started = now - timedelta(seconds=counted_s)
    last, leapt = tx.progress.tick(CLOCK_TICK), tx.progress.tick(LEAP_TICK)
    before = tx.progress.tick(boot) if boot else None
    leap = timedelta(0)
    if before is not None:
        leap = started - before.at
    elif (
        last is not None and last.at - now > LEAP
    ):  # forward is plausible: the machine may have been off
        leap = now - last.at
    trouble = None
    if abs(leap) > LEAP:
        trouble = _in_words(now - leap, now)
        tx.progress.ticked(LEAP_TICK, at=now)
    elif last and leapt and timedelta(0) <= now - leapt.at < timedelta(seconds=STANDS_FOR_S):
        trouble = last.trouble
    if boot:
        tx.progress.ticked(boot, at=started)
    at = min(now, last.at) if trouble and last else now
    tx.progress.ticked(CLOCK_TICK, at=at, trouble=trouble)
    return trouble


def _in_words(expected: datetime, now: datetime) -> str:
    return (
        f"the clock leapt from {expected:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC: no mail ends "
        f"and no week is told until the new time has stood for {STANDS_FOR_S / 60:.0f} minutes"
    )
