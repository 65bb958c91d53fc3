"""Copies a SQLite store to PostgreSQL, one batch at a time, and compares every row.

Each table is copied in the order of its primary key, so the target shows where to continue. An
interrupted move is simply started again. The source is only read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    Table,
    collate,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError

from worker.store import HEAD, Store, StoreError
from worker.store.progress import MOVING
from worker.store.tables import athlete, metadata, tick

ROWS_AT_ONCE = 1000

_TABLES = tuple(table for table in metadata.sorted_tables if table.name != "crew")


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows of each table were moved, and found equal on both sides."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Move:
    """One move from a SQLite file to an opened PostgreSQL store."""

    def __init__(self, file: Path, target: Store) -> None:
        """Raises `StoreError` if there is nothing to move, or no valid target."""
        if target.file is not None:
            raise StoreError("move-to wants a PostgreSQL database: postgresql+psycopg://...")
        if not file.is_file():
            raise StoreError(f"there is no SQLite database at {file} to move")
        self._target = target
        self._file = file
        self._engine = create_engine(f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true")
        found = self._schema()
        if found != HEAD:
            raise StoreError(
                f"{file} has schema {found}, and this version speaks {HEAD}: "
                "run `easeback status` on it once, then move it"
            )

    def count(self) -> int:
        """The number of steps: each row is copied, and then compared."""
        with self._engine.connect() as source:
            return 2 * sum(_count(source, table) for table in _TABLES)

    def begin(self) -> None:
        """Raise `StoreError` unless the target is empty or contains a part of the same move."""
        mark = f"a move from {self._digest()}"
        with self._target.transaction() as tx:
            begun = tx.progress.tick(MOVING)
            if begun is not None and begun.trouble == mark:
                return
            if begun is not None:
                raise StoreError(
                    "the target holds a part of another database's move: empty it first"
                )
            if tx.connection.execute(select(athlete.c.id).limit(1)).first():
                raise StoreError("the target holds athletes already: move into an empty database")
            for table in reversed(_TABLES):
                tx.connection.execute(delete(table))
            tx.progress.ticked(MOVING, at=datetime.fromtimestamp(0, UTC), trouble=mark)

    def copy(self) -> Iterator[int]:
        """Copy the missing rows; yields the number of existing rows, then that of each batch."""
        for table in _TABLES:
            with self._target.reading() as tx:
                there = _count(tx.connection, table)
                last = _last_key(tx.connection, table)
            yield there
            for rows in self._batches(self._engine, table, after=last):
                with self._target.transaction() as tx:
                    tx.connection.execute(insert(table), [dict(row) for row in rows])
                yield len(rows)

    def verify(self) -> Iterator[int]:
        """Compare both sides row by row; raises `StoreError` at the first difference."""
        for table in _TABLES:
            ours = self._batches(self._engine, table)
            theirs = self._batches(self._target.engine, table)
            for here, there in zip_longest(ours, theirs, fillvalue=()):
                if list(here) != list(there):
                    raise StoreError(
                        f"the copy of {table.name} differs from its source: was something at work "
                        "on either meanwhile? Empty the target, and move again"
                    )
                yield len(here)

    def end(self) -> Moved:
        """Let the ids of new rows continue after the old ones, and remove the mark."""
        with self._engine.connect() as source, self._target.transaction() as tx:
            for name, last in source.execute(text("SELECT name, seq FROM sqlite_sequence")):
                if last and name in metadata.tables:
                    tx.connection.execute(
                        text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
                        {"name": name, "last": last},
                    )
            tx.connection.execute(delete(tick).where(tick.c.name == MOVING))
            rows = {table.name: _count(tx.connection, table) for table in _TABLES}
        return Moved(rows)

    def close(self) -> None:
        self._engine.dispose()

    def _batches(
        self, engine: Engine, table: Table, *, after: Sequence[Any] | None = None
    ) -> Iterator[Sequence[Any]]:
        """The rows in the order of their keys."""
        keys = _keys(table, engine)
        while True:
            query = _select(table, table).order_by(*keys).limit(ROWS_AT_ONCE)
            if after is not None:
                query = query.where(tuple_(*keys) > tuple_(*after))
            with engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
            if not rows:
                return
            yield rows
            after = [rows[-1][column.name] for column in table.primary_key]

    def _schema(self) -> str | None:
        try:
            return Store(self._engine).schema()
        except DBAPIError as error:
            raise StoreError(f"{self._file} can't be read: {error.orig}") from error

    def _digest(self) -> str:
        status = self._file.stat()
        identity = f"{self._file.resolve()} {status.st_ino}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _select(table: Table, *what: Any) -> Select[Any]:
    """A query for the rows of this table, without the mark of the move."""
    query = select(*what).select_from(table)
    return query.where(tick.c.name != MOVING) if table is tick else query


def _count(connection: Connection, table: Table) -> int:
    number: int = connection.execute(_select(table, func.count())).scalar_one()
    return number


def _last_key(connection: Connection, table: Table) -> Sequence[Any] | None:
    last = [key.desc() for key in _keys(table, connection.engine)]
    return connection.execute(_select(table, *table.primary_key).order_by(*last).limit(1)).first()


def _keys(table: Table, engine: Engine) -> list[ColumnElement[Any]]:
    """The primary key, with text ordered by its bytes, as on both databases."""
    on_postgres = engine.dialect.name == "postgresql"
    return [
        collate(column, "C") if on_postgres and isinstance(column.type, String) else column
        for column in table.primary_key
    ]
