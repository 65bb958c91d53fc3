"""The schema: migrations make the code's tables, and an upgrade is complete or undone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    text,
)

from tests.command import ROOT
from tests.store import older
from tests.store.older import DAY, THEN
from worker.domain.models import Athlete
from worker.sources.rate_limit import Limit, Spacing, Windows
from worker.store import HEAD, Store, StoreError, migrations
from worker.store.source_base import SeenActivity
from worker.store.tables import metadata


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A separate engine beside the store's."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


NEW = {"links_from", "clock", "language", "link_id", "links_by_number"}
ADDED = datetime(2026, 1, 5, 6, tzinfo=UTC)


def upgrade_to(engine: Engine, schema: str) -> None:
    """The database as an older version left it."""
    settings = Config()
    (folder,) = migrations.__path__
    settings.set_main_option("script_location", folder)
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, schema)


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_a_fresh_database_has_exactly_the_tables_that_the_store_knows(
    store: Store, engine: Engine
) -> None:
    """Names, columns, types, keys and indexes: nothing missing, nothing extra."""
    assert tables(engine) == {*metadata.tables, "alembic_version"}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert store.schema() == HEAD


def test_the_schema_this_version_speaks_is_the_last_step() -> None:
    """There is one last migration, and `HEAD` names it."""
    settings = Config()
    (folder,) = migrations.__path__
    settings.set_main_option("script_location", folder)
    assert ScriptDirectory.from_config(settings).get_heads() == [HEAD]


def test_athletes_of_an_older_version_keep_their_links_and_the_clock_of_24_hours(
    database_url: str, engine: Engine
) -> None:
    """Without these columns no link was closed."""
    upgrade_to(engine, "0003")
    known = [column for column in metadata.tables["athlete"].columns if column.name not in NEW]
    row = {
        "id": 1,
        "name": "Nora",
        "email": "nora@example.org",
        "added_at": ADDED,
        "timezone": "UTC",
        "units": "km",
        "week_starts": 0,
        "weekly_weekday": 0,
        "weekly_at": time(7),
        "pain": [],
        "wants": [],
        "next_weekly_at": ADDED,
    }
    with engine.begin() as connection:
        old = Table("athlete", MetaData(), *(Column(c.name, c.type) for c in known))
        connection.execute(insert(old).values(row))
    Store.open(database_url).close()
    with engine.connect() as connection:
        told = connection.execute(
            text("SELECT name, links_from, clock, language FROM athlete")
        ).one()
    assert tuple(told) == ("Nora", None, "24", "")


def test_files_that_could_not_be_read_then_are_read_again(
    database_url: str, engine: Engine
) -> None:
    """An older version marked them as failed; a parser's verdict on a file stays."""
    upgrade_to(engine, "0010")
    reasons = {
        "slow": "reading it took longer than 20 s",
        "locked": "can't be opened: Permission denied",
        "bad": "can't be read as GPX: the file is cut off",
        "text": "not a FIT, GPX or TCX file",
    }
    files = metadata.tables["inbox_file"]
    rows = [
        {"path": path, "size": 1, "mtime_ns": 1, "looks": 2, "verdict": "failed",
         "reason": reason, "looked_at": ADDED}
        for path, reason in reasons.items()
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(files), rows)
    with closing(Store.open(database_url)) as store, store.reading() as tx:
        verdicts = {file.path: file.verdict for file in tx.inbox.with_verdict()}
    assert verdicts == {"slow": "unread", "locked": "unread", "bad": "failed", "text": "failed"}


def test_each_athlete_of_an_older_version_gets_a_name_for_links_of_their_own(
    database_url: str, engine: Engine
) -> None:
    """Existing athletes are found by the number in old links; later ones aren't."""
    older.make_0007(engine)
    with closing(Store.open(database_url)) as store, store.transaction() as tx:
        if store.file is None:  # the inserted rows didn't use the sequence
            tx.connection.execute(text("SELECT setval('athlete_id_seq', 3)"))
        old = tx.athletes.all()
        assert [one.name for one in old] == ["Ann", "Ben", "Cleo"]
        new = tx.athletes.add(Athlete(0, "Dora", "dora@example.org", THEN))
        names = {one.link_id for one in (*old, new)}
        assert len(names) == 4
        assert all(len(name) == 16 for name in names)
        numbered = tx.connection.execute(
            text("SELECT name FROM athlete WHERE links_by_number ORDER BY id")
        )
        assert numbered.scalars().all() == ["Ann", "Ben", "Cleo"]


class Killed(BaseException):
    """Simulates the end of the process."""


