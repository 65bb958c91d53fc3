"""The log: one line an event, in UTC, whatever the event's words hold."""

import logging
import re

import pytest

from worker.cli.log import OneLine

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|ERROR) worker\.web ")
FORGERIES = (
    "a\n2026-01-01T00:00:00.000Z INFO worker.web all is well",
    "a\r\x1b[2J\x1b[1A",
    "a\u2028b\u2029c\x85d",
    "\u202egnirekcah\u2066",
)


def formatted(message: str, **more: object) -> str:
    record = logging.LogRecord("worker.web", logging.INFO, "", 0, "%s", (message,), None)
    record.__dict__ |= more
    return OneLine().format(record)


@pytest.mark.parametrize("words", FORGERIES)
def test_no_words_write_a_line_of_their_own(words: str) -> None:
    """Neither in a file nor on a terminal."""
    line = formatted(words)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert LINE.match(line)


def test_times_are_utc_and_say_so() -> None:
    """Wherever the machine stands."""
    assert formatted("x", created=0.5, msecs=500.0).startswith("1970-01-01T00:00:00.500Z INFO")


def test_no_line_of_a_traceback_passes_for_an_event() -> None:
    """An error's own words may come from outside."""
    try:
        raise ValueError(FORGERIES[0])
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    first, *lines = formatted("unexpected", exc_info=info).splitlines()
    assert LINE.match(first)
    assert lines[0].strip().startswith("Traceback")
    assert "all is well" in lines[-1]
    assert all(line.startswith("    ") for line in lines)
