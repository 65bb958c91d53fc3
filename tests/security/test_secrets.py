"""Planted secrets can't be read anywhere: logs, errors, status, backups or process lists."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.security.story import SECRET_KEY, Told, live
from worker.cli.app import app


@pytest.fixture(scope="module", params=["text", "json"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The story, run once for each log format."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("process lists are looked at by way of /proc")
    return live(tmp_path_factory.mktemp("planted"), log_format=request.param)


def test_the_secrets_were_used(told: Told) -> None:
    """Otherwise nothing could have leaked: a mail was sent by the login, Strava was called, etc."""
    assert told.mails >= 1
    assert told.calls >= 1
    assert told.garmin_calls >= 1
    assert [name for name in told.secrets if name.startswith("garmin token")]
    assert len([name for name in told.secrets if name.startswith("refresh token")]) >= 2
    assert "refused the login" in told.said["a login refused"]
    assert "can't be used" in told.said["no database"]
    assert "web: 403" in told.said["the worker's log"]
    if told.log_format == "json":
        lines = told.said["the worker's log"].splitlines()
        assert {"at", "level", "room", "event", "message"} <= set.intersection(
            *(set(json.loads(line)) for line in lines)
        )
    assert "worker" in told.worker[0]


def test_no_secret_is_ever_said(told: Told) -> None:
    """By no command, however verbose, nor in the worker's log at its lowest level."""
    for place, text in told.said.items():
        assert text, f"{place} said nothing, and so shows nothing"
        for name, secret in told.secrets.items():
            assert secret not in text, f"{place} shows the {name}"


def test_no_link_is_ever_logged(told: Told) -> None:
    """Reading the log doesn't open an athlete's page."""
    for place, text in told.said.items():
        for token in told.links:
            assert token not in text, place
            assert token.partition(".")[2] not in text, place


def test_a_backup_holds_no_secret(told: Told) -> None:
    """Grants are sealed and keys are elsewhere. Its mails contain their links, as documented."""
    assert told.backup.startswith(b"SQLite format 3")
    for name, secret in told.secrets.items():
        assert secret.encode() not in told.backup, name


def test_process_lists_show_no_secret(told: Told) -> None:
    """Neither the worker's command line nor those of its children."""
    own, children = told.worker
    assert "child_serve" in children
    for name, secret in told.secrets.items():
        assert secret not in own + children, name


def test_the_reader_of_strangers_files_is_given_no_setting(told: Told) -> None:
    """Code that takes it over finds nothing of ours in its environment."""
    assert SECRET_KEY not in told.reader_environment
    assert "EASEBACK_" not in told.reader_environment
    assert len(told.reader_environment.splitlines()) < 10


def test_no_command_takes_a_secret_on_its_line() -> None:
    """It would be in the shell's history and in every process list."""
    options = _options(typer.main.get_command(app))
    assert "--email" in options
    for option in options:
        assert not any(word in option for word in ("password", "secret", "token", "--key")), option


def _options(command: Any) -> list[str]:
    found = [name for one in command.params for name in one.opts]
    for name in getattr(command, "commands", ()):
        found += _options(command.get_command(None, name))
    return found
