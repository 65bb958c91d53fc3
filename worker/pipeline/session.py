"""A session: one athlete's credential, held by one worker alone, and the only way to ask with it.

The access token is refreshed, and stored before it's used; every call is counted against the
service's rate limit before it's made; a refused token is refreshed, and the question asked again.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from worker.domain.models import Athlete, SourceName
from worker.notify import ReconnectFacts
from worker.pipeline.services import Clock, ConnectedSource, Services, enqueue
from worker.sources.base import (
    AccessRefused,
    ApiKey,
    Credential,
    CredentialRevoked,
    Observe,
    Purpose,
    RateLimit,
    RateLimited,
    SourceError,
    Unavailable,
)
from worker.sources.registry import SOURCES
from worker.store import DecryptError, SourceState, StoredCredential, StoreError, Transaction

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
"""Longer than any sync run: a worker that died holds a credential no longer than this."""

A = TypeVar("A")


class Session:
    """One athlete's credential, held by this worker alone; from `open_session`."""

    def __init__(
        self,
        services: Services,
        connected: ConnectedSource,
        athlete: Athlete,
        stored: StoredCredential,
        clock: Clock,
    ) -> None:
        self.athlete = athlete
        self.connected = connected
        self.stored = stored
        self._services = services
        self._clock = clock
        self._credential: Credential | None = None
        self.clock_trouble: str | None = None
        """Why our clock seems wrong by the last refresh, if there was one."""

        self.asks_to_reconnect = True
        """Whether a revoked credential is told in a mail, or was ended on purpose."""

    def ask(self, purpose: Purpose, question: Callable[..., A]) -> A:
        """Call `question(credential, now=, observe=)`, with a fresh token and within the limits.

        Raises `SourceError`.
        """
        client, now = self.connected.client, self._clock()
        ends_at = self.stored.ends_at
        if ends_at is not None and ends_at <= now and isinstance(client.auth, ApiKey):
            ended = client.auth.ended()
            self._revoke(ended)
            raise ended
        credential = self._credential or decrypt(self.connected, self.stored)
        if client.is_stale(credential, now):
            credential = self._refresh(credential)
        self._credential = credential
        try:
            return self._call(purpose, question, credential)
        except AccessRefused:
            self._credential = credential = self._refresh(credential)
        try:
            return self._call(purpose, question, credential)
        except AccessRefused:
            raise Unavailable(f"{client.title} refuses a token that it has just given") from None

    def still_stands(self, tx: Transaction) -> bool:
        """True where the athlete is connected to the account that was asked."""
        there = tx.source(self.connected.name).credential(self.athlete)
        if there is None or there.account_id != self.stored.account_id:
            return False
        return there.account_id != "" or there.connected_at == self.stored.connected_at

    def _call(self, purpose: Purpose, question: Callable[..., A], credential: Credential) -> A:
        return limited_call(
            self._services,
            self.connected,
            purpose,
            self._clock,
            lambda now, observe: question(credential, now=now, observe=observe),
        )

    def _refresh(self, credential: Credential) -> Credential:
        """With a fresh token, stored before it's used: the old refresh token is dead by now."""
        client = self.connected.client
        try:
            fresh = limited_call(
                self._services,
                self.connected,
                "token",
                self._clock,
                lambda now, _: client.refresh(credential, now=now),
            )
        except CredentialRevoked as error:
            self._revoke(error)
            raise
        with self._services.store.transaction() as tx:
            rows = tx.source(self.connected.name)
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
        self.clock_trouble = client.clock_trouble(fresh, self._clock())
        return fresh

    def _revoke(self, error: CredentialRevoked) -> None:
        """Say in `status` that the credential is dead, and ask the athlete once to reconnect."""
        source, now = self.connected.name, self._clock()
        with self._services.store.transaction() as tx:
            if not tx.source(source).revoked(self.athlete, version=self.stored.version, now=now):
                raise SourceError("connected again in the meantime")
            before = tx.progress.sources(self.athlete).get(source)
            success_at = before.last_success_at if before else None
            state = SourceState("failing", success_at, str(error))
            tx.progress.source(self.athlete, source, state)
            if self.asks_to_reconnect and "reconnect" in self.athlete.wants:
                facts = ReconnectFacts(athlete=self.athlete, source=source, now=now)
                connected_at = self.stored.connected_at.isoformat()
                enqueue(
                    tx,
                    self._services,
                    self._services.composer.reconnect(facts),
                    athlete=self.athlete,
                    key=f"reconnect:{source}:{self.athlete.id}:{connected_at}",
                    now=now,
                )


