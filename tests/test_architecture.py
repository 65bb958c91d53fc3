"""The architecture: import rules, length of files, documented settings."""

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from tests.command import ROOT
from worker.config import Settings
from worker.domain.rules import Rules

LONGEST_FILE_LINES = 600


def test_rooms_import_only_from_lower_floors() -> None:
    """import-linter, by the contracts in pyproject.toml."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_file_can_be_read_in_one_sitting_and_says_what_it_is_for() -> None:
    """Every file is short enough and has a docstring."""
    files = sorted((ROOT / "worker").rglob("*.py"))
    assert files
    for file in files:
        text = file.read_text("utf-8")
        assert len(text.splitlines()) <= LONGEST_FILE_LINES, file
        assert not text or text.startswith('"""'), file


def test_public_names_are_unique() -> None:
    """A top-level name of a module is unique in the whole worker."""
    homes: dict[str, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "worker").rglob("*.py")):
        for name in _public_names(ast.parse(file.read_text("utf-8"))):
            homes[name].append(str(file.relative_to(ROOT)))
    twice = {name: files for name, files in homes.items() if len(files) > 1}
    assert not twice, f"{len(twice)} names stand for several things: {twice}"


def _public_names(module: ast.Module) -> Iterator[str]:
    """The names that a module defines at top level.

    Every module may have a `log` and a type variable `T`; migrations are excluded.
    """
    for node in module.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names = [node.name]
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_") and name not in _SHARED)


_SHARED = {
    "log",
    "T",
    "revision",
    "down_revision",
    "branch_labels",
    "depends_on",
    "upgrade",
    "downgrade",
}


@pytest.mark.parametrize(
    ("written", "instead"),
    [(r"\w\(s\)", "counted"), (r":\.\df\} ?(km|mi)\b|/ ?1000:", "format_distance")],
)
def test_counts_and_distances_are_written_by_one_function(written: str, instead: str) -> None:
    """ "1 run" and never "1 run(s)"; a distance is rounded the same everywhere."""
    by_hand = [
        f"{file.relative_to(ROOT)}: {node.value}"
        for file in sorted((ROOT / "worker").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(written, node.value)
    ]
    by_hand += [
        f"{file.relative_to(ROOT)}: {ast.unparse(node)}"
        for file in sorted((ROOT / "worker").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr) and re.search(written, ast.unparse(node))
    ]
    assert not by_hand, f"use {instead}: {by_hand}"


def test_benches_import_no_tests_and_tests_no_benches() -> None:
    """Code used by both is in `simulators/`, which imports neither."""
    forbidden = {"bench": {"tests"}, "tests": {"bench"}, "simulators": {"bench", "tests"}}
    crossing = [
        f"{file.relative_to(ROOT)} imports {name}"
        for folder, others in forbidden.items()
        for file in sorted((ROOT / folder).rglob("*.py"))
        for name in _imported(ast.parse(file.read_text("utf-8")))
        if name.partition(".")[0] in others
    ]
    assert not crossing, "\n".join(crossing)


def _imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_shipped_settings_name_every_key_with_its_default() -> None:
    """config/easeback.example.toml has each key of the code as a comment, and no others."""
    written = _written()
    for section, key, default in _known():
        assert (section, key) in written, f"[{section}] {key} is missing"
        told = written.pop((section, key))
        if default is not None:
            assert told == _as_toml(default), f"[{section}] {key} has another default"
    assert list(written) == []


def _written() -> dict[tuple[str, str], str]:
    """Section, key and value of each commented-out setting."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    for line in (ROOT / "config" / "easeback.example.toml").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        key, equals, value = line.removeprefix("# ").partition(" = ")
        if equals and key.isidentifier():
            found[section, key] = value
    return found


def _known() -> list[tuple[str, str, object]]:
    """Section, key and default of every setting."""
    known: list[tuple[str, str, object]] = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            known += [(name, key, value) for key, value in default]
        elif not isinstance(default, Rules):  # the rules have a page of their own
            known.append(("", name, default))
    return known


def _as_toml(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case timedelta():
            return f'"{_duration(default)}"'
        case str() | Path():
            return f'"{default}"'
        case tuple():
            shown = (f'"{one}"' if isinstance(one, IPv4Network | IPv6Network) else str(one)
                     for one in default)  # fmt: skip
            return f"[{', '.join(shown)}]"
        case SecretStr():
            raise AssertionError("a secret has no default")
    return str(default)


def _duration(length: timedelta) -> str:
    """In the largest unit that gives a whole number."""
    seconds = round(length.total_seconds())
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    return next(f"{seconds // size} {unit}" for unit, size in units if seconds % size == 0)


def test_programs_beside_the_worker_import_what_it_has() -> None:
    """Benchmarks and scripts are run by hand: a name that they import may have gone unnoticed."""
    missing = [
        f"{file.relative_to(ROOT)}: {node.module}.{alias.name}"
        for folder in ("bench", "scripts", "simulators")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("worker")
        for alias in node.names
        if not _is_there(node.module, alias.name)
    ]
    assert missing == []


def _is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or bool(is_package and importlib.util.find_spec(f"{module}.{name}"))
