"""Makes archives of runs as a watch and a service would leave them, from nothing but a seed.

    python -m bench.make_archive FOLDER 3000 [--records 3600] [--zip]

Each run is a FIT file of one record a second with position, altitude, heart rate, cadence, speed
and distance (105 kB for an hour, 68 kB compressed), gzipped, under `activities/`. `activities.csv`
beside them lists the same runs, like an account's export. The runs are spread over the last years,
one a day, or more if there are over 9,000. The same arguments give the same bytes.
"""

import argparse
import gzip
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastcrc.crc16 import arc

EPOCH = datetime(1989, 12, 31, tzinfo=UTC)
LAST = datetime(2026, 11, 1, 6, tzinfo=UTC)
MOST_DAYS = 9000
SECONDS = 3600
TABLE = "activities.csv"
ZIP = "export.zip"
HEADER = (
    "Activity ID,Activity Date,Activity Name,Activity Type,Activity Description,Elapsed Time,"
    "Distance,Max Heart Rate,Relative Effort,Commute,Activity Private Note,Activity Gear,Filename,"
    "Athlete Weight,Bike Weight,Elapsed Time,Moving Time,Distance,Max Speed,Competition"
)

# For each message: its number, its fields as (number, size, base type), its struct format.
RECORD_FIELDS = ((253, 4, 0x86), (0, 4, 0x85), (1, 4, 0x85), (5, 4, 0x86), (2, 2, 0x84),
                 (6, 2, 0x84), (3, 1, 0x02), (4, 1, 0x02), (13, 1, 0x01), (53, 1, 0x02),
                 (39, 2, 0x84), (40, 2, 0x84))  # fmt: skip
FILE_ID = (0, ((0, 1, 0), (1, 2, 0x84), (2, 2, 0x84), (3, 4, 0x8C), (4, 4, 0x86)), "<BBHHII")
RECORD = (20, RECORD_FIELDS, "<BIiiIHHBBbBHH")
SESSION = (18, ((253, 4, 0x86), (2, 4, 0x86), (7, 4, 0x86), (8, 4, 0x86), (9, 4, 0x86),
                (0, 1, 0), (1, 1, 0), (5, 1, 0), (6, 1, 0)), "<BIIIIIBBBB")  # fmt: skip
ACTIVITY = (34, ((253, 4, 0x86), (0, 4, 0x86), (1, 2, 0x84), (2, 1, 0), (3, 1, 0), (4, 1, 0),
                 (5, 4, 0x86)), "<BIIHBBBI")  # fmt: skip
MESSAGES = (FILE_ID, RECORD, SESSION, ACTIVITY)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("runs", type=int)
    asked.add_argument("--records", type=int, default=SECONDS)
    asked.add_argument("--zip", action="store_true", help="one export.zip instead of a tree")
    options = asked.parse_args()
    make(options.folder, options.runs, records=options.records, packed=options.zip)
    print(options.folder)


def make(folder: Path, runs: int, *, records: int = SECONDS, packed: bool = False) -> Path:
    """The archive, made once and renamed when complete: the folder, or the zip in it."""
    if not folder.exists():
        part = folder.with_name(f".{folder.name}.{os.getpid()}")
        (part / "activities").mkdir(parents=True)
        _write(part, runs, records=records)
        if packed:
            _pack(part)
        part.rename(folder)
    return folder / ZIP if packed else folder


def _write(folder: Path, runs: int, *, records: int) -> None:
    rows = []
    for number, started_at in enumerate(starts(runs)):
        name = f"activities/{10_000_000 + number}.fit.gz"
        metres, content = fit_file(number, started_at, records=records)
        (folder / name).write_bytes(gzip.compress(content, 6, mtime=0))
        at = started_at.strftime("%b %d, %Y, %I:%M:%S %p")
        rows.append(f'{10_000_000 + number},"{at}",Run {number},Run,,{SECONDS},{metres / 1000:.2f},'
                    f",,false,,,{name},,,{SECONDS},{SECONDS},{metres:.1f},4.0,")  # fmt: skip
    (folder / TABLE).write_text("\n".join([HEADER, *rows, ""]), "utf-8")


def _pack(folder: Path) -> None:
    with zipfile.ZipFile(folder / ZIP, "w", zipfile.ZIP_DEFLATED) as export:
        export.write(folder / TABLE, TABLE)
        for path in sorted((folder / "activities").iterdir()):
            export.write(path, f"activities/{path.name}")
    shutil.rmtree(folder / "activities")
    (folder / TABLE).unlink()


def starts(runs: int) -> Iterator[datetime]:
    """Start times, oldest first: one a day, or several if there are too many runs."""
    days = min(runs, MOST_DAYS)
    for number in range(runs):
        day, nth = number * days // runs, number % (runs // days + 1)
        yield LAST - timedelta(days=days - day) + timedelta(hours=3 * nth)


def fit_file(number: int, started_at: datetime, *, records: int = SECONDS) -> tuple[float, bytes]:
    """The metres and the file of an hour's run with `records` evenly spaced points."""
    chance = random.Random(number)
    begin = round((started_at - EPOCH).total_seconds())
    end = begin + SECONDS
    metres = 10_000 * chance.uniform(0.6, 1.2)
    centimetres, ms = round(metres * 100), SECONDS * 1000
    body = [definition(local, *message[:2]) for local, message in enumerate(MESSAGES)]
    body.append(struct.pack(FILE_ID[2], 0, 4, 1, 3290, 12345, begin))
    body += points(chance, begin, centimetres, records)
    body.append(struct.pack(SESSION[2], 2, end, begin, ms, ms, centimetres, 8, 1, 1, 0))
    body.append(struct.pack(ACTIVITY[2], 3, end, ms, 1, 0, 26, 1, end + 3600))
    messages = b"".join(body)
    head = struct.pack("<BBHI4s", 14, 0x20, 2100, len(messages), b".FIT")
    content = head + struct.pack("<H", arc(head)) + messages
    return metres, content + struct.pack("<H", arc(content))


def points(chance: random.Random, begin: int, centimetres: int, records: int) -> Iterator[bytes]:
    layout = struct.Struct(RECORD[2])
    latitude, longitude, height, beats = 48 * 11_930_465, 11 * 11_930_465, 2600, 120
    for point in range(records):
        latitude += chance.randint(150, 350)
        longitude += chance.randint(-200, 200)
        height += chance.randint(-1, 1)
        beats = min(185, max(90, beats + chance.randint(-1, 1)))
        yield layout.pack(
            1, begin + point * SECONDS // records, latitude, longitude,
            centimetres * point // records, height, chance.randint(2500, 3200), beats,
            chance.randint(80, 90), 18, 0, chance.randint(800, 950), chance.randint(2300, 2600),
        )  # fmt: skip


def definition(local: int, number: int, fields: tuple[tuple[int, int, int], ...]) -> bytes:
    head = struct.pack("<BBBHB", 0x40 | local, 0, 0, number, len(fields))
    return head + b"".join(map(bytes, fields))


if __name__ == "__main__":
    main()
