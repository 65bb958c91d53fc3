"""What a service is to the rest of Easeback: the errors it raises, the values it returns, `Source`.

    SourceError                 the service, or a folder, can't be used; says why and what to do
    ├── RateLimited             no more calls are allowed until `resets_at`
    ├── CredentialRevoked       only the athlete can mend it, by connecting again
    ├── AccessRefused           the access token is refused: refresh it, and ask once more
    ├── NotFound                no such activity, or no file behind it
    └── Unavailable             no useful answer: no network, a server's error, half a body
        └── Forbidden           this one thing may not be seen; the others may

Terminology: an *activity* is what a service lists, in its own words. A *recording* is an activity
that is a run. A *credential* is what an athlete gave us to read their account: tokens, or a key.

One bad activity or file is a value with its reason (`Unreadable`, `NotARun`), never an exception
that ends the rest. Nothing in this package stores anything or sleeps. A new service is a folder
with a class that has what `Source` names, and a line in `registry`.
"""

# ruff: noqa: N818  (each is named for what happened, as a reader of the log would say it)

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from worker.domain.models import Recording, SourceName
from worker.setting_types import SourceSection


class SourceError(Exception):
    """The source can't be used now.

    `permanent`: not before somebody mends it. `for_everybody`: the next athlete's call would show
    the same. `code` names the errors of which a caller tells one from another.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, for_everybody: bool = False, code: str = ""
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.for_everybody = for_everybody
        self.code = code


class RateLimited(SourceError):
    """No more calls are allowed until `resets_at`."""

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message, for_everybody=True)
        self.resets_at = resets_at


class CredentialRevoked(SourceError):
    """The credential is no longer accepted: only the athlete can mend that."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class AccessRefused(SourceError):
    """The access token ought to be good and isn't."""


class NotFound(SourceError):
    """No such activity, none that this credential may see, or no file behind it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class Unavailable(SourceError):
    """No answer came, or one that is no use. It passes."""


class Forbidden(Unavailable):
    """The account that asks may not see this one thing."""


WRONG_CLIENT = "wrong client"
"""The operator's client id or secret isn't accepted."""
REDIRECT_MISMATCH = "redirect mismatch"
"""The service doesn't send browsers back to this address."""
STALE_CONSENT = "stale consent"
"""A consent used before, too old, or from another browser: nobody's."""
STALE_CONSENT_SAYS = (
    "this page was used before, has waited too long, or was opened in another browser; "
    "begin again with the link"
)


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


@dataclass(frozen=True, slots=True)
class ListedActivity:
    """One activity of a list.

    `external_id` is its id as text, or empty where it has none; `started_at` None where that can't
    be read. `payload` is JSON of the fields the product uses, all that is saved of it.
    `wants_file`: the original file tells more than the list. `has_legs`: several sports in one
    file, and only the file tells which of its legs are runs.
    """

    external_id: str
    started_at: datetime | None
    parsed: Recording | NotARun | Unreadable
    payload: str = "{}"
    wants_file: bool = False
    has_legs: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list as it came.

    `confirm`, called like a method that asks, tells the service that the page is saved; for those
    that hand each activity over once.
    """

    activities: tuple[ListedActivity, ...]
    confirm: Callable[..., None] | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What opens one athlete's account.

    `account_id` is the athlete's id at the service, empty where it isn't known. What `secrets` are
    only the service's class knows; they are stored encrypted, in this order. `expires_at` is when
    the access token ends, `ends_at` when the credential itself does, where that is known.
    """

    account_id: str
    secrets: tuple[str, ...] = field(repr=False)
    expires_at: datetime | None = None
    ends_at: datetime | None = None
    scopes: frozenset[str] = frozenset()


Purpose = Literal["new", "history", "token"]
"""What a call is for: what is new goes before history; some services don't count token calls."""


class RateLimit(Protocol):
    """How many calls a service still allows. Immutable; stored between calls as JSON."""

    @property
    def patience(self) -> timedelta:
        """How long it is worth waiting for the next call; who would wait longer comes back."""
        ...

    @property
    def closed_until(self) -> datetime | None:
        """When the service allows calls again, after it refused one."""
        ...

    def opens_at(self, purpose: Purpose, now: datetime) -> datetime:
        """When the next call may be made; `now` where it may be at once."""
        ...

    def reserve(self, purpose: Purpose, now: datetime) -> tuple[datetime, Self]:
        """When to make the next call, and the limit with that call counted."""
        ...

    def observe(self, headers: Mapping[str, str], now: datetime) -> Self:
        """With what the headers of an answer say that is no refusal."""
        ...

    def closed(self, headers: Mapping[str, str], *, now: datetime, until: datetime) -> Self:
        """After a refusal: no call before `until`, or later where refusals go on."""
        ...

    def paused(self, until: datetime) -> Self:
        """Without a refusal: no call before `until`."""
        ...

    def state(self) -> dict[str, Any]:
        """What is stored: JSON."""
        ...


Observe = Callable[[Mapping[str, str]], None]
"""Called with the headers of an answer, also of one that is a refusal."""


