"""Runs the command line in its own process and folder."""

import atexit
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.warm import ROOT, Warm

__all__ = ["ROOT", "easeback", "installed_command", "warm"]

WITHIN_S = 240
_NOT_PASSED_ON = ("DISPLAY", "WAYLAND_DISPLAY", "COLUMNS")

warm = Warm()
"""The process from which this process's commands are forked."""

atexit.register(warm.close)


def installed_command(folder: Path) -> Path:
    """`easeback` as a script written by pip, in a new folder."""
    folder.mkdir()
    script = folder / "easeback"
    script.write_text("import sys\nfrom worker.__main__ import main\nsys.exit(main())\n")
    return script


def easeback(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command, without the tester's own settings or display.

    `given` is its standard input. It's forked from an interpreter that has already imported the
    worker, unless it has options of Python itself.
    """
    around = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("EASEBACK_") and name not in _NOT_PASSED_ON
    }
    whole = {**around, "PYTHONPATH": str(ROOT), "HOME": str(cwd), **(env or {})}
    words = list(map(str, arguments))
    told = {name for name, value in (env or {}).items() if os.environ.get(name) != value}
    if any(name.startswith("PYTHON") and name != "PYTHONPATH" for name in told):
        return subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-m", "worker", *words],
            cwd=cwd,
            env=whole,
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=WITHIN_S,
            check=False,
        )
    with TemporaryDirectory(prefix="easeback-command-") as made:
        files = [Path(made, name) for name in ("in", "out", "err")]
        for file in files:
            file.write_text(given if file.name == "in" else "", "utf-8")
        stdin, stdout, stderr = files
        status = warm.run(
            words, cwd=cwd, env=whole, stdin=stdin, stdout=stdout, stderr=stderr, within_s=WITHIN_S
        )
        return subprocess.CompletedProcess(
            words, status, stdout.read_text("utf-8"), stderr.read_text("utf-8")
        )
