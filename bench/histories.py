"""Histories to judge the detector by: real ones from a folder, made ones from a seed.

A folder of real histories holds CSV files with `start_date_local`, `distance_m` and, if known,
`moving_s`, one file a runner. It is named by an argument or by EASEBACK_REAL_DATA; none is part
of the project. They are cleaned as the product cleans: duplicates merged, the implausible put
aside. Made runners have no zones and no duplicates, only the noise that is asked for.
"""

import csv
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from worker.load import implausible
from worker.model import Recording, Run
from worker.recordings import facts, group

START = date(2020, 1, 6)
"""A Monday."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A name to tell runners apart by, and the runs that count."""

    name: str
    runs: tuple[Run, ...]


def folder(argument: str | None = None) -> Path:
    """Where the real histories are; ends the program with one line where nowhere."""
    named = argument or os.environ.get("EASEBACK_REAL_DATA")
    if not named:
        sys.exit("name a folder of histories, or set EASEBACK_REAL_DATA")
    path = Path(named)
    nested = path / "histories"
    return nested if nested.is_dir() else path


def real(path: Path) -> tuple[Runner, ...]:
    """Every runner of a folder, cleaned."""
    files = sorted(file for file in path.glob("*.csv") if file.name != "index.csv")
    if not files:
        sys.exit(f"no histories in {path}")
    return tuple(Runner(file.stem, _cleaned(file)) for file in files)


def _cleaned(file: Path) -> tuple[Run, ...]:
    with file.open(newline="", encoding="utf-8") as lines:
        recordings = [_recording(row, number) for number, row in enumerate(csv.DictReader(lines))]
    today = max(recording.day for recording in recordings)
    bundles = group(recordings)
    runs = (facts(bundle).as_run(number) for number, bundle in enumerate(bundles))
    return tuple(run for run in runs if implausible(run, today=today) is None)


def _recording(row: dict[str, str], number: int) -> Recording:
    started_at = datetime.fromisoformat(row["start_date_local"]).replace(tzinfo=UTC)
    moving_s = float(row["moving_s"]) if row.get("moving_s") else None
    return Recording(
        source="import",
        external_id=str(number),
        started_at=started_at,
        day=started_at.date(),
        distance_m=float(row["distance_m"]),
        moving_s=moving_s,
        elapsed_s=moving_s,
    )


def run_on(day: date, metres: float, number: int) -> Run:
    """One run at seven in the morning, at six minutes a kilometre."""
    started_at = datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
    return Run(number, started_at, day, round(metres, -1), moving_s=metres * 0.36)


def steady(
    seed: int, *, weeks: int, noise: float, start: date = START, runs_a_week: int = 4
) -> tuple[Run, ...]:
    """Somebody who never changes: `runs_a_week`, the last the long one, every fourth week less.

    A week has 25 to 60 km, the long run a third of it, the cut-back week 70 %; every distance is
    off by up to `noise` (a share) either way, evenly.
    """
    return tuple(
        run_on(day, metres, number)
        for number, (day, metres) in enumerate(
            _steady(random.Random(seed), weeks, noise, start, runs_a_week)
        )
    )


def _steady(
    chance: random.Random, weeks: int, noise: float, start: date, runs_a_week: int
) -> Iterator[tuple[date, float]]:
    week_m = chance.uniform(25_000, 60_000)
    long_m = week_m / 3
    easy_m = (week_m - long_m) / (runs_a_week - 1)
    weekdays = [*sorted(chance.sample(range(6), runs_a_week - 1)), 6]
    for week in range(weeks):
        share = 0.7 if week % 4 == 3 else 1.0
        for weekday in weekdays:
            usual_m = long_m if weekday == 6 else easy_m
            metres = usual_m * share * (1 + chance.uniform(-noise, noise))
            yield start + timedelta(weeks=week, days=weekday), metres
