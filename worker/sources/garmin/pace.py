"""When the next call may be made. Pure: instants in, instants out.

Garmin documents no limits, so we're gentle: a call a second at most, over all athletes and workers,
and none while it asked for a pause. Each call takes the next free moment; whoever would have to
wait long for one doesn't, but comes back later.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

BETWEEN = timedelta(seconds=1)
PATIENCE = timedelta(seconds=5)
"""Nobody waits longer than this for a moment of their own."""


LONGEST_PAUSE = timedelta(hours=4)
_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """`free_at` is the next moment that nobody has taken; `closed_until` ends a pause.

    `refused` counts the pauses since a call last worked.
    """

    free_at: datetime | None = None
    closed_until: datetime | None = None
    refused: int = 0

    def take(self, now: datetime) -> tuple[datetime, "Pace"]:
        """The moment to call at, and the pace after that."""
        at = self.opens_at(now)
        return at, replace(self, free_at=at + BETWEEN)

    def opens_at(self, now: datetime) -> datetime:
        """When the next call may be made; `now` where that's at once."""
        known = (self.free_at, self.closed_until)
        # A clock that was set back must not make us wait for the time it told before.
        return max([now, *(at for at in known if at is not None and at - now <= LONGEST_PAUSE)])

    def has_room(self, now: datetime) -> bool:
        """True where waiting for the next moment is worth it."""
        return self.opens_at(now) - now <= PATIENCE

    def closed(self, now: datetime, until: datetime) -> "Pace":
        """After a refusal: no call before `until`, and twice as long after each one more."""
        pause = max(until - now, _PAUSE * (1 << min(self.refused, 8)))
        return replace(self, closed_until=now + min(pause, LONGEST_PAUSE), refused=self.refused + 1)

    def worked(self) -> "Pace":
        """After a call that did."""
        return replace(self, refused=0)
