"""Where runs come from: each source turns what it finds into recordings.

The word *activity* stays inside this room. A source touches network or disk and nothing else:
it gets what it must know as arguments and returns values; the pipeline saves them. One bad item
is a value with its reason (`Unreadable`, `NotARun`), never an exception that ends the rest;
`SourceError` is for the source as a whole.
"""

from dataclasses import dataclass

from worker.model import Recording


class SourceError(Exception):
    """The source as a whole can't be used now. `permanent`: not before somebody mends it."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or item that can't be read, or a run without what a run needs; `reason` in words."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotARun:
    """A sound file or item that isn't a run: a ride, a workout plan, a day's monitoring."""

    reason: str


Reading = tuple[Recording, ...] | NotARun | Unreadable
"""What reading one file gives: its runs (at least one), or why there are none."""
