"""What doctor says about the operator's settings."""

from pathlib import Path

import pytest

from tests.command import easeback

LONG = "x" * 43


def test_a_short_token_is_called_guessable(tmp_path: Path) -> None:
    """It isn't shown, and the message says what to do."""
    done = easeback("doctor", cwd=tmp_path, env={"EASEBACK_WEB__TOKEN": "still short"})
    assert "BAD  settings: [web] token is short enough to be guessed" in done.stdout
    assert "openssl rand" in done.stdout


@pytest.mark.parametrize("keys", ["x" * 31, f"{LONG},short", f"short, {LONG}"])
def test_no_command_takes_a_short_secret_key(tmp_path: Path, keys: str) -> None:
    """Guessing it would open every link; each of several keys is checked."""
    done = easeback("once", cwd=tmp_path, env={"EASEBACK_SECRET_KEY": keys})
    assert done.returncode == 2
    assert "EASEBACK_SECRET_KEY: a key has at least 32 characters" in done.stderr
    assert "openssl rand" in done.stderr
    assert keys not in done.stderr


def test_a_long_one_is_well(tmp_path: Path) -> None:
    """As made by `openssl rand -base64 32`."""
    done = easeback("doctor", cwd=tmp_path, env={"EASEBACK_SECRET_KEY": LONG})
    assert "ok   settings" in done.stdout
