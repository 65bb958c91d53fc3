"""An empty, migrated SQLite database: migrated once per process, then copied."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.store import Store


def put_empty_database(file: Path) -> str:
    """Put a copy at `file` and return its address.

    The file and any new folder are accessible to their owner alone, as the worker creates them.
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
