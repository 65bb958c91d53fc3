"""How the log looks: one line an event on standard error, in UTC; no text makes a second line.

Only a traceback has more lines, each of them indented, so that none passes for an event.
"""

import logging
import re
import sys
import time
from typing import Any

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
# What ends a line somewhere, moves a terminal's cursor, or turns the reading direction.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CHATTY = ("sqlalchemy", "alembic", "apscheduler", "urllib3", "stravalib", "asyncio")


class OneLine(logging.Formatter):
    """Names of files and athletes, and words of servers, may hold anything."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return _tamed(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {_tamed(line)}" for line in lines)


def _tamed(text: str) -> str:
    return _ACTING.sub("\N{REPLACEMENT CHARACTER}", text)


def set_up(level: int) -> None:
    """Let the log begin; libraries are heard from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
