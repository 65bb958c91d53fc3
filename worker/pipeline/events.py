"""Webhook events: what they tell is only a reason to look; what is so, the service says."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from worker.domain.models import Athlete, SourceName
from worker.pipeline.activities import FIRST_SYNC, files_of_new, save_activities
from worker.pipeline.credentials import forget_source
from worker.pipeline.services import Clock, ConnectedSource, Services
from worker.pipeline.session import connected_source, open_session
from worker.sources.base import CredentialRevoked, RateLimited, SourceError

log = logging.getLogger(__name__)

EVENT_TRIES = 8
_WHOLE_ATHLETE = ""


def handle_events(
    services: Services, source: SourceName, athlete: Athlete, _: Sequence[str], clock: Clock
) -> list[str]:
    """Look at everything that webhooks told of one athlete; what somebody must mend, in words.

    Raises `RateLimited`; what wasn't looked at stays due.
    """
    connected = connected_source(services, source)
    with services.store.reading() as tx:
        due = tx.source(source).events_due(athlete, clock())
    troubles: list[str] = []
    for external_id in due:
        try:
            _handle_event(services, connected, athlete, external_id, clock)
        except RateLimited:
            raise
        except SourceError as error:
            with services.store.transaction() as tx:
                if error.permanent:
                    tx.source(source).event_done(athlete, external_id)
                else:
                    tx.source(source).retry_event(
                        athlete, external_id, now=clock(), most=EVENT_TRIES
                    )
            if error.permanent:
                troubles.append(f"{athlete.name}: {error}")
                told = {"source": source, "athlete": athlete.id, "why": str(error)}
                log.warning("%(source)s: athlete %(athlete)s: %(why)s", told)
    return troubles


def note_events(
    services: Services, source: SourceName, events: Sequence[object], now: datetime
) -> frozenset[int]:
    """Save what a webhook told, many at once; returns the ids of the athletes told of.

    Events that name nobody we know are counted.
    """
    webhook = connected_source(services, source).client.webhook
    with services.store.transaction() as tx:
        rows = tx.source(source)
        ours = rows.subscription()
        read = [
            webhook.read_event(event, subscription_id=ours.id) if webhook and ours else None
            for event in events
        ]
        theirs = rows.athletes_of({one[0] for one in read if one is not None})
        known = {
            (athlete_id, one[1])
            for one in read
            if one is not None
            for athlete_id in theirs.get(one[0], ())
        }
        rows.note_events(known, now=now)
        strangers = sum(one is None or one[0] not in theirs for one in read)
        if strangers:
            rows.dropped(strangers)
    return frozenset(athlete_id for athlete_id, _ in known)


def _handle_event(
    services: Services, connected: ConnectedSource, athlete: Athlete, external_id: str, clock: Clock
) -> None:
    """Look at what an event told of, and follow what is so."""
    client, source, now = connected.client, connected.name, clock()
    withdrawn = False
    with open_session(services, connected, athlete, clock) as session:
        if session is None:
            with services.store.transaction() as tx:
                stored = tx.source(source).credential(athlete)
                if stored is not None and stored.revoked_at is None:
                    return  # Another worker is at it; the event stays due.
                tx.source(source).event_done(athlete, external_id)
            withdrawn = external_id == _WHOLE_ATHLETE
        elif external_id == _WHOLE_ATHLETE:
            # The athlete withdrew, it says: believed once the service refuses the tokens too.
            # Whoever withdraws on purpose isn't asked to come back.
            session.asks_to_reconnect = False
            try:
                session.ask("new", partial(client.list_activities, size=1))
            except CredentialRevoked:
                withdrawn = True
            else:
                with services.store.transaction() as tx:
                    tx.source(source).event_done(athlete, _WHOLE_ATHLETE, looked_at=now)
        else:
            question = partial(client.get_activity, external_id=external_id)
            one = session.ask("new", question)
            listed = [one] if one is not None else []
            with services.store.reading() as tx:
                first = not tx.runs.any(athlete)
            files = (
                {} if first else files_of_new(services, session, listed, since=now - client.reach)
            )
            with services.store.transaction() as tx:
                tx.source(source).event_done(athlete, external_id, looked_at=now)
                if session.still_stands(tx):
                    save_activities(
                        tx, services, session, listed, files=files, now=clock(),
                        gone=[] if listed else [external_id],
                        silence=FIRST_SYNC.format(client.title) if first else None,
                    )  # fmt: skip
    if withdrawn:
        with services.store.transaction() as tx:
            forget_source(tx, services, source, athlete, now=now)
        services.store.compact()
        log.info(
            "%(source)s: athlete %(athlete)s withdrew", {"source": source, "athlete": athlete.id}
        )
