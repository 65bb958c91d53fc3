"""Moving: a SQLite store copied to PostgreSQL, a batch at a time, and compared row by row.

Each table goes in the order of its primary key, so that what stands in the target says where to go
on: a move that was killed is simply begun again. The source is only read.
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
    Column,
    ColumnElement,
    Engine,
    String,
    Table,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

from worker.store import HEAD, Store, StoreError
from worker.store.tables import athlete, metadata, tick

ROWS_AT_ONCE = 1000
MOVE_TICK = "moving"
"""Stands in the target, with the source as its trouble, until the move is whole."""

_TABLES = tuple(table for table in metadata.sorted_tables if table.name != "crew")


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows there are of each table, each of them found alike on both sides."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Move:
    """One move from a SQLite file to an opened PostgreSQL store."""

    def __init__(self, file: Path, target: Store) -> None:
        """Raises `StoreError` where there is nothing to move, or nowhere to."""
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
        """How many steps there are: each row is copied, and compared."""
        with self._engine.connect() as source:
            return 2 * sum(_count(source, table) for table in _TABLES)

    def begin(self) -> None:
        """Raises `StoreError` unless the target is empty, or holds a part of this very move."""
        mark = f"a move from {self._digest()}"
        with self._target.transaction() as tx:
            begun = tx.progress.tick(MOVE_TICK)
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
            tx.progress.ticked(MOVE_TICK, at=datetime.fromtimestamp(0, UTC), trouble=mark)

    def copy(self) -> Iterator[int]:
        """Copy what isn't there yet; gives how many rows each batch had, those there first."""
        for table in _TABLES:
            with self._target.reading() as tx:
                there = _count(tx.connection, table, but_mark=True)
                last = _last_key(tx.connection, table) if there else None
            yield there
            for rows in self._batches(self._engine, table, after=last):
                with self._target.transaction() as tx:
                    tx.connection.execute(insert(table), [dict(row) for row in rows])
                yield len(rows)

    def verify(self) -> Iterator[int]:
        """Compare both sides in order, row by row; raises `StoreError` at the first difference."""
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
        """Let new rows go on where the old ones ended, and take the mark away."""
        with self._engine.connect() as source, self._target.transaction() as tx:
            for name, last in source.execute(text("SELECT name, seq FROM sqlite_sequence")):
                if last and name in metadata.tables:
                    tx.connection.execute(
                        text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
                        {"name": name, "last": last},
                    )
            tx.connection.execute(delete(tick).where(tick.c.name == MOVE_TICK))
            rows = {table.name: _count(tx.connection, table) for table in _TABLES}
        return Moved(rows)

    def close(self) -> None:
        self._engine.dispose()

    def _batches(
        self, engine: Engine, table: Table, *, after: Sequence[Any] | None = None
    ) -> Iterator[Sequence[Any]]:
        """The rows in the order of their keys; the mark of the move isn't one of them."""
        keys = _keys(table)
        while True:
            query = select(table).order_by(*keys).limit(ROWS_AT_ONCE)
            if table is tick:
                query = query.where(tick.c.name != MOVE_TICK)
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


def half_moved(store: Store) -> bool:
    """True where the database holds a move that hasn't come to its end."""
    with store.reading() as tx:
        return tx.progress.tick(MOVE_TICK) is not None


def _count(connection: Any, table: Table, *, but_mark: bool = False) -> int:
    query = select(func.count()).select_from(table)
    if table is tick and but_mark:
        query = query.where(tick.c.name != MOVE_TICK)
    number: int = connection.execute(query).scalar_one()
    return number


def _last_key(connection: Any, table: Table) -> Sequence[Any] | None:
    query = select(*table.primary_key).order_by(*(key.desc() for key in _keys(table))).limit(1)
    if table is tick:
        query = query.where(tick.c.name != MOVE_TICK)
    row = connection.execute(query).first()
    return list(row) if row else None


def _keys(table: Table) -> list[ColumnElement[Any]]:
    """The primary key, in an order that both databases share: text by its bytes."""
    return [
        _ByBytes(column) if isinstance(column.type, String) else column
        for column in table.primary_key
    ]


class _ByBytes(ColumnElement[str]):
    """A text in the order of its bytes, as SQLite has it by itself."""

    inherit_cache = True

    def __init__(self, column: Column[Any]) -> None:
        self.column = column
        self.type = column.type


@compiles(_ByBytes)
def _as_it_is(element: _ByBytes, compiler: Any, **named: Any) -> str:
    return str(compiler.process(element.column, **named))


@compiles(_ByBytes, "postgresql")
def _by_bytes(element: _ByBytes, compiler: Any, **named: Any) -> str:
    return f'{compiler.process(element.column, **named)} COLLATE "C"'
