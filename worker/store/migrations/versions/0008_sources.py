"""One set of tables for all services: each row of Strava's and of Garmin's moves as it stood."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from worker.store.tables import Utc

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STANDING = ("version", "connected_at", "due_at", "leased_until", "read_until", "read_back_to",
             "looked_back_at", "doubted_at", "failures")  # fmt: skip
_SEEN = ("athlete_id", "external_id", "started_at", "payload", "reason", "edited", "seen_at")
_FILE = ("file", "file_due_at", "file_tries", "silence")


def upgrade() -> None:
    _make_tables()
    no_time = sa.cast(sa.null(), Utc())
    _move("source_credential", "strava_grant", "strava", {
        "athlete_id": "athlete_id", "encrypted": "sealed", "revoked_at": "dead_since",
        "account_id": sa.cast(sa.column("strava_id"), sa.String(64)),
        "expires_at": "expires_at", "ends_at": no_time, "scopes": "scopes",
        **dict.fromkeys(_STANDING),
    })  # fmt: skip
    _move("source_credential", "garmin_grant", "garmin", {
        "athlete_id": "athlete_id", "encrypted": "sealed", "revoked_at": "dead_since",
        "account_id": sa.literal_column("''"),
        "expires_at": no_time, "ends_at": "key_expires_at",
        "scopes": sa.cast(sa.literal_column("'[]'"), sa.JSON())
        if op.get_bind().dialect.name == "postgresql" else sa.literal_column("'[]'"),
        **dict.fromkeys(_STANDING),
    })  # fmt: skip
    _move("source_activity", "strava_activity", "strava", {
        **dict.fromkeys(_SEEN), "file": sa.literal_column("'none'"), "file_due_at": no_time,
        "file_tries": sa.literal_column("0"), "silence": sa.cast(sa.null(), sa.Text()),
    })  # fmt: skip
    _move("source_activity", "garmin_activity", "garmin", dict.fromkeys((*_SEEN, *_FILE)))
    _move("source_event", "strava_wish", "strava",
          dict.fromkeys(("athlete_id", "external_id", "due_at", "tries")))  # fmt: skip
    _move("source_subscription", "strava_subscription", "strava",
          dict.fromkeys(("id", "callback_url", "made_at", "dropped")))  # fmt: skip
    _move_limits()
    for table in ("strava_grant", "strava_activity", "strava_wish", "strava_budget",
                  "strava_subscription", "garmin_grant", "garmin_activity",
                  "garmin_pace"):  # fmt: skip
        op.drop_table(table)


def _move(new: str, old: str, source: str, columns: dict[str, object]) -> None:
    """Copy a table's rows; a column is filled from the old one of that name, or an expression."""
    filled = {"source": sa.literal_column(f"'{source}'")} | {
        name: sa.column(str(told or name)) if told is None or isinstance(told, str) else told
        for name, told in columns.items()
    }
    table = sa.table(new, *(sa.column(name) for name in filled))
    rows = sa.select(*filled.values()).select_from(sa.table(old))  # type: ignore[call-overload]  # mixed
    op.execute(sa.insert(table).from_select(list(filled), rows))


def _move_limits() -> None:
    """What is known of the calls left becomes one JSON value a service."""
    connection = op.get_bind()
    limit = sa.table("source_limit", sa.column("source"), sa.column("state", sa.JSON()))
    budget = sa.table(
        "strava_budget", sa.column("at", Utc()), sa.column("read", sa.JSON()),
        sa.column("overall", sa.JSON()), sa.column("closed_until", Utc()),
    )  # fmt: skip
    pace = sa.table(
        "garmin_pace", sa.column("free_at", Utc()), sa.column("closed_until", Utc()),
        sa.column("refused", sa.Integer()),
    )  # fmt: skip
    for source, table in (("strava", budget), ("garmin", pace)):
        for row in connection.execute(sa.select(table)).mappings().all():
            state = {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in row.items()
            }
            connection.execute(sa.insert(limit).values(source=source, state=state))


def _make_tables() -> None:
    op.create_table(
        "source_credential",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=True),
        sa.Column("ends_at", Utc(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("connected_at", Utc(), nullable=False),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("leased_until", Utc(), nullable=True),
        sa.Column("read_until", Utc(), nullable=True),
        sa.Column("read_back_to", Utc(), nullable=True),
        sa.Column("looked_back_at", Utc(), nullable=True),
        sa.Column("doubted_at", Utc(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        _athlete("source_credential"),
        sa.PrimaryKeyConstraint("athlete_id", "source", name=op.f("pk_source_credential")),
    )
    _index("source_credential", "source", "account_id")
    _index("source_credential", "source", "read_back_to")
    _index_where("ix_source_credential_due", "source_credential", "due_at", "revoked_at IS NULL")
    op.create_table(
        "source_activity",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        sa.Column("file", sa.String(length=8), nullable=False),
        sa.Column("file_due_at", Utc(), nullable=True),
        sa.Column("file_tries", sa.Integer(), nullable=False),
        sa.Column("silence", sa.Text(), nullable=True),
        _athlete("source_activity"),
        sa.PrimaryKeyConstraint(
            "athlete_id", "source", "external_id", name=op.f("pk_source_activity")
        ),
    )
    _index("source_activity", "source", "started_at")
    _index_where("ix_source_activity_file", "source_activity", "file_due_at", "file = 'due'")
    op.create_table(
        "source_event",
        sa.Column("athlete_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        _athlete("source_event"),
        sa.PrimaryKeyConstraint(
            "athlete_id", "source", "external_id", name=op.f("pk_source_event")
        ),
    )
    _index("source_event", "source", "due_at")
    op.create_table(
        "source_limit",
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_limit")),
    )
    op.create_table(
        "source_subscription",
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=False),
        sa.Column("made_at", Utc(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_subscription")),
    )


def _athlete(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["athlete_id"], ["athlete.id"], name=op.f(f"fk_{table}_athlete_id"), ondelete="CASCADE"
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


def _index_where(name: str, table: str, column: str, where: str) -> None:
    op.create_index(
        name, table, ["source", column],
        postgresql_where=sa.text(where), sqlite_where=sa.text(where),
    )  # fmt: skip
