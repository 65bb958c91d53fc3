"""Regression tests for bugs found by fuzzing and crafted files."""

import io
import json
import struct
import zipfile
from datetime import UTC, datetime

import pytest

from simulators.activity_files import definition, fit_file, fit_run, fit_seconds
from tests.effort import calls_of
from tests.sources.formats.reading import read_content
from worker.sources import NotARun, Unreadable
from worker.sources.formats import fit, garmin_summaries
from worker.sources.formats.tables import BadRow

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
UINT32, ENUM = 0x86, 0x00


def test_a_field_of_no_bytes_is_none() -> None:
    """A record may define a position of zero bytes."""
    fields = ((253, 4, UINT32), (0, 0, 0x85), (5, 4, UINT32))
    body = definition(20, fields)
    for second in range(600):
        body += b"\x00" + struct.pack("<II", fit_seconds(START) + second, second * 300)
    parsed = fit.parse_fit(fit_file(body))
    assert isinstance(parsed, tuple)
    assert parsed[0].distance_m == 599 * 3


def test_a_field_of_many_bytes_is_no_number() -> None:
    """A distance of 200 bytes isn't a number."""
    body = definition(20, ((253, 4, UINT32), (5, 200, 0x0D))) + b"\x00" + bytes(204)
    assert isinstance(fit.parse_fit(fit_file(body)), NotARun)


def test_a_zip_entry_without_a_name_is_passed_over() -> None:
    """An empty name is neither a folder nor an activity."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"nothing")
        archive.writestr("a.fit", fit_run(START))
    assert [
        name for name, parsed in read_content(packed.getvalue()) if isinstance(parsed, tuple)
    ] == ["a.fit"]


@pytest.mark.parametrize("told", [{}, {"activityType": None}, {"activityType": ""}])
def test_a_summary_that_names_no_sport_is_said(told: dict[str, str | None]) -> None:
    """A summary without an activity type isn't another sport."""
    summary = {"activityId": 7, "beginTimestamp": 1_782_400_400_000, "distance": 512345.0, **told}
    content = json.dumps([{"summarizedActivitiesExport": [summary]}]).encode()
    assert list(garmin_summaries.summary_rows(content)) == [
        BadRow(1, "an activity that names no sport: it may be a run or not")
    ]


def test_a_chain_of_thousands_of_empty_files_has_an_end() -> None:
    """42 kB of bare headers would make a decoder recurse once for each."""
    header = b"\x0e\x10\x54\x08\x02\x00\x00\x00.FIT\x00\x00" + b"\x40\x00" + b"\x00\x00"
    assert isinstance(fit.parse_fit(header * 2333), NotARun | Unreadable)


def work_of(body: bytes) -> int:
    """The number of calls to read such a file, which has no run."""
    content, read_as = fit_file(body), []
    calls = calls_of(lambda: read_as.append(fit.parse_fit(content)))
    assert isinstance(read_as[0], NotARun | Unreadable)
    return calls.total()


def test_thousands_of_definitions_cost_no_more_than_their_bytes() -> None:
    """Unused definitions, all different: twice as many take twice the work."""

    def work(number: int) -> int:
        return work_of(b"".join(definition(n, (), local=n % 16) for n in range(number)))

    few, many = work(4_000), work(8_000)
    assert many < 2.1 * few
    assert many < 60 * 8_000


def test_sessions_of_every_field_are_decoded_up_to_a_bound() -> None:
    """A megabyte of sessions with 255 fields each is decoded only up to about a second's work."""
    fields = [(number, 4, UINT32) for number in range(255)]

    def work(sessions: int) -> int:
        return work_of(definition(18, fields) + (b"\x00" + bytes(4 * 255)) * sessions)

    assert work(1_000) < 1.2 * work(150)
