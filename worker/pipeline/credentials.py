"""Credentials: connecting an athlete to a service, and disconnecting.

    begin_consent, finish_consent       OAuth: a consent bound to one browser
    connect_with_key                    a key that is tested before it is stored
    disconnect_athlete, forget_source   revoke it at the service, forget it here
    encrypt_all_anew                    after the keys were rotated

`session` makes calls with a credential.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.domain.models import Athlete, SourceName
from worker.domain.weeks import local_day
from worker.links import LinkError
from worker.pipeline.ingest import judge_since
from worker.pipeline.services import Clock, ConnectedSource, Services
from worker.pipeline.session import connected_source, decrypt, encrypt, ends_soon, limited_call
from worker.sources.base import (
    CONSENT_REFUSED,
    REDIRECT_MISMATCH,
    STALE_CONSENT,
    STALE_CONSENT_SAYS,
    WRONG_CLIENT,
    ApiKey,
    Credential,
    CredentialRevoked,
    OAuth2,
    SourceError,
)
from worker.sources.registry import SOURCES
from worker.store import Transaction
from worker.store.progress import DELETED, SourceState

log = logging.getLogger(__name__)

CONSENT = "consent"
CONSENT_WAITS = timedelta(minutes=15)

_STATE_BYTES = 32
_LONGEST_KEY_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent in progress: the address to open, and the cookie that binds it to one browser."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A new connection. `note` says what the athlete won't get; `ends_at` is the key's end."""

    athlete: Athlete
    note: str | None = None
    ends_at: datetime | None = None


# Connecting


def check_redirect(
    services: Services, source: SourceName, athlete: Athlete, *, redirect: str, now: datetime
) -> str | None:
    """Raise `SourceError` if a service wouldn't send this athlete's browser back; store why.

    Returns why the service can't be asked now, in words; the athlete's browser will find out.
    """
    _, client = _consenting(services, source)
    try:
        client.check_redirect(redirect, now=now)
    except SourceError as error:
        if error.code not in {REDIRECT_MISMATCH, WRONG_CLIENT, CONSENT_REFUSED}:
            log.debug(
                "%(source)s: the consent page can't be asked for: %(why)s",
                {"source": source, "why": str(error)},
            )
            return str(error)
        log.warning(
            "%(source)s: athlete %(athlete)s can't consent: %(why)s",
            {"source": source, "athlete": athlete.id, "why": str(error)},
        )
        with services.store.transaction() as tx:
            stored = tx.source(source).credential(athlete)
            if stored is None or stored.revoked_at is not None:
                before = tx.progress.sources(athlete).get(source) or SourceState("off")
                state = replace(before, state="failing", last_error=str(error))
                tx.progress.save_source(athlete, source, state)
        raise
    return None


def begin_consent(
    services: Services, source: SourceName, athlete: Athlete, *, redirect: str, now: datetime
) -> Consent:
    """Begin a consent for this athlete. Its state is in the cookie, and isn't stored.

    Raises `SourceError` if the service's page would show nothing but an error.
    """
    connected, auth = _consenting(services, source)
    check_redirect(services, source, athlete, redirect=redirect, now=now)
    state = secrets.token_urlsafe(_STATE_BYTES)
    cookie = connected.signer.token(CONSENT, athlete, now=now, state=_hash(state))
    return Consent(auth.authorize_url(state=state, redirect=redirect), cookie)


def finish_consent(
    services: Services, source: SourceName, query: Mapping[str, str], *, cookie: str, now: datetime
) -> Connected:
    """Exchange what the browser brought back for a credential, which replaces any other.

    Raises `SourceError`; then nothing has changed.
    """
    connected, auth = _consenting(services, source)
    stale = SourceError(STALE_CONSENT_SAYS, permanent=True, code=STALE_CONSENT)
    try:
        begun = connected.signer.check(
            CONSENT, cookie, max_age_s=CONSENT_WAITS.total_seconds(), now=now
        )
    except LinkError as error:
        raise stale from error
    state_hash = _hash(query.get("state", ""))
    if not hmac.compare_digest(state_hash, begun.more["state"]):
        raise stale
    with services.store.transaction() as tx:
        athlete, is_closed = tx.athletes.of_link(begun) or (None, False)
        old = now - CONSENT_WAITS
        # The link that started the consent may have been closed since.
        is_fresh = not is_closed and tx.source(source).use_state(
            state_hash, now=now, forget_before=old
        )
    if athlete is None or not is_fresh:
        raise stale
    credential = auth.exchange(query, now=now)
    _store(services, connected, athlete, credential, now=now)
    return Connected(athlete, note=auth.missing(credential))


