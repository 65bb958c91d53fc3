"""Garmin's shelf, on both databases: keys that can't cross, files newest first, one pace."""

import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.model import Athlete
from worker.sources.garmin.pace import Pace
from worker.store import SeenFile, Store, Transaction

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def athlete(store: Store) -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))


def connect(tx: Transaction, athlete: Athlete, sealed: bytes = b"sealed") -> None:
    tx.garmin.connect(athlete, sealed=sealed, key_expires_at=NOW + 90 * DAY, now=NOW)


def seen(number: int, **more: object) -> SeenFile:
    one = SeenFile(str(number), NOW - number * DAY, "{}", file_due_at=NOW)
    return replace(one, **more)  # type: ignore[arg-type]  # fields of SeenFile


def test_a_token_that_was_under_way_does_not_replace_a_new_key(
    store: Store, athlete: Athlete
) -> None:
    """The runner gave another key in the middle: that one stays, alive."""
    with store.transaction() as tx:
        connect(tx, athlete, b"old")
        connect(tx, athlete, b"new")
        assert not tx.garmin.renew(athlete, version=1, sealed=b"old with token")
        assert not tx.garmin.died(athlete, version=1, now=NOW)
        kept = tx.garmin.grant(athlete)
    assert kept is not None
    assert (kept.sealed, kept.dead_since) == (b"new", None)


def test_a_dead_key_is_not_asked_with_until_another_is_given(
    store: Store, athlete: Athlete
) -> None:
    """Neither for what's new nor for files."""
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.garmin.keep_seen(athlete, [seen(1)], now=NOW)
        assert tx.garmin.with_files_due(NOW) == (athlete.id,)
        assert tx.garmin.died(athlete, version=1, now=NOW)
        assert (tx.garmin.due(NOW), tx.garmin.with_files_due(NOW)) == ((), ())
        connect(tx, athlete)
        assert tx.garmin.due(NOW) == (athlete.id,)


def test_a_key_is_held_by_one_worker_at_a_time(store: Store, athlete: Athlete) -> None:
    """Until it's released, or the time is over."""
    with store.transaction() as tx:
        connect(tx, athlete)
        assert tx.garmin.lease(athlete, now=NOW, until=NOW + DAY)
        assert not tx.garmin.lease(athlete, now=NOW, until=NOW + DAY)
        tx.garmin.release(athlete)
        assert tx.garmin.lease(athlete, now=NOW, until=NOW + DAY)
        assert tx.garmin.lease(athlete, now=NOW + DAY, until=NOW + 2 * DAY)


def test_files_are_due_newest_first_and_only_what_is_due(store: Store, athlete: Athlete) -> None:
    """What was read, given up or put off isn't; the rest is counted."""
    with store.transaction() as tx:
        connect(tx, athlete)
        rows = [
            seen(3), seen(1), seen(2, file="read"), seen(4, file="none"),
            seen(5, file_due_at=NOW + DAY), seen(6, started_at=None),
        ]  # fmt: skip
        tx.garmin.keep_seen(athlete, rows, now=NOW)
        due = tx.garmin.files_due(athlete, NOW, most=9)
        assert [one.external_id for one in due] == ["1", "3", "6"]
        assert due[0] == seen(1)
        assert [one.external_id for one in tx.garmin.files_due(athlete, NOW, most=1)] == ["1"]
        assert tx.garmin.files_left(athlete) == 4


def test_the_pace_is_kept_over_a_restart(store: Store) -> None:
    """As it was, to the second."""
    pace = Pace(NOW, NOW + DAY, 3)
    with store.transaction() as tx:
        assert Pace(**tx.garmin.pace()) == Pace()
        tx.garmin.keep_pace(asdict(pace))
    with store.transaction() as tx:
        assert Pace(**tx.garmin.pace()) == pace


def test_workers_that_begin_at_once_take_a_moment_each(store: Store) -> None:
    """Eight of them, on a database that knows no pace yet: eight seconds, none taken twice."""
    taken: list[datetime] = []
    ready = threading.Barrier(8)

    def take() -> None:
        ready.wait()
        with store.transaction() as tx:
            at, pace = Pace(**tx.garmin.pace()).take(NOW)
            tx.garmin.keep_pace(asdict(pace))
            taken.append(at)

    workers = [threading.Thread(target=take) for _ in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert sorted(taken) == [NOW + timedelta(seconds=n) for n in range(8)]


def test_forgetting_an_athlete_leaves_nothing(store: Store, athlete: Athlete) -> None:
    """Neither the key nor what was seen with it."""
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.garmin.keep_seen(athlete, [seen(1)], now=NOW)
        tx.athletes.remove(athlete)
    with store.reading() as tx:
        assert tx.garmin.grant(athlete) is None
        assert tx.garmin.sealed() == {}
        assert tx.garmin.starts(athlete) == {}
