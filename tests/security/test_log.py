"""The log: one line for each event, in UTC, whatever its text; as text and as JSON."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import ROOT, easeback
from worker.cli.log import JsonFormatter, TextFormatter

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
    return TextFormatter().format(record)


@pytest.mark.parametrize("words", FORGERIES)
def test_no_words_write_a_line_of_their_own(words: str) -> None:
    """Neither in a file nor on a terminal."""
    line = formatted(words)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert LINE.match(line)


def test_times_are_utc_and_say_so() -> None:
    """In any zone of the machine."""
    assert formatted("x", created=0.5, msecs=500.0).startswith("1970-01-01T00:00:00.500Z INFO")


def test_no_line_of_a_traceback_passes_for_an_event() -> None:
    """An error's message may come from outside."""
    try:
        raise ValueError(FORGERIES[0])
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    first, *lines = formatted("unexpected", exc_info=info).splitlines()
    assert LINE.match(first)
    assert lines[0].strip().startswith("Traceback")
    assert "all is well" in lines[-1]
    assert all(line.startswith("    ") for line in lines)


# As JSON


def event(message: str, *fields: object, **more: object) -> Any:
    record = logging.LogRecord("worker.web", logging.INFO, "", 0, message, fields, None)
    record.__dict__ |= more
    (line,) = JsonFormatter().format(record).splitlines()
    return json.loads(line)


def test_an_event_has_its_fields_as_keys_of_their_own() -> None:
    """Numbers stay numbers; all events of a kind share one `event`, whatever their values."""
    named = {"kind": "alert", "athlete": 7, "mb": 1.26, "nobody": None}
    told = event("mail %(kind)s to athlete %(athlete)d sent, %(mb).1f MB", named, created=0.5)
    assert told == named | {
        "at": "1970-01-01T00:00:00.500Z",
        "level": "INFO",
        "room": "worker.web",
        "event": "mail {kind} to athlete {athlete} sent, {mb} MB",
        "message": "mail alert to athlete 7 sent, 1.3 MB",
    }


@pytest.mark.parametrize("words", FORGERIES)
def test_no_words_make_an_object_or_a_line_of_their_own(words: str) -> None:
    """Nor override a key such as the time and the logger."""
    record = logging.LogRecord(
        "worker.web", logging.INFO, "", 0, "%(why)s", ({"why": words},), None
    )
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert event('%(why)s", "level": "DEBUG', {"why": words, "level": "DEBUG"})["level"] == "INFO"


def test_a_traceback_is_a_field_of_its_event() -> None:
    """Line by line, inside the one object."""
    try:
        raise ValueError(FORGERIES[0])
    except ValueError as error:
        told = event("unexpected", exc_info=(type(error), error, error.__traceback__))
    assert told["message"] == "unexpected"
    assert told["traceback"][0].startswith("Traceback")
    assert "all is well" in told["traceback"][-1]


def test_words_of_a_library_are_told_as_well() -> None:
    """They have no fields."""
    assert event("%s of %d", "a", 1)["message"] == "a of 1"
    assert event("plain: 100 %")["event"] == "plain: 100 %"


def test_every_event_of_ours_names_its_fields() -> None:
    """Values that are only in a message can't be searched."""
    calls = [call for file in (ROOT / "worker").rglob("*.py") for call in _log_calls(file)]
    assert len(calls) > 30
    for place, message, arguments in calls:
        assert "%" not in re.sub(r"%\(\w+\)(\.\d)?[sdf]", "", message), place
        assert bool(arguments) is ("%(" in message), place


def _log_calls(file: Path) -> Iterator[tuple[str, str, int]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield f"{file}:{node.lineno}", str(node.args[0].value), len(node.args) - 1


def test_the_setting_says_which_form(tmp_path: Path) -> None:
    """A command's final line stays plain text."""
    env = {"EASEBACK_LOG__FORMAT": "json", "EASEBACK_WEB__ENABLED": "no"}
    done = easeback("--verbose", "once", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert any(one["room"] == "worker.pipeline.backup" and one["mb"] >= 0 for one in told)
    wrong = easeback("status", cwd=tmp_path, env={"EASEBACK_LOG__FORMAT": "xml"})
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(
        "easeback: EASEBACK_LOG__FORMAT: Input should be 'text' or 'json'"
    )
