"""Cleans names from outside (files, archives, activities, servers) before people see them.

Everything is stored and given to programs unchanged. Whatever shows it to people (commands, the
log, the list of failures, mails and pages) passes it through here. Numbers are rounded here too, so
that all of them agree.
"""

import json
import math
import re
import unicodedata

from worker.domain.models import METRES_PER, Units

JOINERS = "\u200c\u200d"
"""Inside emoji and some scripts; they turn nothing round."""

LONGEST_TITLE = 80
_DOUBTFUL = re.compile(r"[^\x20-\x7e\w\u00a0\u202f]")
"""What is looked at one by one. The spaces inside of measures aren't: most sentences have some."""


def _acts(letter: str) -> bool:
    """True for what ends a line, moves a terminal's cursor, turns the writing, or is no text."""
    # Python calls the wider and narrower spaces unprintable; macOS and French exports use them.
    return not (letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs")


def printable(text: str, *, but: str = "") -> str:
    r"""`text` on one line, with what acts on a terminal or a reader written out: `\x1b`.

    The characters of `but` stay as they are.
    """
    if text.isprintable():
        return text
    return _DOUBTFUL.sub(
        lambda one: ascii(one[0])[1:-1] if _acts(one[0]) and one[0] not in but else one[0], text
    )


def plain_title(text: str) -> str:
    """What somebody called a run or its sport, on one line and not long; what acts is left out."""
    kept = (letter for letter in text if letter.isspace() or not _acts(letter))
    return " ".join("".join(kept).split())[:LONGEST_TITLE]


def printable_json(text: str) -> str:
    r"""JSON of the same value, with what acts on a terminal written as JSON does: `\u001b`."""
    return _DOUBTFUL.sub(
        lambda one: json.dumps(one[0])[1:-1] if _acts(one[0]) and one[0] != "\n" else one[0], text
    )


def tenths(value: float) -> str:
    """One decimal, halves up, as a runner's watch rounds."""
    return f"{math.floor(value * 10 + 0.5) / 10:.1f}"


def tenths_down(value: float) -> str:
    """One decimal, never more than it is: a ceiling that rounds up would break its own rule."""
    return f"{math.floor(value * 10 + 1e-6) / 10:.1f}"


def format_distance(metres: float | None, units: Units) -> str:
    """A distance as the athlete counts it; a dash where there is none."""
    return "–" if metres is None else f"{tenths(metres / METRES_PER[units])} {units}"


def format_most(metres: float, units: Units) -> str:
    """A distance that must not be exceeded, rounded down so that the shown value is inside it."""
    return f"{tenths_down(metres / METRES_PER[units])} {units}"


def counted(number: int, noun: str, *, many: str = "") -> str:
    """A number with its noun: "1 run", "1,200 runs"; `many` is a plural without a mere s."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
