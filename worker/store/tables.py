"""The tables. Every instant is aware UTC, and every day is a date on the athlete's calendar."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

from worker.domain import matching


class Utc(TypeDecorator[datetime]):
    """An instant. SQLite drops time zones, so this refuses naive values and returns UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant without a time zone can't be stored: {value}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


DUE_AT_ONCE = 500
"""The most due athletes that are returned at a time; a caller that gets this many asks again."""

EARLY = timedelta(hours=3)
"""A time that is at least this much later than now was saved while the clock ran ahead."""

COPY_KEY = "copy"
"""The prefix of the outbox's keys of alert copies: `copy:<finding>:<severity>:<therapist>`."""

UNSENT_STATES: tuple[Literal["queued", "retry", "held", "dead"], ...] = (
    "queued",
    "retry",
    "held",
    "dead",
)
"""The states of mails that aren't being sent now, and may still be changed or removed."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def only(where: str) -> dict[str, Any]:
    """The options of an index over some rows only, on both databases."""
    return {"postgresql_where": text(where), "sqlite_where": text(where)}


# The rows of an index below, for information: the migration that made it uses `only`. Using it
# here would load the dialects of both databases in every command, a tenth of its time.
WAITING = {"only": "state IN ('queued', 'retry')"}
FULL_WORDS = "state IN ('sent', 'dead') AND length(mime) > 0"
FULL = {"only": FULL_WORDS}

athlete = Table(
    "athlete",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    # The name in the form of folders, case-folded, to find a file's athlete by index.
    Column("folder", String(320), nullable=False, server_default="", index=True),
    Column("email", String(320), nullable=False),
    Column("added_at", Utc, nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("units", String(2), nullable=False),
    Column("week_starts", Integer, nullable=False),
    Column("weekly_weekday", Integer, nullable=False),
    Column("weekly_at", Time, nullable=False),
    Column("pain", JSON, nullable=False),
    Column("race_name", String(80)),
    Column("race_on", Date),
    Column("race_m", Float),
    Column("wants", JSON, nullable=False),
    # The weekly mail has a due date like other work, so that no tick reads every athlete.
    Column("next_weekly_at", Utc, nullable=False, index=True),
    # Expiring links made before this are closed; null: none was ever closed early.
    Column("links_from", Utc),
    # How times are written: "24" or "12" hours.
    Column("clock", String(2), server_default="24", nullable=False),
    # The chosen language; empty: the operator's.
    Column("language", String(20), server_default="", nullable=False),
    # The athlete's id in links: random and never used twice, unlike row ids after a restore.
    Column(
        "link_id",
        String(16),
        nullable=False,
        unique=True,
        index=True,
        server_default="",
        default=lambda: secrets.token_urlsafe(12),
    ),
    # Whether older links, which contain the row id, are still valid.
    Column("links_by_number", Boolean, nullable=False, server_default=false()),
    # The version of the rules that derived the runs (`matching.VERSION`).
    Column(
        "matched_by",
        Integer,
        nullable=False,
        index=True,
        server_default="0",
        default=matching.VERSION,
    ),
    # When the plan's inputs (runs, answers, settings) last changed; null: before this column.
    Column("changed_at", Utc),
    # Links to the calendar made before this are closed; null: they weren't closed separately.
    Column("calendar_from", Utc),
    # Since when no mail is sent to the athlete; null: mail is sent.
    Column("paused_at", Utc),
    # When the athlete agreed to copies of their alerts for the practice; null: no consent.
    Column("copies_agreed_at", Utc),
    # Whether the practice has turned the copies off.
    Column("copies_off", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)

therapist = Table(
    "therapist",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("email", String(320), nullable=False),
    Column("added_at", Utc, nullable=False),
    # The chosen language; empty: the browser's, and the operator's in mails.
    Column("language", String(20), nullable=False),
    # The therapist's id in links; a new one closes the older links.
    Column(
        "link_id",
        String(16),
        nullable=False,
        unique=True,
        default=lambda: secrets.token_urlsafe(12),
    ),
    sqlite_autoincrement=True,
)

departure = Table(
    "departure",
    metadata,
    # How many athletes were ever deleted; caches of their data are stale once it grows.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("day", Date, nullable=False),
    Column("distance_m", Float, nullable=False),
    Column("moving_s", Float),
    Column("elapsed_s", Float),
    Column("sport", String(16), nullable=False),
    Column("is_race", Boolean, nullable=False),
    # Metres of ascent, null if no source has them; the same in `recording`.
    Column("ascent_m", Float),
    # Why the run doesn't count (implausible), or null.
    Column("quarantine", Text),
    # If only because its date is in the future: the day on which it's checked again.
    Column("looked_at_on", Date, index=True),
    Index(None, "athlete_id", "day"),
    sqlite_autoincrement=True,
)

recording = Table(
    "recording",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", ForeignKey("run.id", ondelete="SET NULL"), index=True),
    Column("source", String(16), nullable=False),
    Column("external_id", String(128), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("day", Date, nullable=False),
    Column("distance_m", Float, nullable=False),
    Column("moving_s", Float),
    Column("elapsed_s", Float),
    Column("sport", String(16), nullable=False),
    Column("is_race", Boolean, nullable=False),
    Column("device", Boolean, nullable=False),
    Column("edited", Boolean, nullable=False),
    Column("hidden_start", Boolean, nullable=False),
    Column("title", String(80), nullable=False),
    Column("sha256", String(64), index=True),
    Column("leg", Integer, nullable=False),
    Column("note", Text),
    Column("file_name", String(200), nullable=False, server_default=""),
    # For the athlete's correction, the source and external id of its recording; else empty.
    Column("about", String(160), nullable=False, server_default=""),
    # Whether that correction excludes the run.
    Column("excluded", Boolean, nullable=False, server_default=false()),
    # Whether it comes from an account's table.
    Column("account", Boolean, nullable=False, server_default=false()),
    Column("ascent_m", Float),
    # When it last changed, except for its title; the plan may have changed then.
    Column("saved_at", Utc, nullable=False),
    UniqueConstraint("athlete_id", "source", "external_id"),
    Index(None, "athlete_id", "day"),
    sqlite_autoincrement=True,
)

inbox_file = Table(
    "inbox_file",
    metadata,
    Column("path", Text, primary_key=True),
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE")),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    # How many scans in a row found the file unchanged; it's read from the second on.
    Column("looks", Integer, nullable=False),
    # One of: waiting, imported, duplicate, skipped, failed.
    Column("verdict", String(16), nullable=False, index=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("sha256", String(64)),
    Column("looked_at", Utc, nullable=False),
)

inbox_folder = Table(
    "inbox_folder",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The device and inode of the folder that was listed last, and its number of files.
    Column("identity", String(64), nullable=False),
    Column("files", Integer, nullable=False),
    # Since when it is missing, or an empty folder is in its place.
    Column("missing_at", Utc),
)

import_piece = Table(
    "import_piece",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    # A digest of the file's name and state, and the number of this member, from 0.
    Column("mark", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    # One of: imported, duplicate, skipped, failed.
    Column("verdict", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("sha256", String(64)),
)

unjudged = Table(
    "unjudged",
    metadata,
    # An import has saved runs from the day `since` on, and hasn't judged them yet.
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("since", Date, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), index=True),
    Column("kind", String(16), nullable=False),
    # Identifies the mail: the same key is never queued twice.
    Column("key", String(160), nullable=False, unique=True),
    Column("message_id", String(255), nullable=False, unique=True),
    Column("sender", String(320), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("mime", LargeBinary, nullable=False),
    # queued | claimed | at_dot | sent | retry | dead | held
    Column("state", String(16), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sent_at", Utc),
    Column("last_error", Text),
    # A crash came between the final dot and its answer, so this may be a second copy.
    Column("perhaps_twice", Boolean, nullable=False, server_default=false()),
    # 0 goes first, 1 is for the rest.
    Column("turn", Integer, nullable=False, server_default="1"),
    # Which of several workers has claimed it; null if there is only one.
    Column("claimed_by", String(64)),
    Index(None, "state", "due_at"),
    # Finds the next mail to send by its turn, however many wait.
    Index("ix_outbox_next", "turn", "due_at", "id", info=WAITING),
    Index("ix_outbox_expires", "expires_at", info=WAITING),
    # Finds mails that still have their bytes long after they were sent or given up.
    Index("ix_outbox_full_sent_at", "sent_at", info=FULL),
    Index("ix_outbox_full_expires_at", "expires_at", info=FULL),
    sqlite_autoincrement=True,
)

mail_login = Table(
    "mail_login",
    metadata,
    # At most one row.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("username", String(320), nullable=False),
    # The refresh token.
    Column("encrypted", LargeBinary, nullable=False),
    Column("connected_at", Utc, nullable=False),
    # Why the token no longer works, in words.
    Column("trouble", Text),
)

finding = Table(
    "finding",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), nullable=False),
    Column("day", Date, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("run_id", Integer, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("observed_m", Float, nullable=False),
    Column("baseline_m", Float, nullable=False),
    Column("race", String(8)),
    Column("retraining", Boolean, nullable=False),
    Column("found_at", Utc, nullable=False),
    Column("withdrawn_at", Utc),
    # Why no mail was sent about it, in words; null if one was queued.
    Column("silence", Text),
    Column("outbox_id", ForeignKey("outbox.id", ondelete="SET NULL"), index=True),
    Column("told_on", Date, index=True),
    # How severe it was when the mail was queued; an edit can raise that later.
    Column("told_severity", Integer),
    UniqueConstraint("athlete_id", "day", "kind"),
    sqlite_autoincrement=True,
)

weekly = Table(
    "weekly",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("week_starts_on", Date, primary_key=True),
    # queued | skipped
    Column("state", String(16), nullable=False),
    Column("outbox_id", ForeignKey("outbox.id", ondelete="SET NULL")),
    # The race that the mail's plan led to; null: none, or the mail is older than these columns.
    Column("race_on", Date),
    Column("race_m", Float),
)

source_state = Table(
    "source_state",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(16), primary_key=True),
    # ok | waiting | failing | off
    Column("state", String(16), nullable=False),
    Column("last_success_at", Utc),
    Column("last_error", Text),
    Column("backlog", Integer, nullable=False, server_default="0"),
    # The error that a mail has named; null again once the source works.
    Column("told_error", Text),
)

crew = Table(
    "crew",
    metadata,
    # The workers: processes that share this database, each with a unique name.
    Column("name", String(64), primary_key=True),
    # worker | web
    Column("role", String(8), nullable=False),
    Column("place", String(64), nullable=False),
    # By the database's clock.
    Column("since_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False, index=True),
)

address_change = Table(
    "address_change",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    # The address that waits to be confirmed, and the secret in its link; both empty: none.
    Column("address", String(320), nullable=False),
    Column("code", String(32), nullable=False),
    Column("asked_at", Utc, nullable=False),
    # How many addresses were requested since then.
    Column("counted_from", Utc, nullable=False),
    Column("number", Integer, nullable=False),
)

checkin = Table(
    "checkin",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    # fine | sore | hurts
    Column("feels", String(8), nullable=False),
    Column("areas", JSON, nullable=False),
    Column("level", Integer),
    # Red flags by name.
    Column("flags", JSON, nullable=False),
    Column("answered_at", Utc, nullable=False),
    Index(None, "day"),
)

tick = Table(
    "tick",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", Utc, nullable=False),
    Column("trouble", Text),
)


source_credential = Table(
    "source_credential",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(16), primary_key=True),
    # The athlete's id at the service, as in webhook events; empty if it isn't known.
    Column("account_id", String(64), nullable=False),
    # Tokens or a key, encrypted; the key is outside the database.
    Column("encrypted", LargeBinary, nullable=False),
    # When the access token ends, and when the credential itself does, if known.
    Column("expires_at", Utc),
    Column("ends_at", Utc),
    Column("scopes", JSON, nullable=False),
    # Grows with each refresh, so that concurrent ones can't overwrite each other.
    Column("version", Integer, nullable=False),
    Column("connected_at", Utc, nullable=False),
    Column("revoked_at", Utc),
    Column("due_at", Utc, nullable=False),
    # A worker holds this credential until then.
    Column("leased_until", Utc),
    # How far the list is read.
    Column("read_until", Utc),
    Column("read_back_to", Utc),
    Column("looked_back_at", Utc),
    Column("doubted_at", Utc),
    Column("failures", Integer, nullable=False),
    # How many calls were made for webhook events, on the last day (UTC) with such calls.
    Column("event_calls_on", Date),
    Column("event_calls", Integer, server_default="0", nullable=False),
    Index(None, "source", "account_id"),
    Index(None, "source", "read_back_to"),
    Index("ix_source_credential_due", "source", "due_at", info={"only": "revoked_at IS NULL"}),
)

source_activity = Table(
    "source_activity",
    metadata,
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("external_id", String(128), primary_key=True),
    Column("started_at", Utc),
    # The fields that Easeback uses, as the service wrote them.
    Column("payload", Text, nullable=False),
    # Why it can't be read, or null.
    Column("reason", Text),
    # The athlete changed its distance after it was first seen.
    Column("edited", Boolean, nullable=False),
    Column("seen_at", Utc, nullable=False),
    # The original file: due | read | none
    Column("file", String(8), nullable=False),
    Column("file_due_at", Utc),
    Column("file_tries", Integer, nullable=False),
    # Why nothing is mailed about changes by its file, or null.
    Column("silence", Text),
    Index(None, "source", "started_at"),
    Index("ix_source_activity_file", "source", "file_due_at", info={"only": "file = 'due'"}),
)

source_event = Table(
    "source_event",
    metadata,
    # Activities that webhook events named, and that are to be fetched.
    Column("athlete_id", ForeignKey("athlete.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(16), primary_key=True),
    # The activity; empty: test whether the credential is still valid.
    Column("external_id", String(128), primary_key=True),
    Column("due_at", Utc, nullable=False),
    Column("tries", Integer, nullable=False),
    Index(None, "source", "due_at"),
)

source_limit = Table(
    "source_limit",
    metadata,
    Column("source", String(16), primary_key=True),
    # The state of the service's rate limit; its content depends on the kind of limit.
    Column("state", JSON, nullable=False),
)

source_subscription = Table(
    "source_subscription",
    metadata,
    Column("source", String(16), primary_key=True),
    Column("id", BigInteger, nullable=False),
    Column("callback_url", Text, nullable=False),
    Column("made_at", Utc, nullable=False),
    # The number of dropped events, which named unknown accounts.
    Column("dropped", Integer, nullable=False),
)

used_state = Table(
    "used_state",
    metadata,
    # The hash of a used consent state; no state is accepted twice.
    Column("state_hash", String(64), primary_key=True),
    Column("used_at", Utc, nullable=False, index=True),
)
