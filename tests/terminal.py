"""A command at a terminal: its questions are answered as they come, and keys pressed."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.command import ROOT

CTRL_C = "\x03"
"""As an answer: the key is pressed."""

_WITHIN_S = 60
_PRESSED_AGAIN = 10
# The terminal becomes the command's own, so that its keys do what they do: also Ctrl-C, which
# whatever is started in the background is told to ignore.
_BEGIN = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, '-m', 'worker', *sys.argv[1:]])"
)


class Conversation(NamedTuple):
    """How a command ended, and all that its terminal showed."""

    status: int
    shown: str


def converse(
    *arguments: str | Path,
    cwd: Path,
    answers: Sequence[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
    columns: int = 100,
) -> Conversation:
    """One command; each answer is given once its question stands there, in their order.

    Nothing of the tester's own settings or locale is around it, but `env`.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown, new, waiting, pressed = "", "", list(answers), 0
    whole = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        **(env or {}),
    }
    with subprocess.Popen(  # noqa: S603  our own command
        [sys.executable, "-c", _BEGIN, *map(str, arguments)],
        env=whole,
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            with suppress(OSError):  # how a terminal ends
                while True:
                    if not select.select([ours], [], [], 1 if pressed else _WITHIN_S)[0]:
                        if not pressed:
                            break
                        # The key came in the moment before its reader slept: pressed again.
                        pressed -= 1
                        os.write(ours, CTRL_C.encode())
                        continue
                    new += os.read(ours, 4096).decode("utf-8", "replace")
                    # With the blank, which comes once the echo of a hidden answer is off.
                    if waiting and waiting[0][0] in new and new.endswith(": "):
                        shown, new = shown + new, ""
                        answer = waiting.pop(0)[1]
                        pressed = _PRESSED_AGAIN if answer == CTRL_C else 0
                        os.write(ours, (answer if answer == CTRL_C else f"{answer}\n").encode())
        finally:
            os.close(ours)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
    shown += new
    assert not waiting, f"never asked: {waiting[0][0]!r}; what was shown:\n{shown}"
    return Conversation(process.returncode, shown.replace("\r\n", "\n"))
