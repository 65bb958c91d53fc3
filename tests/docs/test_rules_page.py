"""docs/rules.md lists every threshold as the code has it."""

import re
from dataclasses import fields

from tests.command import ROOT
from worker.domain.rules import Rules

PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
LEGEND = re.compile(r"^\| ([a-z0-9 ]+) \| ([^|]+) \|$", re.MULTILINE)


def test_the_page_lists_every_rule_with_unit_default_meaning_and_source() -> None:
    """In the order of the code; `scripts/rules_page.py` writes it."""
    sources = dict(LEGEND.findall(PAGE))
    listed = [
        (name, default, unit, meaning.lower(), sources[short])
        for name, default, unit, meaning, short in ROW.findall(PAGE)
    ]
    assert listed == [
        (
            rule.name,
            str(list(rule.default)) if isinstance(rule.default, tuple) else str(rule.default),
            rule.metadata["unit"],
            rule.metadata["meaning"].lower(),
            rule.metadata["source"],
        )
        for rule in fields(Rules)
    ]
