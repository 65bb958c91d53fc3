"""How a polled source is asked."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from worker.model import SourceName

LUCK: Callable[[], float] = random.random
"""Between 0 and 1: nobody's secret depends on it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how far back; `luck` spreads the athletes. `title` is the source's for people."""

    source: SourceName
    title: str
    every: timedelta
    reach: timedelta
    luck: Callable[[], float]
