"""The port of polled sources: services that list an athlete's activities, newest first, in pages.

`PolledSource` is what the pipeline asks, and the refusals below are what it may be answered with;
each service's own errors are of these kinds as well, so that whoever only asks *what now* needs no
service's names. What to ask next is `plan`'s to say.
"""

# ruff: noqa: N818  (each is named for what happened, as a reader of the log would say it)

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from worker.model import Recording
from worker.sources import NotARun, SourceError, Unreadable
from worker.sources.plan import Row

G_contra = TypeVar("G_contra", contravariant=True)


class ListedRow(Row, Protocol):
    """One activity of a list: a recording, or why there is none.

    `payload` is JSON of the fields that the product uses.
    """

    @property
    def reading(self) -> Recording | NotARun | Unreadable: ...

    @property
    def payload(self) -> str: ...


class ListedPage(Protocol):
    """A page of the list as it came."""

    @property
    def rows(self) -> Sequence[ListedRow]: ...


class PolledSource(Protocol[G_contra]):
    """A service, to be asked with an athlete's grant. Raises the refusals below, and no others."""

    def page(
        self,
        grant: G_contra,
        *,
        now: datetime,
        number: int = 1,
        size: int = ...,
        before: datetime | None = None,
    ) -> ListedPage:
        """A page of the activities, newest first; `before` leaves out what began later."""
        ...

    def close(self) -> None: ...


class Unreachable(SourceError):
    """No answer came: no network, no name, no trust, no patience."""


class Unavailable(SourceError):
    """An answer came that's no use: a server's error, half a body, not what was asked for."""


class RateLimited(SourceError):
    """No more calls are allowed until `resets_at`."""

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message)
        self.resets_at = resets_at


class AccessRefused(SourceError):
    """The access token ought to be good and isn't: get a new one, and ask once more."""


class DeadGrant(SourceError):
    """The grant is no longer accepted: only the athlete can mend that, by connecting again."""


class NotThere(SourceError):
    """No such activity, or none that this grant may see."""
