"""Archives: read by content, within bounds, whatever their names."""

import errno
import gzip
import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.activity_files import fit_run, gpx, straight, tcx
from tests.command import ROOT
from tests.sources.formats.reading import read_content
from worker.sources import NotARun, NotRead, Unreadable
from worker.sources.formats import Parsed
from worker.sources.formats.unpack import MAX_DEPTH, MAX_NESTED_BYTES, MIB, members, not_unpacked

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
FIT = fit_run(START, distance_m=5000)
TRACK = straight(START, distance_m=5000, seconds=1500, every_s=10)
TOO_LARGE = "can't be unpacked: it's larger than 128 MB unpacked"


def zipped(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these names and contents."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def runs(content: bytes) -> dict[str, float]:
    """The distance of each member's single run."""
    found = {}
    for name, parsed in read_content(content, name="it"):
        assert isinstance(parsed, tuple), (name, parsed)
        found[name] = round(parsed[0].distance_m, -2)
    return found


def reasons(content: bytes) -> list[Parsed]:
    """The result of each member."""
    return [parsed for _, parsed in read_content(content)]


@pytest.mark.parametrize(
    "content",
    [FIT, gpx([TRACK]), tcx([TRACK]), gzip.compress(FIT), gzip.compress(gpx([TRACK])),
     gzip.compress(tcx([TRACK]))],
    ids=["fit", "gpx", "tcx", "fit.gz", "gpx.gz", "tcx.gz"],
)  # fmt: skip
def test_reads_each_format_by_its_content(content: bytes) -> None:
    """Names don't matter."""
    assert runs(content) == {"it": 5000}


def test_reads_a_zip_of_everything() -> None:
    """Compressed or not, each member is read; other files are skipped."""
    content = zipped({
        "a.fit": FIT, "b.fit.gz": gzip.compress(FIT), "photo.jpg": b"\xff\xd8", "c": gpx([TRACK]),
        "folder/": b"", "folder/d.tcx": tcx([TRACK]), "list.csv": b"a,b\n",
    })  # fmt: skip
    assert runs(content) == {"it/a.fit": 5000, "it/b.fit.gz": 5000, "it/c": 5000,
                             "it/folder/d.tcx": 5000}  # fmt: skip


def test_reads_a_zip_under_a_fit_name_within_a_zip() -> None:
    """Garmin's downloads are zips whatever their name, and its exports zips of zips."""
    assert runs(zipped({"part1.fit": zipped({"a.fit": FIT})})) == {"it/part1.fit/a.fit": 5000}


def test_an_archive_within_archives_has_an_end() -> None:
    """Past the third level nothing is unpacked, which is reported once."""
    content = zipped({"a.fit": FIT, "b.fit": FIT})
    for _ in range(MAX_DEPTH):
        content = zipped({"1.zip": content, "2.zip": content})
    assert reasons(content) == [Unreadable(f"archives in archives, over {MAX_DEPTH} deep")]


def test_tells_the_sum_of_the_bytes_unpacked() -> None:
    """The same run is recognised however it's packed."""
    sums = {
        member.sha256
        for content in (FIT, gzip.compress(FIT), zipped({"x": FIT}))
        for member in members(io.BytesIO(content))
    }
    assert sums == {hashlib.sha256(FIT).hexdigest()}


def test_goes_on_where_it_stopped() -> None:
    """Members read before are skipped."""
    content = zipped({"a.fit": b"torn", "b.fit": FIT, "c.fit": FIT})
    assert [each.name for each in members(io.BytesIO(content), skip=1)] == ["b.fit", "c.fit"]


@pytest.mark.parametrize("name", ["/etc/passwd.fit", "../../up.fit", "C:\\x.fit", "a\x00b.fit"])
def test_names_are_only_told(name: str) -> None:
    """A name with a path is just a name: nothing is written."""
    ((told, parsed),) = read_content(zipped({name: FIT}))
    assert isinstance(parsed, tuple)
    assert told


def test_passes_over_links() -> None:
    """A link within a zip isn't followed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("link.fit")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert reasons(packed.getvalue()) == [NotARun("a zip without an activity in it")]


def test_refuses_a_gzip_bomb() -> None:
    """A few hundred kilobytes that would unpack to more than any activity."""
    packer = zlib.compressobj(9, wbits=31)
    chunk = bytes(1 << 20)
    bomb = b"".join(packer.compress(chunk) for _ in range(140)) + packer.flush()
    assert len(bomb) < 200_000
    assert reasons(bomb) == [Unreadable(TOO_LARGE)]


def test_refuses_a_zip_bomb() -> None:
    """An entry with a stated size of four gigabytes isn't unpacked at all."""
    content = bytearray(zipped({"a.fit": FIT, "b.fit": FIT}))
    entry = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, entry + 24, 0xFFFFFFFE)
    first, second = reasons(bytes(content))
    assert isinstance(first, tuple)
    assert second == Unreadable(TOO_LARGE)


def test_bounds_all_members_together() -> None:
    """Many entries that are each allowed are still limited in total."""
    content = io.BytesIO(zipped({f"{number}.fit": FIT for number in range(4)}))
    found = members(content, most_bytes=2 * len(FIT))
    assert [type(each.parsed) for each in found] == [tuple, tuple, Unreadable, Unreadable]


def test_recovers_what_is_there_of_a_torn_gzip() -> None:
    """A run whose gzip is cut off still gives its beginning."""
    run = fit_run(START, distance_m=9000, moving_s=2700, records=540)
    ((_, parsed),) = read_content(gzip.compress(run)[:-2000])
    assert isinstance(parsed, tuple)
    assert parsed[0].note is not None
    assert "the file is cut off" in parsed[0].note


