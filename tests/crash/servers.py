"""A PostgreSQL server for one test, which can be killed and restarted."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def programs() -> Path | None:
    """The folder of the newest `initdb` and `pg_ctl`; None if there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    here = shutil.which("initdb")
    return Path(here).parent if here else None


def _version(initdb: Path) -> float:
    name = initdb.parts[-3]
    return float(name) if name.replace(".", "").isdigit() else 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """One server on its own port; `kill` acts like a power cut, except for the disk."""

    bin: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, recovering from a kill if there was one."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        until = time.monotonic() + 60
        # Right after a kill its children may still run and hold the shared memory.
        while self._control("-w", "-l", str(self.folder / "log"), "-o", options, "start"):
            assert time.monotonic() < until, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop at once: connections end and nothing is written."""
        self._control("-m", "immediate", "stop")

    def kill(self) -> None:
        """Send SIGKILL to the main process; its children notice that and end."""
        pid = int((self.folder / "db" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def _control(self, *words: str) -> int:
        return _run(self.bin / "pg_ctl", "-D", str(self.folder / "db"), *words)


@contextmanager
def own_server() -> Iterator[Server]:
    """A fresh server, removed afterwards. Requires `programs()`."""
    bin_folder = programs()
    assert bin_folder is not None
    made = tempfile.mkdtemp(prefix="easeback-pg-")
    folder = Path(made)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Server(bin_folder, folder, free_port())
    _run(bin_folder / "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-D",
         str(folder / "db"))  # fmt: skip
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> int:
    """Run a command as a user that may run a server; returns its status."""
    root = os.geteuid() == 0
    return subprocess.run(  # noqa: S603  the database's own programs
        list(map(str, command)),
        user=pwd.getpwnam("postgres").pw_uid if root else None,
        group=pwd.getpwnam("postgres").pw_gid if root else None,
        extra_groups=[] if root else None,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
