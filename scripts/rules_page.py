# ruff: noqa: INP001  a script beside the package, not a part of it
"""Writes docs/rules.md from `worker/domain/rules.py`: every threshold, as `[rules]` takes it."""

import sys
from dataclasses import fields
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from worker.domain import rules

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

SOURCES = {
    rules.FRANDSEN: "study",
    rules.NIELSEN: "study 2",
    rules.COACH: "coach",
    rules.COACH_CLIMB: "climb",
    rules.OURS: "ours",
}

PARTS = {
    "session": "What counts as a run",
    "plausible": "What counts as a run",
    "climb": "What counts as a run",
    "run": "One run much longer than the others",
    "severity": "One run much longer than the others",
    "return": "The return from a break",
    "ramp": "A week far above the others",
    "month": "Four weeks far above the months before",
    "season": "The easy season",
    "race": "Races",
    "mail": "Which findings are mailed",
    "weekly": "The weekly mail",
    "recovery": "The days after an alert",
    "plan": "The plan",
}

TOP = """# The rules

Every threshold of the warnings and of the plan is a setting. The defaults are based on the
[evidence](evidence.md), so most people never change one. To change one, add it to your settings
file:

```toml
[rules]
run_over = 1.2            # warn later: from 20 % above the longest run of the last 30 days
mail_every_days = 21      # at most one alert in three weeks
```

Then try it on your own runs: `easeback backtest` lists every warning that would have been sent.
`easeback explain` shows the thresholds that applied on a day.

Units: *m* metres, *d* days, *min* minutes, *times* a factor, *share* a part of 1.

The last column names the source of a threshold:

| | |
|---|---|
"""

HEAD = "| setting | default | unit | meaning | source |\n|---|---|---|---|---|\n"


def part_of(name: str) -> str:
    return PARTS[name.partition("_")[0]]


def shown(default: object) -> str:
    """A default as written in TOML."""
    return str(list(default)) if isinstance(default, tuple) else str(default)


def page() -> str:
    """The whole page, as Markdown."""
    text = TOP
    text += "".join(f"| {short} | {source} |\n" for source, short in SOURCES.items())
    for part, found in groupby(fields(rules.Rules), key=lambda rule: part_of(rule.name)):
        text += f"\n## {part}\n\n{HEAD}"
        for rule in found:
            told = rule.metadata
            meaning = told["meaning"][0].upper() + told["meaning"][1:]
            text += (
                f"| `{rule.name}` | `{shown(rule.default)}` | {told['unit']} | {meaning} "
                f"| {SOURCES[told['source']]} |\n"
            )
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
