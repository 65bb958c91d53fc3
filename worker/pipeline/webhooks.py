"""Webhooks: saves the events that a service posts, and renews subscriptions.

A subscription is renewed if its address doesn't contain a secret yet.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from worker.domain.models import SourceName
from worker.pipeline.services import Services
from worker.sources.base import ServiceEvent, SourceError, Webhook

log = logging.getLogger(__name__)

RENEWS_AFTER = timedelta(days=1)
"""How long a subscription without a secret is left alone before it is renewed."""


def renew_webhook(services: Services, source: SourceName, now: datetime) -> None:
    """Subscribe again if the address that the service knows contains no secret yet.

    An application has at most one subscription. If the service can't reach the new address, the
    old one is restored, and the new one is tried again a day later.
    """
    connected = services.sources[source]
    client, plain = connected.client, f"/{source}/webhook"
    with services.store.reading() as tx:
        ours = tx.source(source).subscription()
    if (
        ours is None
        or not isinstance(client, Webhook)
        or not ours.callback_url.endswith(plain)
        or now - ours.made_at < RENEWS_AFTER
    ):
        return
    told = ours.callback_url
    try:
        # All subscriptions: one made just before a crash is known only to the service.
        for one in client.subscriptions(now=now):
            client.unsubscribe(one.id, now=now)
    except SourceError as error:
        _log(source, error)
        return
    for address in (told.removesuffix(plain) + connected.webhook_path, told):
        try:
            made = client.subscribe(address, verify_token=connected.verify_token, now=now)
        except SourceError as error:
            _log(source, error)
        else:
            with services.store.transaction() as tx:
                tx.source(source).subscribed(made, address, now=now)
            return
    with services.store.transaction() as tx:
        if tx.source(source).subscription() == ours:  # else another worker was quicker
            tx.source(source).unsubscribed()


def note_events(
    services: Services,
    source: SourceName,
    events: Collection[ServiceEvent],
    now: datetime,
    path: str,
) -> frozenset[int]:
    """Save the events of a webhook call; returns the ids of the athletes with events due now.

    `path` is where it was posted: only calls to the subscription's own address are believed.
    Other events, and those about unknown accounts, are counted.
    """
    with services.store.transaction() as tx:
        rows = tx.source(source)
        ours = rows.subscription()
        is_ours = ours is not None and ours.callback_url.endswith(path)
        true = [one for one in events if is_ours and ours and one.subscription_id == ours.id]
        theirs = rows.athletes_of({event.account_id for event in true})
        known = {
            (athlete_id, event.external_id)
            for event in true
            for athlete_id in theirs.get(event.account_id, ())
        }
        rows.note_events(known, now=now)
        due = rows.with_events_due(now, of={athlete_id for athlete_id, _ in known})
        strangers = len(events) - sum(event.account_id in theirs for event in true)
        if strangers:
            rows.dropped(strangers)
    return frozenset(due)


def _log(source: SourceName, error: SourceError) -> None:
    log.warning("%(source)s: webhook: %(why)s", {"source": source, "why": str(error)})
