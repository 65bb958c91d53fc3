"""A session: one athlete's credential, leased to one worker, and the only way to use it.

The access token is refreshed and stored before it is used. Every call is counted against the
service's rate limit before it is made. If a token is refused, it is refreshed and the call is
repeated.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from worker.domain.models import Athlete, SourceName
from worker.domain.weeks import local_day
from worker.metrics import timed_call
from worker.notify import ReconnectFacts
from worker.pipeline.away import away_since
from worker.pipeline.services import Clock, ConnectedSource, Services, enqueue
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    CredentialRevoked,
    Observe,
    RateLimited,
    SourceError,
    Unavailable,
)
from worker.sources.bounded import first_of, within
from worker.sources.polling import is_long_away
from worker.sources.rate_limit import Purpose, RateLimit
from worker.sources.registry import SOURCES
from worker.store import DecryptError, StoreError, Transaction
from worker.store.progress import SourceState
from worker.store.source_base import SeenActivity, StoredCredential

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
"""Longer than any sync run. A worker that died holds a credential for at most this time."""
WARN_BEFORE = timedelta(days=14)
"""How long before a credential ends the athlete is notified."""

TOKEN_WITHIN_S = 20.0
"""The limit for a token refresh, which can't be repeated on a second connection."""
ANOTHER_WITHIN_S = 10.0
"""The limit for a call that is repeated on a second connection while the first one waits."""

KnownActivities = Mapping[str, SeenActivity | None]
"""What is stored about activities, by their ids; None for one that was never seen."""

A = TypeVar("A")


@dataclass(slots=True)
class ClientSession:
    """One athlete's credential, held by this worker alone; from `open_session`.

    `clock_trouble` says why our clock seems wrong by the last refresh, if there was one.
    `asks_to_reconnect`: if the credential turns out to be revoked, a mail asks the athlete to
    reconnect. `counted` is the first call, if it was counted when the session began. `has_ended`:
    the credential was released. `known` is the stored state of activities (None: unknown), if it
    was read just before.
    """

    services: Services
    connected: ConnectedSource
    athlete: Athlete
    stored: StoredCredential
    clock: Clock
    asks_to_reconnect: bool = True
    clock_trouble: str | None = None
    credential: Credential | None = None
    counted: "CountedCall | None" = None
    has_ended: bool = False
    known: KnownActivities = field(default_factory=dict)

    def ask(self, purpose: Purpose, question: Callable[..., A]) -> A:
        """Call `question(credential, now=, observe=)`, with a fresh token and within the limits.

        Raises `SourceError`.
        """
        client, now = self.connected.client, self.clock()
        ends_at = self.stored.ends_at
        if ends_at is not None and ends_at <= now and isinstance(client, ApiKey):
            ended = client.ended()
            self._revoke(ended)
            raise ended
        credential = self.credential or decrypt(self.connected, self.stored)
        if client.is_stale(credential, now):
            credential = self._refresh(credential)
        self.credential = credential
        counted, self.counted = self.counted, None
        call = partial(
            limited_call, self.services, self.connected, purpose, self.clock,
            lambda now, observe: question(self.credential, now=now, observe=observe),
        )  # fmt: skip
        try:
            return call(counted=counted)
        except AccessRefused:
            self.credential = self._refresh(credential)
        try:
            return call()
        except AccessRefused:
            raise Unavailable(f"{client.title} refuses a token that it has just given") from None

    def still_stands(self, tx: Transaction) -> bool:
        """True if the athlete is still connected to the account that was asked."""
        there = tx.source(self.connected.client.name).credential(self.athlete)
        if there is None or there.account_id != self.stored.account_id:
            return False
        return there.account_id != "" or there.connected_at == self.stored.connected_at

    def end(self, tx: Transaction) -> bool:
        """Release the credential in the transaction that saves the results, and make no more calls.

        True if the athlete is still connected to the account that was asked.
        """
        rows = tx.source(self.connected.client.name)
        stands = rows.release(self.athlete, asked=self.stored)
        self.has_ended = stands
        return stands

    def _refresh(self, credential: Credential) -> Credential:
        """With a fresh token, stored before it's used: the old refresh token is invalid now."""
        client = self.connected.client
        try:
            fresh = limited_call(
                self.services,
                self.connected,
                "token",
                self.clock,
                lambda now, _: client.refresh(credential, now=now),
            )
        except CredentialRevoked as error:
            self._revoke(error)
            raise
        with self.services.store.transaction() as tx:
            rows = tx.source(self.connected.client.name)
            renewed = rows.renew(
                self.athlete,
                version=self.stored.version,
                encrypted=encrypt(self.connected, fresh),
                expires_at=fresh.expires_at,
            )
            there = rows.credential(self.athlete)
        if there is None or not renewed:
            raise SourceError("connected again, or disconnected, in the meantime")
        self.stored = there
        self.clock_trouble = client.clock_trouble(fresh, self.clock())
        return fresh

    def _revoke(self, error: CredentialRevoked) -> None:
        """Save that the credential is revoked, and ask the athlete once to reconnect."""
        source, now = self.connected.client.name, self.clock()
        with self.services.store.transaction() as tx:
            if not tx.source(source).revoked(self.athlete, version=self.stored.version, now=now):
                raise SourceError("connected again in the meantime")
            before = tx.progress.sources(self.athlete).get(source)
            success_at = before.last_success_at if before else None
            state = SourceState("failing", success_at, str(error))
            tx.progress.save_source(self.athlete, source, state)
            if self.asks_to_reconnect and self.athlete.gets("reconnect"):
                client = self.connected.client
                key_menu = client.key_menu if isinstance(client, ApiKey) else ""
                facts = ReconnectFacts(
                    self.athlete,
                    source,
                    client.title,
                    now,
                    by_key=bool(key_menu),
                    key_menu=key_menu,
                )
                connected_at = self.stored.connected_at.isoformat()
                enqueue(
                    tx,
                    self.services,
                    self.services.composer.reconnect(facts),
                    athlete=self.athlete,
                    key=f"reconnect:{source}:{self.athlete.id}:{connected_at}",
                    now=now,
                )


