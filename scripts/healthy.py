# ruff: noqa: INP001  a script beside the package, not a part of it
"""Exit 0 while the worker ticks, 1 with a line of words when it doesn't: for a health check.

Mail that waits or a file that can't be read needs somebody's attention (`easeback status` says
so), but no restart: only a worker that has stopped ticking is unhealthy.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

SILENT_FOR = timedelta(minutes=5)


def main() -> int:
    """Ask `easeback status` when it last ticked."""
    asked = subprocess.run(
        ["easeback", "status", "--json"],  # noqa: S607  the one in PATH is the one to ask
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        ticks = json.loads(asked.stdout)["ticks"].values()
    except (ValueError, KeyError):
        sys.stdout.write(asked.stderr or "easeback status gives no answer\n")
        return 1
    last_at = max((datetime.fromisoformat(tick["at"]) for tick in ticks), default=None)
    if last_at is None or datetime.now(UTC) - last_at > SILENT_FOR:
        sys.stdout.write(f"the worker doesn't tick; last at {last_at}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
