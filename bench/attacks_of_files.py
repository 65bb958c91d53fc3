"""Files made to exhaust a machine, in a shared inbox and imported by the command."""

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.small_stage import LONGEST_S, MIB, Stage, until, watched
from simulators.recordings import run_file
from worker.domain.files import FileVerdict

HOSTILE, GOOD = 3, 10
ATTRIBUTES = 800_000


def rows(stage: Stage) -> Iterator[str]:
    """The attacks on file readers, one row each."""
    yield _spoilt_inbox(stage)
    for attack, make in (
        ("import: a table of 64 MB in an archive of 127 KB", _table),
        ("import: an archive of 1 GB in one of 1 MB", _nested),
    ):
        yield _import(stage, attack, make)


def _spoilt_inbox(stage: Stage) -> str:
    """Three files full of names in one athlete's folder, good runs in another's."""
    names = "".join(f' a{number}=""' for number in range(ATTRIBUTES))
    hostile = f"<gpx><trk{names}/></gpx>".encode()
    today = datetime.now(UTC).date()
    with watched(stage.worker) as cost:
        began = time.monotonic()
        for number in range(HOSTILE):
            (stage.inbox / "Anna" / f"{number}.gpx").write_bytes(hostile)
        for number in range(GOOD):
            content = run_file(5 + number / 10, day=today - timedelta(days=number))
            (stage.inbox / "Zoe" / f"{number}.fit").write_bytes(content)
        until(lambda: _files(stage, "Zoe", "imported") == GOOD)
        cost.took_s = time.monotonic() - began
        until(lambda: _files(stage, "Anna", "failed") == HOSTILE)
    return cost.row(
        f"inbox: {HOSTILE} GPX of {len(hostile) / MIB:.0f} MB, {ATTRIBUTES:,} attributes each",
        f"{_files(stage, 'Anna', 'failed')} refused, "
        f"{_files(stage, 'Zoe', 'imported')} of {GOOD} true runs of another athlete are in",
    )


def _files(stage: Stage, folder: str, verdict: FileVerdict) -> int:
    with stage.store.reading() as tx:
        return sum(one.path.startswith(folder) for one in tx.inbox.with_verdict(verdict))


def _table(path: Path) -> None:
    lines = b"2024-01-01,5000\n" * (4 * MIB - 10)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("activities.csv", b"start_date_local,distance_m\n" + lines)


def _nested(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.fit", b"")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("inner.zip", "w", force_zip64=True) as member,
    ):
        member.write(inner.getvalue())
        for _ in range(1024):
            member.write(bytes(MIB))


def _import(stage: Stage, attack: str, make: Callable[[Path], None]) -> str:
    """Import by the command line beside the worker; the memory shown is the command's."""
    path, answer = stage.home / "it.zip", stage.home / "answer.json"
    make(path)
    command = [sys.executable, "-m", "worker", "import", str(path), "--athlete", "Anna", "--json"]
    with (
        answer.open("wb") as out,
        subprocess.Popen(  # noqa: S603  our own program
            command, cwd=stage.home, env=stage.environment, stdout=out, stderr=subprocess.DEVNULL
        ) as process,
        watched(process.pid) as cost,
    ):
        began = time.monotonic()
        is_done = until(lambda: process.poll() is not None)
        cost.took_s = time.monotonic() - began
        process.kill()
    came = f"not done in {LONGEST_S:.0f} s"
    if is_done:
        told = json.loads(answer.read_bytes())
        came = f"{told['imported']:,} runs, {len(told['failed'])} refused"
    return cost.row(attack, f"{came}; {cost.temporary_mb:.0f} MB of temporary files")
