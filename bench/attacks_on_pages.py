"""What a stranger, or an athlete with one link, can take of the pages: seconds and memory.

    python bench/attacks_on_pages.py

Starts `easeback run` in a folder of its own, attacks it, and prints how long others wait meanwhile
for a page that touches nothing (`/livez`) and for an athlete's own.
"""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from worker.domain.models import Recording  # noqa: E402
from worker.store import Store  # noqa: E402

NOW = datetime(2026, 2, 21, 8, tzinfo=UTC)
RUNS = 5_000
SILENT = 201
SLOW_CONSENTS = 8
LONGEST_S = 100.0
MADE_UP = "W251bGwseyJhdGhsZXRlIjoxfV0.made-up"


def main() -> None:
    """Attack one after another, and print a table."""
    print(f"{'attack':58} {'/livez':>9} {'a page':>9} {'memory':>9}")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (port, page, pid):
        ask(port, page)
        attacks: list[tuple[str, Callable[[ExitStack], None]]] = [
            ("nothing", lambda _: None),
            ("10 forms of 16 kB, multipart, made-up token", lambda _: forms(port)),
            (f"{SILENT} connections that say nothing", lambda stack: silent(port, stack)),
            (f"{SLOW_CONSENTS} consents while the service hangs", lambda _: consents(port, page)),
            ("8 exports of one athlete at once", lambda _: exports(port, page)),
        ]
        for name, attack in attacks:
            with ExitStack() as stack:
                attack(stack)
                time.sleep(0.3)
                waits = [patiently(port, path) for path in ("/livez", page)]
            print(f"{name:58} {waits[0]:>9} {waits[1]:>9} {peak_mb(pid):>6.0f} MB", flush=True)


@contextmanager
def running(folder: Path) -> Iterator[tuple[int, str, int]]:
    """A worker with one athlete and a Strava that never answers: port, the page's path, process."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        env = os.environ | {
            "PYTHONPATH": str(ROOT),
            "EASEBACK_DATA_DIR": str(folder / "data"),
            "EASEBACK_BASE_URL": f"http://127.0.0.1:{port}",
            "EASEBACK_WEB__PORT": str(port),
            "EASEBACK_STRAVA__CLIENT_ID": "1",
            "EASEBACK_STRAVA__CLIENT_SECRET": "made",
            "EASEBACK_STRAVA__BASE_URL": f"http://127.0.0.1:{hangs.getsockname()[1]}",
        }

        def easeback(*arguments: str) -> list[str]:
            return [sys.executable, "-m", "worker", *arguments]

        def call(*arguments: str) -> str:
            done = subprocess.run(  # noqa: S603  our own program
                easeback(*arguments),
                env=env,
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
            return done.stdout

        call("athlete", "add", "--name", "Mira", "--email", "mira@example.org")
        fill(f"sqlite:///{folder / 'data' / 'easeback.db'}")
        address = call("athlete", "relink", "Mira").splitlines()[-1]
        with subprocess.Popen(  # noqa: S603  our own program
            easeback("run"), env=env, cwd=folder, stderr=subprocess.DEVNULL
        ) as worker:
            patiently(port, "/livez")
            time.sleep(1)
            yield port, "/" + address.partition("://")[2].partition("/")[2], worker.pid
            worker.terminate()


def fill(url: str) -> None:
    """Many runs of the one athlete."""
    with closing(Store.open(url)) as store, store.transaction() as tx:
        tx.runs.save(tx.athletes.all()[0], map(_run, range(RUNS)), now=NOW, today=NOW.date())


def _run(number: int) -> Recording:
    at = NOW - timedelta(hours=9 * number)
    return Recording("import", f"made-{number}", at, at.date(), 8_000.0, 2_800.0, 2_900.0)


def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    wait_s: float = 5,
    **more: str,
) -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait_s)
    try:
        connection.request(
            method, path, body=body, headers={k.replace("_", "-"): v for k, v in more.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def patiently(port: int, path: str) -> str:
    """How long until the page is shown, asked again and again."""
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_S:
        try:
            if ask(port, path, wait_s=LONGEST_S)[0] == 200:
                return f"{time.monotonic() - began:.2f} s"
        except OSError:
            pass
        time.sleep(0.05)
    return f"> {LONGEST_S:.0f} s"


def at_once(work: Callable[[], object], number: int) -> None:
    for _ in range(number):
        threading.Thread(target=lambda: _in_peace(work), daemon=True).start()


def _in_peace(work: Callable[[], object]) -> None:
    with suppress(OSError):
        work()


def forms(port: int) -> None:
    body = b"--b\r\nContent-Disposition: form-data" + b"(a)" * 5_300 + b"\r\n\r\nx\r\n--b--\r\n"
    kind = "multipart/form-data; boundary=b"
    path = f"/unsubscribe/{MADE_UP}"
    at_once(lambda: ask(port, path, method="POST", body=body, wait_s=60, Content_Type=kind), 10)


def silent(port: int, stack: ExitStack) -> None:
    for _ in range(SILENT):
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))


def consents(port: int, page: str) -> None:
    link = re.search(r'href="(/connect/[^"]+)"', ask(port, page)[1])
    assert link
    at_once(lambda: ask(port, link[1], wait_s=120), SLOW_CONSENTS)


def exports(port: int, page: str) -> None:
    at_once(lambda: ask(port, f"{page}/easeback.zip", wait_s=120), 8)


def peak_mb(pid: int) -> float:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main()
