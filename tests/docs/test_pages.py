"""What the pages for people show: links that lead somewhere, commands and settings that exist."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.command import ROOT
from worker.cli.app import app
from worker.config import Settings

PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]  # fmt: skip
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`)(?:\.venv/bin/)?easeback ([^`\n]+)", re.MULTILINE)
SETTING = re.compile(r"`(?:\[(\w+)\] )?(\w+) = ")
MOST_USER_LINES = 140
USER_PAGES = [
    "README", "getting-started", "mail", "proxies", "upgrading", "troubleshooting", "faq",
    "templates", "ways-in",
]  # fmt: skip


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    """To a file or a folder, and where it names a heading to that."""
    text = FENCE.sub("", page.read_text("utf-8"))
    for found in LINK.findall(text):
        address = found[0] or found[1]
        if re.match(r"\w+:", address):
            continue
        path, _, anchor = address.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), address
        assert not anchor or anchor in anchors(target), address


def shown_commands(text: str) -> list[str]:
    """What follows `easeback` in blocks of shell and in running text."""
    blocks = [block.replace("\\\n", " ") for kind, block in FENCE.findall(text) if kind == "sh"]
    return [one.split("#")[0].strip() for part in (*blocks, FENCE.sub("", text))
            for one in COMMAND.findall(part)]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    """With its options; the words between stand for whatever people name."""
    group: Any = typer.main.get_command(app)
    for line in shown_commands(page.read_text("utf-8")):
        words = [word.strip(".,;:()[]") for word in _split(line)]
        if not words or not re.fullmatch(r"[a-z][a-z-]+", words[0]):
            continue
        command = group.get_command(None, words[0])
        assert command is not None, line
        inside = getattr(command, "commands", {})
        if inside and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
            assert words[1] in inside, line
            command = inside[words[1]]
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        named = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert named <= options | {"--help"} | _OLD, line


_OLD = {"--garmin"}


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe of running text
        return line.split()


def known_settings() -> dict[str, set[str]]:
    """The keys of each section; those above the first section under ""."""
    known: dict[str, set[str]] = {"": set(Settings.model_fields)}
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        keys = getattr(type(default), "model_fields", None)
        keys = keys or getattr(type(default), "__dataclass_fields__", None)
        if keys:
            known[name] = set(keys)
    return known


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_setting_that_a_page_shows_exists(page: Path) -> None:
    """In blocks of TOML and in running text."""
    known, text = known_settings(), page.read_text("utf-8")
    anywhere = set().union(*known.values())
    for kind, block in FENCE.findall(text):
        if kind == "toml" and "[[routine" not in block:
            for key, value in tomllib.loads(block).items():
                if isinstance(value, dict):
                    assert _bare(value) <= known[key], (key, value)
                else:
                    assert _bare([key]) <= known[""], key
    if page.parent == ROOT / "docs" and page.name not in {"sources.md", "security.md"}:
        for section, key in SETTING.findall(FENCE.sub("", text)):
            assert {key} <= (known[section] if section else anywhere | _OF_ROUTINES), key


_OF_ROUTINES = {"picture", "kind"}


def _bare(keys: Any) -> set[str]:
    return {key.removesuffix("_file") if key != "ca_file" else key for key in keys}


@pytest.mark.parametrize("name", USER_PAGES)
def test_pages_for_users_are_short(name: str) -> None:
    lines = (ROOT / "docs" / f"{name}.md").read_text("utf-8").splitlines()
    assert len(lines) <= MOST_USER_LINES


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name
