"""Adding an athlete: the first mail, and when there is none."""

from email import message_from_bytes, policy
from pathlib import Path

import pytest

from simulators.mail_lint import lint
from tests.command import easeback

ANNA = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org", "--language", "de")
PUBLISHED = {"EASEBACK_BASE_URL": "https://easeback.example.org"}


def mails(home: Path) -> list[bytes]:
    return [mail.read_bytes() for mail in (home / "data" / "mailbox").glob("*.eml")]


def test_a_new_athlete_gets_the_first_mail_in_their_language(tmp_path: Path) -> None:
    """With the worker's next pass, and only once."""
    assert easeback(*ANNA, cwd=tmp_path, env=PUBLISHED).returncode == 0
    for _ in range(2):
        assert easeback("once", cwd=tmp_path, env=PUBLISHED).returncode == 0
    [mail] = mails(tmp_path)
    lint(mail)
    message = message_from_bytes(mail, policy=policy.default)
    assert (message["To"], message["Subject"]) == ("anna@example.org", "Willkommen bei Easeback")


@pytest.mark.parametrize(
    ("options", "env", "sent"),
    [
        ((), {}, 0),
        (("--welcome",), {}, 1),
        (("--no-welcome",), PUBLISHED, 0),
        ((), {**PUBLISHED, "EASEBACK_WEB__ENABLED": "false"}, 0),
    ],
    ids=["this machine alone", "wanted", "not wanted", "no pages"],
)
def test_the_first_mail_goes_where_its_link_opens_or_where_it_is_wanted(
    tmp_path: Path, options: tuple[str, ...], env: dict[str, str], sent: int
) -> None:
    """A link to this machine's loopback address is useless on other devices."""
    assert easeback(*ANNA, *options, cwd=tmp_path, env=env).returncode == 0
    assert easeback("once", cwd=tmp_path, env=env).returncode == 0
    assert len(mails(tmp_path)) == sent


def test_a_name_that_is_taken_brings_nobody_a_second_mail(tmp_path: Path) -> None:
    assert easeback(*ANNA, cwd=tmp_path, env=PUBLISHED).returncode == 0
    assert easeback(*ANNA, cwd=tmp_path, env=PUBLISHED).returncode == 2
    assert easeback("once", cwd=tmp_path, env=PUBLISHED).returncode == 0
    assert len(mails(tmp_path)) == 1
