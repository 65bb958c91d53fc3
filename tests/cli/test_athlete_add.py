"""Adding an athlete: the first mail that follows, and the ways to do without it."""

from email import message_from_bytes, policy
from pathlib import Path

from simulators.mail_lint import lint
from tests.command import easeback

ANNA = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org", "--language", "de")


def mails(home: Path) -> list[bytes]:
    return [mail.read_bytes() for mail in (home / "data" / "mailbox").glob("*.eml")]


def test_a_new_athlete_gets_the_first_mail_in_their_language(tmp_path: Path) -> None:
    """With the next pass of the worker, and only with the first."""
    assert easeback(*ANNA, cwd=tmp_path).returncode == 0
    for _ in range(2):
        assert easeback("once", cwd=tmp_path).returncode == 0
    [mail] = mails(tmp_path)
    lint(mail)
    message = message_from_bytes(mail, policy=policy.default)
    assert (message["To"], message["Subject"]) == ("anna@example.org", "Willkommen bei Easeback")


def test_no_mail_is_sent_where_that_is_asked(tmp_path: Path) -> None:
    """The operator may tell their athletes by word of mouth."""
    assert easeback(*ANNA, "--no-mail", cwd=tmp_path).returncode == 0
    assert easeback("once", cwd=tmp_path).returncode == 0
    assert mails(tmp_path) == []


def test_a_name_that_is_taken_brings_nobody_a_second_mail(tmp_path: Path) -> None:
    assert easeback(*ANNA, cwd=tmp_path).returncode == 0
    assert easeback(*ANNA, cwd=tmp_path).returncode == 2
    assert easeback("once", cwd=tmp_path).returncode == 0
    assert len(mails(tmp_path)) == 1
