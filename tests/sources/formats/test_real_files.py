"""Real files, if there are some: EASEBACK_REAL_DATA is a folder with them."""

import os
import statistics
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sources.formats.reading import read_content
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity, fit
from worker.sources.formats.fit_records import points
from worker.sources.formats.fit_walk import parts
from worker.sources.formats.track import Odometer

FOLDER = os.environ.get("EASEBACK_REAL_DATA")
ON_FOOT = ("running", "walking", "hiking")
ENDINGS = {".fit", ".gpx", ".tcx", ".gz", ".zip"}
SHORTEST_M = 500

pytestmark = pytest.mark.skipif(not FOLDER, reason="EASEBACK_REAL_DATA isn't set")


def files() -> Iterator[tuple[Path, bytes]]:
    """All files of the known formats."""
    for path in sorted(Path(FOLDER or ".").rglob("*")):
        if path.is_file() and path.suffix.lower() in ENDINGS:
            yield path, path.read_bytes()


def plain_sessions(content: bytes) -> list[dict[str, Any]] | None:
    """The sessions as fitparse reads the whole file; None if it refuses it."""
    from fitparse import FitFile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            sessions = list(FitFile(content).get_messages("session"))
        except Exception:  # noqa: BLE001  # it raises all sorts
            return None
    return [session.get_values() for session in sessions]


def _in_order(timer_s: float | None, elapsed_s: float | None) -> tuple[float | None, float | None]:
    """Some watches swap timer time and elapsed time; the larger is the elapsed time."""
    if timer_s is None or elapsed_s is None:
        return timer_s, elapsed_s
    return min(timer_s, elapsed_s), max(timer_s, elapsed_s)


def is_running(content: bytes) -> bool:
    """True if some session of a FIT file is a run."""
    return any(
        session.get("sport") == "running"
        for part in parts(content)
        for session in fit.summarise(part)[fit.SESSION]
    )


def test_every_file_gives_runs_or_a_reason() -> None:
    """No file raises, and each has a result."""
    for path, content in files():
        for _, parsed in read_content(content, name=path.name):
            assert isinstance(parsed, NotARun | Unreadable) or all(
                isinstance(run, Activity) for run in parsed
            )


def test_every_running_session_that_plain_fitparse_reads_is_a_run_with_its_figures() -> None:
    """Start, distance, timer time and elapsed time equal those of a whole decoding."""
    for path, content in files():
        if not is_running(content):  # a whole decoding is slow
            continue
        expected = {
            (
                session["start_time"].replace(tzinfo=UTC),
                session["total_distance"],
                *_in_order(session.get("total_timer_time"), session.get("total_elapsed_time")),
            )
            for session in plain_sessions(content) or ()
            if session.get("sport") == "running"
            and session.get("total_distance")
            and isinstance(session.get("start_time"), datetime)
        }
        parsed = fit.parse_fit(content)
        runs = parsed if isinstance(parsed, tuple) else ()
        told = {(run.started_at, run.distance_m, run.moving_s, run.elapsed_s) for run in runs}
        assert expected <= told, path.name


def test_the_measured_way_agrees_with_the_devices_own_count() -> None:
    """On foot, with positions nearly throughout: the median error is under one per cent."""
    errors = []
    for path, content in files():
        if path.suffix.lower() != ".fit":
            continue
        for part in parts(content):
            sessions = fit.summarise(part)[fit.SESSION]
            way = list(points(part))
            placed = sum(point.lat is not None for point in way)
            if len(sessions) != 1 or sessions[0].get("sport") not in ON_FOOT:
                continue
            metres = sessions[0].get("total_distance") or 0
            if metres < SHORTEST_M or placed < 0.9 * len(way):
                continue
            odometer = Odometer()
            for point in way:
                odometer.add(point._replace(counted_m=None))
            errors.append(abs(odometer.distance_m / metres - 1))
    if not errors:
        pytest.skip("no file with both places and the device's distance")
    assert statistics.median(errors) < 0.01
