"""docs/troubleshooting.md has a row for each trouble that `status` and `/readyz` can tell."""

import ast
import re

from tests.command import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
ROWS = [re.sub(r"[`…]", "", row.split("|")[1]).strip()
        for row in PAGE.splitlines() if row.startswith("| ")]  # fmt: skip

ENTRIES = {
    "{}: hasn't run yet": "hasn't run yet",
    "{}: hasn't finished since {} UTC": "hasn't finished since",
    "{}: last finished at {}, which is still to come: the clock went back": "the clock went back",
    "nothing has been done since {} UTC: is `easeback run` still running?":
        "nothing has been done since",
    "{} could not be delivered: {}": "could not be delivered:",
    "mail is being retried: {}": "mail is being retried:",
    "{}: {}; it is asked again soon": "it is asked again soon",
    "{}, {}: {}": "Anna, garmin:",
    "{} waits: {}": "waits:",
    "{} waits to be read again: {}": "waits to be read again:",
    "web: {}": "web:",
    "mail: {}": "mail:",
    "{}: {}": "inbox:  or the name of another job, with a reason",
    "the database file was replaced while the worker runs: start the worker again":
        "the database file was replaced",
    "{clock}": "the clock has leapt",
    "{settings}": "a mistake in routine.toml or in a template",
}  # fmt: skip
"""Each sentence of `worker/health.py`, and how its row begins; in braces what others write."""


def sentences() -> set[str]:
    """What each `Trouble` of the code says, with `{}` for what is filled in."""
    tree = ast.parse((ROOT / "worker" / "health.py").read_text("utf-8"))
    texts = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trouble":
            about, said = node.args
            if isinstance(said, ast.Name) and said.id in texts and said.id in ("words", "text"):
                said = texts[said.id] if about_is_known(about) else said
            found.add(pattern(about, said))
    return found


def about_is_known(about: ast.expr) -> bool:
    return isinstance(about, ast.Constant) and about.value != "settings"


def pattern(about: ast.expr, said: ast.expr) -> str:
    match said:
        case ast.Constant():
            return str(said.value)
        case ast.JoinedStr():
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in said.values
            )
    assert isinstance(about, ast.Constant)
    return f"{{{about.value}}}"


def test_every_trouble_has_an_entry() -> None:
    """One that is new in the code needs a row; a row whose sentence is gone goes."""
    told = sentences()
    for sentence in told - {"{mail}", "{database}"}:
        assert sentence in ENTRIES, sentence
    for beginning in ENTRIES.values():
        assert any(beginning in row for row in ROWS), beginning
    assert len(told) >= 14
