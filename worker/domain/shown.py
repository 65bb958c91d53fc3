"""Cleans names from outside (files, archives, activities, servers) before people see them.

Names are stored and passed to programs unchanged. All output for people (commands, the log, the
list of failures, mails and pages) is cleaned here. Numbers are rounded here too, so that all output
agrees.
"""

import json
import math
import re
import unicodedata

from worker.domain.models import METRES_PER, Units

JOINERS = "\u200c\u200d"
"""Used in emoji and some scripts; they don't change the direction of text."""

LONGEST_TITLE = 80
_DOUBTFUL = re.compile(r"[^\x20-\x7e\w\u00a0\u202f]")
"""Characters that are checked one by one. The spaces before units aren't, for speed."""


def _acts(letter: str) -> bool:
    """True if it ends a line, moves a cursor, changes the direction of text, or isn't text."""
    # `isprintable` is False for wide and narrow spaces, which macOS and French exports use.
    return not (letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs")


def printable(text: str, *, but: str = "") -> str:
    r"""`text` on one line, with control characters and the like escaped, such as `\x1b`.

    Characters in `but` aren't escaped.
    """
    if text.isprintable():
        return text
    return _DOUBTFUL.sub(
        lambda one: ascii(one[0])[1:-1] if _acts(one[0]) and one[0] not in but else one[0], text
    )


def plain_title(text: str) -> str:
    """The title of a run or a sport on one line, shortened and without control characters."""
    kept = (letter for letter in text if letter.isspace() or not _acts(letter))
    return " ".join("".join(kept).split())[:LONGEST_TITLE]


def printable_json(text: str) -> str:
    r"""The same JSON with control characters and the like escaped, such as `\u001b`."""
    return _DOUBTFUL.sub(
        lambda one: json.dumps(one[0])[1:-1] if _acts(one[0]) and one[0] != "\n" else one[0], text
    )


def tenths(value: float) -> str:
    """One decimal, halves rounded up, as a watch does."""
    return f"{math.floor(value * 10 + 0.5) / 10:.1f}"


def tenths_down(value: float) -> str:
    """One decimal, rounded down: a ceiling that is rounded up would break its own rule."""
    return f"{math.floor(value * 10 + 1e-6) / 10:.1f}"


def format_distance(metres: float | None, units: Units) -> str:
    """A distance in the athlete's units, or a dash for None."""
    return "–" if metres is None else f"{tenths(metres / METRES_PER[units])} {units}"


def format_most(metres: float, units: Units) -> str:
    """A distance that must not be exceeded, rounded down so that the shown value is allowed."""
    return f"{tenths_down(metres / METRES_PER[units])} {units}"


def counted(number: int, noun: str, *, many: str = "") -> str:
    """A number with its noun: "1 run", "1,200 runs"; `many` is an irregular plural."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
