"""What a service that never ends, and who forges its webhook, can take: seconds, memory, calls.

    python bench/attacks_of_services.py

Asks a made Strava on loopback that answers in drops or without end, then posts made-up events with
the true subscription and owner, and prints what each came to. About a minute.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from pydantic import SecretStr  # noqa: E402

from simulators.http_server import FaultKind, Server, running  # noqa: E402
from simulators.strava.service import Service  # noqa: E402
from worker.app import build_services  # noqa: E402
from worker.config import Settings  # noqa: E402
from worker.domain.models import Athlete  # noqa: E402
from worker.pipeline.services import Services  # noqa: E402
from worker.pipeline.session import encrypt  # noqa: E402
from worker.pipeline.sync import SourceSync, note_events  # noqa: E402
from worker.sources.base import Credential, ServiceEvent, SourceError  # noqa: E402
from worker.sources.strava.client import Strava, StravaSection, stravalib_protocol  # noqa: E402

ANSWER_S = 3.0
FORGED = range(9_000_000_000, 9_000_001_200)
QUARTERS = 12
ENDLESS = [kind for kind in get_args(FaultKind) if kind.startswith(("slow ", "endless"))]


def main() -> None:
    """One attack after another, a line each."""
    stravalib_protocol()  # importing it takes a second
    service = Service()
    with running(service) as server, tempfile.TemporaryDirectory() as folder:
        for kind in ENDLESS:
            _endless(server, kind)
        with _connected(server, Path(folder)) as (services, owner):
            _forged(service, services, owner)


def _section(server: Server) -> StravaSection:
    application = server.service.application
    return StravaSection(
        client_id=application.client_id, client_secret=SecretStr(application.client_secret),
        base_url=server.base_url,
    )  # fmt: skip


def _endless(server: Server, kind: FaultKind) -> None:
    """An answer that never ends; the made service itself gives up after a while."""
    strava = Strava(_section(server), answer_s=ANSWER_S)
    server.flooded_bytes = 0
    server.fault(kind)
    began, now = time.monotonic(), server.service.clock.now
    try:
        strava.list_activities(Credential("1", ("a", "r"), now), now=now)
        said = "taken for an answer"
    except SourceError as error:
        said = str(error)
    took_s = time.monotonic() - began
    read_mb = server.flooded_bytes / 2**20
    print(f"{kind:18} {took_s:5.1f} s of {ANSWER_S:.0f}, {read_mb:5.1f} MB: {said}")
    strava.close()


@contextmanager
def _connected(server: Server, folder: Path) -> Iterator[tuple[Services, int]]:
    """An application with one athlete who is connected, and their number at the service."""
    service = server.service
    built = build_services(Settings(data_dir=folder, strava=_section(server)), None)
    connected = replace(built.sources["strava"], jitter=lambda: 0.0)
    services = replace(built, sources={"strava": connected})
    account, now = service.account("Mira"), service.clock.now
    service.diary.weeks_of_runs(account, now, 20)
    scopes = frozenset({"read", "activity:read_all"})
    given = service.tokens.exchange(service.tokens.consent(account, scopes, now), now)
    assert given is not None
    credential = Credential(str(account.id), (given.access.token, given.refresh_token))
    with closing(built.store):
        with built.store.transaction() as tx:
            mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", now))
            rows = tx.source("strava")
            rows.connect(
                mira, account_id=credential.account_id, encrypted=encrypt(connected, credential),
                expires_at=given.access.expires_at, scopes=scopes, now=now,
            )  # fmt: skip
            rows.subscribed(7, f"https://easeback.example{connected.webhook_path}", now=now)
        yield services, account.id
        connected.client.close()


def _forged(service: Service, services: Services, owner: int) -> None:
    """Made-up events each quarter of an hour, and a true run at the first."""
    path, account = services.sources["strava"].webhook_path, service.accounts[owner]
    sync = SourceSync.of(services, "strava", lambda: service.clock.now)
    sync.all_due()
    before = service.calls()
    true = service.diary.add(account, service.clock.now - timedelta(minutes=30))
    for quarter in range(QUARTERS):
        events = [ServiceEvent(7, str(owner), str(number)) for number in (*FORGED, true.id)]
        note_events(services, "strava", events, service.clock.now, path)
        sync.all_due()
        with services.store.reading() as tx:
            (mira,) = tx.athletes.all()
            ids = {one.external_id for one in tx.runs.recorded(mira, "strava")}
            waiting = tx.source("strava").events_waiting(mira)
        if quarter in {0, QUARTERS - 1}:
            there = "there" if str(true.id) in ids else "missing"
            told = f"{len(events):,} events, quarter {quarter + 1:2}: "
            told += f"{service.calls() - before} calls so far, {waiting} events wait, "
            print(f"{told}the true run is {there}")
        service.clock.step(timedelta(minutes=15))


if __name__ == "__main__":
    main()
