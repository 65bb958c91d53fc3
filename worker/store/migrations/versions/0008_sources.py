"""One set of tables for all services; Strava's and Garmin's rows are moved unchanged."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from worker.store.migrations import athlete_id
from worker.store.tables import Utc, only

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
        "scopes": sa.cast(sa.literal_column("'[]'"), sa.JSON)
        if op.get_bind().dialect.name == "postgresql" else sa.literal_column("'[]'"),
        **dict.fromkeys(_STANDING),
    })  # fmt: skip
    _move("source_activity", "strava_activity", "strava", {
        **dict.fromkeys(_SEEN), "file": sa.literal_column("'none'"), "file_due_at": no_time,
        "file_tries": sa.literal_column("0"), "silence": sa.cast(sa.null(), sa.Text),
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
    """Copy a table's rows; a column gets the old column of its name, or an expression."""
    filled = {"source": sa.literal_column(f"'{source}'")} | {
        name: sa.column(str(told or name)) if told is None or isinstance(told, str) else told
        for name, told in columns.items()
    }
    table = sa.table(new, *(sa.column(name) for name in filled))
    rows = sa.select(*filled.values()).select_from(sa.table(old))  # type: ignore[call-overload]  # mixed
    op.execute(sa.insert(table).from_select(list(filled), rows))


def _move_limits() -> None:
    """Turn the rate limits into one JSON value for each service."""
    connection = op.get_bind()
    limit = sa.table("source_limit", sa.column("source"), sa.column("state", sa.JSON))
    budget = sa.table(
        "strava_budget", sa.column("at", Utc()), sa.column("read", sa.JSON),
        sa.column("overall", sa.JSON), sa.column("closed_until", Utc()),
    )  # fmt: skip
    pace = sa.table(
        "garmin_pace", sa.column("free_at", Utc()), sa.column("closed_until", Utc()),
        sa.column("refused", sa.Integer),
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
        athlete_id(primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("encrypted", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", Utc),
        sa.Column("ends_at", Utc),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("connected_at", Utc, nullable=False),
        sa.Column("revoked_at", Utc),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("leased_until", Utc),
        sa.Column("read_until", Utc),
        sa.Column("read_back_to", Utc),
        sa.Column("looked_back_at", Utc),
        sa.Column("doubted_at", Utc),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Index(None, "source", "account_id"),
        sa.Index(None, "source", "read_back_to"),
        sa.Index("ix_source_credential_due", "source", "due_at", **only("revoked_at IS NULL")),
    )
    op.create_table(
        "source_activity",
        athlete_id(primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("started_at", Utc),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("seen_at", Utc, nullable=False),
        sa.Column("file", sa.String(8), nullable=False),
        sa.Column("file_due_at", Utc),
        sa.Column("file_tries", sa.Integer, nullable=False),
        sa.Column("silence", sa.Text),
        sa.Index(None, "source", "started_at"),
        sa.Index("ix_source_activity_file", "source", "file_due_at", **only("file = 'due'")),
    )
    op.create_table(
        "source_event",
        athlete_id(primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Index(None, "source", "due_at"),
    )
    op.create_table(
        "source_limit",
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "source_subscription",
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("callback_url", sa.Text, nullable=False),
        sa.Column("made_at", Utc, nullable=False),
        sa.Column("dropped", sa.Integer, nullable=False),
    )
