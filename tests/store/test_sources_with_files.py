"""A service with files, on both databases: concurrent keys, files newest first, one limit."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.models import Athlete
from worker.sources.rate_limit import Spacing
from worker.store import Store, Transaction
from worker.store.source_base import SeenActivity

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def athlete(store: Store) -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))


def connect(tx: Transaction, athlete: Athlete, key: bytes = b"sealed") -> None:
    ends_at = NOW + 90 * DAY
    tx.source("garmin").connect(athlete, account_id="", encrypted=key, ends_at=ends_at, now=NOW)


def seen(number: int, **more: object) -> SeenActivity:
    one = SeenActivity(str(number), NOW - number * DAY, "{}", file="due", file_due_at=NOW)
    return replace(one, **more)  # type: ignore[arg-type]  # fields of SeenActivity


def test_a_token_that_was_under_way_does_not_replace_a_new_key(
    store: Store, athlete: Athlete
) -> None:
    """The runner gave another key meanwhile: that one stays valid."""
    with store.transaction() as tx:
        connect(tx, athlete, b"old")
        connect(tx, athlete, b"new")
        assert not tx.source("garmin").renew(
            athlete, version=1, encrypted=b"old with token", expires_at=None
        )
        assert not tx.source("garmin").revoked(athlete, version=1, now=NOW)
        kept = tx.source("garmin").credential(athlete)
    assert kept is not None
    assert (kept.encrypted, kept.revoked_at) == (b"new", None)


def test_a_dead_key_is_not_asked_with_until_another_is_given(
    store: Store, athlete: Athlete
) -> None:
    """Neither for new activities nor for files."""
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.source("garmin").save_seen(athlete, [seen(1)], now=NOW)
        assert tx.source("garmin").with_files_due(NOW) == (athlete.id,)
        assert tx.source("garmin").revoked(athlete, version=1, now=NOW)
        assert (tx.source("garmin").due(NOW), tx.source("garmin").with_files_due(NOW)) == ((), ())
        connect(tx, athlete)
        assert tx.source("garmin").due(NOW) == (athlete.id,)


def test_a_key_is_held_by_one_worker_at_a_time(store: Store, athlete: Athlete) -> None:
    """Until it's released or expires."""
    with store.transaction() as tx:
        connect(tx, athlete)
        assert tx.source("garmin").lease(athlete, now=NOW, until=NOW + DAY)
        assert not tx.source("garmin").lease(athlete, now=NOW, until=NOW + DAY)
        tx.source("garmin").release(athlete)
        assert tx.source("garmin").lease(athlete, now=NOW, until=NOW + DAY)
        assert tx.source("garmin").lease(athlete, now=NOW + DAY, until=NOW + 2 * DAY)


def test_files_are_due_newest_first_and_only_what_is_due(store: Store, athlete: Athlete) -> None:
    """Files that were read, given up or deferred aren't; the rest is counted."""
    with store.transaction() as tx:
        connect(tx, athlete)
        rows = [
            seen(3), seen(1), seen(2, file="read"), seen(4, file="none"),
            seen(5, file_due_at=NOW + DAY), seen(6, started_at=None),
        ]  # fmt: skip
        tx.source("garmin").save_seen(athlete, rows, now=NOW)
        due = tx.source("garmin").files_due(athlete, NOW, most=9)
        assert [one.external_id for one in due] == ["1", "3", "6"]
        assert due[0] == seen(1)
        assert [one.external_id for one in tx.source("garmin").files_due(athlete, NOW, most=1)] == [
            "1"
        ]
        assert tx.source("garmin").files_left(athlete) == 4


def test_the_limit_is_stored_over_a_restart(store: Store) -> None:
    """Unchanged, to the second."""
    spacing = Spacing(NOW, NOW + DAY, 3)
    with store.transaction() as tx:
        assert tx.source("garmin").limit(lock=True) is None
        tx.source("garmin").save_limit(spacing.state())
    with store.transaction() as tx:
        assert Spacing.stored(tx.source("garmin").limit(lock=True), NOW) == spacing
        assert tx.source("strava").limit() is None


def test_workers_that_begin_at_once_take_a_moment_each(store: Store) -> None:
    """Eight workers, without a stored limit: eight different seconds."""
    taken: list[datetime] = []
    ready = threading.Barrier(8)

    def take() -> None:
        ready.wait()
        with store.transaction() as tx:
            known = Spacing.stored(tx.source("garmin").limit(lock=True), NOW)
            at, reserved = known.reserve("new", NOW)
            tx.source("garmin").save_limit(reserved.state())
            taken.append(at)

    workers = [threading.Thread(target=take) for _ in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert sorted(taken) == [NOW + timedelta(seconds=n) for n in range(8)]


def test_forgetting_an_athlete_leaves_nothing(store: Store, athlete: Athlete) -> None:
    """Neither the key nor the activities."""
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.source("garmin").save_seen(athlete, [seen(1)], now=NOW)
        tx.athletes.remove(athlete)
    with store.reading() as tx:
        assert tx.source("garmin").credential(athlete) is None
        assert tx.source("garmin").encrypted() == {}
        assert tx.source("garmin").starts(athlete) == {}
