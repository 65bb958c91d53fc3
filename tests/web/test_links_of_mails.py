"""The links in mails are opened: composer and web server must agree on each of them."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from simulators import mail_facts
from simulators.web_instance import BASE_URL, Instance
from worker.domain.models import Athlete, Email
from worker.notify import Composer

ADDRESS = re.compile(rf"{re.escape(BASE_URL)}/[\w/.\-=]+")


@pytest.fixture
def composer(made: Instance) -> Composer:
    return Composer(signer=made.signer, checkins=True)


def paths(email: Email) -> set[str]:
    headers = " ".join(value for _, value in email.extra_headers)
    found = ADDRESS.findall(f"{email.html} {email.text} {headers}")
    return {urlsplit(address).path for address in found}


def of_kind(kept: Athlete) -> Athlete:
    """The made-up runner with the stored athlete's id and names."""
    return replace(mail_facts.athlete(), id=kept.id, link_id=kept.link_id)


def test_every_link_of_an_alert_opens_its_page(
    made: Instance, mira: Athlete, composer: Composer, client: TestClient
) -> None:
    """Three answers, each preselected on its page, and the way to stop the warnings."""
    email = composer.alert(mail_facts.alert_facts(runner=of_kind(mira)))
    found = {path: client.get(path) for path in paths(email)}
    assert {answer.status_code for answer in found.values()} == {200}
    checkins = [answer.text for path, answer in found.items() if path.startswith("/checkin/")]
    assert len(checkins) == 3
    assert all("required checked" in page for page in checkins)
    assert any("Stop the warnings?" in answer.text for answer in found.values())


def test_an_alert_offers_to_say_that_it_was_not_right(
    made: Instance, mira: Athlete, composer: Composer, client: TestClient
) -> None:
    """A link to the run on the athlete's page, in both parts of the mail."""
    facts = mail_facts.alert_facts(runner=of_kind(mira))
    email = composer.alert(facts)
    place = f"#run-{facts.finding.run_id}"
    for part in (email.text, email.html):
        assert "This wasn’t right?" in part
        link = re.search(rf"{ADDRESS.pattern}(?={place}\b)", part)
        assert link
        assert 'id="runs"' in client.get(urlsplit(link[0]).path).text


def test_every_link_of_a_weekly_mail_opens_its_page(
    made: Instance, mira: Athlete, composer: Composer, client: TestClient
) -> None:
    """And the one in its header stops the weekly mail by a single POST."""
    email = composer.weekly(mail_facts.weekly_facts(runner=of_kind(mira)))
    assert {client.get(path).status_code for path in paths(email)} == {200}
    headers = dict(email.extra_headers)
    link = urlsplit(headers["List-Unsubscribe"].strip("<>")).path
    answer = client.post(
        link,
        content=headers["List-Unsubscribe-Post"],
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200
    assert made.athlete(mira).wants == mira.wants - {"weekly"}
