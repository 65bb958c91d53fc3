"""A warmed interpreter that forks into one `easeback` after another, to save the imports.

    with Warm() as warm:
        status = warm.run(["athlete", "list"], cwd=home, env={...}, stdout=out, stderr=err)

Each command is a process with its own folder, environment and files, and it ends as an interpreter
does, except that modules aren't torn down. If its files are a terminal, it becomes the command's
controlling terminal.
"""

import atexit
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from pkgutil import walk_packages
from typing import Self

ROOT = Path(__file__).parent.parent


class Warm:
    """The warmed process, started with the first command. Not thread-safe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: Path,
        stdout: Path,
        stderr: Path,
        within_s: float,
    ) -> int:
        """The command's exit status, negative if a signal ended it.

        Kills the command and raises TimeoutExpired if it takes longer than `within_s`.
        """
        return self.begin(
            arguments, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr
        ).ended(within_s)

    def begin(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: Path,
        stdout: Path,
        stderr: Path,
    ) -> "Begun":
        """Start the command; only one command may run at a time."""
        if self._process is None:
            self._start()
        files = list(map(str, (stdin, stdout, stderr)))
        umask = os.umask(0)
        os.umask(umask)
        asked = json.dumps([list(arguments), str(cwd), dict(env), files, umask])
        self._line.sendall(f"{asked}\n".encode())
        return Begun(arguments, _number(self._line), self._line)

    def close(self) -> None:
        if self._process is not None:
            self._line.close()
            self._process.wait(10)
            self._process = None

    def _start(self) -> None:
        self._line, theirs = socket.socketpair()
        self._process = subprocess.Popen(  # noqa: S603  this very file
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("EASEBACK_")},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()


@dataclass(frozen=True, slots=True)
class Begun:
    """A running command."""

    arguments: Sequence[str]
    pid: int
    line: socket.socket

    def ended(self, within_s: float) -> int:
        """Wait for its end; returns the exit status, negative if a signal ended it.

        Kills the command and raises TimeoutExpired if it takes longer than `within_s`.
        """
        if not select.select([self.line], [], [], within_s)[0]:
            os.kill(self.pid, signal.SIGKILL)
            _number(self.line)
            raise subprocess.TimeoutExpired(self.arguments, within_s)
        return _number(self.line)


def _number(line: socket.socket) -> int:
    """One line from the warmed process; the next line, which may have come too, isn't read."""
    said = b""
    while not said.endswith(b"\n"):
        if not (new := line.recv(1)):
            raise EOFError("the warmed process has ended")
        said += new
    return int(said)


def _serve(line: socket.socket) -> None:
    """Loop as the warmed process; in each child, return to become the command."""
    _warm()
    gc.freeze()  # otherwise the first collection in a child would copy all memory pages
    for asked in line.makefile("r"):
        child = os.fork()
        if not child:
            line.close()
            _become(*json.loads(asked))
            return
        line.sendall(f"{child}\n".encode())
        _, ended = os.waitpid(child, 0)
        line.sendall(f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    sys.exit()


def _warm() -> None:
    """Import the worker and its lazy imports, without opening files or starting threads."""
    import alembic.command
    import sqlalchemy.dialects.sqlite.pysqlite

    import worker

    for module in walk_packages(worker.__path__, "worker."):
        # These two do their work when imported.
        if ".migrations." not in module.name and not module.name.endswith("__main__"):
            import_module(module.name)
    del alembic, sqlalchemy


def _become(
    arguments: Sequence[str], cwd: str, env: Mapping[str, str], files: Sequence[str], umask: int
) -> None:
    os.umask(umask)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    kinds = (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)
    for number, (file, how) in enumerate(zip(files, kinds, strict=True)):
        opened = os.open(file, how)
        os.dup2(opened, number)
        os.close(opened)
    if os.isatty(0):
        _take_terminal()
    sys.path[:] = [str(ROOT) if path in ("", cwd) else path for path in sys.path]
    sys.argv = ["easeback", *arguments]


def _take_terminal() -> None:
    """Restore the keys, including Ctrl-C, which background processes ignore."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(line_buffering=True)  # as an interpreter does when started on a terminal


def _end(status: int) -> None:
    """Exit like an interpreter, except for tearing down modules."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    # Only a child gets here.
    from worker.cli.app import main

    try:
        main()
    except SystemExit as ended:
        _end(int(ended.code or 0))
