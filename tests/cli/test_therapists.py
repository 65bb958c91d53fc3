"""The commands about therapists, and athletes added from a file."""

import json
from pathlib import Path

from tests.command import easeback

VERA = ("therapist", "add", "Dr. Vera Sand", "--mail", "vera@example.org")


def test_a_therapist_is_added_with_a_link_listed_relinked_and_removed(tmp_path: Path) -> None:
    """The link is alone on its line; closing it gives another one."""
    added = easeback(*VERA, "--language", "de", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    link = added.stdout.splitlines()[-1]
    assert link.startswith("http://127.0.0.1:8765/practice/")
    listed = json.loads(easeback("therapist", "list", "--json", cwd=tmp_path).stdout)
    assert [(one["name"], one["email"], one["language"]) for one in listed] == [
        ("Dr. Vera Sand", "vera@example.org", "de")
    ]
    fresh = easeback("therapist", "relink", "dr. vera sand", cwd=tmp_path).stdout.splitlines()[-1]
    assert fresh.startswith("http://127.0.0.1:8765/practice/")
    assert fresh != link
    assert easeback("therapist", "remove", "Dr. Vera Sand", "--yes", cwd=tmp_path).returncode == 0
    assert "no therapist yet" in easeback("therapist", "list", cwd=tmp_path).stdout


def test_what_makes_no_sense_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the option."""
    assert easeback(*VERA, cwd=tmp_path).returncode == 0
    for given, said in (
        (VERA, "there is a therapist called Dr. Vera Sand already"),
        ((*VERA[:2], "Wim", "--mail", "wim"), "--mail: "),
        ((*VERA[:2], "a/b", "--mail", "wim@example.org"), "NAME: "),
        ((*VERA[:2], "Wim", "--mail", "wim@example.org", "--language", "tlh"), "--language: "),
        (("therapist", "relink", "Wim"), "no therapist is called 'Wim'"),
        (("therapist", "remove", "Wim", "--yes"), "no therapist is called 'Wim'"),
    ):
        done = easeback(*given, cwd=tmp_path)
        assert done.returncode == 2, given
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
