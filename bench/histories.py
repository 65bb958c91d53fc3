"""Histories to judge the detector by: real ones from a folder, made ones from a seed.

A folder of real histories holds CSV files with `start_date_local`, `distance_m` and, if known,
`moving_s` and `elevation_gain_m`, one file per runner. It's named by an argument or by
EASEBACK_REAL_DATA; none is part of the project. Histories are cleaned as in the product: duplicates
are merged, implausible runs put aside. Made runners have no zones and no duplicates, only the
requested noise.
"""

import csv
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from worker.domain.history import counted_m, implausible
from worker.domain.matching import believed_run, group
from worker.domain.models import Kind, Recording, Run
from worker.domain.rules import Rules

START = date(2020, 1, 6)
"""A Monday."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A name to tell runners apart, and the runs that count."""

    name: str
    runs: tuple[Run, ...]


def folder(argument: str | None = None) -> Path:
    """The folder of the real histories; exits with one line if none is named."""
    named = argument or os.environ.get("EASEBACK_REAL_DATA")
    if not named:
        sys.exit("name a folder of histories, or set EASEBACK_REAL_DATA")
    path = Path(named)
    nested = path / "histories"
    return nested if nested.is_dir() else path


def real(path: Path, *, rules: Rules | None = None) -> tuple[Runner, ...]:
    """Every runner of a folder, cleaned; each run has the distance that counts by the rules."""
    files = sorted(file for file in path.glob("*.csv") if file.name != "index.csv")
    if not files:
        sys.exit(f"no histories in {path}")
    return tuple(Runner(file.stem, _cleaned(file, rules or Rules())) for file in files)


def _cleaned(file: Path, rules: Rules) -> tuple[Run, ...]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    recordings = [_recording(row, number) for number, row in enumerate(rows)]
    today = max(recording.day for recording in recordings)
    bundles = group(recordings)
    runs = (believed_run(bundle, run_id=number) for number, bundle in enumerate(bundles))
    sound = (run for run in runs if implausible(run, today=today) is None)
    return tuple(replace(run, distance_m=counted_m(run, rules=rules)) for run in sound)


def _recording(row: dict[str, str], number: int) -> Recording:
    started_at = datetime.fromisoformat(row["start_date_local"]).replace(tzinfo=UTC)
    moving_s, ascent_m = (
        float(row[name]) if row.get(name) else None for name in ("moving_s", "elevation_gain_m")
    )
    return Recording(
        source="import",
        external_id=str(number),
        started_at=started_at,
        day=started_at.date(),
        distance_m=float(row["distance_m"]),
        moving_s=moving_s,
        elapsed_s=moving_s,
        ascent_m=ascent_m,
    )


def run_on(day: date, metres: float, number: int, *, hour: int = 7) -> Run:
    """One run at six minutes per kilometre, at `hour` o'clock."""
    started_at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return Run(number, started_at, day, round(metres, -1), moving_s=metres * 0.36)


def steady(seed: int, *, weeks: int, noise: float, start: date = START) -> tuple[Run, ...]:
    """A runner who never changes: four runs a week, the last one long, every fourth week easier.

    A week has 25 to 60 km, the long run a third of it, the easy week 70 %. Every distance is off by
    up to the share `noise` either way, uniformly.
    """
    planned = enumerate(_steady(random.Random(seed), weeks, noise, start))
    return tuple(run_on(day, metres, number) for number, (day, metres) in planned)


def _steady(
    chance: random.Random, weeks: int, noise: float, start: date
) -> Iterator[tuple[date, float]]:
    week_m = chance.uniform(25_000, 60_000)
    long_m = week_m / 3
    weekdays = [*sorted(chance.sample(range(6), 3)), 6]
    for week in range(weeks):
        share = 0.7 if week % 4 == 3 else 1.0
        for weekday in weekdays:
            usual_m = long_m if weekday == 6 else (week_m - long_m) / 3
            metres = usual_m * share * (1 + chance.uniform(-noise, noise))
            yield start + timedelta(weeks=week, days=weekday), metres


@dataclass(frozen=True, slots=True)
class Jump:
    """A made history with one sudden rise: the rule that must fire, and from which day."""

    kind: Kind
    runs: tuple[Run, ...]
    since: date


def longer_run(seed: int, *, times: float) -> Jump:
    """Steady, then one run of `times` the longest of the 30 days before it."""
    runs = steady(seed, weeks=30, noise=0.10)
    victim = runs[-1 - random.Random(seed).randrange(12)]
    before = [
        run.distance_m for run in runs if victim.day - timedelta(days=30) <= run.day < victim.day
    ]
    longer = run_on(victim.day, max(before) * times, victim.id)
    until = [run for run in runs if run.day < victim.day]
    return Jump("run", (*until, longer), victim.day)


def back_as_before(seed: int, *, weeks_off: int) -> Jump:
    """Steady, then a break, then a first run as long as the longest before it."""
    runs = steady(seed, weeks=30, noise=0.10)
    back_on = runs[-1].day + timedelta(weeks=weeks_off)
    longest_m = max(run.distance_m for run in runs[-32:])
    return Jump("return", (*runs, run_on(back_on, longest_m, len(runs))), back_on)


def more_runs(seed: int, *, times: float) -> Jump:
    """Steady, then weeks of `times` the volume by more runs, none longer than before.

    The additional runs are as long as the mean run and fall on free days; when none are left, on
    days with a run.
    """
    runs = steady(seed, weeks=30, noise=0.10)
    since = START + timedelta(weeks=30)
    week_m = sum(run.distance_m for run in runs if run.day >= since - timedelta(weeks=6)) / 6
    mean_m = week_m / 4
    extra: list[Run] = []
    for week in range(3):
        done_m, slot = 0.0, 0
        while done_m < week_m * times:
            day = since + timedelta(weeks=week, days=slot % 7)
            extra.append(run_on(day, mean_m, len(runs) + len(extra), hour=7 + 5 * (slot // 7)))
            done_m += mean_m
            slot += 1
    return Jump("ramp", (*runs, *extra), since)
