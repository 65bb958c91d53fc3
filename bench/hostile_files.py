"""What files made to wear a machine out cost: `python -m bench.hostile_files [--seconds 150]`.

Each is imported by the command as people run it, into a new SQLite database. Told are the seconds
until it ended (or was ended), the peak memory of the command and of its reader, the most that the
reader held in temporary files, and how many runs came of it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from bench.import_archive import ROOT, _peak_mb, _readers

MIB = 2**20
LOOK_EVERY_S = 0.05


def table(path: Path) -> None:
    """64 MB of rows in an archive of a hundred kilobytes."""
    rows = b"2024-01-01,5000\n" * (4 * MIB - 10)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("activities.csv", b"start_date_local,distance_m\n" + rows)


def nested(path: Path) -> None:
    """An archive of 1 GB in one of a megabyte."""
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


CASES: dict[str, Callable[[Path], None]] = {
    "a table of 64 MB in a small archive": table,
    "an archive of 1 GB in a small one": nested,
}


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--seconds", type=float, default=150, help="when to end it")
    most_s = asked.parse_args().seconds
    print("| file | KB | s | MB, command | MB, reader | MB, temporary | runs |")
    print("|---|---|---|---|---|---|---|")
    for title, make in CASES.items():
        with tempfile.TemporaryDirectory() as home:
            path = Path(home, "it.zip")
            make(path)
            size_kb = path.stat().st_size / 1024
            print(f"| {title} | {size_kb:.0f} | {_import(path, Path(home), most_s)} |", flush=True)


def _import(path: Path, home: Path, most_s: float) -> str:
    around = {name: v for name, v in os.environ.items() if not name.startswith("EASEBACK_")}
    env = {**around, "EASEBACK_DATA_DIR": f"{home}/data", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "worker"]
    anna = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org")
    subprocess.run(  # noqa: S603  our own program
        [*command, *anna], cwd=home, env=env, check=True, stdout=subprocess.DEVNULL
    )
    begun = time.perf_counter()
    own_mb = reader_mb = temporary_mb = 0.0
    answer = home / "answer.json"
    with (
        answer.open("wb") as out,
        subprocess.Popen(  # noqa: S603  our own program
            [*command, "import", str(path), "--json"],
            cwd=home,
            env=env,
            stdout=out,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        while process.poll() is None and time.perf_counter() - begun < most_s:
            own_mb = max(own_mb, _peak_mb(process.pid))
            for reader in _readers(process.pid):
                reader_mb = max(reader_mb, _peak_mb(reader))
                temporary_mb = max(temporary_mb, _temporary_mb(reader))
            time.sleep(LOOK_EVERY_S)
        took = f"{time.perf_counter() - begun:.1f}"
        if process.poll() is None:
            took = f"over {most_s:.0f}"
            process.kill()
    try:
        runs = f"{json.loads(answer.read_bytes())['imported']:,}"
    except ValueError:
        runs = "none"
    return f"{took} | {own_mb:.0f} | {reader_mb:.0f} | {temporary_mb:.0f} | {runs}"


def _temporary_mb(pid: int) -> float:
    """How large the files are that a process has open and that no folder names."""
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if str(descriptor.readlink()).endswith("(deleted)"):
                held += descriptor.stat().st_size
        except OSError:
            continue
    return held / MIB


if __name__ == "__main__":
    main()
