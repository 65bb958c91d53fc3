"""Real processes of a cluster: `easeback run --worker` and `--web`."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.command import ROOT
from tests.process import Process, running_in


def environment(home: Path, url: str, **settings: str) -> Mapping[str, str]:
    """The environment of a cluster's process."""
    around = {name: value for name, value in os.environ.items() if name[:9] != "EASEBACK_"}
    return {
        **around,
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "EASEBACK_DATA_DIR": str(home / "data"),
        "EASEBACK_DATABASE_URL": url,
        "EASEBACK_ENGINE__KIND": "procrastinate",
        "EASEBACK_SECRET_KEY": "a key of the worker tests that is long enough",
        "EASEBACK_INBOX__EVERY": "1 s",
        "EASEBACK_MAIL__SECURITY": "none",
        **settings,
    }


@contextmanager
def member(
    home: Path, *words: str, env: Mapping[str, str], ready: str = "has joined"
) -> Iterator[Process]:
    """One running process of the cluster."""
    with running_in(home, *words, env=env, ready=ready) as process:
        yield process


def wait_for(happened: Callable[[], bool], within_s: float, *processes: Process) -> float:
    """Wait for a condition while any of them lives; returns the seconds that took."""
    began = time.monotonic()
    while not happened():
        took = time.monotonic() - began
        assert took < within_s, "\n".join("".join(one.lines) for one in processes)
        time.sleep(0.05)
    return time.monotonic() - began
