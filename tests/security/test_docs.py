"""docs/security.md names tests, and each of them exists."""

import ast
import re
from functools import cache

from tests.command import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@cache
def written_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_the_page_names_tests() -> None:
    """Without any the test below would pass."""
    assert len(NAMED) > 60


def test_every_test_that_is_named_exists() -> None:
    """A row that names a removed test proves nothing."""
    for file, name in NAMED:
        assert not name or name in written_in(file), (file, name)


def test_every_row_says_how_it_stands() -> None:
    """With a test, or with the reason why there's none."""
    rows = re.findall(r"^\| \d.*\|$", PAGE, re.MULTILINE)
    assert len(rows) > 70
    for row in rows:
        _, numbers, _, how, shown, _ = row.split("|")
        excused = "not applicable" in how or "**not met" in how or "above" in how or ".md" in how
        assert shown.strip() or excused, numbers
