"""The simulated Strava for each test, a runner with an account, and Easeback's client."""

from collections.abc import Iterator

import pytest

from simulators.http_server import Server
from simulators.strava.accounts import Account
from simulators.strava.browser import answer_consent
from simulators.strava.service import Service
from worker.sources.base import Credential
from worker.sources.strava.client import Strava, StravaSection

REDIRECT = "http://127.0.0.1:8765/strava/callback"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def strava(server: Server) -> Iterator[Strava]:
    client = impatient(server)
    yield client
    client.close()


@pytest.fixture
def runner(service: Service) -> Account:
    return service.account("Mira")


@pytest.fixture
def grant(strava: Strava, service: Service, runner: Account) -> Credential:
    return connect(strava, service)


def impatient(server: Server, **more: object) -> Strava:
    """A client of the right application with short time-outs; `more` are other settings."""
    made: dict[str, object] = {
        "client_id": server.service.application.client_id,
        "client_secret": server.service.application.client_secret,
        "base_url": server.base_url,
    }
    return Strava(StravaSection.model_validate({**made, **more}), answer_s=1.0)


def connect(strava: Strava, service: Service, *, untick: tuple[str, ...] = ()) -> Credential:
    """Consent as the logged-in account, and exchange the code."""
    back = answer_consent(strava.authorize_url(state="s", redirect=REDIRECT), untick=untick)
    return strava.exchange(back, now=service.clock.now)
