"""What a stranger, or an athlete with one link, can take of the pages.

The seconds are how long another athlete waits for their page while the attack goes on.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.small_stage import MIB, Stage, ask, until, watched

FORMS = 10
SILENT = 201
CONSENTS = 8
EXPORTS = 8
DISCONNECTS = 100
MADE_UP = "/unsubscribe/W251bGwseyJhdGhsZXRlIjoxfV0.made-up"


def rows(stage: Stage) -> Iterator[str]:
    """The attacks on pages, one row each."""
    attacks: list[tuple[str, Callable[[Stage, ExitStack], None]]] = [
        ("none", lambda _, __: None),
        (f"{FORMS} forms of 16 kB, multipart, made-up token", _forms),
        (f"{SILENT} connections that say nothing", _silent),
        (f"{CONSENTS} consents while the service hangs", _consents),
        (f"{EXPORTS} exports of one athlete at once", _exports),
        (f"{DISCONNECTS} disconnects of nothing", _disconnects),
    ]
    for name, attack in attacks:
        with watched(stage.worker) as cost, ExitStack() as stack:
            written = _written_mb(stage.worker)
            attack(stage, stack)
            time.sleep(0.3)
            began = time.monotonic()
            page = stage.link("athlete", stage.zoe)
            is_shown = until(lambda page=page: ask(stage.port, page) == 200)  # type: ignore[misc]  # bound here
            cost.took_s = time.monotonic() - began
            written = _written_mb(stage.worker) - written
        came = "another athlete's page came" if is_shown else "no other page came"
        yield cost.row(f"pages: {name}", f"{came}; {written:.0f} MB written")


def _at_once(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        threading.Thread(target=work, daemon=True).start()


def _forms(stage: Stage, _: ExitStack) -> None:
    body = b"--b\r\nContent-Disposition: form-data" + b"(a)" * 5_300 + b"\r\n\r\nx\r\n--b--\r\n"
    kind = "multipart/form-data; boundary=b"
    _at_once(lambda: ask(stage.port, MADE_UP, method="POST", body=body, kind=kind), FORMS)


def _silent(stage: Stage, stack: ExitStack) -> None:
    for _ in range(SILENT):
        stack.enter_context(socket.create_connection(("127.0.0.1", stage.port)))


def _consents(stage: Stage, _: ExitStack) -> None:
    stage.strava.fault("hang", "/oauth/authorize", times=CONSENTS)
    _at_once(lambda: ask(stage.port, stage.link("connect", stage.anna)), CONSENTS)
    assert until(lambda: stage.strava.faults.waiting[-1].times < CONSENTS), "none waits for it"


def _exports(stage: Stage, _: ExitStack) -> None:
    path = f"{stage.link('athlete', stage.anna)}/easeback.zip"
    _at_once(lambda: ask(stage.port, path), EXPORTS)


def _disconnects(stage: Stage, _: ExitStack) -> None:
    """Disconnect a service that Anna never connected."""
    path = f"{stage.link('athlete', stage.anna)}/disconnect"
    for _number in range(DISCONNECTS):
        ask(stage.port, path, method="POST", body=b"source=garmin")


def _written_mb(pid: int) -> float:
    """Megabytes that the process has written so far."""
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    told = dict(line.split(": ") for line in lines)
    return int(told["wchar"]) / MIB
