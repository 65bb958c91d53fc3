"""Below a path: every address works behind a proxy that strips the path, and one that keeps it."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from simulators.web_instance import Instance
from worker.domain.models import Athlete
from worker.links import Signer
from worker.web import Pages, base_path

BASE_URL = "http://127.0.0.1:8765/ease"
ADDRESS = re.compile(r'(?:href|action|src)="([^"#]*)"')

Ask = Callable[..., Any]


@pytest.fixture(params=["strips", "keeps"])
def ask(request: pytest.FixtureRequest, made: Instance) -> Ask:
    """A browser behind a proxy that serves only what's below the path."""
    signer = Signer(["a made key"], BASE_URL)
    client = made.client(base_url=BASE_URL, pages=Pages(base_path(BASE_URL)), signer=signer)

    def ask(address: str, *, method: str = "GET", **more: object) -> Any:
        path = address.removeprefix("http://127.0.0.1:8765")
        assert path.startswith("/ease/"), address
        if request.param == "strips":
            path = path.removeprefix("/ease")
        return client.request(method, path, **more)  # type: ignore[arg-type]  # what a test names

    return ask


def link(made: Instance, purpose: str, athlete: Athlete, **more: str) -> str:
    now = None if purpose == "unsubscribe" else made.clock.now
    return Signer(["a made key"], BASE_URL).sign(purpose, athlete, now=now, **more)


def test_all_that_the_athletes_page_leads_to_is_there(
    made: Instance, runner: Athlete, ask: Ask
) -> None:
    """The style sheet, the icon, downloads, the check-in, and forms that redirect back."""
    page = ask(link(made, "athlete", runner))
    # Calendar links have another scheme, with the host.
    addresses = {
        urlsplit(one).path if one.startswith("webcal:") else one
        for one in ADDRESS.findall(page.text)
    }
    assert any(address.startswith("/ease/calendar/") for address in addresses)
    assert any(address.endswith(".css") for address in addresses)
    for address in sorted(addresses):
        is_form = f'action="{address}"' in page.text
        form = {"method": "POST", "data": {"source": "strava"}} if is_form else {}
        answer = ask(address, **form)
        assert answer.status_code != 404, address
        if answer.is_redirect and "strava" not in answer.headers["location"]:
            assert ask(answer.headers["location"]).status_code < 400, address


def test_settings_lead_back_to_the_page(made: Instance, mira: Athlete, ask: Ask) -> None:
    """By a redirect."""
    saved = ask(f"{link(made, 'athlete', mira)}/settings", method="POST", data={"units": "mi"})
    assert "Saved." in ask(saved.headers["location"]).text


def test_an_edited_run_leads_back_to_the_page(made: Instance, mira: Athlete, ask: Ask) -> None:
    """To the run itself."""
    form = {"date": "2026-02-01", "distance": "5", "start": "07:00"}
    added = ask(f"{link(made, 'athlete', mira)}/runs/add", method="POST", data=form)
    page, _, run = added.headers["location"].partition("#")
    assert f'id="{run}"' in ask(page).text


def test_an_answer_can_be_given_again(made: Instance, mira: Athlete, ask: Ask) -> None:
    """By the link in the confirmation page."""
    done = ask(link(made, "checkin", mira), method="POST", data={"feels": "fine"})
    addresses = [one for one in ADDRESS.findall(done.text) if "/checkin/" in one]
    assert [ask(one).status_code for one in addresses] == [200]


def test_one_click_stops_a_mail(made: Instance, mira: Athlete, ask: Ask) -> None:
    """And the form on its page resumes the mail."""
    stop = link(made, "unsubscribe", mira, kind="weekly")
    done = ask(stop, method="POST", data={"List-Unsubscribe": "One-Click"})
    assert "weekly" not in made.athlete(mira).wants
    (form,) = [one for one in ADDRESS.findall(done.text) if "/unsubscribe/" in one]
    ask(form, method="POST", data={"again": "yes"})
    assert "weekly" in made.athlete(mira).wants


def test_a_consent_leads_back_below_the_path(made: Instance, mira: Athlete, ask: Ask) -> None:
    """The service gets the path, and so does the cookie."""
    begun = ask(link(made, "connect", mira, source="strava", by="operator"))
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["redirect_uri"] == [f"{BASE_URL}/strava/callback"]
    assert "Path=/ease/strava/callback" in begun.headers["set-cookie"]
    back = ask(f"{BASE_URL}/strava/callback?state=unknown&code=1")
    assert back.status_code == 400


def test_the_practices_pages_lead_to_each_other(made: Instance, runner: Athlete, ask: Ask) -> None:
    """From the operator's sign-in to an athlete, and from each form back."""
    page = ask("/ease/practice").headers["location"]
    everybody = ask(page)
    found = {one for one in ADDRESS.findall(everybody.text) if "/practice/" in one}
    assert all(ask(one.partition("?")[0]).status_code in (200, 405) for one in found)
    (theirs,) = [one for one in found if one.endswith(runner.link_id)]
    paused = ask(f"{theirs}/pause", method="POST", data={"pause": "yes"})
    assert "Saved." in ask(paused.headers["location"]).text
    form = {"name": "Pia", "email": "pia@example.org"}
    added = ask(f"{page}/athletes", method="POST", data=form)
    assert "Pia" in ask(added.headers["location"]).text


def test_the_webhook_and_the_operators_pages_are_there(made: Instance, ask: Ask) -> None:
    """The front page leads to the operator's."""
    webhook = made.web.services.sources["strava"].webhook_path
    assert ask(f"/ease{webhook}").status_code == 403
    assert ask("/ease/").headers["location"] == "/ease/status"
    assert ask("/ease/status").status_code == 200


def test_a_base_url_without_a_path_has_none() -> None:
    """Nor can it name another host."""
    assert base_path("https://runs.example.org/") == ""
    assert base_path("https://runs.example.org//evil.example/a/") == "/evil.example/a"
