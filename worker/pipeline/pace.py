"""How a polled source is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from worker.model import SourceName


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how far back; `luck` spreads the athletes. `title` is the source's for people."""

    source: SourceName
    title: str
    every: timedelta
    reach: timedelta
    luck: Callable[[], float]
