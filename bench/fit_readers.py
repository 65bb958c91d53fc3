"""Compares readers of FIT files: how fast, what is lost, whether the figures agree.

    python bench/fit_readers.py [--files N]

The files are all `*.fit` in the folder EASEBACK_REAL_DATA, at any depth; without it some are made.
Each reader reads the sessions of every file from bytes in memory; a file that it refuses half-way
counts with the sessions read by then. All run in this process, one after another. A reader that
isn't installed is named and left out; `pip install fitdecode garmin-fit-sdk fitfast
pyfitparsernative pyroparse` installs them all.
"""

import argparse
import contextlib
import gc
import io
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  # the checkout goes first
from rich.table import Table  # noqa: E402  # the same

from worker.sources.formats.fit import SESSION, parse_fit, summarise  # noqa: E402  # the same
from worker.sources.formats.fit_walk import is_fit, parts  # noqa: E402  # the same

Sessions = Iterator[dict[str, Any]]
SAME_M = 0.01
OURS = "worker"


def easeback(content: bytes) -> Sessions:
    for part in parts(content) if is_fit(content) else ():
        yield from summarise(part)[SESSION]


def easeback_whole(content: bytes) -> Sessions:
    """The product's whole reader: sessions, checksum, offset, records if needed, the verdict."""
    runs = parse_fit(content)
    for run in runs if isinstance(runs, tuple) else ():
        yield {"sport": "running", "total_distance": run.distance_m,
               "total_timer_time": run.moving_s}  # fmt: skip


def fitparse(content: bytes) -> Sessions:
    from fitparse import FitFile

    for message in FitFile(content).get_messages("session"):
        yield message.get_values()


def fitdecode(content: bytes) -> Sessions:
    from fitdecode import FitDataMessage, FitReader

    with FitReader(io.BytesIO(content)) as reader:
        for frame in reader:
            if isinstance(frame, FitDataMessage) and frame.name == "session":
                yield {each.name: each.value for each in frame.fields}


def garmin_fit_sdk(content: bytes) -> Sessions:
    from garmin_fit_sdk import Decoder, Stream

    found: list[dict[str, Any]] = []

    def listen(number: int, message: dict[str, Any]) -> None:
        if number == 18:
            found.append(message)

    Decoder(Stream.from_byte_array(bytearray(content))).read(mesg_listener=listen)
    yield from found


def fitfast(content: bytes) -> Sessions:
    import fitfast as library

    yield from library.parse(content).get("session", ())


def fitfast_columns(content: bytes) -> Sessions:
    """fitfast's quickest call: the numbers of one kind of message."""
    import fitfast as library

    columns = library.records(content, message="session")
    for row in range(len(columns.get("total_distance", ()))):
        each = {name: float(column[row]) for name, column in columns.items()}
        yield each | {"sport": "running" if each.get("sport") == 1 else "other"}


def pyfitparsernative(content: bytes) -> Sessions:
    from pyfitparsernative import parse_fit_bytes

    for message in parse_fit_bytes(content):
        if message["message_type"] == "session":
            yield message


def pyroparse(content: bytes) -> Sessions:
    from pyroparse import Session

    for activity in Session.load_fit(content).activities:
        told = activity.metadata
        yield {
            "sport": "running" if told.sport.startswith("running") else told.sport,
            "total_distance": told.summary.distance,
            "total_timer_time": told.summary.timer_time,
        }


READERS: dict[str, tuple[str, Callable[[bytes], Sessions]]] = {
    "easeback": (OURS, easeback),
    "easeback, to the verdict": (OURS, easeback_whole),
    "fitparse": ("fitparse", fitparse),
    "fitdecode": ("fitdecode", fitdecode),
    "garmin-fit-sdk": ("garmin-fit-sdk", garmin_fit_sdk),
    "fitfast (Rust)": ("fitfast", fitfast),
    "fitfast (Rust), columns": ("fitfast", fitfast_columns),
    "pyfitparsernative (Rust)": ("pyfitparsernative", pyfitparsernative),
    "pyroparse (Rust)": ("pyroparse", pyroparse),
}


@dataclass
class Outcome:
    """The results of one reader over all files."""

    seconds: list[float] = field(default_factory=list)
    runs: dict[Path, list[float]] = field(default_factory=dict)
    refused: int = 0


def measure(files: dict[Path, bytes]) -> dict[str, Outcome]:
    """Run all installed readers file by file in turn, so that a slow moment affects them all."""
    outcomes: dict[str, Outcome] = {}
    for name, (package, _) in READERS.items():
        with contextlib.suppress(PackageNotFoundError):
            installed_version(package)
            outcomes[name] = Outcome()
    first = next(iter(files.items()))
    for name in outcomes:
        measure_one(name, *first, Outcome())  # warm imports and caches
    for path, content in files.items():
        for name, outcome in outcomes.items():
            measure_one(name, path, content, outcome)
    return outcomes


def measure_one(name: str, path: Path, content: bytes, outcome: Outcome) -> None:
    read = READERS[name][1]
    sessions: list[dict[str, Any]] = []
    gc.collect()  # free the garbage of the previous reader
    start = time.process_time()
    try:
        sessions.extend(read(content))
    except Exception:  # noqa: BLE001  # each library has its own way to refuse
        outcome.refused += 1
    outcome.seconds.append(time.process_time() - start)
    runs = [each for each in sessions if each.get("sport") in ("running", 1)]
    outcome.runs[path] = [metres for run in runs if (metres := _number(run)) > 0]


