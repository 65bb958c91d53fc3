"""Renews the subscription to a service's webhook if its address doesn't contain a secret yet."""

import logging
from datetime import datetime, timedelta

from worker.domain.models import SourceName
from worker.pipeline.services import Services
from worker.sources.base import SourceError, Webhook

log = logging.getLogger(__name__)

RENEWS_AFTER = timedelta(days=1)
"""How long a subscription without a secret is left alone before it is renewed."""


def renew_webhook(services: Services, source: SourceName, now: datetime) -> None:
    """Subscribe again if the address that the service has contains no secret yet.

    An application has at most one subscription. If the service can't reach the new address, the
    old one is restored, and the new one is tried again the day after next.
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
        # All there are: one made just before a crash is known there alone.
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


def _log(source: SourceName, error: SourceError) -> None:
    log.warning("%(source)s: webhook: %(why)s", {"source": source, "why": str(error)})
