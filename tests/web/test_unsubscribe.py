"""Unsubscribing: one kind of mail at a time, by a button or a mail provider's POST, reversible."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import Instance
from worker.domain.models import Athlete, MailKind

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


def test_opening_the_page_twice_changes_nothing(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """A scanner that follows the link stops no mail."""
    for _ in range(2):
        page = client.get(made.link("unsubscribe", mira, kind="weekly"))
        assert "<h1>Stop the weekly mail?</h1>" in page.text
    assert made.athlete(mira).wants == mira.wants


@pytest.mark.parametrize("kind", ["alert", "weekly", "reconnect"])
def test_the_button_stops_one_kind_and_no_other(
    made: Instance, mira: Athlete, client: TestClient, kind: MailKind
) -> None:
    """Weekly mails and alerts separately."""
    answer = client.post(made.link("unsubscribe", mira, kind=kind))
    assert "<h1>Stopped</h1>" in answer.text
    assert made.athlete(mira).wants == mira.wants - {kind}


def test_it_can_be_undone_at_once(made: Instance, mira: Athlete, client: TestClient) -> None:
    """A mistaken tap is undone by another."""
    link = made.link("unsubscribe", mira, kind="weekly")
    client.post(link)
    client.post(link, data={"again": "yes"})
    assert made.athlete(mira).wants == mira.wants


def test_a_one_click_post_needs_no_cookie_and_no_form_of_ours(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """As in RFC 8058; doing it twice changes nothing more."""
    link = made.link("unsubscribe", mira, kind="alert")
    for _ in range(2):
        answer = client.post(link, content=ONE_CLICK, headers={"Content-Type": FORM})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    assert made.athlete(mira).wants == mira.wants - {"alert"}


def test_a_one_click_post_may_be_multipart(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """The RFC allows it, and it never means "resume"."""
    body = (
        '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
        '--x\r\nContent-Disposition: form-data; name="again"\r\n\r\nyes\r\n--x--\r\n'
    )
    answer = client.post(
        made.link("unsubscribe", mira, kind="weekly"),
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 200
    assert made.athlete(mira).wants == mira.wants - {"weekly"}


def test_the_link_never_expires(made: Instance, mira: Athlete, client: TestClient) -> None:
    """Ten years later a mail can still be stopped by its link."""
    link = made.link("unsubscribe", mira, kind="weekly")
    made.clock.now += timedelta(days=3653)
    assert client.post(link).status_code == 200
    assert "weekly" not in made.athlete(mira).wants


def test_the_page_shows_no_whole_address_and_leads_nowhere_else(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """A link without expiry must not open anything personal."""
    page = client.get(made.link("unsubscribe", mira, kind="weekly")).text
    assert "m…@example.org" in page
    assert mira.email not in page
    assert "/athlete/" not in page


def test_whoever_was_forgotten_is_told_so(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """The link is valid; the athlete is gone."""
    link = made.link("unsubscribe", mira, kind="weekly")
    with made.store.transaction() as tx:
        tx.athletes.remove(mira)
    answer = client.post(link)
    assert answer.status_code == 410
    assert "no mail will come" in answer.text


def test_a_weekly_mail_that_is_due_stays_due_when_settings_change(
    made: Instance, mira: Athlete, client: TestClient
) -> None:
    """Stopping alerts just before the weekly tick loses no weekly mail."""
    with made.store.reading() as tx:
        due_at = tx.athletes.next_weekly_at(mira)
    made.clock.now = due_at + timedelta(seconds=5)
    client.post(made.link("unsubscribe", mira, kind="alert"))
    client.post(made.link("athlete", mira) + "/settings", data={"wants": ["weekly"]})
    with made.store.reading() as tx:
        assert [one.name for one in tx.athletes.with_weekly_due(made.clock.now)] == ["Mira"]