@pytest.mark.parametrize("after", [1, 5, 12, 25])
def test_an_upgrade_killed_half_way_comes_up_again(
    database_url: str, engine: Engine, after: int
) -> None:
    """The dead process's changes are rolled back, and the next one does it all."""
    statements = 0

    def kill(_: Connection, __: object, statement: str, *___: object) -> None:
        nonlocal statements
        statements += statement.lstrip().upper().startswith(("CREATE", "ALTER"))
        if statements > after:
            raise Killed

    event.listen(engine, "before_cursor_execute", kill)
    with pytest.raises(Killed):
        migrations.upgrade(_as_the_store_does(engine))
    event.remove(engine, "before_cursor_execute", kill)
    assert tables(engine) == set()
    Store.open(database_url).close()
    assert tables(engine) == {*metadata.tables, "alembic_version"}


def _as_the_store_does(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        from worker.store import _begin_sqlite, _set_up_sqlite

        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def test_two_that_open_a_fresh_database_at_once_both_get_it(database_url: str) -> None:
    """The worker and a command, started by the same script."""
    opens = "import sys; from worker.store import Store; Store.open(sys.argv[1]).close()"
    processes = [
        subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-c", opens, database_url], stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.parametrize("version", ["9999", "made by somebody else"])
def test_a_database_of_a_newer_version_is_refused_in_one_line(
    store: Store, database_url: str, version: str
) -> None:
    """The message says what to do, and nothing is changed."""
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    with pytest.raises(StoreError, match="newer") as refused:
        Store.open(database_url)
    assert "\n" not in str(refused.value)
    assert store.schema() == version


def test_what_an_older_database_holds_is_found_by_the_new_indexes(
    database_url: str, engine: Engine
) -> None:
    """Athletes by folder, runs dated in the future, alerts first."""
    settings = Config()
    (folder,) = migrations.__path__
    settings.set_main_option("script_location", folder)
    with _as_the_store_does(engine).begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0003")
        for statement in _AN_OLDER_ONE:
            connection.exec_driver_sql(statement)
    with closing(Store.open(database_url)) as store, store.transaction() as tx:
        assert [one.name for one in tx.athletes.of_folders(["ÄRZTE"])] == ["Ärzte"]
        assert tx.runs.with_release_due(date(2027, 1, 2)) == (1,)
        letter = tx.outbox.claim(datetime(2026, 11, 20, tzinfo=UTC))
        assert letter is not None
        assert letter.kind == "alert"


_AN_OLDER_ONE = (
    """
    INSERT INTO athlete (id, name, email, added_at, timezone, units, week_starts, weekly_weekday,
        weekly_at, pain, wants, next_weekly_at)
    VALUES (1, 'Ärzte', 'a@example.org', '2026-01-01 00:00:00', 'UTC', 'km', 0, 0, '07:00:00',
        '[]', '[]', '2027-01-01 00:00:00')
    """,
    """
    INSERT INTO run (athlete_id, started_at, day, distance_m, sport, is_race, quarantine)
    VALUES (1, '2027-01-02 06:00:00', '2027-01-02', 8000, 'run', false,
            'it is dated in the future'),
        (1, '2026-01-02 06:00:00', '2026-01-02', 8000, 'run', false, 'it has no distance')
    """,
    """
    INSERT INTO outbox (athlete_id, kind, key, message_id, sender, recipient, mime, state,
        created_at, due_at, expires_at)
    VALUES (1, 'weekly', 'w', 'w', 's', 'r', 'x', 'queued', '2026-11-01 00:00:00',
            '2026-11-01 00:00:00', '2027-01-01 00:00:00'),
        (1, 'alert', 'a', 'a', 's', 'r', 'x', 'queued', '2026-11-02 00:00:00',
            '2026-11-02 00:00:00', '2027-01-01 00:00:00')
    """,
)


class TestServicesOfAnOlderVersion:
    """Rows of each service's old tables are moved to the shared ones."""

    @pytest.fixture
    def upgraded(self, database_url: str, engine: Engine) -> Iterator[Store]:
        older.make_0007(engine)
        with closing(Store.open(database_url)) as store:
            yield store

    @pytest.mark.parametrize("source", ["strava", "garmin"])
    def test_credentials_stand_as_they_did(self, upgraded: Store, source: str) -> None:
        """Valid, leased and dead ones: their content, due times, and read positions."""
        with upgraded.transaction() as tx:
            rows = tx.source(source)
            for one in tx.athletes.all():
                before, stored = older.grant(one.id), rows.credential(one)
                assert stored is not None
                assert stored.encrypted == before["sealed"]
                assert (stored.version, stored.connected_at, stored.due_at) == (
                    before["version"], before["connected_at"], before["due_at"],
                )  # fmt: skip
                assert stored.revoked_at == before["dead_since"]
                assert rows.standing(one) == older.standing(one.id)
                if source == "strava":
                    assert stored.account_id == str(2**40 + one.id)
                    assert stored.expires_at == THEN + timedelta(hours=one.id)
                    assert stored.scopes == {"read", "activity:read_all"}
                    assert stored.ends_at is None
                else:
                    assert stored.account_id == ""
                    assert stored.ends_at == THEN + one.id * 30 * DAY
                    assert (stored.expires_at, stored.scopes) == (None, frozenset())
            ann, ben, _ = tx.athletes.all()
            later = THEN + timedelta(minutes=1)
            assert not rows.lease(ben, now=THEN, until=later)
            assert rows.lease(ann, now=THEN, until=later)

    def test_who_is_due_is_due_still(self, upgraded: Store) -> None:
        """Nobody is polled twice or skipped, and dead grants aren't polled."""
        with upgraded.reading() as tx:
            for source in ("strava", "garmin"):
                assert tx.source(source).due(THEN) == ()
                assert tx.source(source).due(THEN + DAY) == (1, 2)
            assert tx.source("strava").athletes_of([str(2**40 + 2)]) == {str(2**40 + 2): [2]}
            assert tx.source("strava").with_history_due(THEN - 450 * DAY) == ()

    def test_activities_and_files_stand_as_they_did(self, upgraded: Store) -> None:
        """Edited activities, unreadable ones with reasons, files that are due, read or given up."""
        with upgraded.reading() as tx:
            for one in tx.athletes.all():
                ids = [str(10 * one.id + m) for m in (1, 2, 3)]
                told = tx.source("strava").seen(one, ids)
                assert {i: _as_before(told[i]) for i in ids} == {
                    i: older.seen(one.id, i) for i in ids
                }
                assert {told[i].file for i in ids} == {"none"}
            ann = tx.athletes.all()[0]
            files = tx.source("garmin").seen(ann, list(older.FILES))
            assert {i: _as_before(one) for i, one in files.items()} == {
                i: older.seen(1, i) for i in older.FILES
            }
            for name, file in older.FILES.items():
                assert {key: getattr(files[name], key) for key in file} == file
            assert tx.source("garmin").files_due(ann, THEN, most=9) == ()
            (due,) = tx.source("garmin").files_due(ann, THEN + DAY, most=9)
            assert due.external_id == "11"

    def test_events_limits_and_the_subscription_stand_as_they_did(self, upgraded: Store) -> None:
        """No webhook event is lost, and no call is made too many."""
        with upgraded.reading() as tx:
            rows = tx.source("strava")
            told = {(one.id, i) for one in tx.athletes.all()
                    for i in rows.events_due(one, THEN + DAY)}  # fmt: skip
            assert told == set(older.EVENTS)
            assert rows.with_events_due(THEN) == ()
            subscription = rows.subscription()
            assert subscription is not None
            assert (subscription.id, subscription.callback_url, subscription.dropped) == (
                2**33, "https://easeback.example/w", 5,
            )  # fmt: skip
            strava = Windows.stored(rows.limit(), THEN)
            assert strava == Windows(THEN, Limit(100, 1000, 7, 70), None, THEN + DAY)
            assert Spacing.stored(tx.source("garmin").limit(), THEN) == Spacing(THEN, None, 3)
        with upgraded.transaction() as tx:
            assert not tx.source("strava").use_state("ab" * 32, now=THEN, forget_before=THEN)

    def test_killed_at_any_statement_it_is_done_whole_by_the_next_start(
        self, database_url: str, engine: Engine
    ) -> None:
        """The old tables stay as they are until the new ones hold everything."""
        older.make_0007(engine)
        before = tables(engine)
        statements = count = 0

        def kill(_: Connection, __: object, ___: str, *____: object) -> None:
            nonlocal count
            count += 1
            if count > statements:
                raise Killed

        dying = _as_the_store_does(create_engine(database_url))
        event.listen(dying, "before_cursor_execute", kill)
        for statements in range(1, 200, 3):  # noqa: B007  `kill` reads it
            count = 0
            try:
                migrations.upgrade(dying)
            except Killed:
                continue
            finally:
                dying.dispose()
            break
        else:
            pytest.fail("the upgrade never ended")
        assert statements > 20
        assert tables(engine) == {*metadata.tables, "alembic_version"} != before
        with closing(Store.open(database_url)) as store, store.reading() as tx:
            assert [tx.source("strava").credential(one) is not None
                    for one in tx.athletes.all()] == [True] * 3  # fmt: skip


def _as_before(one: SeenActivity) -> dict[str, Any]:
    """An activity with the old version's columns, without the time it was seen."""
    return {
        "athlete_id": one.external_id and int(one.external_id) // 10,
        "external_id": one.external_id, "started_at": one.started_at, "payload": one.payload,
        "reason": one.reason, "edited": one.edited, "seen_at": THEN,
    }  # fmt: skip