@contextmanager
def open_session(
    services: Services,
    connected: ConnectedSource,
    athlete: Athlete,
    clock: Clock,
    *,
    first: Purpose | None = None,
    event_calls: int | None = None,
) -> Iterator[ClientSession | None]:
    """Hold the athlete's credential exclusively while inside.

    Yields None if another worker holds it, if there is none, or if that many `event_calls` were
    made for the athlete today; otherwise one more is counted. If `first` is the purpose of a first
    call, the transaction that leases the credential also counts it, and raises `RateLimited` if
    no call is allowed. An unexpected exception inside becomes a `SourceError`, so that it is
    retried later, with longer and longer pauses.
    """
    source, now = connected.client.name, clock()
    counted = None
    with services.store.transaction() as tx:
        rows, until = tx.source(source), now + LEASE
        leased = rows.lease(athlete, now=now, until=until, event_calls=event_calls)
        stored, state = leased or (None, None)
        is_alive = stored is not None and stored.revoked_at is None
        if is_alive and first is not None:
            known = connected.client.limits.stored(state, now) if state else None
            counted = count_call(tx, connected, first, now, known=known)
    if stored is None:
        yield None
        return
    session = ClientSession(services, connected, athlete, stored, clock, counted=counted)
    is_saved = False
    try:
        yield session if is_alive else None
        is_saved = True
    except (SourceError, StoreError):
        raise
    except Exception as surprise:
        context = {"source": source, "athlete": athlete.id}
        log.exception("%(source)s: athlete %(athlete)s: unexpected", context)
        raise SourceError(f"unexpected: {surprise!r}") from surprise
    finally:
        if not (is_saved and session.has_ended):
            with services.store.transaction() as tx:
                tx.source(source).release(athlete)


@dataclass(frozen=True, slots=True)
class CountedCall:
    """A call that was counted: when to make it, and the rate limit that includes it."""

    at: datetime
    limit: RateLimit


def count_call(
    tx: Transaction,
    connected: ConnectedSource,
    purpose: Purpose,
    now: datetime,
    *,
    known: RateLimit | None = None,
) -> CountedCall:
    """Count a call before it's made; raises `RateLimited` if no call is allowed.

    `known` is the stored limit, if the caller has read and locked it.
    """
    known = known or known_limit(tx, connected, now, lock=True)
    opens_at = known.opens_at(purpose, now)
    if opens_at - now > known.patience:
        raise connected.client.rate_limited(opens_at)
    at, reserved = known.reserve(purpose, now)
    if reserved != known:
        tx.source(connected.client.name).save_limit(reserved.state())
    return CountedCall(at, reserved)


