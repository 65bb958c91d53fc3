"""The format of the log: one line per event on standard error, in UTC.

    2026-03-07T08:00:00.120Z INFO worker.pipeline.deliver mail alert to athlete 7 sent
    {"at": "2026-03-07T08:00:00.120Z", "level": "INFO", "room": "worker.pipeline.deliver", ...}

As text, the lines of a traceback are indented, so that none can be mistaken for an event. As JSON,
it is a field of its event. An event's fields are those that its message names: modules log
`"mail %(kind)s sent", {"kind": kind}`, from which both formats are made.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from worker.domain.shown import printable

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_PLACE = re.compile(r"%\((\w+)\)[-+ #0]*[\d.]*[a-z]")
_CHATTY = ("sqlalchemy", "alembic", "apscheduler", "urllib3", "stravalib", "asyncio")


class TextFormatter(logging.Formatter):
    """Escapes control characters, which may be in names of files or in answers of servers."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {printable(line)}" for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for log processors.

    `event` is the same for all events of one kind: the message with the names of its fields in
    place of their values.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event: dict[str, object] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "room": record.name,
            "event": printable(_PLACE.sub(r"{\1}", str(record.msg))),
            "message": printable(record.getMessage()),
        }
        fields = record.args if isinstance(record.args, Mapping) else {}
        event = {name: _plain(value) for name, value in fields.items()} | event
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            event["traceback"] = [printable(line) for line in lines]
        return json.dumps(event, ensure_ascii=False)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else printable(str(value))


def set_up_log(level: int) -> None:
    """Set up the log as text. Verbose libraries log only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def set_log_format(form: Literal["text", "json"]) -> None:
    """Change the format of the log that `set_up_log` set up."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, TextFormatter | JsonFormatter):
            handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
