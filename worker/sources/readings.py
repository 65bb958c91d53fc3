"""The result of reading one file or item: its runs, or why there are none.

This is separate from `base`, so that the child that reads files starts without HTTP modules.
"""

from dataclasses import dataclass

from worker.domain.models import Recording


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or item that can't be read, or a run without what a run needs; `reason` in words."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotARun:
    """A sound file or item that isn't a run: a ride, a workout plan, a day's monitoring."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file that couldn't be read for now, whatever it contains."""

    reason: str


Reading = tuple[Recording, ...] | NotARun | Unreadable | NotRead
"""The result of reading one file: its runs (at least one), or why there are none."""