def limited_call(
    services: Services,
    connected: ConnectedSource,
    purpose: Purpose,
    clock: Clock,
    question: Callable[[datetime, Observe], A],
    counted: CountedCall | None = None,
) -> A:
    """Make one call within the service's rate limit; raises `RateLimited` if none is allowed.

    The call is counted before it's made, so that workers can't exceed the limit together;
    `counted` is given if that was done. While the answer is slow, the call is repeated on another
    connection, and the first answer counts. Token calls aren't repeated, because the first one
    may have used up the old token.
    """
    client = connected.client
    if counted is None:
        with services.store.transaction() as tx:
            counted = count_call(tx, connected, purpose, clock())
    if purpose == "token":
        with within(TOKEN_WITHIN_S):
            return _call(services, connected, clock, question, counted)

    def another() -> A:
        with services.store.transaction() as tx:
            now = clock()
            since = away_since(tx, client.name)
            if since is not None and is_long_away(since, now):
                raise Unavailable("asked seldom by now")
            try:  # a repeated call must not use the share kept for news
                beside = count_call(tx, connected, "history", now)
            except RateLimited as error:
                raise Unavailable(str(error)) from None
        with within(ANOTHER_WITHIN_S):
            return _call(services, connected, clock, question, beside)

    return first_of(
        partial(_call, services, connected, clock, question, counted),
        another,
        every_s=connected.another_every_s,
        unanswered=Unavailable,
    )


def _call(
    services: Services,
    connected: ConnectedSource,
    clock: Clock,
    question: Callable[[datetime, Observe], A],
    counted: CountedCall,
) -> A:
    """Make a counted call, and save what its answer says about the rate limit."""
    client, reserved, now = connected.client, counted.limit, clock()
    if counted.at > now:
        connected.wait((counted.at - now).total_seconds())
    headers: dict[str, str] = {}
    answered = True
    try:
        with timed_call(client.name):
            return question(clock(), headers.update)
    except RateLimited as error:
        answered = False
        with services.store.transaction() as tx:
            known = known_limit(tx, connected, clock(), lock=True)
            closed = known.closed(headers, now=clock(), until=error.resets_at)
            tx.source(client.name).save_limit(closed.state())
        raise client.rate_limited(closed.closed_until or error.resets_at) from None
    except Unavailable:
        answered = False
        raise
    finally:
        if answered and reserved.observe(headers, clock()) != reserved:
            with services.store.transaction() as tx:
                known = known_limit(tx, connected, clock(), lock=True)
                tx.source(client.name).save_limit(known.observe(headers, clock()).state())


def known_limit(
    tx: Transaction, connected: ConnectedSource, now: datetime, *, lock: bool = False
) -> RateLimit:
    """The stored rate limit; with `lock`, locked until the end of the transaction."""
    client = connected.client
    return client.limits.stored(tx.source(client.name).limit(lock=lock), now)


def connected_source(services: Services, source: SourceName) -> ConnectedSource:
    """The service of this name; raises `SourceError` if it is off."""
    if source not in services.sources:
        off = next(kind.off for kind in SOURCES if kind.name == source)
        raise SourceError(off, permanent=True)
    return services.sources[source]


def encrypt(connected: ConnectedSource, credential: Credential) -> bytes:
    return connected.encrypter.encrypt_text(json.dumps(credential.secrets))


def decrypt(connected: ConnectedSource, stored: StoredCredential) -> Credential:
    """Raises `SourceError` if the key that it was encrypted with is lost."""
    try:
        secrets = json.loads(connected.encrypter.decrypt(stored.encrypted))
    except DecryptError as error:
        raise SourceError(str(error), permanent=True) from error
    return Credential(
        stored.account_id, tuple(secrets), stored.expires_at, stored.ends_at, stored.scopes
    )


def ends_soon(
    connected: ConnectedSource, stored: StoredCredential, athlete: Athlete, now: datetime
) -> str | None:
    """A warning about a key in its last 14 days, else None."""
    client, ends_at = connected.client, stored.ends_at
    if ends_at is None or ends_at - now > WARN_BEFORE or not isinstance(client, ApiKey):
        return None
    ends_on = local_day(athlete, ends_at)
    return f"the key runs out on {ends_on}: make a new one at {client.key_page} and connect again"
