"""Writes answers into a settings file. Other lines of the file stay unchanged."""

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.cli.context import AttentionError, UsageError

Answers = Mapping[str, Mapping[str, str | int | None]]
"""Values by section ("" for the keys before the first one) and key; None comments a key out."""


def read_settings(text: str, file: Path) -> dict[str, Any]:
    """The tables of a settings file. Raises `UsageError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from error


def with_answers(text: str, answers: Answers, file: Path) -> str:
    """The text with the answers in it. Raises `UsageError` if it can't be changed this way.

    An answer replaces the line that sets the key, or else the commented line, or else it is added
    below the header of its section.
    """
    lines = text.splitlines()
    wanted = read_settings(text, file)
    for section, keys in answers.items():
        table = wanted.setdefault(section, {}) if section else wanted
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {section} is a section: write [{section}]")
        for key, value in keys.items():
            _put(lines, section, key, value)
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    changed = "\n".join(lines) + "\n"
    wanted = {name: value for name, value in wanted.items() if value != {}}
    with suppress(tomllib.TOMLDecodeError):
        found = tomllib.loads(changed)
        if {name: value for name, value in found.items() if value != {}} == wanted:
            return changed
    named = ", ".join(f"[{section}] {key}" for section, keys in answers.items() for key in keys)
    raise UsageError(
        f"{file} is written in a way that can't be changed here: change {named} by hand"
    )


def write_settings(file: Path, text: str) -> None:
    """Write the file atomically, readable only by its owner. Raises `AttentionError`."""
    target = file.resolve()  # a symbolic link isn't replaced, but its target
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # It may contain a password, and an older file may have been readable by others.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                os.fchmod(descriptor, 0o600)
                out.write(text)
                out.flush()
                os.fsync(descriptor)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise AttentionError(f"{file} can't be written: {error.strerror}") from error


def _put(lines: list[str], section: str, key: str, value: str | int | None) -> None:
    """Set one key in the lines of its section, or comment it out."""
    from worker.config import toml_string

    begins, ends = _section(lines, section)
    if begins < 0:
        if value is None:
            return
        lines += ["", f"[{section}]"]
        begins = ends = len(lines)
    active = re.compile(rf"\s*{re.escape(key)}\s*=")
    commented = re.compile(rf"#\s*{re.escape(key)}\s*=")
    at = next((n for n in range(begins, ends) if active.match(lines[n])), None)
    if value is None:
        if at is not None:
            lines[at] = f"# {lines[at].lstrip()}"
        return
    line = f"{key} = {toml_string(value) if isinstance(value, str) else value}"
    if at is None:
        at = next((n for n in range(begins, ends) if commented.match(lines[n])), None)
    if at is None:
        lines.insert(begins, line)
    else:
        lines[at] = line


def _section(lines: list[str], section: str) -> tuple[int, int]:
    """The range of lines below a section's header; (-1, -1) if there is no such section."""
    heads = [n for n, line in enumerate(lines) if re.match(r"\s*\[", line)]
    if not section:
        return 0, heads[0] if heads else len(lines)
    for head in heads:
        if re.match(rf"\s*\[\s*{re.escape(section)}\s*\]", lines[head]):
            return head + 1, next((n for n in heads if n > head), len(lines))
    return -1, -1
