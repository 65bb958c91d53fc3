"""`doctor --mail-to`: a test mail through the whole dialogue, with each answer shown."""

import json
from pathlib import Path

import pytest

from simulators.empty_database import put_empty_database
from simulators.smtp_server import SmtpServer
from tests.command import easeback


@pytest.fixture(autouse=True)
def set_up(tmp_path: Path) -> None:
    """An athlete to mail to."""
    put_empty_database(tmp_path / "data" / "easeback.db")
    added = easeback(
        "athlete", "add", "--name", "Anna", "--email", "anna@example.org", cwd=tmp_path
    )
    assert added.returncode == 0, added.stderr


def test_a_trial_mail_shows_each_answer_of_the_server(tmp_path: Path) -> None:
    """From the greeting to the end, and the mail arrives."""
    with SmtpServer() as server:
        done = easeback("doctor", "--mail-to", "me@example.org", cwd=tmp_path, env=to(server))
    assert [mail.recipient for mail in server.mails] == ["me@example.org"]
    assert "ok   trial mail: sent to me@example.org" in done.stdout
    for line in ("rcpt TO:<me@example.org>: 250 OK", "the mail: 250 taken"):
        assert line in done.stdout


def test_a_refused_trial_mail_says_where_and_why(tmp_path: Path) -> None:
    """The answer is shown, and the status is 1."""
    with SmtpServer() as server:
        server.fail("rcpt", "550 5.1.1 no such user")
        done = easeback("doctor", "--mail-to", "me@example.org", cwd=tmp_path, env=to(server))
    assert done.returncode == 1
    assert "rcpt TO:<me@example.org>: 550 5.1.1 no such user" in done.stdout
    assert "BAD  trial mail: The mail server" in done.stdout


def test_a_trial_mail_is_told_to_programs_as_a_check(tmp_path: Path) -> None:
    """The output of --json is valid JSON."""
    with SmtpServer() as server:
        done = easeback(
            "doctor", "--mail-to", "me@example.org", "--json", cwd=tmp_path, env=to(server)
        )
    (trial,) = [one for one in json.loads(done.stdout) if one["what"] == "trial mail"]
    assert trial["ok"]


def test_what_is_no_address_is_said_as_that(tmp_path: Path) -> None:
    """In one line."""
    done = easeback(
        "doctor", "--mail-to", "nobody", cwd=tmp_path, env={"EASEBACK_MAIL__HOST": "localhost"}
    )
    assert "BAD  trial mail: 'nobody' isn't a mail address" in done.stdout


def test_a_language_without_words_is_told_beside_the_other_checks(tmp_path: Path) -> None:
    """As the reason why the trial mail couldn't be composed."""
    env = {"EASEBACK_MAIL__LANGUAGE": "xx", "EASEBACK_MAIL__HOST": "localhost"}
    done = easeback("doctor", "--mail-to", "me@example.org", cwd=tmp_path, env=env)
    assert "ok   settings: " in done.stdout
    assert "BAD  trial mail: [mail] language: there are no words" in done.stdout
    assert done.returncode == 2


def test_before_anything_is_set_up_the_server_can_be_tried(tmp_path: Path) -> None:
    """The other checks are printed as well, and no file is left behind."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with SmtpServer() as server:
        done = easeback("doctor", "--mail-to", "me@example.org", cwd=elsewhere, env=to(server))
    assert "ok   settings: " in done.stdout
    assert "ok   trial mail: sent to me@example.org" in done.stdout
    assert done.returncode == 2
    assert "nothing is set up here" in done.stderr
    assert list(elsewhere.iterdir()) == []


def test_before_anything_is_set_up_no_mail_is_written_into_a_folder(tmp_path: Path) -> None:
    """Its folder would look like what is left of a lost database."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = easeback("doctor", "--mail-to", "me@example.org", cwd=elsewhere)
    assert done.returncode == 2
    assert "nothing is set up here" in done.stderr
    assert list(elsewhere.iterdir()) == []


def to(server: SmtpServer) -> dict[str, str]:
    """Settings that send to this server."""
    return {
        "EASEBACK_MAIL__HOST": "127.0.0.1",
        "EASEBACK_MAIL__PORT": str(server.port),
        "EASEBACK_MAIL__SECURITY": "none",
    }
