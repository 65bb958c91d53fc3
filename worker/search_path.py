"""Keeps the current folder out of the search paths for modules and programs.

The current folder may contain a file `json.py`, for example from an export, and PATH may contain a
dot. This module runs before anything else is imported, so it only uses modules that the interpreter
has already loaded.
"""

# ruff: noqa: PTH100, PTH117, PTH120  (pathlib isn't loaded yet, and would be searched there)

import os
import sys

_HOME = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that contains this package."""


def leave_out_the_current_folder() -> None:
    """Import no modules and start no programs from the current folder from now on."""
    sys.path[:] = for_modules()
    if "PATH" in os.environ:
        os.environ["PATH"] = for_programs(os.environ["PATH"])


def for_modules() -> list[str]:
    """The search path for modules with absolute entries only, without the current folder.

    The current folder is kept if Easeback itself is imported from it, as in a checkout. So are the
    entries of the installation: the standard library and everything after it.
    """
    stdlib = os.path.dirname(os.__file__)
    installed = sys.path.index(stdlib) if stdlib in sys.path else len(sys.path)
    doubtful = _doubtful()
    kept: list[str] = []
    for place, entry in enumerate(sys.path):
        if place >= installed and os.path.isabs(entry):
            kept.append(entry)
            continue
        real = _real(entry)
        if real == _HOME:
            kept.append(_HOME)
        elif os.path.isabs(entry) and real not in doubtful:
            kept.append(entry)
    return kept


def _doubtful() -> set[str | None]:
    """The current folder and the relative entries of PYTHONPATH, which Python has made absolute.

    None stands for entries that can't be resolved because the current folder was deleted.
    """
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {_real(entry) for entry in ("", *named) if not os.path.isabs(entry)}


def _real(entry: str) -> str | None:
    try:
        return os.path.realpath(entry)
    except OSError:
        return None


def for_programs(path: str) -> str:
    """A PATH without relative entries, or the system's default if none is left."""
    kept = [entry for entry in path.split(os.pathsep) if os.path.isabs(entry)]
    return os.pathsep.join(kept) or os.defpath
