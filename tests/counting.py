"""Counts database statements: a measure of cost that is the same on any machine."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from worker.store import Store


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """The number of statements and commits within the block."""
    told: Counter[str] = Counter()

    def statement(_: object, __: object, words: str, *___: object) -> None:
        # SQLite alone needs these.
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
