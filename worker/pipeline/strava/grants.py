"""Connect and disconnect: a consent that belongs to one browser, and an end that leaves nothing."""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker.links import LinkError
from worker.model import Athlete
from worker.pipeline.polling import drop_told, reseal_all
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Works
from worker.sources.strava.grants import Grant, missing_scopes
from worker.sources.strava.refusals import (
    DeadGrant,
    NoConsent,
    RedirectMismatch,
    StaleConsent,
    StravaError,
    WrongClient,
)
from worker.store import KeptGrant, SourceState, Transaction

log = logging.getLogger(__name__)

CONSENT = "consent"
CONSENT_WAITS = timedelta(minutes=15)
_STATE_BYTES = 32
GONE = "Strava was disconnected: nothing is mailed about that"
STRAVA_IS_OFF = (
    "Strava is off: set [strava] client_id and client_secret, as shown at "
    "https://www.strava.com/settings/api"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A consent under way: where the browser goes, and the cookie that binds it to this one."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Connected:
    """Done. `missing` says in words what the runner won't get for a box that was unticked."""

    athlete: Athlete
    missing: str | None


def check_redirect(
    works: Works, strava: StravaWorks, athlete: Athlete, *, redirect: str, now: datetime
) -> None:
    """Raise `StravaError` where Strava wouldn't send this athlete's browser back, and keep why.

    What it can't be asked now, the runner's browser will find out.
    """
    try:
        _check_redirect(strava, redirect, now)
    except StravaError as error:
        log.warning(
            "strava: athlete %(athlete)s can't consent: %(why)s",
            {"athlete": athlete.id, "why": str(error)},
        )
        with works.store.transaction() as tx:
            kept = tx.strava.grant(athlete)
            if kept is None or kept.dead_since is not None:
                before = tx.progress.sources(athlete).get("strava") or SourceState("off")
                state = replace(before, state="failing", last_error=str(error))
                tx.progress.source(athlete, "strava", state)
        raise


def _check_redirect(strava: StravaWorks, redirect: str, now: datetime) -> None:
    try:
        strava.client.check_redirect(redirect, now=now)
    except (RedirectMismatch, WrongClient):
        raise
    except StravaError as error:
        log.debug("strava: the consent page can't be asked for: %(why)s", {"why": str(error)})


def begin_consent(strava: StravaWorks, athlete: Athlete, *, redirect: str, now: datetime) -> Begun:
    """Begin a consent for this athlete. Nothing is kept: the cookie holds what belongs to it.

    Raises `StravaError` where Strava's page would show nothing but an error.
    """
    _check_redirect(strava, redirect, now)
    state = secrets.token_urlsafe(_STATE_BYTES)
    named: dict[str, str | int] = {"athlete": athlete.id, "state": _hash(state)}
    cookie = strava.signer.sign(CONSENT, named, now=now).rpartition("/")[2]
    return Begun(strava.client.authorize_url(state=state, redirect=redirect), cookie)


def finish_consent(
    works: Works,
    strava: StravaWorks,
    query: Mapping[str, str],
    *,
    cookie: str,
    now: datetime,
) -> Connected:
    """What the browser carried back becomes a grant, in place of any other.

    Raises `StravaError`; then nothing has changed.
    """
    try:
        named = strava.signer.check(
            CONSENT, cookie, max_age_s=CONSENT_WAITS.total_seconds(), now=now
        )
    except LinkError as error:
        raise StaleConsent from error
    state_hash = _hash(query.get("state", ""))
    athlete_id = named["athlete"]
    with works.store.transaction() as tx:
        athlete = tx.athletes.by_id(athlete_id) if isinstance(athlete_id, int) else None
        mine = hmac.compare_digest(state_hash, str(named["state"])) and athlete is not None
        if athlete is not None and (begin_at := tx.athletes.links_from(athlete)) is not None:
            # It began with a link that has been closed since.
            signed_at = strava.signer.signed_at(CONSENT, cookie)
            mine = mine and signed_at is not None and signed_at >= begin_at
        old = now - CONSENT_WAITS
        if not mine or not tx.strava.use_state(state_hash, now=now, forget_before=old):
            athlete = None
    if athlete is None:
        raise StaleConsent
    _refuse(query)
    grant = strava.client.exchange(query["code"], scope=query.get("scope", ""), now=now)
    with works.store.transaction() as tx:
        _connect(tx, works, strava, athlete, grant, now=now)
    return Connected(athlete, missing_scopes(grant.scopes))


def _refuse(query: Mapping[str, str]) -> None:
    """What Strava sends back instead of a code."""
    error = query.get("error", "")
    if error == "access_denied":
        raise NoConsent("you cancelled on Strava's page; nothing was changed")
    if "redirect" in error:
        raise RedirectMismatch
    if error or not query.get("code"):
        raise NoConsent("Strava sent no consent back; nothing was changed")


def _connect(
    tx: Transaction,
    works: Works,
    strava: StravaWorks,
    athlete: Athlete,
    grant: Grant,
    *,
    now: datetime,
) -> None:
    before = tx.strava.grant(athlete)
    if before is not None and before.strava_id != grant.strava_id:
        # Another account: what the first one told belongs to whoever it belongs to.
        forget_strava(tx, works, athlete, now=now)
    tx.strava.connect(
        athlete,
        strava_id=grant.strava_id,
        sealed=strava.seal(grant),
        expires_at=grant.expires_at,
        scopes=grant.scopes,
        now=now,
    )
    tx.progress.source(athlete, "strava", SourceState("ok"))


def disconnect(works: Works, athlete: Athlete, *, now: datetime) -> str | None:
    """Give the grant back and forget it; what couldn't be done at Strava, in words.

    What is kept here goes in any case, also where Strava is off by now: the runner can end the
    rest in Strava's own settings.
    """
    with works.store.reading() as tx:
        kept = tx.strava.grant(athlete)
    living = kept is not None and kept.dead_since is None
    trouble = _give_back(works.strava, kept, now) if kept is not None and living else None
    with works.store.transaction() as tx:
        forget_strava(tx, works, athlete, now=now)
    works.store.compact()
    return trouble and (
        f"forgotten here, but not given back at Strava ({trouble}); "
        "end it there in Settings → My Apps"
    )


def _give_back(strava: StravaWorks | None, kept: KeptGrant, now: datetime) -> str | None:
    """End the grant at Strava; why that couldn't be done, or None."""
    if strava is None:
        return STRAVA_IS_OFF
    try:
        strava.client.revoke(strava.unseal(kept), now=now)
    except DeadGrant:
        return None
    except StravaError as error:
        return str(error)
    return None


def forget_strava(tx: Transaction, works: Works, athlete: Athlete, *, now: datetime) -> None:
    """The grant goes, and unless they're to be kept all runs that only Strava told of."""
    if "strava" not in works.keeps_runs_of:
        drop_told(tx, works, athlete, "strava", now=now, silence=GONE)
    tx.strava.forget(athlete)
    tx.progress.source(athlete, "strava", SourceState("off"))


def reseal_grants(works: Works, strava: StravaWorks) -> int:
    """Bring every grant to the newest key; how many there are. Raises `SealError`."""
    with works.store.transaction() as tx:
        return reseal_all(tx, tx.strava, strava.sealer.reseal)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
