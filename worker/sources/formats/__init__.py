"""File formats: bytes in, activities out. No folder, no network, no athlete's settings.

A reader never raises for what a file holds: it gives the running activities (with a note where
something had to be recovered), or says why there are none.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.model import Sport
from worker.sources import NotARun, Unreadable


@dataclass(frozen=True, slots=True)
class Activity:
    """One run as a file tells it. Metres, seconds; `started_at` aware UTC.

    `offset` is the local clock's lead over UTC where the file says it credibly, else None.
    `leg` counts the running legs of a multisport file from 0.
    """

    started_at: datetime
    offset: timedelta | None
    distance_m: float
    moving_s: float | None
    elapsed_s: float | None
    sport: Sport
    device: bool = True
    is_race: bool = False
    leg: int = 0
    title: str = ""
    note: str | None = None


Parsed = tuple[Activity, ...] | NotARun | Unreadable
