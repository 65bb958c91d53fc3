"""Made account exports, and a helper that imports them."""

import gzip
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

from tests.app import TODAY, App, run_file
from worker.domain.models import Athlete, Run
from worker.pipeline.imports import Imported, import_entries, recall_for
from worker.sources.archive.entries import read_entries
from worker.sources.archive.manifest import manifest_of
from worker.sources.formats.child import Reader

DAY = timedelta(days=1)
HEADER = (
    "Activity ID,Activity Date,Activity Name,Activity Type,Activity Description,Elapsed Time,"
    "Distance,Max Heart Rate,Relative Effort,Commute,Activity Private Note,Activity Gear,Filename,"
    "Athlete Weight,Bike Weight,Elapsed Time,Moving Time,Distance,Max Speed,Competition"
)


@dataclass(frozen=True)
class Importing:
    """The import without the command: `by` imports paths for one athlete."""

    app: App
    reader: Reader

    def start(self, anna: Athlete, *paths: Path) -> Iterator[Imported]:
        services = self.app.services
        read = read_entries(
            manifest_of(paths), athlete=anna, reader=self.reader, recall=recall_for(services, anna)
        )
        return import_entries(services, anna, read, clock=self.app.clock)

    def by(self, anna: Athlete, *paths: Path) -> Counter[str]:
        return Counter(one.verdict for one in self.start(anna, *paths))


def row(
    number: int,
    day: date,
    km: float,
    *,
    file: str = "",
    kind: str = "Run",
    race: bool = False,
    title: str = "Morning",
) -> str:
    """A row of an export's table for the run that `run_file` makes of that morning."""
    at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC).strftime("%b %d, %Y, %I:%M:%S %p")
    seconds = round(360 * km)
    return (
        f'{number},"{at}",{title},{kind},,{seconds},{km},,,false,,,{file},,,'
        f"{seconds},{seconds},{km * 1000},4.0,{1.0 if race else ''}"
    )


def table(*rows: str) -> str:
    return "\n".join([HEADER, *rows, ""])


def export(folder: Path, rows: Sequence[str], files: dict[str, bytes]) -> Path:
    """An account's export as a folder."""
    (folder / "activities").mkdir(parents=True)
    (folder / "activities.csv").write_text(table(*rows), "utf-8")
    for name, content in files.items():
        (folder / "activities" / name).write_bytes(content)
    return folder


def packed(path: Path, folder: Path) -> Path:
    """The export as one zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in files.items():
            archive.writestr(name, held)
    return content.getvalue()


def week_of(folder: Path) -> Path:
    """Three runs: one with its file, one with a torn file, one without a file; and a ride."""
    return export(
        folder,
        [
            row(71, TODAY - 3 * DAY, 8.1, file="activities/71.fit.gz", race=True),
            row(72, TODAY - 2 * DAY, 6.0, file="activities/72.fit.gz"),
            row(73, TODAY - DAY, 7.0, file="activities/73.fit.gz"),
            row(74, TODAY, 30.0, kind="Ride"),
        ],
        {
            "71.fit.gz": gzip.compress(run_file(8.0, day=TODAY - 3 * DAY)),
            "72.fit.gz": b"\x1f\x8b nothing that can be unpacked",
        },
    )


def runs(app: App, anna: Athlete) -> set[tuple[Run, tuple[str, ...]]]:
    """The runs and their sources, without ids."""
    with app.services.store.reading() as tx:
        return {
            (replace(kept.run, id=0), tuple(f"{s} {e}" for s, e in kept.sources))
            for kept in tx.runs.all(anna)
        }


def findings(app: App, anna: Athlete) -> set[tuple[date, str, float]]:
    return {(one.day, one.kind, one.observed_m) for one in app.findings(anna)}


def spiky(days: int) -> dict[str, bytes]:
    """One run a day, every fortieth twice as long."""
    return {
        f"{n:04}.fit": run_file(16.0 if n % 40 == 0 else 8.0, day=TODAY - (n + 1) * DAY)
        for n in range(days)
    }


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path
