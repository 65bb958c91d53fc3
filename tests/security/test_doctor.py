"""What doctor says about the operator's own choices."""

from pathlib import Path

import pytest

from tests.command import easeback

LONG = "x" * 43


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("EASEBACK_SECRET_KEY", f"{LONG},short", "secret_key"),
        ("EASEBACK_WEB__TOKEN", "still short", r"[web] token"),
    ],
)
def test_a_short_secret_is_called_guessable(
    tmp_path: Path, variable: str, value: str, name: str
) -> None:
    """And not shown; what to do stands beside it."""
    done = easeback("doctor", cwd=tmp_path, env={variable: value})
    assert f"BAD  settings: {name} is short enough to be guessed" in done.stdout
    assert "openssl rand" in done.stdout


def test_a_long_one_is_well(tmp_path: Path) -> None:
    """As `openssl rand -base64 32` makes it."""
    done = easeback("doctor", cwd=tmp_path, env={"EASEBACK_SECRET_KEY": LONG})
    assert "ok   settings" in done.stdout
