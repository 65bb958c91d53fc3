"""Text on its way into a mail: numbers in digits, strange text made harmless, lines folded.

No sentence lives here; those stand in `templates/words/`.
"""

import math
import re
import unicodedata
from typing import Any

from worker.model import METRES_PER, Dial, Units

_LONGEST_NAME = 80
_LINE = 76
GAP = "\u00a0"
"""Between a number and its unit: no line breaks there. In the plain part it ends as a space."""
_JOINERS = "\u200c\u200d"  # inside emoji and some scripts; they turn nothing round


def given(units: Units = "km", clock: Dial = "24") -> dict[str, Any]:
    """What a catalogue of sentences must know of whoever is spoken to."""
    return {"unit": units, "per_unit": METRES_PER[units], "clock": clock}


def tenths(value: float) -> str:
    """One decimal, halves up, as a runner's watch rounds."""
    return f"{math.floor(value * 10 + 0.5) / 10:.1f}"


def tenths_down(value: float) -> str:
    """One decimal, never more than it is: a ceiling that rounds up would break its own rule."""
    return f"{math.floor(value * 10 + 1e-6) / 10:.1f}"


def ratio_digits(ratio: float) -> str:
    """One decimal, two where one would hide by how much a rule was passed."""
    return f"{ratio:.2f}" if ratio < 1.195 else tenths(ratio)  # noqa: PLR2004 - told as 1.2 from there


def clean(text: str, *, longest: int = _LONGEST_NAME) -> str:
    """Text from outside, on one line: no controls, no marks that turn the reading direction."""
    kept = "".join(
        mark if unicodedata.category(mark)[0] != "C" or mark in _JOINERS else " "
        for mark in text[: longest * 4]
    )
    line = " ".join(kept.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def plainly(reason: str) -> str:
    """A reason of the pure rooms without the name of the setting behind it."""
    return clean(re.sub(r"\s*\([a-z_0-9]+ = [^)]*\)", "", reason), longest=200)


def fold(text: str) -> str:
    """Lines of at most 76 characters where there's a space to break at; list items hang."""
    folded: list[str] = []
    for line in text.splitlines():
        folded.extend(_folded(line.rstrip()) if len(line) > _LINE else [line.rstrip()])
    return "\n".join(_without_runs_of_blanks(folded)).strip().replace(GAP, " ") + "\n"


def _folded(line: str) -> list[str]:
    indent = "  " if line.startswith("- ") else ""
    lines, room = [], line
    while len(room) > _LINE:
        at = room.rfind(" ", len(indent) + 1, _LINE + 1)
        if at < 0:
            at = room.find(" ", _LINE)
        if at < 0:
            break
        lines.append(room[:at].rstrip())
        room = indent + room[at:].lstrip()
    return [*lines, room]


def _without_runs_of_blanks(lines: list[str]) -> list[str]:
    return [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
