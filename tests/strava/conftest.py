"""The made Strava for each test, a runner with an account, and Easeback's client for it."""

from collections.abc import Iterator

import pytest

from tests.strava.accounts import Account
from tests.strava.browser import answer_consent
from tests.strava.server import Server, running
from tests.strava.service import Service
from worker.sources.strava.client import Strava
from worker.sources.strava.grants import Grant, StravaSettings

REDIRECT = "http://127.0.0.1:8765/strava/callback"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[Server]:
    with running(service) as server:
        yield server


@pytest.fixture
def strava(server: Server) -> Iterator[Strava]:
    client = Strava(settings_for(server))
    yield client
    client.close()


@pytest.fixture
def runner(service: Service) -> Account:
    return service.account("Mira")


@pytest.fixture
def grant(strava: Strava, service: Service, runner: Account) -> Grant:
    return connect(strava, service)


def settings_for(server: Server, **more: object) -> StravaSettings:
    """Settings of the right application at the made Strava; impatient."""
    made: dict[str, object] = {
        "client_id": server.service.application.client_id,
        "client_secret": server.service.application.client_secret,
        "base_url": server.base_url,
        "silence_s": 1.0,
        "answer_s": 1.0,
    }
    return StravaSettings(**{**made, **more})  # type: ignore[arg-type]  # what a test names


def connect(strava: Strava, service: Service, *, untick: tuple[str, ...] = ()) -> Grant:
    """Consent as whoever is logged in, and exchange the code."""
    back = answer_consent(strava.authorize_url(state="s", redirect=REDIRECT), untick=untick)
    return strava.exchange(back["code"], scope=back["scope"], now=service.clock.now)