def connect_with_key(
    services: Services,
    source: SourceName,
    athlete: Athlete,
    clock: Clock,
    *,
    key: str,
    expires: str | None = None,
) -> Connected:
    """Test a pasted key, and store it in place of any other.

    `expires` says when it ends, as the athlete writes it (`key_end`); None means the shortest
    lifetime that the service offers. Raises `SourceError`; then nothing has changed.
    """
    connected = connected_source(services, source)
    client = connected.client
    if not isinstance(client, ApiKey):
        raise SourceError(f"{connected.client.title} takes no key", permanent=True)
    try:
        ends_at = None
        if client.key_lives_days:
            expires = expires or f"{client.key_lives_days[0]} days"
            ends_at = key_end(client, expires, now=clock(), athlete=athlete)
        pasted = client.with_key(key, ends_at=ends_at)
    except ValueError as error:
        raise SourceError(str(error), permanent=True) from None
    try:
        tried = limited_call(
            services, connected, "token", clock, lambda at, _: client.refresh(pasted, now=at)
        )
    except CredentialRevoked:
        raise client.wrong_key() from None
    _store(services, connected, athlete, tried, now=clock())
    return Connected(athlete, ends_at=ends_at)


def key_end(client: ApiKey, expires: str, *, now: datetime, athlete: Athlete) -> datetime:
    """When a key ends: `expires` is a lifetime in days that the service offers, or a date.

    The key is valid until the end of that day on the athlete's calendar. Raises ValueError.
    """
    zone = ZoneInfo(athlete.timezone)
    today = now.astimezone(zone).date()
    written = expires.strip().lower()
    days = written.removesuffix("days").removesuffix("d").strip()
    try:
        until = (
            today + timedelta(days=int(days)) if days.isdecimal() else date.fromisoformat(written)
        )
    except (ValueError, OverflowError) as error:
        offered = ", ".join(map(str, client.key_lives_days))
        raise ValueError(
            f"{expires.strip()!r} isn't when a key ends: say the days that you chose at "
            f"{client.title} "
            f"({offered}), or the date, such as {today + timedelta(days=90)}"
        ) from error
    if until < today:
        raise ValueError(
            f"a key that ended on {until} opens nothing: make a new one at {client.key_page}"
        )
    if until > today + _LONGEST_KEY_LIFE:
        raise ValueError(f"no key lives until {until}: {client.title} gives a year at most")
    return datetime.combine(until, time(23, 59, 59), zone).astimezone(UTC)


def _consenting(services: Services, source: SourceName) -> tuple[ConnectedSource, OAuth2]:
    connected = connected_source(services, source)
    client = connected.client
    if not isinstance(client, OAuth2):
        raise SourceError(f"{client.title} is connected by a key", permanent=True)
    return connected, client


def _store(
    services: Services,
    connected: ConnectedSource,
    athlete: Athlete,
    credential: Credential,
    *,
    now: datetime,
) -> None:
    """Save a credential for the athlete, or for another one who is connected to its account.

    In the second case, raises `SourceError`, because an account belongs to one athlete. The new
    consent may have ended the other athlete's tokens, so that athlete gets the new ones.
    """
    title = connected.client.title
    with services.store.transaction() as tx:
        rows = tx.source(connected.client.name)
        rows.limit(lock=True)  # if two athletes connect one account at once, one waits here
        other = _connected_already(tx, connected, athlete, credential)
        owner = other or athlete
        before = rows.credential(owner)
        if before is not None and before.account_id != credential.account_id:
            # The runs of the earlier account don't belong to this one.
            forget_source(tx, services, connected.client.name, owner, now=now)
        rows.connect(
            owner,
            account_id=credential.account_id,
            encrypted=encrypt(connected, credential),
            expires_at=credential.expires_at,
            ends_at=credential.ends_at,
            scopes=credential.scopes,
            now=now,
        )
        stored = rows.credential(owner)
        words = ends_soon(connected, stored, owner, now) if stored else None
        state = SourceState("waiting" if words else "ok", None, words)
        tx.progress.save_source(owner, connected.client.name, state)
    if other is not None:
        raise SourceError(
            f"this {title} account is connected for another athlete already, and nothing was "
            f"changed for {athlete.name}: log in at {title} as {athlete.name}, or have the other "
            "one disconnected first",
            permanent=True,
        )


