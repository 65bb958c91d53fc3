"""The audit of dependencies: it fails for a known flaw, and prints one line if it can't ask."""

import json

import pytest

from scripts import audit

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
FLAWED = {
    "name": "flawed", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}],
}  # fmt: skip
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def answer(*dependencies: object) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_known_flaw_fails() -> None:
    """The output names the flaw and the fix."""
    assert audit.verdict(answer(SOUND, FLAWED)) == (1, "flawed 2.0: PYSEC-1, mended in 2.1")


def test_sound_dependencies_pass() -> None:
    """The output says how many were really checked."""
    status, words = audit.verdict(answer(SOUND, UNKNOWN))
    assert status == 0
    assert words.startswith("1 of 2")


@pytest.mark.parametrize("said", ["", "Traceback ...", "[]", "{}", answer(), answer(UNKNOWN)])
def test_an_answer_about_nothing_is_no_verdict(said: str) -> None:
    """An index that knows none of the packages mustn't count as clean."""
    assert audit.verdict(said)[0] is None
