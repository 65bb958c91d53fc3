"""The high-water mark beside a SQLite database: how many mails it has handed to a mail server.

The database counts them too, in the number that SQLite's header reserves for applications. If it
has counted fewer than the file beside it, an older copy has replaced the database, and doesn't
know what was mailed since.
"""

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection

_DIGITS = 20


def count_mail(connection: Connection, *, at_least: int = 0) -> int | None:
    """Count one more mail, in the transaction before it is sent; None on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return None
    number = max(mails_counted(connection) + 1, at_least)
    count = f"PRAGMA user_version={number:d}"
    connection.exec_driver_sql(count)
    return number


def mails_counted(connection: Connection) -> int:
    """How many mails this SQLite database has handed over."""
    number: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return number


def read_mark(database: Path) -> int | None:
    """The mark beside a database; None if there is none, or it can't be read."""
    with suppress(OSError, ValueError):
        return int(_beside(database).read_text("ascii"))
    return None


def write_mark(database: Path, number: int) -> None:
    """Write the mark. If that isn't possible, the existing one remains, with a lower count."""
    with suppress(OSError):
        descriptor = os.open(_beside(database), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, f"{number:0{_DIGITS}d}\n".encode(), 0)
        finally:
            os.close(descriptor)


def _beside(database: Path) -> Path:
    real = database.resolve()
    return real.with_name(f"{real.name}.mails")
