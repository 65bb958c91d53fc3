"""Runs the command line as people do: a process of its own, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent


def easeback(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, with nothing of the tester's own settings or display around it."""
    around = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("EASEBACK_") and name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-m", "worker", *map(str, arguments)],
        cwd=cwd,
        env={**around, "PYTHONPATH": str(ROOT), "HOME": str(cwd), **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
