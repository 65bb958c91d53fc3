"""How long a whole account takes to import, and how much memory.

    python -m bench.import_archive [300 1000 3000 10000] [--records 3600] [--zip] [--times 3]

For each size, an account's export is made (once, in --cache; see `make_archive.py`) and imported by
the command line into a new SQLite database. Wall time is from start to exit, including module
imports, judging every day and the activity table. Memory is the peak of each process. "again" is
the same command a second time. The figures are medians of --times runs. With --records 600 the
files are a sixth as large, for larger numbers of runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.make_archive import SECONDS, make

ROOT = Path(__file__).resolve().parent.parent
SIZES = (300, 1000, 3000, 10_000)
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Import:
    """One run of the command: seconds, MB of the command and of its reader, number of files."""

    wall_s: float
    own_mb: float
    reader_mb: float
    imported: int
    known: int


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("sizes", type=int, nargs="*", default=SIZES)
    asked.add_argument("--records", type=int, default=SECONDS)
    asked.add_argument("--zip", action="store_true", help="one zip instead of a folder")
    asked.add_argument("--times", type=int, default=3)
    asked.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "easeback-archives"
    )
    options = asked.parse_args()
    print(f"{os.cpu_count()} cores, {'a zip' if options.zip else 'a folder'}, "
          f"{options.records} records a file")  # fmt: skip
    print("| activities | s | a second | MB, command | MB, reader | again, s |")
    print("|---|---|---|---|---|---|")
    for size in options.sizes:
        folder = options.cache / f"{size}-{options.records}{'-zip' if options.zip else ''}"
        archive = make(folder, size, records=options.records, packed=options.zip)
        print(_row(size, [_twice(archive, size) for _ in range(options.times)]), flush=True)


def _row(size: int, runs: "list[tuple[Import, Import]]") -> str:
    wall_s = statistics.median(first.wall_s for first, _ in runs)
    own_mb = max(first.own_mb for first, _ in runs)
    reader_mb = max(first.reader_mb for first, _ in runs)
    again_s = statistics.median(again.wall_s for _, again in runs)
    return (
        f"| {size:,} | {wall_s:.1f} | {size / wall_s:.0f} | {own_mb:.0f} | {reader_mb:.0f} "
        f"| {again_s:.1f} |"
    )


def _twice(archive: Path, size: int) -> tuple[Import, Import]:
    with tempfile.TemporaryDirectory() as home:
        around = {name: v for name, v in os.environ.items() if not name.startswith("EASEBACK_")}
        env = {**around, "EASEBACK_DATA_DIR": f"{home}/data", "PYTHONPATH": str(ROOT)}
        anna = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org")
        subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-m", "worker", *anna], cwd=home, env=env, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        first, again = (_import(archive, home, env) for _ in range(2))
    assert (first.imported, again.known) == (size, size), (first, again)
    return first, again


def _import(archive: Path, home: str, env: dict[str, str]) -> Import:
    begun = time.perf_counter()
    with subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", "worker", "import", str(archive), "--json"],
        cwd=home,
        env=env,
        stdout=subprocess.PIPE,
    ) as process:
        own_mb = reader_mb = 0.0
        while process.poll() is None:
            own_mb = max(own_mb, peak_mb(process.pid))
            reader_mb = max([reader_mb, *map(peak_mb, readers(process.pid))])
            time.sleep(LOOK_EVERY_S)
        wall_s = time.perf_counter() - begun
        assert process.stdout is not None
        told = json.load(process.stdout)
        assert not told["failed"], told["failed"][:3]
    return Import(wall_s, own_mb, reader_mb, told["imported"], told["duplicate"])


def peak_mb(pid: int) -> float:
    """The peak memory of a process so far in MB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def readers(pid: int) -> list[int]:
    """The process's children, of any of its threads, that have called exec."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children = map(int, thread.read_text("ascii").split())
            found += [one for one in children if _command(one) != _command(pid)]
    return found


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


if __name__ == "__main__":
    main()
