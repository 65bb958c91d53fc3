"""Shows a page in the browser, in a separate process that doesn't get the settings."""

import os
import subprocess
import sys

from worker import search_path

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
_WITHHELD = ("EASEBACK_", "PYTHON")


def show_in_browser(address: str) -> bool:
    """Whether a browser was opened. Over SSH or in a container it isn't."""
    if sys.platform != "darwin" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    done = subprocess.run(  # noqa: S603  # our own interpreter, our own code
        [sys.executable, "-I", "-c", _OPEN, address], cwd="/", env=_environment(), check=False
    )
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """The environment for a browser, without our settings, which may be secret."""
    wanted = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    return wanted | {"PATH": search_path.for_programs(wanted.get("PATH", os.defpath))}