def _number(session: dict[str, Any]) -> float:
    metres = session.get("total_distance")
    return float(metres) if isinstance(metres, int | float) else 0.0


def compare_fields(files: dict[Path, bytes]) -> tuple[int, int, int, list[str]]:
    """Numbers of files, sessions and fields that equal plain fitparse's, and the differences."""
    from fitparse import FitFile

    read = compared = fields = 0
    differ: list[str] = []
    for path, content in files.items():
        theirs: list[dict[str, Any]] = []
        try:
            for message in FitFile(content).get_messages("session"):
                own = [each for each in message.fields if each.field_type != "devfield"]
                theirs.append({each.name: _naive(each.value) for each in own})
        except Exception:  # noqa: BLE001, S112  # fitparse doesn't read it: nothing to equal
            continue
        ours = [dict(each) for each in easeback(content)]
        read += 1
        compared += len(theirs)
        if len(ours) != len(theirs):
            differ.append(f"{path.name}: {len(ours)} sessions, fitparse {len(theirs)}")
        for mine, other in zip(ours, theirs, strict=False):
            fields += len(mine)
            wrong = [name for name in mine if name not in other]
            wrong += [name for name in mine if name in other and _naive(mine[name]) != other[name]]
            differ += [f"{path.name}: {name}" for name in wrong]
    return read, compared, fields, differ


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def installed_version(package: str) -> str:
    return "" if package == OURS else version(package)


def real_files(limit: int | None) -> dict[Path, bytes]:
    folder = os.environ.get("EASEBACK_REAL_DATA")
    if not folder:
        print("EASEBACK_REAL_DATA isn't set: made files instead of real ones.\n")
        return made_files(limit or 30)
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".fit")
    if not paths:
        raise SystemExit(f"no .fit file anywhere in {folder}")
    step = max(len(paths) // limit, 1) if limit else 1
    found = {path: path.read_bytes() for path in paths[::step]}
    return {path: content for path, content in found.items() if is_run(content)}


def is_run(content: bytes) -> bool:
    """Whether the file says that it's running, or our own reader finds a run in it."""
    says_so = any(session.get("sport") == "running" for session in easeback(content))
    return says_so or isinstance(parse_fit(content), tuple)


def made_files(count: int) -> dict[Path, bytes]:
    from simulators.activity_files import fit_run

    began = datetime(2026, 1, 1, 7, tzinfo=UTC)
    return {
        Path(f"made-{number}.fit"): fit_run(
            began + timedelta(days=number), moving_s=1800 + 60 * number, records=1800 + 60 * number
        )
        for number in range(count)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, help="about so many of the files, evenly picked")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    files = real_files(arguments.files)
    size_mb = sum(map(len, files.values())) / 1e6
    print(f"{len(files)} running files, {size_mb:.1f} MB")
    outcomes = measure(files)
    print_table(outcomes, size_mb)
    missing = sorted({package for name, (package, _) in READERS.items() if name not in outcomes})
    if missing:
        print(f"not installed, so not compared: {', '.join(missing)}")
    print_lost(outcomes)
    compared, sessions, fields, differ = compare_fields(files)
    print(
        f"fields: {fields} of {sessions} sessions in the {compared} files that plain fitparse "
        f"reads, {len(differ)} differ"
    )
    for line in differ[:20]:
        print("  ", line)


def print_table(outcomes: dict[str, Outcome], size_mb: float) -> None:
    table = Table("reader", "version", title="Sessions of every running file")
    for heading in ("MB/s", "ms a file, median", "times fitparse", "runs", "refused"):
        table.add_column(heading, justify="right")
    plain = outcomes.get("fitparse")
    for name, outcome in outcomes.items():
        package = READERS[name][0]
        total = sum(outcome.seconds)
        table.add_row(
            name,
            installed_version(package),
            f"{size_mb / total:.2f}",
            f"{statistics.median(outcome.seconds) * 1000:.2f}",
            f"{sum(plain.seconds) / total:.1f}" if plain else "",
            str(sum(map(len, outcome.runs.values()))),
            str(outcome.refused),
        )
    Console(width=120).print(table)


def print_lost(outcomes: dict[str, Outcome]) -> None:
    """Print the runs with a distance that only other readers find, then those that differ."""
    ours = outcomes["easeback, to the verdict"].runs
    lost: list[str] = []
    differ: list[str] = []
    for name, outcome in outcomes.items():
        for path, distances in outcome.runs.items():
            if len(set(distances)) > len(ours[path]):  # a chained file may have the same run twice
                lost.append(f"{path.name}: {name} reads {distances}, Easeback {ours[path]}")
                continue
            differ += [
                f"{path.name}: {name} reads {metres} m, Easeback {ours[path]}"
                for metres in distances
                if not any(abs(metres - mine) <= max(SAME_M, metres / 1000) for mine in ours[path])
            ]
    print_list("runs that another reader gives and Easeback doesn't", lost)
    print_list("runs whose distance another reader gives otherwise, by over 0.1 %", differ)


def print_list(title: str, lines: list[str]) -> None:
    print(f"{title}: {len(lines)}")
    for line in lines:
        print("  ", line)


if __name__ == "__main__":
    main()
