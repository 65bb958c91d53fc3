"""What endless answers of services and forged webhooks can take."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import get_args

from pydantic import SecretStr

from bench.load_stage import SUBSCRIPTION, WEBHOOK
from bench.small_stage import MIB, Stage, ask, until, watched
from simulators.http_server import FaultKind
from worker.sources.base import Credential, SourceError
from worker.sources.strava.client import Strava, StravaSection, stravalib_protocol

ANSWER_S = 3.0
FORGED = range(9_000_000_000, 9_000_001_200)
ENDLESS = [kind for kind in get_args(FaultKind) if kind.startswith(("slow ", "endless"))]


def rows(stage: Stage) -> Iterator[str]:
    """The attacks of services, one row each."""
    yield _endless_mail_server(stage)
    stravalib_protocol()  # the import takes a second
    for kind in ENDLESS:
        yield _endless_strava(stage, kind)
    yield _forged(stage)


def _endless_mail_server(stage: Stage) -> str:
    """A mail is due, and the server answers EHLO with lines without end."""
    stage.mail.fail("ehlo", "endless")
    with watched(stage.worker) as cost:
        with stage.store.transaction() as tx:
            number = tx.outbox.enqueue(
                stage.zoe, kind="notice", key="attack", message_id="<attack@example.org>",
                sender="easeback@example.org", recipient=stage.zoe.email,
                mime=b"Subject: made\r\n\r\nmade\r\n", now=datetime.now(UTC),
            )  # fmt: skip
        until(lambda: stage.mail.spoken > 0)
        began = time.monotonic()
        until(lambda: _mail_is_put_off(stage, number))
        cost.took_s = time.monotonic() - began
    came = f"given up after {stage.mail.spoken / MIB:.1f} MB; the mail waits"
    return cost.row("mail: EHLO answered without end", came)


def _mail_is_put_off(stage: Stage, number: int | None) -> bool:
    with stage.store.reading() as tx:
        return any(one.id == number and one.state == "retry" for one in tx.outbox.all())


def _endless_strava(stage: Stage, kind: FaultKind) -> str:
    """Query Strava by the client alone, with a deadline of seconds instead of a minute."""
    application = stage.strava.service.application
    section = StravaSection(
        client_id=application.client_id, client_secret=SecretStr(application.client_secret),
        base_url=stage.strava.base_url,
    )  # fmt: skip
    strava = Strava(section, answer_s=ANSWER_S)
    stage.strava.flooded_bytes = 0
    stage.strava.fault(kind)
    now = datetime.now(UTC)
    with watched(os.getpid()) as cost:
        try:
            strava.list_activities(Credential("1", ("a", "r"), now), now=now)
            came = "taken for an answer"
        except SourceError:
            came = "given up"
    strava.close()
    cost.reader_mb = 0.0
    came += f" after {stage.strava.flooded_bytes / MIB:.1f} MB"
    return cost.row(f"Strava: {kind}, deadline {ANSWER_S:.0f} s", came)


def _forged(stage: Stage) -> str:
    """Forged events with the real subscription, owner and address, and one real run among them."""
    service = stage.strava.service
    owner = next(iter(service.accounts.values()))
    true = service.diary.add(owner, datetime.now(UTC) - timedelta(minutes=50))
    ids = [*FORGED[:600], true.id, *FORGED[600:]]

    def post(number: int) -> int:
        event = {
            "subscription_id": SUBSCRIPTION, "owner_id": owner.id, "object_id": number,
            "object_type": "activity", "aspect_type": "create", "event_time": int(time.time()),
            "updates": {},
        }  # fmt: skip
        body = json.dumps(event).encode()
        return ask(stage.port, WEBHOOK, method="POST", body=body, kind="application/json")

    before = service.calls()
    with watched(stage.worker) as cost:
        with ThreadPoolExecutor(8) as pool:
            answered = sum(status == 200 for status in pool.map(post, ids))
        is_there = until(lambda: _has(stage, str(true.id)), most_s=60)
        until(lambda: _events_waiting(stage) == 0, most_s=30)
    true_run = "is in" if is_there else "is missing"
    came = f"{answered:,} answered, {service.calls() - before} calls, the true run {true_run}"
    return cost.row(f"webhook: {len(ids):,} events, one true", came)


def _has(stage: Stage, activity: str) -> bool:
    with stage.store.reading() as tx:
        return any(one.external_id == activity for one in tx.runs.recorded(stage.anna, "strava"))


def _events_waiting(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return tx.source("strava").events_waiting(stage.anna)
