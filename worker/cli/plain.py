"""Whether a terminal is to be written to in plain letters, without colours and moving lines."""

import os
import sys
from typing import TextIO


def is_plain(stream: TextIO | None = None) -> bool:
    """True where no escape sequence may be written to the stream, by default standard output.

    That's so where it is no terminal, where the terminal is a dumb one, and where `NO_COLOR`
    (https://no-color.org) asks for it. `FORCE_COLOR` asks for the opposite, and yields to it.
    """
    if os.environ.get("NO_COLOR"):
        return True
    if os.environ.get("FORCE_COLOR"):
        return False
    shown = stream or sys.stdout
    return not shown.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown")
