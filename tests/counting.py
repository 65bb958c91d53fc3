"""Counts what a piece of work asks of the database: what costs, and is the same on any machine."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from worker.store import Store


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """How many statements, and commits, a piece of work asks of the database."""
    told: Counter[str] = Counter()

    def statement(_: object, __: object, words: str, *___: object) -> None:
        # SQLite's own, for which PostgreSQL needs none.
        told["statements"] += not words.startswith(("PRAGMA", "BEGIN"))

    def commit(_: object) -> None:
        told["commits"] += 1

    event.listen(store.engine, "before_cursor_execute", statement)
    event.listen(store.engine, "commit", commit)
    try:
        yield told
    finally:
        event.remove(store.engine, "before_cursor_execute", statement)
        event.remove(store.engine, "commit", commit)
