"""The key of intervals.icu on the athlete's page."""

from urllib.parse import urlsplit

from starlette.testclient import TestClient

from tests.sources.intervals.app import IntervalsApp
from worker.app import build_web_server
from worker.config import Settings
from worker.domain.models import Athlete

ORIGIN = "http://127.0.0.1:8765"


def test_a_key_that_does_not_end_is_given_and_taken_back_there(app: IntervalsApp) -> None:
    """Wrong keys are refused with a message; no end is asked for; disconnecting is offered."""
    account = app.service.account("Mira")
    with app.services.store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", app.clock()))
    web = build_web_server(
        Settings(data_dir=app.folder), app.services, app.clock, base_url=ORIGIN
    ).app
    signer = app.services.sources["intervals"].signer
    page = urlsplit(signer.sign("athlete", mira, now=app.clock())).path
    with TestClient(web, base_url=ORIGIN, client=("127.0.0.1", 50_000)) as browser:
        before = browser.get(page).text
        assert "Connect intervals.icu" in before
        assert "The expiration that you chose there" not in before
        refused = browser.post(f"{page}/intervals", data={"intervals_key": "wrong"})
        assert refused.status_code == 400
        assert "accept this key" in refused.text
        key = app.service.make_key(account)
        assert browser.post(f"{page}/intervals", data={"intervals_key": key}).status_code == 200
        after = browser.get(page).text
        assert "intervals.icu is connected" in after
        assert "Disconnect intervals.icu" in after
        browser.post(f"{page}/disconnect", data={"source": "intervals"})
        assert "Connect intervals.icu" in browser.get(page).text