@runtime_checkable
class OAuth2(Protocol):
    """Connecting by a consent on the service's own page.

    `no_consent_hint` says what to try where no consent comes back.
    """

    no_consent_hint: ClassVar[str]

    def authorize_url(self, *, state: str, redirect: str) -> str:
        """Where the athlete's browser goes to consent."""
        ...

    def check_redirect(self, redirect: str, *, now: datetime) -> None:
        """Raises `SourceError` with a `code` where the page would show nothing but an error."""
        ...

    def exchange(self, query: Mapping[str, str], *, now: datetime) -> Credential:
        """The credential for what the browser brought back; raises `SourceError`."""
        ...

    def missing(self, credential: Credential) -> str | None:
        """What the athlete won't get for what they didn't allow, in words."""
        ...


@runtime_checkable
class ApiKey(Protocol):
    """Connecting by a key that the athlete makes at the service.

    `key_page` is where, `key_menu` how to find it there; `key_lives_days` what they choose from,
    empty where keys don't end.
    """

    key_page: ClassVar[str]
    key_menu: ClassVar[str]
    key_lives_days: ClassVar[tuple[int, ...]]

    def with_key(self, key: str, *, ends_at: datetime | None) -> Credential:
        """The credential of a key as it was pasted; raises ValueError with words."""
        ...

    def wrong_key(self) -> SourceError:
        """What to say of a key that was just given and is refused."""
        ...

    def ended(self) -> CredentialRevoked:
        """What to say of a key that was good, and no longer is."""
        ...


def takes_key(kind: object) -> bool:
    """True for a service that is connected by a key, False for one by a consent."""
    return isinstance(kind, ApiKey)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook subscription as the service has it."""

    id: int
    callback_url: str


@runtime_checkable
class Webhook(Protocol):
    """A service that posts events to us. What an event says is a reason to look, no more."""

    def subscribe(self, callback_url: str, *, verify_token: str, now: datetime) -> int:
        """Ask for events at an address, which the service checks at once; the id."""
        ...

    def subscriptions(self, *, now: datetime) -> tuple[Subscription, ...]:
        """The application's subscriptions."""
        ...

    def unsubscribe(self, subscription_id: int, *, now: datetime) -> None:
        """Remove a subscription; one that isn't there is fine."""
        ...

    def read_event(self, event: object, *, subscription_id: int) -> tuple[str, str] | None:
        """Whose account an event names, and the activity to look at.

        An empty activity asks to look whether the athlete still allows anything. None where the
        event isn't for us.
        """
        ...


class Source(Protocol):
    """A service, asked with an athlete's credential. Safe to share between threads.

    Every method that asks raises `SourceError` and nothing else. `observe` gets the headers of
    each answer. Class facts are known without any settings; the rest once it is set up.
    """

    name: ClassVar[SourceName]
    title: ClassVar[str]
    """As people call it."""
    section: ClassVar[type[SourceSection]]
    """The section `[name]` of the settings."""
    off: ClassVar[str]
    """What to set where the service is off."""
    about: ClassVar[str]
    """What it costs and needs, for who chooses a way for runs to come."""
    asked_for: ClassVar[tuple[str, ...]]
    """The keys of its section without which it's off; empty where it needs none."""
    ends_at_service: ClassVar[str | None]
    """Where athletes end a connection that we couldn't give back."""
    precedence: ClassVar[int]
    """Where sources disagree about a run, the lowest is believed: 1 for devices' own files."""
    largest_page: ClassVar[int]
    has_files: ClassVar[bool]
    """Original files can be had, and are believed before the list."""
    calls_at_once: ClassVar[int | None]
    """After so many calls for history a tick ends, so that what is new elsewhere goes first."""

    every: timedelta
    """How often each athlete's list is asked for."""
    reach: timedelta
    """How far back runs are wanted."""
    retention: timedelta | None
    """How long what was fetched may be kept; None: until the athlete disconnects."""
    auth: OAuth2 | ApiKey
    webhook: Webhook | None

    @classmethod
    def set_up(cls, settings: Any, *, ca_file: str | None = None) -> "Self | None":
        """The service by its section of the settings, None where it is off; raises ValueError."""
        ...

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        ...

    def rate_limit(self, state: Mapping[str, Any] | None, now: datetime) -> RateLimit:
        """The limit as it was stored; `state` None where nothing is known of it."""
        ...

    def rate_limited(self, resets_at: datetime) -> RateLimited: ...

    def is_stale(self, credential: Credential, now: datetime) -> bool:
        """True where the access token has ended or is about to."""
        ...

    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """With a fresh access token; raises `CredentialRevoked`. Save it before using it."""
        ...

    def clock_trouble(self, fresh: Credential, now: datetime) -> str | None:
        """Why our clock seems wrong by a credential that was just given, in words."""
        ...

    def revoke(self, credential: Credential, *, now: datetime) -> None:
        """End the credential at the service, where it has a way to."""
        ...

    def list_activities(
        self,
        credential: Credential,
        *,
        now: datetime,
        observe: Observe = ...,
        page: int = 1,
        size: int = ...,
        before: datetime | None = None,
    ) -> Page:
        """A page of the activities, newest first; `before` leaves out what began days later."""
        ...

    def get_activity(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ...
    ) -> ListedActivity | None:
        """One activity; None where there is none, or none that may be seen."""
        ...

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ...
    ) -> bytes:
        """The original file, perhaps packed. Raises `NotFound` where there is none."""
        ...

    def parse(self, raw: object) -> ListedActivity:
        """One activity as the service tells it, or as its payload was saved. Never raises."""
        ...


def ignore(_: Mapping[str, str]) -> None:
    """An `Observe` for who doesn't count calls."""
