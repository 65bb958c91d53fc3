"""What the pages work with: the desk they stand at, a visit to it, and who may come in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from worker.links import LinkError, Signer
from worker.model import Athlete, SourceName
from worker.rules import Rules
from worker.store import Store
from worker.web.forms import Form
from worker.web.guests import GuestBook
from worker.web.pages import Pages
from worker.web.probe import Probe

Clock = Callable[[], datetime]

LINK_LIVES: Final[Mapping[str, timedelta | None]] = {
    "athlete": timedelta(days=60),
    "checkin": timedelta(days=30),
    "connect": timedelta(days=60),
    # One gives up a mail years later; closing the others leaves it open too.
    "unsubscribe": None,
}
"""How long a link of each purpose opens its page."""


class RefusedError(Exception):
    """The visit leads nowhere, for a reason that a plain page tells: its status is the answer's.

    `goodbye` says that the link was sound and its athlete is no longer kept.
    """

    def __init__(
        self, status: int, *, wait_s: int | None = None, goodbye: bool = False, realm: str = ""
    ) -> None:
        super().__init__(status)
        self.status = status
        self.wait_s = wait_s
        self.goodbye = goodbye
        self.realm = realm


@dataclass(frozen=True, slots=True)
class Desk:
    """The store and the operator's decisions, as far as pages need them.

    `ticks` names the pieces of the worker's work and how often each comes round. `forget` takes
    an athlete out for good; `disconnect` gives up a source; `connects` are the sources that can
    be connected at `/connect/<token>`. `give_key` tries an athlete's key to Garmin, with when it
    ends as they say it, and keeps it; raises `SourceError` with words for them. `token` opens the
    operator's pages.
    """

    store: Store
    signer: Signer
    clock: Clock
    base_url: str
    rules: Rules = field(default_factory=Rules)
    pages: Pages = field(default_factory=Pages)
    token: str | None = field(default=None, repr=False)
    ticks: Mapping[str, timedelta] = field(default_factory=dict)
    probe: Probe = field(default_factory=Probe)
    guests: GuestBook = field(default_factory=GuestBook)
    proxies: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    connects: tuple[SourceName, ...] = ()
    forget: Callable[[Athlete], None] | None = None
    disconnect: Callable[[Athlete, SourceName], None] | None = None
    give_key: Callable[[Athlete, str, str], None] | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, with its body read and the instant it came."""

    request: Request
    form: Form
    now: datetime

    @property
    def posts(self) -> bool:
        return self.request.method == "POST"

    @property
    def token(self) -> str:
        token: str = self.request.path_params["token"]
        return token


Act = Callable[[Desk, Visit], Response]
"""A page: what to answer to a visit. It may take its time, for it runs in a thread of its own."""


def opened(desk: Desk, visit: Visit, purpose: str) -> tuple[Athlete, Mapping[str, str | int]]:
    """Whose page the visit's link opens, and what else the link says; raises `RefusedError`."""
    lives = LINK_LIVES[purpose]
    try:
        payload = desk.signer.check(
            purpose,
            visit.token,
            max_age_s=lives.total_seconds() if lives else None,
            now=visit.now,
        )
    except LinkError as error:
        raise RefusedError(410 if error.expired else 403) from error
    athlete_id = payload.get("athlete")
    with desk.store.reading() as tx:
        athlete = tx.athletes.by_id(athlete_id) if isinstance(athlete_id, int) else None
        begin_at = tx.athletes.links_from(athlete) if athlete else None
    if athlete is None:
        raise RefusedError(410, goodbye=True)
    if lives is not None and begin_at is not None:
        signed_at = desk.signer.signed_at(purpose, visit.token)
        if signed_at is None or signed_at < begin_at:
            raise RefusedError(410)
    return athlete, payload


def local(athlete: Athlete, at: datetime) -> datetime:
    """An instant on the athlete's clock."""
    return at.astimezone(ZoneInfo(athlete.timezone))


def today(athlete: Athlete, now: datetime) -> date:
    """The date on the athlete's calendar."""
    return local(athlete, now).date()
