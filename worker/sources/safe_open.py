"""Opens files and folders in places where others can write, but never a link or a pipe.

A name may refer to something else when it is opened than when it was listed.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: Path | str) -> BinaryIO:
    """Open a regular file without following links. Raises `OSError` for anything else."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it's a link") from error
        raise
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(kind):
            raise OSError("not a regular file")
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def open_folder(name: str, *, inside: int) -> int:
    """A descriptor of the folder `name` in the open folder `inside`; no link is followed.

    Raises `OSError`, or `NotADirectoryError` if it's no longer a folder.
    """
    try:
        return os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=inside)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, "it's a link") from error
        raise
