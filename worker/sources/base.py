"""The interface of a service: the errors it raises, the values it returns, and `Source`.

    SourceError                 the service, or a folder, can't be used; says why and what to do
    ├── RateLimited             no more calls are allowed until `resets_at`
    ├── CredentialRevoked       only the athlete can fix this, by connecting again
    ├── AccessRefused           the access token is refused: refresh it, and ask once more
    ├── NotFound                no such activity, or it has no file
    └── Unavailable             no usable answer: no network, a server error, an incomplete body
        └── Forbidden           this one item may not be read; others may

Terminology: an *activity* is what a service lists, in its own terms. A *recording* is an activity
that is a run. A *credential* is what an athlete gave us to read their account: tokens, or a key.

One bad activity or file is a value with its reason (`Unreadable`, `NotARun`, in `readings`), never
an exception that ends the rest. Nothing in this package stores anything or sleeps. A new service is
a folder with a section of the settings and a subclass of `OAuth2` or `ApiKey`, and of `Webhook` if
it has one, and a line each in `sections` and `registry`.
"""

# ruff: noqa: N818  (each is named for what happened, as a reader of the log would say it)
# ruff: noqa: ARG002  (what a service may do without is here and does nothing)

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Self

from worker import __version__
from worker.domain.models import Recording, SourceName
from worker.setting_types import SourceSection
from worker.sources import NotARun, Unreadable
from worker.sources.rate_limit import RateLimit, asked_pause

if TYPE_CHECKING:
    import requests


class SourceError(Exception):
    """The source can't be used now.

    `permanent`: somebody has to fix it. `for_everybody`: the next athlete's call would fail in
    the same way. `code` identifies errors that callers distinguish.
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
    """The credential is no longer accepted; only the athlete can fix that."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class AccessRefused(SourceError):
    """The access token is refused although it hasn't expired."""


class NotFound(SourceError):
    """There is no such activity, this credential may not see it, or it has no file."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class Unavailable(SourceError):
    """No answer, or no usable one. A temporary problem."""


class Forbidden(Unavailable):
    """The account may not see this one item."""


WRONG_CLIENT = "wrong client"
"""The operator's client id or secret isn't accepted."""
REDIRECT_MISMATCH = "redirect mismatch"
"""The service doesn't send browsers back to this address."""
CONSENT_REFUSED = "consent refused"
"""The service doesn't show its consent page for this application to anybody."""
STALE_CONSENT = "stale consent"
"""A consent that was used before, is too old, or comes from another browser."""
STALE_CONSENT_SAYS = (
    "this page was used before, has waited too long, or was opened in another browser; "
    "begin again with the link"
)


@dataclass(frozen=True, slots=True)
class ListedActivity:
    """One activity of a list.

    `external_id` is its id as text, or empty if it has none; `started_at` is None if it can't be
    read. `payload` is JSON of the fields that Easeback uses, the only ones that are saved.
    `wants_file`: the original file contains more than the list. `has_legs`: the file has several
    sports, and only it says which of its legs are runs.
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
    """A page of the list as received.

    `confirm` tells the service that the page is saved, for services that return each activity
    only once. It is called like the methods that ask. `note` says what isn't shown, for `status`
    and once for the weekly mail.
    """

    activities: tuple[ListedActivity, ...]
    confirm: Callable[..., None] | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """Access to one athlete's account.

    `account_id` is the athlete's id at the service, or empty if it isn't known. Only the service's
    class knows what `secrets` are; they are stored encrypted, in this order. `expires_at` is when
    the access token ends, `ends_at` when the credential itself does, if that is known.
    """

    account_id: str
    secrets: tuple[str, ...] = field(repr=False)
    expires_at: datetime | None = None
    ends_at: datetime | None = None
    scopes: frozenset[str] = frozenset()


Observe = Callable[[Mapping[str, str]], None]
"""Called with the headers of each answer, including refusals."""


def ignore(_: Mapping[str, str]) -> None:
    """An `Observe` that does nothing, for callers that don't count calls."""


