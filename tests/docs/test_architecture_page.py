"""docs/architecture.md names what exists, and lists every module of the rooms it tabulates."""

import importlib
import re
from functools import reduce

import pytest

from tests.command import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STEPS = sorted(set(re.findall(r"`([a-z_/]+):([A-Za-z_.]+)`", PAGE)) - {("module", "function")})


@pytest.mark.parametrize(("module", "name"), STEPS)
def test_every_step_of_the_walks_exists(module: str, name: str) -> None:
    """It is an attribute of the module that the page names, below `worker/`."""
    reduce(getattr, name.split("."), importlib.import_module(f"worker.{module.replace('/', '.')}"))


@pytest.mark.parametrize("room", ["domain", "pipeline"])
def test_the_tables_of_modules_are_complete(room: str) -> None:
    """A new module has to be described."""
    for file in (ROOT / "worker" / room).glob("*.py"):
        assert file.stem == "__init__" or f"`{file.name}`" in PAGE, file.name
