"""The commands that pause and resume an athlete's mail."""

import json
from pathlib import Path

from tests.command import easeback


def test_mail_is_paused_shown_as_paused_and_resumed(tmp_path: Path) -> None:
    """Pausing twice keeps the first date; a single athlete needs no name."""

    def listed() -> dict[str, object]:
        (athlete,) = json.loads(easeback("athlete", "list", "--json", cwd=tmp_path).stdout)
        return dict(athlete)

    easeback("athlete", "add", "--name", "Anna", "--email", "anna@example.org", cwd=tmp_path)
    assert listed()["paused_since"] is None
    assert (
        "until `easeback athlete resume Anna`" in easeback("athlete", "pause", cwd=tmp_path).stdout
    )
    since = listed()["paused_since"]
    assert since is not None
    easeback("athlete", "pause", "anna", cwd=tmp_path)
    assert listed()["paused_since"] == since
    assert "paused since 2" in easeback("athlete", "list", cwd=tmp_path).stdout
    status = easeback("status", cwd=tmp_path).stdout
    assert "mail is paused since" in status
    assert "weekly mail next" not in status
    easeback("athlete", "resume", "Anna", cwd=tmp_path)
    assert listed()["paused_since"] is None
    assert "weekly mail next" in easeback("status", cwd=tmp_path).stdout
    unknown = easeback("athlete", "pause", "Nobody", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "Nobody" in unknown.stderr
