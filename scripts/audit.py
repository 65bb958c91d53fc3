# ruff: noqa: INP001  a script beside the package, not a part of it
"""Ask whether a locked dependency is known to be vulnerable: `python scripts/audit.py LOCKFILE`.

Exit status 1 if one is. If no database of vulnerabilities can be reached, it prints one line and
succeeds, as that says nothing about the dependencies.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any

SERVICES = ("osv", "pypi")
"""Tried in this order until one answers."""


def main(lock: str) -> int:
    """Ask, and say what came of it."""
    if importlib.util.find_spec("pip_audit") is None:
        sys.stderr.write("audit: pip-audit isn't installed: `make dev`\n")
        return 2
    for service in SERVICES:
        status, words = verdict(asked(lock, service))
        if status is not None:
            sys.stdout.write(f"audit: {words} ({service}, {lock})\n")
            return status
    sys.stdout.write(f"audit: no database of vulnerabilities answers; {lock} wasn't looked at\n")
    return 0


def asked(lock: str, service: str) -> str:
    """pip-audit's answer as JSON; anything else means that it couldn't ask."""
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip",
         "--requirement", lock, "--vulnerability-service", service, "--timeout", "15",
         "--format", "json", "--progress-spinner", "off"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def verdict(answer: str) -> tuple[int | None, str]:
    """An exit status and a message; no status if the answer has no verdict on the dependencies."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None, "no answer"
    known = [one for one in dependencies if "skip_reason" not in one]
    if not known:
        return None, "none of the dependencies is known there"
    bad = [
        f"{one['name']} {one['version']}: {flaw['id']}, "
        f"mended in {', '.join(flaw.get('fix_versions') or ['no version yet'])}"
        for one in known
        for flaw in one["vulns"]
    ]
    if bad:
        return 1, "; ".join(bad)
    return 0, f"{len(known)} of {len(dependencies)} dependencies asked for, none known vulnerable"


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  the script and the file
        sys.exit("usage: python scripts/audit.py LOCKFILE")
    sys.exit(main(sys.argv[1]))
