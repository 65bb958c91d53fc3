"""`easeback outbox`: the waiting mails, and the operator's decisions about them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.empty_database import put_empty_database
from tests.command import easeback
from worker.store import Store

NOW = datetime.now(UTC)
MIME = b"Date: Fri, 20 Nov 2026 18:00:00 +0000\r\n\r\nEase off.\r\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(put_empty_database(tmp_path / "data" / "easeback.db"))
    yield store
    store.close()


def queue(store: Store, key: str, *, created_at: datetime = NOW) -> int:
    with store.transaction() as tx:
        number = tx.outbox.enqueue(
            None, kind="alert", key=key, message_id=f"<{key}@x.org>", sender="e@x.org",
            recipient=f"{key}@x.org", mime=MIME, now=created_at,
        )  # fmt: skip
    assert number is not None
    return number


def dead(store: Store, key: str) -> int:
    number = queue(store, key)
    with store.transaction() as tx:
        letter = tx.outbox.claim(NOW + timedelta(minutes=1))
        assert letter is not None
        assert letter.id == number
        tx.outbox.dead(letter, error="550 no such user")
    return number


def listed(cwd: Path, *more: str) -> dict[int, dict[str, Any]]:
    done = easeback("outbox", "list", "--json", *more, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return {one["id"]: one for one in json.loads(done.stdout)}


def test_lists_what_waits_with_its_reason(store: Store, tmp_path: Path) -> None:
    """Sent mails aren't listed; for people it's a table."""
    gone, number = dead(store, "gone"), queue(store, "fresh")
    one = listed(tmp_path)[gone]
    assert (one["state"], one["last_error"], one["attempts"]) == ("dead", "550 no such user", 1)
    assert listed(tmp_path)[number]["state"] == "queued"
    shown = easeback("outbox", "list", cwd=tmp_path).stdout
    assert "550 no such user" in shown
    with store.transaction() as tx:
        letter = tx.outbox.claim(NOW + timedelta(minutes=1))
        assert letter is not None
        tx.outbox.sent(letter, now=NOW)
    assert set(listed(tmp_path)) == {gone}
    assert set(listed(tmp_path, "--all")) == {gone, number}


def test_states_are_said_in_words_and_told_to_programs_as_they_are(
    store: Store, tmp_path: Path
) -> None:
    """Users don't see "at dot"."""
    number = queue(store, "slow")
    with store.transaction() as tx:
        letter = tx.outbox.claim(NOW + timedelta(minutes=1))
        assert letter is not None
        tx.outbox.at_dot(letter)
    shown = " ".join(easeback("outbox", "list", cwd=tmp_path).stdout.split())
    assert "waiting for the server's answer" in shown
    assert "at_dot" not in shown
    assert listed(tmp_path)[number]["state"] == "at_dot"


def test_status_tells_the_same_states_in_the_same_words(store: Store, tmp_path: Path) -> None:
    """And programs get the documented names."""
    dead(store, "gone")
    for key in ("asked", "waits", "held"):
        queue(store, key)
    with store.transaction() as tx:
        letter = tx.outbox.claim(NOW + timedelta(minutes=1))
        assert letter is not None
        tx.outbox.at_dot(letter)
        tx.outbox.hold(tx.outbox.unsent()[-1], why="by hand")
    told = easeback("status", cwd=tmp_path).stdout
    assert (
        "mail      1 waiting, 1 waiting for the server's answer, 0 to be tried again, 1 given up, "
        "1 held\n"
    ) in told
    outbox = json.loads(easeback("status", "--json", cwd=tmp_path).stdout)["outbox"]
    assert {key: outbox[key] for key in ("queued", "retrying", "dead", "held")} == {
        "queued": 2,
        "retrying": 0,
        "dead": 1,
        "held": 1,
    }


def test_a_mail_given_up_is_sent_again_when_asked_for(store: Store, tmp_path: Path) -> None:
    """With a new expiry, at once."""
    gone = dead(store, "gone")
    done = easeback("outbox", "retry", str(gone), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["state"], told["attempts"]) == ("queued", 0)
    assert easeback("once", cwd=tmp_path).stdout.count("mail: 1 sent") == 1


def test_held_mail_stays_until_it_is_released(store: Store, tmp_path: Path) -> None:
    """It isn't sent until then."""
    number = queue(store, "fresh")
    assert easeback("outbox", "hold", "--all", cwd=tmp_path).returncode == 0
    assert "mail: 0 sent" in easeback("once", cwd=tmp_path).stdout
    assert listed(tmp_path)[number]["state"] == "held"
    assert easeback("outbox", "release", str(number), cwd=tmp_path).returncode == 0
    assert "mail: 1 sent" in easeback("once", cwd=tmp_path).stdout


def test_dropped_mail_is_gone_and_not_queued_again(store: Store, tmp_path: Path) -> None:
    """Its content is deleted, its key stays."""
    number = queue(store, "fresh")
    assert easeback("outbox", "drop", str(number), cwd=tmp_path).returncode == 0
    assert listed(tmp_path) == {}
    with store.transaction() as tx:
        letter = tx.outbox.by_id(number)
        assert letter is not None
        assert (letter.state, letter.mime) == ("dropped", b"")
        again = tx.outbox.enqueue(
            None, kind="alert", key="fresh", message_id="<2@x.org>", sender="e@x.org",
            recipient="a@x.org", mime=b"", now=NOW,
        )  # fmt: skip
    assert again is None
    assert json.loads(easeback("status", "--json", cwd=tmp_path).stdout)["outbox"]["dead"] == 0


def test_what_cannot_be_done_is_one_line_and_stops_no_other(store: Store, tmp_path: Path) -> None:
    """An unknown number, a mail being sent, and neither ids nor --all."""
    number = queue(store, "fresh")
    done = easeback("outbox", "hold", "99", str(number), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "easeback: there is no mail 99\n")
    assert listed(tmp_path)[number]["state"] == "held"
    done = easeback("outbox", "retry", str(number), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"easeback: mail {number} is held\n")
    assert easeback("outbox", "drop", cwd=tmp_path).returncode == 2