def _connected_already(
    tx: Transaction, connected: ConnectedSource, athlete: Athlete, credential: Credential
) -> Athlete | None:
    """Another athlete with this account or, if the account isn't known, with the same key.

    None if this athlete has it too, from a time when that was allowed.
    """
    rows = tx.source(connected.client.name)
    found: list[Athlete] = []
    ids = rows.athletes_of([credential.account_id]).get(credential.account_id, ())
    for one in tx.athletes.by_ids(ids):
        stored = rows.credential(one)
        if stored is None or stored.revoked_at is not None:
            continue
        with suppress(SourceError):  # a credential that can't be decrypted is ignored
            same_key = decrypt(connected, stored).secrets[0] == credential.secrets[0]
            found += [one] if credential.account_id or same_key else []
    has_it = any(one.id == athlete.id for one in found)
    return None if has_it or not found else found[0]


# Disconnecting


def disconnect_athlete(
    services: Services, source: SourceName, athlete: Athlete, *, now: datetime
) -> str | None:
    """Revoke the credential and delete it; returns what failed at the service, in words.

    The stored data is deleted in any case, even if the service is off by now. The athlete can end
    the rest in the service's own settings.
    """
    trouble = _give_back(services, source, athlete, now)
    with services.store.transaction() as tx:
        forget_source(tx, services, source, athlete, now=now)
    services.store.empty_log()
    return trouble


def give_everything_back(services: Services, athlete: Athlete, *, now: datetime) -> str | None:
    """Revoke the athlete's credentials at every service; returns what failed, in words.

    Nothing is deleted here; the caller removes the athlete.
    """
    troubles = [_give_back(services, kind.name, athlete, now) for kind in SOURCES]
    return "; ".join(filter(None, troubles)) or None


def forget_source(
    tx: Transaction, services: Services, source: SourceName, athlete: Athlete, *, now: datetime
) -> None:
    """Delete the credential and, unless they are to be kept, all runs that only this service
    had.
    """
    if source not in services.keeps_runs_of:
        title = next(kind.title for kind in SOURCES if kind.name == source)
        ids = [r.external_id for r in tx.runs.recorded(athlete, source)]
        since = tx.runs.drop(athlete, source, ids, today=local_day(athlete, now)).first_day
        if since is not None:
            silence = f"{title} was disconnected: nothing is mailed about that"
            judge_since(tx, services, athlete, since=since, now=now, silence=silence)
            tx.findings.forget_withdrawn(athlete)
            tx.outbox.empty(athlete)
    tx.source(source).forget(athlete)
    tx.progress.save_source(athlete, source, SourceState("off"))
    tx.progress.ticked(DELETED, at=now)


def encrypt_all_anew(services: Services) -> int:
    """Encrypt every credential with the newest key; returns how many. Raises `DecryptError`."""
    number = services.mail_login.encrypt_anew() if services.mail_login else 0
    with services.store.transaction() as tx:
        for connected in services.sources.values():
            rows = tx.source(connected.client.name)
            for athlete_id, encrypted in rows.encrypted().items():
                rows.encrypt_anew(athlete_id, connected.encrypter.encrypt_anew(encrypted))
                number += 1
    return number


def _give_back(
    services: Services, source: SourceName, athlete: Athlete, now: datetime
) -> str | None:
    with services.store.reading() as tx:
        stored = tx.source(source).credential(athlete)
    kind = next(kind for kind in SOURCES if kind.name == source)
    if stored is None or stored.revoked_at is not None or kind.ends_at_service is None:
        return None
    try:
        connected = connected_source(services, source)
        connected.client.revoke(decrypt(connected, stored), now=now)
    except CredentialRevoked:
        return None
    except SourceError as error:
        return (
            f"forgotten here, but not given back at {kind.title} ({error}); {kind.ends_at_service}"
        )
    return None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
