"""procrastinate's tables, functions and types: put beside ours, in the same schema, once.

Which of its migrations they stand at is kept as the comment on its table of jobs, so that it
travels with the database. A newer procrastinate over an older schema is refused with the way on.
"""

from importlib import resources

from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, text

from worker.store import Store, StoreError

_ADVISORY_KEY = 0x656E_6769_6E65  # "engine" in ASCII
_OWN_INDEXES = (
    # For each job procrastinate asks whether another of the same lock goes before it, and each
    # check asks which jobs of a task are open: neither may read through all that are queued.
    "CREATE INDEX easeback_lock ON procrastinate_jobs (lock) WHERE status IN ('todo', 'doing')",
    "CREATE INDEX easeback_task ON procrastinate_jobs (task_name, status)",
)


def install(store: Store) -> None:
    """Make sure procrastinate's schema is there, and is the one that this version speaks.

    Of several that start at once one makes it, and the others wait. Raises `StoreError`.
    """
    with store.transaction() as tx:
        connection = tx.connection
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:key, hashtext(current_schema()))"),
            {"key": _ADVISORY_KEY & 0x7FFF_FFFF},
        )
        found = _found(connection)
        if found is None:
            _make(connection)
        elif found != newest_migration():
            raise StoreError(
                f"the engine's tables stand at {found}, and the procrastinate that is installed "
                f"speaks {newest_migration()}: "
                'see "When procrastinate changes" in docs/operating.md'
            )


def newest_migration() -> str:
    """The last of procrastinate's own migrations, as it names them."""
    folder = resources.files("procrastinate.sql") / "migrations"
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))
    return names[-1].removesuffix(".sql")


def _found(connection: Connection) -> str | None:
    if connection.execute(text("SELECT to_regclass('procrastinate_jobs')")).scalar() is None:
        return None
    noted = "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')"
    told: str | None = connection.execute(text(noted)).scalar()
    return told or "an unknown version"


def _make(connection: Connection) -> None:
    # Past SQLAlchemy: a script of many statements, with signs that SQLAlchemy would read.
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  the connection is open
    driver.execute(SchemaManager.get_schema())
    for statement in _OWN_INDEXES:
        connection.execute(text(statement))
    connection.execute(text(f"COMMENT ON TABLE procrastinate_jobs IS '{newest_migration()}'"))
