"""Connect and disconnect: a key that is tried before it's kept, and an end that leaves nothing."""

from dataclasses import dataclass
from datetime import datetime

from worker.model import Athlete
from worker.pipeline.garmin.line import in_its_moment
from worker.pipeline.garmin.sync import state_after_connecting
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.polling import drop_told, reseal_all
from worker.pipeline.works import Clock, Works
from worker.sources.garmin.grants import KEY_LIVES_DAYS, Grant, read_expiry, read_key
from worker.sources.garmin.refusals import DeadGrant, GarminError, WrongKey
from worker.store import SourceState

GONE = "Garmin was disconnected: nothing is mailed about that"
SHORTEST_LIFE = f"{KEY_LIVES_DAYS[0]} days"


@dataclass(frozen=True, slots=True)
class Connected:
    """Done: the key works, and lives until then."""

    athlete: Athlete
    key_expires_at: datetime


def connect(
    works: Works,
    garmin: GarminWorks,
    athlete: Athlete,
    clock: Clock,
    *,
    key: str,
    expires: str = SHORTEST_LIFE,
) -> Connected:
    """Try a key as it was pasted, and keep it in place of any other.

    `expires` says, as the athlete writes it, when it ends. Raises `GarminError`; then nothing has
    changed.
    """
    now = clock()
    try:
        pasted = read_key(key)
        expires_at = read_expiry(expires, now=now, timezone=athlete.timezone)
    except ValueError as error:
        raise GarminError(str(error), permanent=True) from None
    client = garmin.client
    try:
        token = in_its_moment(works, garmin, clock, lambda at: client.exchange(pasted, now=at))
    except DeadGrant:
        raise WrongKey from None
    grant = Grant(pasted, expires_at, token)
    with works.store.transaction() as tx:
        tx.garmin.connect(
            athlete, sealed=garmin.seal(grant), key_expires_at=expires_at, now=clock()
        )
        kept = tx.garmin.grant(athlete)
        if kept is not None:
            tx.progress.source(athlete, "garmin", state_after_connecting(kept, athlete, now))
    return Connected(athlete, expires_at)


def disconnect(works: Works, athlete: Athlete, *, now: datetime) -> None:
    """Forget the key, and unless they're to be kept all runs that only Garmin told of.

    There is no call that ends a key: that is done in Garmin Connect.
    """
    with works.store.transaction() as tx:
        if "garmin" not in works.keeps_runs_of:
            drop_told(tx, works, athlete, "garmin", now=now, silence=GONE)
        tx.garmin.forget(athlete)
        tx.progress.source(athlete, "garmin", SourceState("off"))
    works.store.compact()


def reseal_keys(works: Works, garmin: GarminWorks) -> int:
    """Bring every key to the newest sealing; how many there are. Raises `SealError`."""
    with works.store.transaction() as tx:
        return reseal_all(tx, tx.garmin, garmin.sealer.reseal)
