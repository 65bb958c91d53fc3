"""The base of every repository: one connection, and the ways to read and write rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repository:
    """The SQL of one subject, over one connection."""

    connection: Connection

    def _rows(self, query: Select[Any] | CompoundSelect[Any]) -> Sequence[Row[Any]]:
        return self.connection.execute(query).all()

    def _value(self, query: Select[Any]) -> Any:
        """The first column of the first row, or None without a row."""
        return self.connection.execute(query).scalar()

    def _values(self, query: Select[Any]) -> tuple[Any, ...]:
        """The first column of the rows, each value once, in the order of the query."""
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def _update(self, table: Table, /, *where: ColumnElement[bool], **values: Any) -> int:
        """Update the rows for which all of `where` holds; returns how many."""
        statement = update(table).where(*where).values(**values)
        return self.connection.execute(statement).rowcount

    def _change_by(self, table: Table, by: Mapping[str, Any], /, **values: Any) -> int:
        """Update the rows whose columns equal `by`; returns how many.

        Like `_update`, with a cached statement for frequent use.
        """
        named = {f"by_{name}": value for name, value in by.items()}
        return self.connection.execute(_changing(table, tuple(by)), named | values).rowcount

    def _delete(self, table: Table, /, *where: ColumnElement[bool]) -> int:
        return self.connection.execute(delete(table).where(*where)).rowcount

    def _upsert(
        self, table: Table, rows: Iterable[Mapping[str, Any]], *keys: str, replace: bool = True
    ) -> None:
        """Insert rows in one statement, alike on SQLite and PostgreSQL.

        If a row with the same `keys` (default: the primary key) exists, its other columns are
        replaced, or it is left unchanged. All rows must have the same columns, and different keys.
        """
        rows = list(rows)
        if not rows:
            return
        statement = _upserting(
            self.connection.dialect.name, table, tuple(rows[0]), keys, replace=replace
        )
        self.connection.execute(statement, rows)


@cache
def _changing(table: Table, names: tuple[str, ...]) -> Update:
    """The statement of `Repository._change_by`; its parameters are the values to set."""
    return update(table).where(*(table.c[name] == bindparam(f"by_{name}") for name in names))


@cache
def _upserting(
    dialect: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...], *, replace: bool
) -> Any:
    """The statement of `Repository._upsert`, cached because it's slower to build than to run."""
    # Import SQLAlchemy's module for this database only, because importing takes time.
    statement = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    keys = keys or tuple(table.primary_key.columns.keys())
    replaced = {name: statement.excluded[name] for name in columns if name not in keys}
    if replace and replaced:
        return statement.on_conflict_do_update(index_elements=list(keys), set_=replaced)
    return statement.on_conflict_do_nothing(index_elements=list(keys))


def from_row(kind: type[T], row: Row[Any]) -> T:
    """A value of the dataclass `kind`, whose fields are named like the columns."""
    names: Iterable[str] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: getattr(row, name) for name in names})
