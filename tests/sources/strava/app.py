"""A whole Easeback beside the simulated Strava, on one clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from simulators.empty_database import put_empty_database
from simulators.http_server import Server
from simulators.shared_reader import with_shared_reader
from simulators.strava.accounts import Account
from simulators.strava.browser import answer_consent
from simulators.strava.service import Subscription
from tests.sources.app import SourceApp
from tests.sources.strava.conftest import REDIRECT
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.pipeline.credentials import Connected, Consent, begin_consent, finish_consent
from worker.pipeline.services import ConnectedSource, Services
from worker.pipeline.sync import SourceSync
from worker.pipeline.webhooks import note_events
from worker.sources.base import Webhook
from worker.sources.strava.client import StravaSection

ACTIVITIES = "/api/v3/athlete/activities"


@dataclass
class StravaApp(SourceApp):
    """The application beside the simulated Strava."""

    name = "strava"

    strava: ConnectedSource

    def connect(self, athlete: Athlete, account: Account, **consent: Any) -> Connected:
        self.service.logged_in = account
        begun = self.begin(athlete)
        back = answer_consent(begun.address, **consent)
        return finish_consent(self.services, "strava", back, cookie=begun.cookie, now=self.clock())

    def begin(self, athlete: Athlete) -> Consent:
        return begin_consent(self.services, "strava", athlete, redirect=REDIRECT, now=self.clock())

    def connected(self, name: str = "Mira") -> tuple[Athlete, Account]:
        athlete, account = self.add(name)
        self.connect(athlete, account)
        return athlete, account

    def changed(self, strava: ConnectedSource) -> Services:
        """The services with another Strava source."""
        return replace(self.services, sources={**self.services.sources, "strava": strava})

    def poll(
        self,
        athlete: Athlete,
        clock: Callable[[], datetime],
        with_: ConnectedSource | None = None,
    ) -> bool:
        """Poll one athlete; True if there was an answer."""
        before = self.service.calls(ACTIVITIES)
        SourceSync.of(self.changed(with_ or self.strava), "strava", clock).poll(athlete)
        return self.service.calls(ACTIVITIES) > before


@contextmanager
def strava_app(server: Server, folder: Path, **strava: Any) -> Iterator[StravaApp]:
    """The application in a folder, with further `[strava]` settings by name."""
    section = StravaSection(
        client_id=server.service.application.client_id,
        client_secret=SecretStr(server.service.application.client_secret),
        base_url=server.base_url,
        **strava,
    )
    settings = Settings(data_dir=folder, strava=section)
    if not (file := folder / "easeback.db").exists():
        put_empty_database(file)
    services = with_shared_reader(build_services(settings, None, patient=False), patient=False)
    calm = replace(services.sources["strava"], jitter=lambda: 0.0)
    services = replace(services, sources={**services.sources, "strava": calm})
    try:
        yield StravaApp(services, server.service, server, folder, calm)
    finally:
        calm.client.close()
        services.store.close()


def subscribe(app: StravaApp) -> None:
    address = f"https://easeback.example{app.strava.webhook_path}"
    app.service.subscription = Subscription(7, address)
    with app.services.store.transaction() as tx:
        tx.source("strava").subscribed(7, address, now=app.clock())


def note_event(app: StravaApp, *told: object, path: str = "") -> bool:
    """Store events as if posted to a path; False if they name nobody known."""
    client = app.strava.client
    assert isinstance(client, Webhook)
    events = [event for one in told if (event := client.read_event(one)) is not None]
    path = path or app.strava.webhook_path
    return bool(note_events(app.services, "strava", events, app.clock(), path))


def event(
    app: StravaApp, owner: int, object_id: int, aspect: str = "create", *, kind: str = "activity"
) -> dict[str, Any]:
    return {
        "subscription_id": 7,
        "owner_id": owner,
        "object_id": object_id,
        "object_type": kind,
        "aspect_type": aspect,
        "event_time": int(app.clock().timestamp()),
        "updates": {},
    }
