"""Fuzzes one reader until the time is over or a finding comes.

    pip install atheris
    python -m tests.fuzz.fuzz_readers fit|gpx|tcx|zip|csv|json [--seconds 900] [--corpus FOLDER]

Seeds are made, none are real. A finding is any exception, a run without what a run needs, more
than twenty seconds or 512 MB; libFuzzer writes its bytes to the current folder, and they become a
case in tests/sources/formats/test_found.py.
"""

import argparse
import gzip
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["worker.sources", "fitparse", "zipfile"]):
    from tests.sources.formats.reading import read_content
    from worker.sources import NotARun, NotRead, Unreadable
    from worker.sources.formats import Activity, Parsed, fit, garmin_summaries, gpx, tables, tcx

from simulators.activity_files import Leg, definition, fit_activity, fit_file, fit_run, straight
from simulators.activity_files import gpx as make_gpx
from simulators.activity_files import tcx as make_tcx
from worker.domain.models import Recording

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
# What a reader says where it swallowed an exception that it didn't foresee.
SWALLOWED = "can't be read as FIT ("


def check(parsed: Parsed | NotRead) -> None:
    """Raises where a reader's answer isn't one; it has seen all bytes, so it has one."""
    assert not isinstance(parsed, NotRead), parsed.reason
    if isinstance(parsed, Unreadable):
        assert parsed.reason
        assert not parsed.reason.startswith(SWALLOWED), parsed.reason
    elif isinstance(parsed, NotARun):
        assert parsed.reason
    else:
        assert parsed
        for leg, run in enumerate(parsed):
            check_run(run, leg)


def check_run(run: Activity, leg: int) -> None:
    assert run.leg == leg
    assert run.started_at.utcoffset() == timedelta(0)
    assert isfinite(run.distance_m)
    assert run.distance_m > 0
    for seconds in (run.moving_s, run.elapsed_s):
        assert seconds is None or (isfinite(seconds) and seconds > 0)


def fuzz_zip(content: bytes) -> None:
    for _, parsed in read_content(content):
        check(parsed)


def fuzz_csv(content: bytes) -> None:
    logbook = tables.read_table(content)
    if isinstance(logbook, Unreadable):
        assert logbook.reason
        return
    for bad in logbook.bad:
        assert bad.reason
        assert bad.line > 0
    for recording in logbook.recordings:
        check_recording(recording)


def fuzz_json(content: bytes) -> None:
    for item in garmin_summaries.summary_rows(content):
        if isinstance(item, tables.TableRow):
            check_recording(item.recording)
        elif isinstance(item, tables.OtherRow):
            assert item.word
        else:
            assert item.reason


def check_recording(recording: Recording) -> None:
    assert recording.started_at.utcoffset() == timedelta(0)
    assert isfinite(recording.distance_m)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "fit": lambda content: check(fit.parse_fit(content)),
    "gpx": lambda content: check(gpx.parse_gpx(content)),
    "tcx": lambda content: check(tcx.parse_tcx(content)),
    "zip": fuzz_zip,
    "csv": fuzz_csv,
    "json": fuzz_json,
}


def seeds(target: str) -> list[bytes]:
    track = straight(START, distance_m=900, seconds=300, every_s=30)
    files = {
        "fit": [
            fit_run(START, offset_h=1, records=5),
            fit_run(START, distance_m=None, records=5),
            fit_activity([Leg(START), Leg(START, sport="cycling")], records=3),
            fit_activity([Leg(START)], session=False, records=10),
            fit_run(START, records=2) * 2,
            fit_file(
                definition(18, ((2, 4, 0x86), (5, 1, 0), (9, 4, 0x86)), developer=((0, 2, 0),))
                + b"\x00" + bytes(11)
            ),
            fit_file(definition(20, ((5, 4, 0x86), (8, 3, 0x0D)), big=True) + b"\x00" + bytes(7)),
        ],
        "gpx": [make_gpx([track]), make_gpx([track[:4], track[5:]], kind=None)],
        "tcx": [make_tcx([track]), make_tcx([track[:4], track[5:]], totals=False)],
        "csv": [
            b"start_date_local,distance_m,moving_s\n2026-03-01T07:00:00,8000,2700\n",
            (
                b"Activity ID,Activity Date,Activity Name,Activity Type,Distance,Filename\n"
                b'1,"Mar 1, 2026, 7:00:00 AM",Lunch,Run,"8.0",activities/1.fit.gz\n'
            ),
            "start_date_local;distance_m\n01.03.2026 07:00;8,5\n".encode("utf-16"),
        ],
        "json": [(
            b'[{"summarizedActivitiesExport": [{"activityId": 7, "activityType": "running", '
            b'"beginTimestamp": 1782400400000, "distance": 512345.0, "duration": 2000000.0}]}]'
        )],
    }  # fmt: skip
    if target != "zip":
        return files[target]
    packed = [gzip.compress(each) for kind in files.values() for each in kind[:2]]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", method) as writing:
            writing.writestr("a.fit", files["fit"][0])
            writing.writestr("b.fit.gz", packed[0])
            writing.writestr("c/d.zip", packed[-1])
        packed.append(archive.getvalue())
    return packed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--corpus", type=Path)
    arguments = parser.parse_args()
    corpus = arguments.corpus or Path(tempfile.mkdtemp(prefix="easeback-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds(arguments.target)):
        (corpus / f"seed-{number}").write_bytes(content)
    options = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={arguments.seconds}",
        "-timeout=20",
        "-rss_limit_mb=512",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    atheris.Setup(options, TARGETS[arguments.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
