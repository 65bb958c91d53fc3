"""Strava's shelf: grants that can't cross, leases, wishes, and what forgetting leaves."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from worker.model import Athlete
from worker.sources.plan import Standing
from worker.sources.strava.budget import Budget, Limit
from worker.store import Sealer, SealError, Seen, Store, Transaction
from worker.store.polled import STANDING
from worker.store.tables import metadata

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def athlete(store: Store) -> Athlete:
    return add(store, "Mira")


def add(store: Store, name: str) -> Athlete:
    new = Athlete(0, name, f"{name}@example.org", NOW)
    with store.transaction() as tx:
        return tx.athletes.add(new)


def connect(tx: Transaction, athlete: Athlete, strava_id: int = 80_001) -> None:
    tx.strava.connect(
        athlete,
        strava_id=strava_id,
        sealed=b"sealed",
        expires_at=NOW + timedelta(hours=6),
        scopes=["read", "activity:read_all"],
        now=NOW,
    )


def test_the_migrations_make_the_tables_that_the_code_speaks_of(store: Store) -> None:
    """Nothing is missing, left over or of another type."""
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


class TestGrants:
    def test_a_refresh_is_kept_once(self, store: Store, athlete: Athlete) -> None:
        """Of two refreshes of the same grant the second finds another version there."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.strava.renew(athlete, version=1, sealed=b"one", expires_at=NOW)
            assert not tx.strava.renew(athlete, version=1, sealed=b"two", expires_at=NOW)
            kept = tx.strava.grant(athlete)
        assert kept is not None
        assert (kept.sealed, kept.version) == (b"one", 2)

    def test_a_refresh_that_was_under_way_does_not_replace_a_new_connection(
        self, store: Store, athlete: Athlete
    ) -> None:
        """The runner connected again in the middle: the new grant stays, alive."""
        with store.transaction() as tx:
            connect(tx, athlete)
            connect(tx, athlete)
            assert not tx.strava.renew(athlete, version=1, sealed=b"old", expires_at=NOW)
            assert not tx.strava.died(athlete, version=1, now=NOW)
            assert tx.strava.due(NOW) == (athlete.id,)

    def test_a_dead_grant_is_not_asked_for(self, store: Store, athlete: Athlete) -> None:
        """Until the runner connects again."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.strava.died(athlete, version=1, now=NOW)
            assert tx.strava.due(NOW) == ()
            connect(tx, athlete)
            assert tx.strava.due(NOW) == (athlete.id,)

    def test_connecting_the_same_account_again_goes_on_reading_where_it_stood(
        self, store: Store, athlete: Athlete
    ) -> None:
        """Another account begins anew."""
        with store.transaction() as tx:
            connect(tx, athlete)
            tx.strava.keep_standing(athlete, asdict(Standing(NOW, NOW, NOW, None, 0)))
            connect(tx, athlete)
            assert Standing(**tx.strava.standing(athlete)).read_until == NOW
            connect(tx, athlete, strava_id=7)
            assert Standing(**tx.strava.standing(athlete)) == Standing()

    def test_a_lease_is_held_by_one_until_it_ends_or_is_given_back(
        self, store: Store, athlete: Athlete
    ) -> None:
        """A worker that died holds nothing for ever."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.strava.lease(athlete, now=NOW, until=NOW + MINUTE)
            assert not tx.strava.lease(athlete, now=NOW, until=NOW + MINUTE)
            assert tx.strava.lease(athlete, now=NOW + MINUTE, until=NOW + 2 * MINUTE)
            tx.strava.release(athlete)
            assert tx.strava.lease(athlete, now=NOW, until=NOW + MINUTE)

    def test_forgetting_leaves_nothing(self, store: Store, athlete: Athlete) -> None:
        """Grant, activities and wishes are gone."""
        with store.transaction() as tx:
            connect(tx, athlete)
            tx.strava.keep_seen(athlete, [Seen("1", NOW, "{}")], now=NOW)
            tx.strava.wish(athlete.id, "1", now=NOW)
            tx.strava.forget(athlete)
            assert tx.strava.grant(athlete) is None
            assert tx.strava.seen(athlete, ["1"]) == {}
            assert tx.strava.wishes(NOW) == ()


