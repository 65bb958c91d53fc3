"""Files, compressed or not: recognised by content, opened within limits, read one by one.

Names are reported and never become paths. Sizes are limited before and while unpacking. Links,
folders and other formats are skipped. A file's contents never raise an exception: a bomb, a
password or a broken archive give a reason. If the file couldn't be read for an outside cause (a
full disk, a missing share), the result is `NotRead`. Only `MemoryError` is raised, because the
same process shouldn't read anything after that.
"""

import errno
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO, Literal

from worker.domain.shown import printable
from worker.sources import NotARun, NotRead, Unreadable
from worker.sources.formats import Parsed

MIB = 1024 * 1024
MAX_BYTES = 128 * MIB  # of one unpacked file; a million points of GPX take about 100 MiB
MAX_NESTED_BYTES = 256 * MIB  # of an archive within an archive, which is unpacked to the disk
LEFT_FREE_BYTES = 256 * MIB  # of that disk, for other programs
MAX_TOTAL_BYTES = 16_384 * MIB
MAX_MEMBERS = 200_000
MAX_DEPTH = 3
IN_MEMORY_BYTES = 16 * MIB
HEAD_BYTES = 4096
CHUNK_BYTES = 64 * 1024
LONGEST_MEMBER_NAME = 200
LONGEST_REASON = 120
_TAR_MAGIC_AT = 257
_Z_MEM_ERROR = -4  # zlib's error number; its module has no exception for it

FileFormat = Literal["fit", "gpx", "tcx", "gzip", "zip"]