class Source(ABC):
    """A service, asked with an athlete's credential. Safe to share between threads.

    Every method that makes a call raises `SourceError` and nothing else. `observe` gets the
    headers of each answer. Class variables are known without any settings, the rest after
    `set_up`.
    """

    name: ClassVar[SourceName]
    title: ClassVar[str]
    """The service's name for people."""
    section: ClassVar[type[SourceSection]]
    """The section `[name]` of the settings."""
    off: ClassVar[str]
    """What to set if the service is off."""
    about: ClassVar[str]
    """What it costs and needs, for people who choose a source."""
    asked_for: ClassVar[tuple[str, ...]] = ()
    """The settings in its section that turn it on."""
    ends_at_service: ClassVar[str | None] = None
    """Where athletes end a connection that we couldn't revoke; None if we never can."""
    limits: ClassVar[type[RateLimit]]
    largest_page: ClassVar[int]
    largest_answer_bytes: ClassVar[int] = 16 * 2**20
    has_files: ClassVar[bool] = False
    """Original files are available, and take precedence over the list."""
    calls_at_once: ClassVar[int | None] = None
    """After this many history calls a tick ends, so that new activities elsewhere come first."""

    retention: timedelta | None = None
    """How long fetched data may be kept; None: until the athlete disconnects."""

    def __init__(
        self, settings: SourceSection, *, ca_file: str | None = None, answer_s: float = 60.0
    ) -> None:
        """`answer_s` is the longest time for a call, from sending to the last byte."""
        self.base_url = settings.base_url
        self.every = settings.every
        """How often each athlete's list is polled."""
        self.reach = settings.history
        """How far back runs are wanted."""
        self._ca_file = ca_file
        self.answer_s = answer_s

    @classmethod
    def set_up(cls, settings: Any, *, ca_file: str | None = None) -> Self | None:
        """The service by its section of the settings, or None if it is off."""
        is_on = getattr(settings, "enabled", True)
        is_on = is_on and all(getattr(settings, key) for key in cls.asked_for)
        return cls(settings, ca_file=ca_file) if is_on else None

    @abstractmethod
    def is_stale(self, credential: Credential, now: datetime) -> bool:
        """True if the access token has ended or is about to."""

    @abstractmethod
    def refresh(self, credential: Credential, *, now: datetime) -> Credential:
        """Get a fresh access token; raises `CredentialRevoked`. Save it before using it."""

    def clock_trouble(self, fresh: Credential, now: datetime) -> str | None:
        """Why our clock seems wrong, in words, judging by a credential that was just issued."""
        return None

    def revoke(self, credential: Credential, *, now: datetime) -> None:  # noqa: B027
        """End the credential at the service, if it supports that."""

    @abstractmethod
    def list_activities(
        self,
        credential: Credential,
        *,
        now: datetime,
        observe: Observe = ignore,
        page: int = 1,
        size: int,
        before: datetime | None = None,
    ) -> Page:
        """A page of the activities, newest first; `before` omits those that began days later."""

    def download(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> bytes:
        """The original file, perhaps compressed. Raises `NotFound` if there is none."""
        raise NotFound(f"{self.title} gives no files")

    @abstractmethod
    def parse(self, raw: object) -> ListedActivity:
        """Parse one activity, as the service returned it or as its payload was saved.
        Never raises.
        """

    # What the services share

    def rate_limited(self, resets_at: datetime) -> RateLimited:
        words = self.limits.refusal.format(title=self.title, opens=resets_at)
        return RateLimited(words, resets_at=resets_at)

    @cached_property
    def session(self) -> "requests.Session":
        """The open connections to the service; every answer is limited in time and size."""
        from worker.sources.http import http_session

        return http_session(self, ca_file=self._ca_file, answer_s=self.answer_s)

    def impatient(self, answer_s: float) -> Self:
        """The same service with another deadline for each call, and its own connections."""
        other = copy(self)
        other.__dict__.pop("session", None)
        other.answer_s = answer_s
        return other

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        session = self.__dict__.pop("session", None)
        if session is not None:
            session.close()

    def route(self, address: str) -> str:
        """The address to use instead of this one."""
        return address

    def ask(
        self,
        method: str,
        path: str,
        authorization: str,
        *,
        now: datetime,
        accept: str = "application/json",
        observe: Observe = ignore,
        query: Mapping[str, str | int] | None = None,
    ) -> "requests.Response":
        """Get the answer at a path of the service; raises the error that its status means."""
        from worker.sources.http import network_errors

        headers = {
            "Authorization": authorization,
            "Accept": accept,
            "User-Agent": f"easeback/{__version__}",
        }
        with network_errors(self.title):
            answer = self.session.request(
                method, f"{self.base_url}{path}", headers=headers, params=query
            )
        observe(answer.headers)
        if not answer.ok:
            raise self.refused(answer.status_code, answer.headers, now)
        return answer

    def ask_json(self, path: str, authorization: str, **how: Any) -> Any:
        """Get the JSON at a path; `how` is as for `ask`."""
        answer = self.ask("GET", path, authorization, **how)
        try:
            return answer.json()
        except ValueError:
            words = f"{self.title} answered with something that isn't its API"
            raise Unavailable(words) from None

    def refused(self, status: int, headers: Mapping[str, str], now: datetime) -> SourceError:
        """The error that a status means, without looking at the body."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self.rate_limited(now + asked_pause(headers.get("Retry-After"), now))
        if status == HTTPStatus.UNAUTHORIZED:
            return AccessRefused(f"{self.title} refused the access token")
        if status == HTTPStatus.FORBIDDEN:
            return Forbidden(f"{self.title} doesn't let this account see that (403)")
        if status == HTTPStatus.NOT_FOUND:
            return NotFound(f"{self.title} has nothing there, or doesn't show it")
        return Unavailable(f"{self.title} has trouble of its own ({status}); asking again later")

    def page_of(self, listed: object) -> Page:
        """A page from the list as received; raises `Unavailable` if it isn't a list."""
        if not isinstance(listed, list):
            raise Unavailable(f"{self.title}'s list of activities isn't a list")
        return Page(tuple(map(self.parse, listed)))


class OAuth2(Source):
    """A service that athletes connect by a consent on its page."""

    no_consent_hint: ClassVar[str]
    """What to try if the browser brings back no consent."""

    @abstractmethod
    def authorize_url(self, *, state: str, redirect: str) -> str:
        """The address of the consent page."""

    @abstractmethod
    def check_redirect(self, redirect: str, *, now: datetime) -> None:
        """Raise `SourceError` with a `code` if the page would show nothing but an error."""

    @abstractmethod
    def exchange(self, query: Mapping[str, str], *, now: datetime) -> Credential:
        """The credential for what the browser brought back."""

    @abstractmethod
    def missing(self, credential: Credential) -> str | None:
        """What the athlete won't get because they didn't allow it, in words."""


class ApiKey(Source):
    """A service that is connected by a key, which the athlete creates there and pastes here."""

    key_page: ClassVar[str]
    key_menu: ClassVar[str]
    """How to find the page for keys at the service."""
    key_lives_days: ClassVar[tuple[int, ...]] = ()
    """The lifetimes to choose from; empty if keys don't end."""

    def with_key(self, key: str, *, ends_at: datetime | None) -> Credential:
        """The credential of a pasted key; raises ValueError with a sentence for the athlete."""
        pasted = key.strip().removeprefix("ApiKey ").strip()
        if not pasted:
            raise ValueError("no key was given; nothing was changed")
        if not is_one_word(pasted) or len(pasted) > _LONGEST_KEY:
            raise ValueError(
                f"that isn't a key: paste the one line that {self.title} showed, and no more"
            )
        return Credential("", (pasted,), ends_at=ends_at)

    def wrong_key(self) -> SourceError:
        """The error for a new key that is refused."""
        return SourceError(
            f"{self.title} doesn't accept this key: paste it whole, or make a new one at "
            f"{self.key_page}; nothing was changed",
            permanent=True,
        )

    def ended(self) -> CredentialRevoked:
        """The error for a key that is no longer accepted."""
        return CredentialRevoked(
            f"{self.title} no longer accepts the key (it ran out, or was deleted); make a new one "
            f"at {self.key_page} and connect again"
        )


_LONGEST_KEY = 4096


def is_one_word(text: str) -> bool:
    """True if `text` may be a key or a token: printable ASCII without spaces."""
    return text.isascii() and text.isprintable() and " " not in text and text != ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook subscription, as stored by the service."""

    id: int
    callback_url: str


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """The activity that a webhook event names: only a reason to ask the service.

    With an empty `external_id`, the reason is that the athlete may have withdrawn the consent.
    """

    subscription_id: int
    account_id: str
    external_id: str


class Webhook(Source):
    """A service that posts events to us. An event is only a reason to ask the service."""

    @abstractmethod
    def subscribe(self, callback_url: str, *, verify_token: str, now: datetime) -> int:
        """Subscribe to events at an address, which the service checks at once; returns the id."""

    @abstractmethod
    def subscriptions(self, *, now: datetime) -> tuple[Subscription, ...]:
        """The application's subscriptions."""

    @abstractmethod
    def unsubscribe(self, subscription_id: int, *, now: datetime) -> None:
        """Remove a subscription; it's no error if there is none."""

    @abstractmethod
    def get_activity(
        self, credential: Credential, external_id: str, *, now: datetime, observe: Observe = ignore
    ) -> ListedActivity | None:
        """The activity that an event named; None if it doesn't exist or isn't visible."""

    @abstractmethod
    def read_event(self, event: object) -> ServiceEvent | None:
        """Read an event's JSON; None if it isn't an event."""
