"""Runs a command at a terminal, answers its questions and presses keys."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.command import ROOT, warm
from tests.warm import Begun

CTRL_C = "\x03"
"""As an answer: press Ctrl-C."""

_WITHIN_S = 60
_WITHIN_S_OF_ITS_LAST_WORD = 5
_PRESSED_AGAIN = 10


class Conversation(NamedTuple):
    """How a command ended, and everything that its terminal showed."""

    status: int
    shown: str


def converse(
    *arguments: str | Path,
    cwd: Path,
    answers: Sequence[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
    columns: int = 100,
) -> Conversation:
    """Run one command; each answer is given once its question appears, in order.

    The tester's settings and locale aren't passed on; `env` is.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    terminal = Path(os.ttyname(theirs))
    whole = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        **(env or {}),
    }
    waiting = list(answers)
    command = warm.begin(
        list(map(str, arguments)),
        cwd=cwd, env=whole, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    try:
        shown = _talk(ours, command, waiting)
        try:
            status = command.ended(_WITHIN_S_OF_ITS_LAST_WORD)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        os.close(theirs)
        shown += _rest(ours)
    finally:
        os.close(ours)
    assert not waiting, f"never asked: {waiting[0][0]!r}; what was shown:\n{shown}"
    return Conversation(status, shown.replace("\r\n", "\n"))


def _talk(ours: int, command: Begun, waiting: list[tuple[str, str]]) -> str:
    """Answer until the command ends or stops asking; returns its output.

    Used answers are removed from `waiting`.
    """
    shown, new, pressed = "", "", 0
    either = (ours, command.line.fileno())
    while True:
        ready = select.select(either, [], [], 1 if pressed else _WITHIN_S)[0]
        if ours in ready:
            new += os.read(ours, 4096).decode("utf-8", "replace")
            # The blank after the question is written once the echo of a hidden answer is off.
            if waiting and waiting[0][0] in new and new.endswith(": "):
                shown, new = shown + new, ""
                answer = waiting.pop(0)[1]
                pressed = _PRESSED_AGAIN if answer == CTRL_C else 0
                os.write(ours, (answer if answer == CTRL_C else f"{answer}\n").encode())
        elif pressed and not ready:
            # The key came just before its reader slept: press it again.
            pressed -= 1
            os.write(ours, CTRL_C.encode())
        else:
            return shown + new


def _rest(ours: int) -> str:
    """The remaining output of a terminal that no process has open."""
    shown = ""
    with suppress(OSError):  # the error of a terminal that has ended
        while new := os.read(ours, 4096):
            shown += new.decode("utf-8", "replace")
    return shown
