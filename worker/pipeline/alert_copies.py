"""Copies of alerts to the practice: one mail for each therapist, if the athlete agreed."""

from collections.abc import Sequence
from datetime import datetime

from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.notify import AlertCopyFacts
from worker.pipeline.services import Services, enqueue
from worker.store import StoredFinding, Transaction
from worker.store.tables import COPY_KEY


def queue_copies(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    found: StoredFinding,
    *,
    diary: Sequence[CheckIn],
    now: datetime,
) -> None:
    """Queue the copies of an alert that was queued just now, in the same transaction.

    There are none without `[mail] copy_alerts`, without the athlete's consent, or if the
    practice turned them off.
    """
    if not services.copies_alerts:
        return
    for therapist in tx.therapists.copied_about(athlete):
        facts = AlertCopyFacts(therapist, athlete, found.finding, services.rules, now, diary)
        email = services.composer.alert_copy(facts)
        key = f"{COPY_KEY}:{found.id}:{found.finding.severity}:{therapist.id}"
        enqueue(tx, services, email, athlete=athlete, key=key, now=now)