def test_what_the_rooms_hand_over_comes_back_as_it_was(store: Store, athlete: Athlete) -> None:
    """Standing and budget are kept by name; every field of theirs has its place."""
    standing = Standing(NOW, NOW - MINUTE, NOW - 2 * MINUTE, NOW - 3 * MINUTE, 4)
    budget = Budget(NOW, Limit(100, 1000, 7, 70), None, NOW + MINUTE)
    assert set(STANDING) == set(asdict(standing))
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.strava.keep_standing(athlete, asdict(standing))
        tx.strava.keep_budget(asdict(budget))
    with store.reading() as tx:
        assert Standing(**tx.strava.standing(athlete)) == standing
        known = tx.strava.budget()
    assert known is not None
    assert known["read"] == asdict(Limit(100, 1000, 7, 70))
    assert (known["at"], known["overall"], known["closed_until"]) == (NOW, None, NOW + MINUTE)


def test_the_least_read_history_comes_first(store: Store) -> None:
    """Backfill takes turns: whoever has been read back the least is next."""
    mira, timo = add(store, "Mira"), add(store, "Timo")
    with store.transaction() as tx:
        for one, days in ((mira, 200), (timo, 100)):
            connect(tx, one)
            back_to = NOW - timedelta(days=days)
            tx.strava.keep_standing(one, asdict(Standing(NOW, back_to)))
        assert tx.strava.with_history_due(NOW - timedelta(days=400)) == (timo.id, mira.id)
        assert tx.strava.with_history_due(NOW - timedelta(days=150)) == (timo.id,)


class TestWishes:
    def test_the_same_wish_twice_is_one(self, store: Store, athlete: Athlete) -> None:
        """Strava posts an event up to three times."""
        with store.transaction() as tx:
            tx.strava.wish(athlete.id, "1", now=NOW)
            tx.strava.wish(athlete.id, "1", now=NOW)
            assert tx.strava.wishes(NOW) == ((athlete.id, "1"),)

    def test_one_that_fails_is_tried_later_and_later_and_then_left_to_polling(
        self, store: Store, athlete: Athlete
    ) -> None:
        """After 1, 2, 4 minutes, and so on."""
        with store.transaction() as tx:
            tx.strava.wish(athlete.id, "1", now=NOW)
            tx.strava.retry_wish(athlete, "1", now=NOW, most=3)
            assert tx.strava.wishes(NOW) == ()
            assert tx.strava.wishes(NOW + MINUTE) != ()
            tx.strava.retry_wish(athlete, "1", now=NOW, most=3)
            assert tx.strava.wishes(NOW + MINUTE) == ()
            tx.strava.retry_wish(athlete, "1", now=NOW, most=3)
            assert tx.strava.wished(athlete) == 0


def test_a_state_is_used_once(store: Store) -> None:
    """Until it's too old to be accepted at all."""
    with store.transaction() as tx:

        def use(now: datetime) -> bool:
            return tx.strava.use_state("s", now=now, forget_before=now - MINUTE)

        assert use(NOW)
        assert not use(NOW + MINUTE)
        assert use(NOW + 2 * MINUTE)


class TestSealing:
    def test_opens_what_any_of_the_keys_sealed(self) -> None:
        """After a rotation the old key still opens, and resealing makes it dispensable."""
        sealed = Sealer(["old"]).seal("token")
        rotated = Sealer(["new", "old"])
        assert rotated.open(sealed) == "token"
        assert Sealer(["new"]).open(rotated.reseal(sealed)) == "token"

    def test_what_no_key_opens_is_said_in_words(self) -> None:
        """A lost key means connecting again."""
        with pytest.raises(SealError, match="connect again"):
            Sealer(["other"]).open(Sealer(["old"]).seal("token"))

    def test_nothing_of_the_secret_shows(self) -> None:
        """Sealed is unreadable, and never the same twice."""
        sealer = Sealer(["key"])
        assert b"token" not in sealer.seal("token")
        assert sealer.seal("token") != sealer.seal("token")
