"""The story's database: SQLite in the data folder, or a database in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Engine, create_engine, make_url, text


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database with numbered copies; connected clients are disconnected.

    Synchronous commits are off: killing the server is tested elsewhere (`servers`).
    """

    name: str
    url: str
    _server: Engine

    def empty(self) -> None:
        """Drop its content, so that a story can begin again."""
        self._make(self.name)

    def back_up(self, number: int) -> None:
        self._make(f"{self.name}_{number}", of=self.name)

    def go_back_to(self, number: int) -> None:
        """Restore that copy."""
        self._make(self.name, of=f"{self.name}_{number}")

    def drop(self) -> None:
        """Drop the database and its copies."""
        query = text("SELECT datname FROM pg_database WHERE starts_with(datname, :name)")
        with self._server.connect() as connection:
            for (name,) in connection.execute(query, {"name": self.name}).all():
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    def _make(self, name: str, *, of: str = "template1") -> None:
        with self._server.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {of}"))
            connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))


@contextmanager
def database_on(server: str | None) -> Iterator[Database | None]:
    """A fresh database on that PostgreSQL, dropped afterwards; None for None."""
    if server is None:
        yield None
        return
    name = f"easeback_crash_{uuid4().hex[:12]}"
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    database = Database(name, url, engine)
    try:
        database.empty()
        yield database
    finally:
        database.drop()
        engine.dispose()
