"""A SQLite database with tables and nothing in them: migrated once a process, then copied."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.store import Store


def put_empty_database(file: Path) -> str:
    """Put a copy at `file`, it and a new folder for its owner alone, as the worker makes them.

    Returns its address.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(_migrated())
    return f"sqlite:///{file}"


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder, "easeback.db")
        Store.open(f"sqlite:///{file}").close()
        return file.read_bytes()