def test_a_torn_member_costs_only_itself() -> None:
    """Changed bytes within one entry don't affect the others."""
    content = bytearray(zipped({"a.fit": FIT, "b.fit": FIT}, method=zipfile.ZIP_STORED))
    content[content.index(FIT) + 200] ^= 0xFF
    first, second = reasons(bytes(content))
    assert first == Unreadable("can't be unpacked: Bad CRC-32 for file 'a.fit'")
    assert isinstance(second, tuple)


def test_a_torn_archive_within_an_archive_is_said() -> None:
    """A broken part of an account's export is reported."""
    part = zipped({"a.fit": FIT})
    content = zipped({"part.zip": part[:-30], "b.fit": FIT})
    found = dict(read_content(content))
    assert found["part.zip"] == Unreadable(
        "a zip that can't be opened: "
        "its end is missing, the download was cut off: download it again"
    )
    assert isinstance(found["b.fit"], tuple)


def test_a_password_is_said() -> None:
    """An encrypted entry can't be read, and the reason says so plainly."""
    content = bytearray(zipped({"a.fit": FIT}))
    for marker, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(marker) + flags] |= 1
    assert reasons(bytes(content)) == [Unreadable("can't be unpacked: it needs a password")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", Unreadable("an empty file")),
        (b"hello", Unreadable("not a FIT, GPX or TCX file")),
        (b"<kml></kml>", Unreadable("not a FIT, GPX or TCX file")),
        (
            b"PK\x03\x04rest",
            Unreadable(
                "a zip that can't be opened: "
                "its end is missing, the download was cut off: download it again"
            ),
        ),
        (zipped({}), NotARun("a zip without an activity in it")),
        (gzip.compress(gzip.compress(FIT)), Unreadable("packed twice over")),
        (zipped({"a.fit": b""}), Unreadable("an empty file")),
    ],
)
def test_says_why_nothing_can_be_read(content: bytes, expected: Parsed) -> None:
    """Each refusal is one clear line."""
    assert reasons(content) == [expected]


@cache
def _archive_in_an_archive() -> bytes:
    """Made once for all examples: archives contain the time at which they were made."""
    small = fit_run(START, records=2)
    return zipped({"a.fit": small, "b.zip": zipped({"c.gpx.gz": gzip.compress(small)})})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_never_raises_whatever_the_bytes(data: st.DataObject) -> None:
    """A valid archive with a few changed bytes and its end cut off gives a result."""
    content = bytearray(_archive_in_an_archive())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert reasons(bytes(content[: data.draw(st.integers(0, len(content)))]))


def test_an_archive_in_an_archive_is_bounded_before_anything_is_written() -> None:
    """Three megabytes may unpack to four gigabytes: its stated size is enough to refuse it."""
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.fit", FIT)
    bomb = nested.getvalue() + bytes(MAX_NESTED_BYTES)
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("bomb.zip", bomb, zipfile.ZIP_DEFLATED, compresslevel=1)
        archive.writestr("b.fit", FIT)
    said, run = (parsed for _, parsed in read_content(content.getvalue()))
    assert said == Unreadable("can't be unpacked: it's larger than 256 MB unpacked")
    assert isinstance(run, tuple)


def test_an_archive_in_an_archive_leaves_the_disk_some_room(tmp_path: Path) -> None:
    """With 260 MB free on the disk only 4 MB may be used; later there may be more."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", zipped({"a.fit": FIT}) + bytes(20 * MIB))
    read = (
        "import sys, pathlib; from tests.sources.formats.reading import read_content; "
        "print(*read_content(pathlib.Path(sys.argv[1]).read_bytes()))"
    )
    small = f'mount -t tmpfs -o size=260m none {tmp_path / "small"} && exec "$@"'
    (tmp_path / "small").mkdir()
    done = subprocess.run(  # noqa: S603  our own program
        ["/usr/bin/env", "unshare", "-Urm", "sh", "-c", small, "sh",
         sys.executable, "-c", read, str(tmp_path / "all.zip")],
        env={**os.environ, "TMPDIR": str(tmp_path / "small"), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"no disk of one's own here: {done.stderr.strip()}")
    assert "No space left on device" in done.stdout, done.stderr
    assert "NotRead" in done.stdout


@pytest.mark.parametrize(
    ("number", "judged"),
    [(errno.ENOSPC, False), (errno.EIO, False), (errno.ESTALE, False), (errno.EINVAL, True)],
)
def test_what_the_machine_lacks_says_nothing_of_the_file(number: int, judged: bool) -> None:
    """A full disk or an unmounted share; but not a path named by a crafted zip."""
    parsed = not_unpacked("a.zip", OSError(number, os.strerror(number))).parsed
    assert isinstance(parsed, Unreadable if judged else NotRead)


def test_memory_that_is_lacking_is_raised_however_it_is_said() -> None:
    """The child that ran out of memory mustn't continue."""
    for error in (MemoryError(), OSError(errno.ENOMEM, ""), zlib.error("Error -4 while")):
        with pytest.raises(MemoryError):
            not_unpacked("a.zip", error)


def test_a_macs_leftovers_and_backslashes_in_names_stand_in_nobodys_way() -> None:
    """As Finder and some Windows programs zip them."""
    content = zipped({"export\\a.fit": FIT, "__MACOSX/export/._a.fit": b"Mac", "x/._b.fit": b"Mac"})
    assert [parsed for _, parsed in read_content(content) if not isinstance(parsed, tuple)] == []


def test_a_tar_says_that_it_is_to_be_unpacked() -> None:
    """The message says what to do."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.fit"), io.BytesIO(b""))
    ((_, parsed),) = read_content(packed.getvalue())
    assert parsed == Unreadable("a tar archive: unpack it first, or make a zip of it")
