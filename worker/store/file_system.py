"""Whether a SQLite file is on a local disk, or on a share where SQLite isn't safe.

SQLite's log needs memory that all processes share, and reliable locks. NFS and SMB provide
neither (https://www.sqlite.org/wal.html, https://www.sqlite.org/howtocorrupt.html).
"""

import errno
import fcntl
from pathlib import Path
from tempfile import TemporaryFile

_SHARES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "ncpfs"})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_MOUNTS = Path("/proc/self/mounts")


def share_under(file: Path, *, mounts: str | None = None) -> str | None:
    """The kind of network file system that holds `file`, or None; `mounts` as in /proc/mounts.

    None also if the system doesn't list its mounts.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text("utf-8", "replace")
        except OSError:
            return None
    path = file.resolve()
    kind, longest = "", -1
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        folder = Path(point.replace("\\040", " "))
        if path.is_relative_to(folder) and len(folder.parts) >= longest:
            kind, longest = found, len(folder.parts)
    return kind if kind in _SHARES else None


def has_locks(folder: Path) -> bool:
    """Whether bytes of a file can be locked here; True if that can't be tested."""
    try:
        with TemporaryFile(dir=folder) as tried:
            fcntl.lockf(tried, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    return True


def without_locks(folder: Path) -> str:
    """The message for a folder whose file system has no locks."""
    return (
        f"the file system of {folder} has no locks, so nobody could tell whether another program "
        "writes to the database: set data_dir to a disk of this machine, or database_url to "
        "PostgreSQL"
    )


def warning(file: Path) -> str | None:
    """Why the database shouldn't be there, on one line, or None."""
    kind = share_under(file)
    if kind is None:
        return None
    return (
        f"the database {file} is on a network file system ({kind}), where SQLite can't be trusted: "
        "set data_dir to a disk of this machine, or database_url to PostgreSQL"
    )
