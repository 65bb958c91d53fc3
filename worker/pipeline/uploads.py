"""Saves files that athletes upload in their folder of the inbox, where the next scan finds them.

    inbox/<athlete>/easeback-uploads/<start of the content's SHA-256>/<the file's own name>

The folder is named after the content, so the same file twice changes nothing. It appears with the
complete file in it. No link is followed on the way.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from worker.domain.models import Athlete, folder_name
from worker.domain.shown import plain_title
from worker.pipeline.scan import inbox_is_missing
from worker.pipeline.services import Services
from worker.sources.base import SourceError
from worker.sources.folder import LONGEST_FILE_NAME, passed_over
from worker.sources.formats.unpack import LEFT_FREE_BYTES
from worker.sources.safe_open import open_folder

LARGEST_UPLOAD_BYTES = 50 * 2**20
"""The most bytes in one upload."""

UPLOADS = "easeback-uploads"
_PIECE_BYTES = 2**20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UploadError(Exception):
    """Nothing can be put into the inbox; the text says why, for the operator.

    `is_full`: only because the disk is full.
    """

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


@dataclass(frozen=True, slots=True)
class Uploads:
    """The open folder of one athlete's uploads."""

    descriptor: int

    def check_room(self, size: int) -> None:
        """Raise `UploadError` if a body of `size` bytes and its files would fill the disk."""
        disk = os.fstatvfs(self.descriptor)
        if disk.f_bavail * disk.f_frsize - 2 * size < LEFT_FREE_BYTES:
            raise UploadError(os.strerror(errno.ENOSPC), is_full=True)

    def spool(self) -> BinaryIO:
        """An unnamed temporary file on the same disk, for a body that wasn't examined yet."""
        name = f".{secrets.token_hex(8)}.part"
        file = self._create(name, self.descriptor)
        os.unlink(name, dir_fd=self.descriptor)
        return file

    def keep(self, name: str, source: BinaryIO, start: int, end: int) -> None:
        """Put the bytes of `source` from `start` to `end` into the inbox as a file of this name.

        `name` isn't trusted. If the content is there already, nothing is done.
        """
        digest = hashlib.sha256()
        for piece in _pieces(source, start, end):
            digest.update(piece)
        wanted, made = digest.hexdigest()[:16], f".{secrets.token_hex(8)}.part"
        os.mkdir(made, 0o700, dir_fd=self.descriptor)
        try:
            inside = open_folder(made, inside=self.descriptor)
            try:
                with self._create(file_name(name), inside) as file:
                    for piece in _pieces(source, start, end):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                os.close(inside)
            os.rename(made, wanted, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except OSError as error:
            shutil.rmtree(made, dir_fd=self.descriptor)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    @staticmethod
    def _create(name: str, folder: int) -> BinaryIO:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "w+b")


@contextmanager
def uploads_of(services: Services, athlete: Athlete) -> Iterator[Uploads]:
    """The folder of an athlete's uploads, created if it's missing. Raises `UploadError`.

    Errors of the disk inside the block are raised as `UploadError` too.
    """
    inbox = services.inbox.folder
    try:
        if inbox_is_missing(services):
            raise UploadError(f"the inbox {inbox} isn't mounted: an empty folder is in its place")
        with _folder_of(inbox, athlete, make=True) as theirs, _inside(theirs, UPLOADS) as folder:
            yield Uploads(folder)
    except SourceError as error:
        raise UploadError(str(error)) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UploadError(
            f"the inbox {inbox} can't be written to ({why}): an upload needs that",
            is_full=error.errno in _NO_ROOM,
        ) from error


def remove_uploads(services: Services, athlete: Athlete) -> None:
    """Delete an athlete's uploads; other files in the inbox are the runner's own."""
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        _folder_of(services.inbox.folder, athlete, make=False) as theirs,
    ):
        shutil.rmtree(UPLOADS, dir_fd=theirs)


def file_name(given: str) -> str:
    """A safe form of an untrusted file name: no path, on one line, and not ignored by the inbox."""
    name = plain_title(given.replace("\\", "/").rpartition("/")[2]).strip(". ")
    name = name.encode()[:LONGEST_FILE_NAME].decode(errors="ignore")
    return name if name and not passed_over(name) else "upload"


@contextmanager
def _folder_of(inbox: Path, athlete: Athlete, *, make: bool) -> Iterator[int]:
    """The open folder with the athlete's name in the inbox, in whatever spelling."""
    root = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        theirs = folder_name(athlete.name)
        names = sorted(
            name
            for name in os.listdir(root)  # noqa: PTH208  a descriptor, not a path
            if folder_name(name) == theirs
        )
        with _inside(root, names[0] if names else athlete.name, make=make) as folder:
            yield folder
    finally:
        os.close(root)


@contextmanager
def _inside(parent: int, name: str, *, make: bool = True) -> Iterator[int]:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    folder = open_folder(name, inside=parent)
    try:
        yield folder
    finally:
        os.close(folder)


def _pieces(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    source.seek(start)
    while start < end and (piece := source.read(min(_PIECE_BYTES, end - start))):
        start += len(piece)
        yield piece