_ROOT = re.compile(rb"<(?:\w+:)?(gpx|TrainingCenterDatabase)[\s>/]", re.IGNORECASE)
# Files with these names are reported even if their content isn't recognised.
_PACKED_NAME = re.compile(r"\.(fit|gpx|tcx|zip)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Member:
    """A file, or one within an archive; `sha256` is of its unpacked bytes, None if unread."""

    name: str
    sha256: str | None
    parsed: Parsed | NotRead


def kind_of(head: bytes) -> FileFormat | None:
    """The format of a file by its first bytes."""
    if head[8:12] == b".FIT":
        return "fit"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    # Zeros are dropped, because UTF-16 has one beside each letter of the root's name.
    if root := _ROOT.search(head.replace(b"\0", b"")):
        return "gpx" if root[1].lower() == b"gpx" else "tcx"
    return None


def is_leftover(name: str) -> bool:
    """True for the metadata that a Mac adds for each file of an archive, with a similar name."""
    parts = name.replace("\\", "/").split("/")
    return parts[0].casefold() == "__macosx" or parts[-1].startswith("._")


def members(
    file: BinaryIO, *, name: str = "", skip: int = 0, most_bytes: int = MAX_TOTAL_BYTES
) -> Iterator[Member]:
    """All activities in a seekable file, each as soon as it's read; without the first `skip`.

    A file that isn't an archive is its own only member. At most `most_bytes` are unpacked in all.
    """
    for number, read in enumerate(_Unpacking(most_bytes).open(file, name, depth=1)):
        if number >= skip:
            yield read()


class _Unpacking:
    """A file while it is unpacked, and how much may still be unpacked."""

    def __init__(self, most_bytes: int) -> None:
        self._bytes_left = most_bytes
        self._members_left = MAX_MEMBERS
        self._reported_depth = False

    def open(self, file: BinaryIO, name: str, *, depth: int) -> Iterator[Callable[[], Member]]:
        """The contents of a file, as functions that read one member each."""
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if kind_of(head) != "zip":
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            yield lambda: self._read(file, name, size)
        elif depth > MAX_DEPTH:
            if not self._reported_depth:  # reported once, because a bomb has thousands of them
                self._reported_depth = True
                yield lambda: refused(name, f"archives in archives, over {MAX_DEPTH} deep")
        else:
            yield from self._open_zip(file, name, depth=depth)

    def _open_zip(self, file: BinaryIO, name: str, *, depth: int) -> Iterator[Callable[[], Member]]:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:  # noqa: BLE001  # zipfile raises all sorts for crafted bytes
            refusal = not_unpacked(name, error, lead="a zip that can't be opened")
            yield lambda: refusal
            return
        found = False
        with archive:
            for entry in archive.infolist():
                for read in self._open_entry(archive, entry, name, depth=depth):
                    found = True
                    yield read
        if not found and depth == 1:
            yield lambda: Member(name, None, NotARun("a zip without an activity in it"))

    def _open_entry(
        self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, *, depth: int
    ) -> Iterator[Callable[[], Member]]:
        """The contents of an entry: nothing, itself, or all members of a nested archive."""
        is_folder = entry.filename.endswith("/")
        if is_folder or stat.S_ISLNK(entry.external_attr >> 16) or is_leftover(entry.filename):
            return
        self._members_left -= 1
        if self._members_left < 0:
            if self._members_left == -1:
                yield lambda: refused(name, f"only its first {MAX_MEMBERS:,} files were read")
            return
        inside = entry.filename.replace("\\", "/")  # as some programs write them on Windows
        full_name = f"{name}/{inside}" if name else inside
        full_name = full_name[-LONGEST_MEMBER_NAME:]
        kind = None
        try:
            with archive.open(entry) as packed:
                kind = kind_of(packed.read(HEAD_BYTES))
            if kind == "zip":
                with self._unpacked(archive, entry) as nested:
                    yield from self.open(nested, full_name, depth=depth + 1)
            elif kind or _PACKED_NAME.search(entry.filename):
                yield lambda: self._read_entry(archive, entry, full_name)
        except Exception as error:  # noqa: BLE001  # passwords, unknown methods, damaged bytes
            refusal = not_unpacked(full_name, error)
            if kind or _PACKED_NAME.search(entry.filename):
                yield lambda: refusal

    @contextmanager
    def _unpacked(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[BinaryIO]:
        """A seekable copy of a nested archive, in memory or, if large, on disk."""
        if entry.file_size > MAX_NESTED_BYTES:
            raise TooLarge(MAX_NESTED_BYTES)
        free_bytes = shutil.disk_usage(tempfile.gettempdir()).free - LEFT_FREE_BYTES
        if IN_MEMORY_BYTES < entry.file_size > free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
            with archive.open(entry) as packed:  # it returns no more than its stated size
                while chunk := packed.read(CHUNK_BYTES):
                    self._spend(len(chunk))
                    spool.write(chunk)
            spool.seek(0)
            yield spool  # type: ignore[misc]  # a spooled file has the same methods

    def _read_entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Member:
        try:
            if entry.file_size > MAX_BYTES:
                raise TooLarge
            with archive.open(entry) as packed:
                return self._read(packed, name, entry.file_size)
        except Exception as error:  # noqa: BLE001  # one damaged entry must not lose the rest
            return not_unpacked(name, error)

    def _read(self, file: IO[bytes], name: str, size: int) -> Member:
        # Python allocates the requested size, so ask for no more than the stated one.
        content = file.read(min(size, MAX_BYTES) + 1)
        try:
            self._spend(len(content))
            if kind_of(content[:HEAD_BYTES]) == "gzip":
                content = self._gunzip(content)
        except (TooLarge, zlib.error) as error:
            return not_unpacked(name, error)
        return Member(name, hashlib.sha256(content).hexdigest(), parse_content(content))

    def _gunzip(self, content: bytes) -> bytes:
        """Unpack as far as possible; the readers recover what they can from a truncated file."""
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = bytearray()
        for start in range(0, len(content), CHUNK_BYTES):
            try:
                unpacked += unpacker.decompress(content[start : start + CHUNK_BYTES], MAX_BYTES)
            except zlib.error:
                if not unpacked:
                    raise
                break
            if unpacker.unconsumed_tail or len(unpacked) > MAX_BYTES:
                raise TooLarge
        self._spend(len(unpacked))
        return bytes(unpacked)

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if size > MAX_BYTES or self._bytes_left < 0:
            raise TooLarge


class TooLarge(Exception):  # noqa: N818  # named for what happened
    """More bytes than any activity, or any archive within another, may have."""

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        super().__init__(f"it's larger than {most_bytes // MIB} MB unpacked")


def parse_content(content: bytes) -> Parsed:
    """Parse an unpacked file with the reader for its content.

    The readers are imported here, so only in processes that read files, such as the child.
    """
    match kind_of(content[:HEAD_BYTES]):
        case "fit":
            from worker.sources.formats.fit import parse_fit

            return parse_fit(content)
        case "gpx":
            from worker.sources.formats.gpx import parse_gpx

            return parse_gpx(content)
        case "tcx":
            from worker.sources.formats.tcx import parse_tcx

            return parse_tcx(content)
        case "gzip" | "zip":
            return Unreadable("packed twice over")
    if content[_TAR_MAGIC_AT:].startswith(b"ustar"):
        return Unreadable("a tar archive: unpack it first, or make a zip of it")
    return Unreadable("not a FIT, GPX or TCX file" if content else "an empty file")


def refused(name: str, reason: str) -> Member:
    """A member that can't be read, and why."""
    return Member(name, None, Unreadable(reason))


def not_unpacked(name: str, error: Exception, *, lead: str = "can't be unpacked") -> Member:
    """A member that couldn't be read, because of its content or of this machine.

    Raises `MemoryError` if memory was the cause.
    """
    text = str(error)
    if (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, zlib.error) and text.startswith(f"Error {_Z_MEM_ERROR} "))
    ):
        raise MemoryError from error
    # EINVAL means an offset before the file's start, which a crafted zip may contain.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return Member(name, None, NotRead(f"{lead}: {error.strerror or error}"))
    if isinstance(error, RuntimeError) and "password" in text:
        text = "it needs a password"
    if isinstance(error, NotImplementedError):  # Deflate64 and the like
        text = "packed in a way that few programs know: unpack it, and zip it again"
    elif isinstance(error, zipfile.BadZipFile) and "not a zip file" in text:
        text = "its end is missing, the download was cut off: download it again"
    text = printable(re.sub(r"\s+", " ", text))[:LONGEST_REASON] or type(error).__name__
    return refused(name, f"{lead}: {text}")
