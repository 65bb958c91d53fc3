"""What fuzzing and crafted files found, kept so that it stays mended."""

import io
import struct
import time
import zipfile
from datetime import UTC, datetime

from tests.formats.build import definition, fit_file, fit_run, fit_seconds
from worker.sources import NotARun, Unreadable
from worker.sources.formats import fit, read

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
UINT32, ENUM = 0x86, 0x00


def test_a_field_of_no_bytes_is_none() -> None:
    """A record may define a position without a byte for it."""
    fields = ((253, 4, UINT32), (0, 0, 0x85), (5, 4, UINT32))
    body = definition(20, fields)
    for second in range(600):
        body += b"\x00" + struct.pack("<II", fit_seconds(START) + second, second * 300)
    parsed = fit.parse(fit_file(body))
    assert isinstance(parsed, tuple)
    assert parsed[0].distance_m == 599 * 3


def test_a_field_of_many_bytes_is_no_number() -> None:
    """A distance of 200 bytes isn't one."""
    body = definition(20, ((253, 4, UINT32), (5, 200, 0x0D))) + b"\x00" + bytes(204)
    assert isinstance(fit.parse(fit_file(body)), NotARun)


def test_a_zip_entry_without_a_name_is_passed_over() -> None:
    """An empty name is no folder, and no activity's either."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"nothing")
        archive.writestr("a.fit", fit_run(START))
    assert [name for name, parsed in read(packed.getvalue()) if isinstance(parsed, tuple)] == [
        "a.fit"
    ]


def test_a_chain_of_thousands_of_empty_files_has_an_end() -> None:
    """42 kB of bare headers lead a decoder that calls itself for each into its own depths."""
    header = b"\x0e\x10\x54\x08\x02\x00\x00\x00.FIT\x00\x00" + b"\x40\x00" + b"\x00\x00"
    assert isinstance(fit.parse(header * 2333), NotARun | Unreadable)


def test_tens_of_thousands_of_definitions_are_read_in_a_moment() -> None:
    """Definitions that are never used, each another, cost time by their bytes alone."""
    fields = [definition(number % 65_000, (), local=number % 16) for number in range(40_000)]
    began = time.process_time()
    assert isinstance(fit.parse(fit_file(b"".join(fields))), NotARun | Unreadable)
    assert time.process_time() - began < 5


def test_a_session_of_every_field_at_its_largest_is_read_in_a_moment() -> None:
    """A megabyte of sessions with 255 fields each stays within the decoder's second."""
    fields = [(number, 4, UINT32) for number in range(255)]
    body = definition(18, fields) + (b"\x00" + bytes(4 * 255)) * 1000
    began = time.process_time()
    assert isinstance(fit.parse(fit_file(body)), NotARun | Unreadable)
    assert time.process_time() - began < 5