@contextmanager
def open_session(
    services: Services, connected: ConnectedSource, athlete: Athlete, clock: Clock
) -> Iterator[Session | None]:
    """Hold the athlete's credential alone while inside.

    None where another worker holds it, and where none lives. A surprise inside becomes a
    `SourceError`: it's tried again later, and later; never at once.
    """
    source, now = connected.name, clock()
    with services.store.transaction() as tx:
        rows = tx.source(source)
        held = rows.lease(athlete, now=now, until=now + LEASE)
        stored = rows.credential(athlete) if held else None
    if not held:
        yield None
        return
    try:
        alive = stored is not None and stored.revoked_at is None
        yield Session(services, connected, athlete, stored, clock) if stored and alive else None
    except (SourceError, StoreError):
        raise
    except Exception as surprise:
        told = {"source": source, "athlete": athlete.id}
        log.exception("%(source)s: athlete %(athlete)s: unexpected", told)
        raise SourceError(f"unexpected: {surprise!r}") from surprise
    finally:
        with services.store.transaction() as tx:
            tx.source(source).release(athlete)


def limited_call(
    services: Services,
    connected: ConnectedSource,
    purpose: Purpose,
    clock: Clock,
    question: Callable[[datetime, Observe], A],
) -> A:
    """Make one call within the service's rate limit; raises `RateLimited` where there's no room.

    The call is counted before it's made, so that no other worker makes it too.
    """
    client, now = connected.client, clock()
    with services.store.transaction() as tx:
        known = known_limit(tx, connected, now, lock=True)
        opens_at = known.opens_at(purpose, now)
        if opens_at - now > known.patience:
            raise client.rate_limited(opens_at)
        at, reserved = known.reserve(purpose, now)
        if reserved != known:
            tx.source(connected.name).save_limit(reserved.state())
    if at > now:
        connected.wait((at - now).total_seconds())
    headers: dict[str, str] = {}
    try:
        answer = question(clock(), headers.update)
    except RateLimited as error:
        with services.store.transaction() as tx:
            known = known_limit(tx, connected, clock(), lock=True)
            closed = known.closed(headers, now=clock(), until=error.resets_at)
            tx.source(connected.name).save_limit(closed.state())
        raise client.rate_limited(closed.closed_until or error.resets_at) from None
    except Unavailable:
        raise
    except SourceError:
        _observe(services, connected, reserved, headers, clock())
        raise
    _observe(services, connected, reserved, headers, clock())
    return answer


def known_limit(
    tx: Transaction, connected: ConnectedSource, now: datetime, *, lock: bool = False
) -> RateLimit:
    """What is known of how many calls are left; `lock`: until the transaction's end."""
    return connected.client.rate_limit(tx.source(connected.name).limit(lock=lock), now)


def _observe(
    services: Services,
    connected: ConnectedSource,
    reserved: RateLimit,
    headers: Mapping[str, str],
    now: datetime,
) -> None:
    """Store what an answer's headers said, where that's news."""
    if reserved.observe(headers, now) == reserved:
        return
    with services.store.transaction() as tx:
        known = known_limit(tx, connected, now, lock=True).observe(headers, now)
        tx.source(connected.name).save_limit(known.state())


def connected_source(services: Services, source: SourceName) -> ConnectedSource:
    """The service of this name; raises `SourceError` where it is off."""
    if source not in services.sources:
        raise SourceError(off(source), permanent=True)
    return services.sources[source]


def off(source: SourceName) -> str:
    """What to set where a service is off."""
    return next(kind.off for kind in SOURCES if kind.name == source)


def encrypt(connected: ConnectedSource, credential: Credential) -> bytes:
    return connected.encrypter.encrypt_text(json.dumps(credential.secrets))


def decrypt(connected: ConnectedSource, stored: StoredCredential) -> Credential:
    """Raises `SourceError` where the key that it was encrypted with is lost."""
    try:
        told = json.loads(connected.encrypter.open(stored.encrypted))
    except DecryptError as error:
        raise SourceError(str(error), permanent=True) from error
    return Credential(
        stored.account_id, tuple(told), stored.expires_at, stored.ends_at, stored.scopes
    )
