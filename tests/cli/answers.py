"""Runs commands and reads their answers."""

import json
from pathlib import Path
from typing import Any

from tests.command import easeback

ANNA = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org")


def read(home: Path, *arguments: str, status: int = 0) -> Any:
    """A command's JSON; there is nothing else on standard output."""
    done = easeback(*arguments, "--json", cwd=home)
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == status
    return json.loads(done.stdout)


def is_one_line(text: str) -> bool:
    return text.startswith("easeback: ") and text.count("\n") == 1 and "Traceback" not in text
