"""Runs `easeback run` as a process: captures its output, and kills it if it doesn't end."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_until


@dataclass
class Process:
    """A running worker and its output so far."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for(self, happened: Callable[[], object], within_s: float) -> float:
        """Wait for a condition as long as the worker lives; returns the seconds that took."""

        def happened_or_ended() -> bool:
            if happened():
                return True
            assert self.popen.poll() is None, "".join(self.lines)
            return False

        return wait_until(happened_or_ended, within_s=within_s, why=lambda: "".join(self.lines))

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; returns its exit status and the seconds until it ended."""
        began = time.monotonic()
        self.popen.send_signal(how)
        status = self.popen.wait(timeout=20)
        return status, time.monotonic() - began

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@contextmanager
def running_in(
    home: Path,
    *words: str,
    env: Mapping[str, str],
    ready: str,
    program: Sequence[str] = ("-m", "worker", "run"),
) -> Iterator[Process]:
    """`easeback run` with these arguments, once it has reported that it's ready.

    `program` is the Python program to run instead.
    """
    popen = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, *program, *words],
        cwd=home,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = Process(popen)
    listener = threading.Thread(target=_listen, args=(process,))
    listener.start()
    try:
        process.wait_for(lambda: process.said(ready), 30)
        yield process
    finally:
        process.kill()
        listener.join()
        assert popen.stderr is not None
        popen.stderr.close()


def _listen(process: Process) -> None:
    assert process.popen.stderr is not None
    process.lines.extend(iter(process.popen.stderr.readline, ""))
