"""Closing one athlete's links: earlier links open nothing, later ones work."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from simulators.web_instance import Instance
from tests.command import easeback
from worker.cli import open_page
from worker.cli.app import run_command_line
from worker.domain.models import Athlete
from worker.links import Link, Signer
from worker.store import Store
from worker.web.visits import NEVER_CLOSED

AGEING = ("athlete", "checkin")
KEY = "a key that is long enough for anybody"
TOKEN = "a token of the operator"
PUBLIC = "https://easeback.example.org"


def page(made: Instance, purpose: str, athlete: Athlete) -> str:
    return made.link(purpose, athlete, kind="weekly")


def close(client: TestClient, made: Instance, athlete: Athlete) -> None:
    made.clock.now += timedelta(minutes=1)
    closed = client.post(f"{page(made, 'athlete', athlete)}/links")
    assert closed.status_code == 200
    assert "The links are closed" in closed.text


def test_closed_links_open_nothing_and_the_next_ones_do(
    made: Instance, client: TestClient, mira: Athlete
) -> None:
    """For every purpose with an age; the page that closed them ends as well."""
    before = [page(made, purpose, mira) for purpose in AGEING]
    close(client, made, mira)
    used = page(made, "athlete", mira)
    assert [client.get(path).status_code for path in (*before, used)] == [410, 410, 410]
    assert client.post(f"{used}/settings", data={"units": "mi"}).status_code == 410
    made.clock.now += timedelta(seconds=1)
    fresh = [page(made, purpose, mira) for purpose in AGEING]
    assert [client.get(path).status_code for path in fresh] == [200, 200]


def test_a_mail_can_be_stopped_by_any_link_for_ever(
    made: Instance, client: TestClient, mira: Athlete
) -> None:
    """Closing the links doesn't mean wanting the mail again."""
    assert NEVER_CLOSED == "unsubscribe"
    before = page(made, "unsubscribe", mira)
    close(client, made, mira)
    assert client.post(before).status_code == 200
    assert "weekly" not in made.athlete(mira).wants


def test_closing_shows_no_link_to_whoever_closed(
    made: Instance, client: TestClient, mira: Athlete
) -> None:
    """A stranger with a link can't renew it forever."""
    made.clock.now += timedelta(minutes=1)
    answer = client.post(f"{page(made, 'athlete', mira)}/links")
    assert "/athlete/" not in answer.text
    assert "location" not in answer.headers


def test_opening_the_page_closes_nothing(made: Instance, client: TestClient, mira: Athlete) -> None:
    """A mail scanner opens every link."""
    path = page(made, "athlete", mira)
    assert client.get(f"{path}/links").status_code == 405
    assert client.get(path).status_code == 200


def test_one_athletes_links_are_nobody_elses(
    made: Instance, client: TestClient, mira: Athlete
) -> None:
    """Other athletes' links stay open."""
    other = made.add("Nora")
    theirs = page(made, "athlete", other)
    close(client, made, mira)
    assert client.get(theirs).status_code == 200


def test_the_operator_closes_them_and_gets_a_fresh_one(tmp_path: Path) -> None:
    """`athlete relink` prints it on the last line, ready for use."""
    env = {"EASEBACK_SECRET_KEY": KEY}
    easeback("athlete", "add", "--name", "Mira", "--email", "m@example.org", cwd=tmp_path, env=env)
    done = easeback("athlete", "relink", "mira", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    said, address = done.stdout.splitlines()
    assert said == "links made for Mira until now open nothing any more; a fresh one:"
    signer = Signer([KEY], "http://127.0.0.1:8765")
    store = Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")
    with store.reading() as tx:
        athlete = tx.athletes.named("Mira")
        assert athlete
        token = address.rpartition("/")[2]
        link = signer.check("athlete", token, now=datetime.now(UTC))
        assert tx.athletes.of_link(link) == (athlete, False)
        assert link.signed_at
        earlier = replace(link, signed_at=link.signed_at - timedelta(seconds=1))
        assert tx.athletes.of_link(earlier) == (athlete, True)
    store.close()


def test_the_operator_opens_an_athletes_page(
    made: Instance, mira: Athlete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """By a new link, in the browser; printed alone on a line without a browser, or on request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EASEBACK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EASEBACK_SECRET_KEY", KEY)
    shown: list[str] = []
    answers = iter((True, False))

    def show(address: str) -> bool:
        shown.append(address)
        return next(answers)

    monkeypatch.setattr(open_page, "show_in_browser", show)
    assert run_command_line(["open"]) == run_command_line(["open"]) == 0
    assert run_command_line(["open", "--no-open", "mira"]) == 0
    said, *printed = capsys.readouterr().out.splitlines()
    assert said == "opened the page of Mira; it's there while `easeback run` serves it"
    assert printed[0] == shown[1]
    for address in (*shown, *printed):
        token = address.removeprefix("http://127.0.0.1:8765/athlete/")
        link = Signer([KEY], "").check("athlete", token, now=datetime.now(UTC))
        with made.store.reading() as tx:
            assert tx.athletes.of_link(link) == (mira, False)


def test_settings_changed_afterwards_open_no_closed_link(store: Store) -> None:
    """It's stored beside the settings and isn't one of them; on both databases."""
    added_at = datetime(2026, 1, 5, 6, tzinfo=UTC)
    now = added_at + timedelta(days=1, microseconds=1)
    with store.transaction() as tx:
        nora = tx.athletes.add(Athlete(0, "Nora", "nora@example.org", added_at))
        begins_at = tx.athletes.close_links(nora, now=now)
        tx.athletes.change(nora, now=now)
    assert begins_at == added_at + timedelta(days=1, seconds=1)
    with store.reading() as tx:
        for signed_at, is_closed in ((begins_at, False), (begins_at - timedelta(seconds=1), True)):
            assert tx.athletes.of_link(Link(nora.link_id, signed_at, {})) == (nora, is_closed)


def test_the_operators_token_is_logged_once_an_hour(
    made: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """With the visitor's address and never the token. Metrics are scraped all day."""
    client = made.client(base_url=PUBLIC, token=TOKEN)
    with caplog.at_level(logging.INFO, "worker.web"):
        for minutes in (0, 10, 70):
            made.clock.now += timedelta(minutes=minutes)
            answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200
    assert [one for one in caplog.messages if "token opened" in one] == [
        "web: the operator's token opened a page to 127.0.0.1"
    ] * 2
    assert TOKEN not in caplog.text
