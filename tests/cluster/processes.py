"""Real processes of a crew: `easeback run --worker` and `--web`, to be told to end, or killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import ROOT


@dataclass
class Member:
    """One process, and what it said so far."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> tuple[int, float]:
        """Tell it to end; its exit status and how long it took."""
        began = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=20), time.monotonic() - began


def environment(home: Path, url: str, **settings: str) -> Mapping[str, str]:
    """What a process of the crew is started with."""
    around = {name: value for name, value in os.environ.items() if name[:9] != "EASEBACK_"}
    return {
        **around,
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "EASEBACK_DATA_DIR": str(home / "data"),
        "EASEBACK_DATABASE_URL": url,
        "EASEBACK_ENGINE__KIND": "procrastinate",
        "EASEBACK_SECRET_KEY": "a key of the tests",
        "EASEBACK_INBOX__EVERY": "1 s",
        "EASEBACK_MAIL__SECURITY": "none",
        **settings,
    }


@contextmanager
def member(
    home: Path, *words: str, env: Mapping[str, str], ready: str = "has joined"
) -> Iterator[Member]:
    """One process of the crew, up; killed if it didn't end."""
    popen = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", "worker", "run", *words],
        cwd=home,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = Member(popen)
    listener = threading.Thread(target=_listen, args=(process,))
    listener.start()
    try:
        wait_for(lambda: process.said(ready), 30, process)
        yield process
    finally:
        popen.kill()
        popen.wait()
        listener.join()
        assert popen.stderr is not None
        popen.stderr.close()


def wait_for(happened: Callable[[], bool], within_s: float, *processes: Member) -> float:
    """Wait until something is so; how long it took."""
    began = time.monotonic()
    while not happened():
        took = time.monotonic() - began
        assert took < within_s, "\n".join("".join(one.lines) for one in processes)
        time.sleep(0.05)
    return time.monotonic() - began


def _listen(process: Member) -> None:
    assert process.popen.stderr is not None
    process.lines.extend(iter(process.popen.stderr.readline, ""))
