"""A service's rows: concurrent credentials, leases, events, and what forgetting leaves."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from worker.domain.models import Athlete
from worker.sources.polling import Standing
from worker.sources.rate_limit import Limit, Windows
from worker.store import DecryptError, Encrypter, Store, StoreError, Transaction
from worker.store.progress import SourceState
from worker.store.source_base import SeenActivity
from worker.store.sources import STANDING
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


def connect(tx: Transaction, athlete: Athlete, account_id: str = "80001") -> None:
    tx.source("strava").connect(
        athlete,
        account_id=account_id,
        encrypted=b"sealed",
        expires_at=NOW + timedelta(hours=6),
        scopes=["read", "activity:read_all"],
        now=NOW,
    )


def test_the_migrations_make_the_tables_that_the_code_speaks_of(store: Store) -> None:
    """Nothing is missing, extra or of another type."""
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


class TestGrants:
    def test_a_refresh_is_kept_once(self, store: Store, athlete: Athlete) -> None:
        """The second of two refreshes of the same grant finds another version."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.source("strava").renew(athlete, version=1, encrypted=b"one", expires_at=NOW)
            assert not tx.source("strava").renew(
                athlete, version=1, encrypted=b"two", expires_at=NOW
            )
            kept = tx.source("strava").credential(athlete)
        assert kept is not None
        assert (kept.encrypted, kept.version) == (b"one", 2)

    def test_a_refresh_that_was_under_way_does_not_replace_a_new_connection(
        self, store: Store, athlete: Athlete
    ) -> None:
        """The runner connected again meanwhile: the new grant stays valid."""
        with store.transaction() as tx:
            connect(tx, athlete)
            connect(tx, athlete)
            assert not tx.source("strava").renew(
                athlete, version=1, encrypted=b"old", expires_at=NOW
            )
            assert not tx.source("strava").revoked(athlete, version=1, now=NOW)
            assert tx.source("strava").due(NOW) == (athlete.id,)

    def test_a_dead_grant_is_not_asked_for(self, store: Store, athlete: Athlete) -> None:
        """Until the runner connects again."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.source("strava").revoked(athlete, version=1, now=NOW)
            assert tx.source("strava").due(NOW) == ()
            connect(tx, athlete)
            assert tx.source("strava").due(NOW) == (athlete.id,)

    def test_connecting_the_same_account_again_goes_on_reading_where_it_stood(
        self, store: Store, athlete: Athlete
    ) -> None:
        """Another account starts from the beginning."""
        with store.transaction() as tx:
            connect(tx, athlete)
            tx.source("strava").save_standing(athlete, asdict(Standing(NOW, NOW, NOW, None, 0)))
            connect(tx, athlete)
            assert Standing(**tx.source("strava").standing(athlete)).read_until == NOW
            connect(tx, athlete, account_id="7")
            assert Standing(**tx.source("strava").standing(athlete)) == Standing()

    def test_a_lease_is_held_by_one_until_it_ends_or_is_given_back(
        self, store: Store, athlete: Athlete
    ) -> None:
        """A dead worker's lease ends."""
        with store.transaction() as tx:
            connect(tx, athlete)
            assert tx.source("strava").lease(athlete, now=NOW, until=NOW + MINUTE)
            assert not tx.source("strava").lease(athlete, now=NOW, until=NOW + MINUTE)
            assert tx.source("strava").lease(athlete, now=NOW + MINUTE, until=NOW + 2 * MINUTE)
            tx.source("strava").release(athlete)
            assert tx.source("strava").lease(athlete, now=NOW, until=NOW + MINUTE)

    def test_forgetting_leaves_nothing(self, store: Store, athlete: Athlete) -> None:
        """Grant, activities and events are gone."""
        with store.transaction() as tx:
            connect(tx, athlete)
            tx.source("strava").save_seen(athlete, [SeenActivity("1", NOW, "{}")], now=NOW)
            tx.source("strava").note_events([(athlete.id, "1")], now=NOW)
            tx.source("strava").forget(athlete)
            assert tx.source("strava").credential(athlete) is None
            assert tx.source("strava").seen(athlete, ["1"]) == {}
            assert tx.source("strava").with_events_due(NOW) == ()


def test_what_the_rooms_hand_over_comes_back_as_it_was(store: Store, athlete: Athlete) -> None:
    """Standing and limits are stored by name; every field has its column."""
    standing = Standing(NOW, NOW - MINUTE, NOW - 2 * MINUTE, NOW - 3 * MINUTE, 4)
    limit = Windows(NOW, Limit(100, 1000, 7, 70), None, NOW + MINUTE)
    assert set(STANDING) == set(asdict(standing))
    with store.transaction() as tx:
        connect(tx, athlete)
        tx.source("strava").save_standing(athlete, asdict(standing))
        tx.source("strava").save_limit(limit.state())
    with store.reading() as tx:
        assert Standing(**tx.source("strava").standing(athlete)) == standing
        assert Windows.stored(tx.source("strava").limit(), NOW) == limit


def test_the_least_read_history_comes_first(store: Store) -> None:
    """Backfill takes turns: the account read back the least is next."""
    mira, timo = add(store, "Mira"), add(store, "Timo")
    with store.transaction() as tx:
        for one, days in ((mira, 200), (timo, 100)):
            connect(tx, one)
            back_to = NOW - timedelta(days=days)
            tx.source("strava").save_standing(one, asdict(Standing(NOW, back_to)))
        assert tx.source("strava").with_history_due(NOW - timedelta(days=400)) == (timo.id, mira.id)
        assert tx.source("strava").with_history_due(NOW - timedelta(days=150)) == (timo.id,)


class TestWishes:
    def test_the_same_wish_twice_is_one(self, store: Store, athlete: Athlete) -> None:
        """Strava posts an event up to three times."""
        with store.transaction() as tx:
            tx.source("strava").note_events([(athlete.id, "1")], now=NOW)
            tx.source("strava").note_events([(athlete.id, "1")], now=NOW)
            assert tx.source("strava").with_events_due(NOW) == (athlete.id,)
            assert tuple(tx.source("strava").events_due(athlete, NOW)) == ("1",)

    def test_one_that_fails_is_tried_later_and_later_and_then_left_to_polling(
        self, store: Store, athlete: Athlete
    ) -> None:
        """After 1, 2, 4 minutes, and so on."""
        with store.transaction() as tx:
            tx.source("strava").note_events([(athlete.id, "1")], now=NOW)
            tx.source("strava").retry_event(athlete, "1", now=NOW, most=3)
            assert tx.source("strava").with_events_due(NOW) == ()
            assert tx.source("strava").with_events_due(NOW + MINUTE) != ()
            tx.source("strava").retry_event(athlete, "1", now=NOW, most=3)
            assert tx.source("strava").with_events_due(NOW + MINUTE) == ()
            tx.source("strava").retry_event(athlete, "1", now=NOW, most=3)
            assert tx.source("strava").events_waiting(athlete) == 0


def test_a_state_is_used_once(store: Store) -> None:
    """Within its lifetime."""
    with store.transaction() as tx:

        def use(now: datetime) -> bool:
            return tx.source("strava").use_state("s", now=now, forget_before=now - MINUTE)

        assert use(NOW)
        assert not use(NOW + MINUTE)
        assert use(NOW + 2 * MINUTE)


class TestSealing:
    def test_opens_what_any_of_the_keys_sealed(self) -> None:
        """After a rotation the old key still opens, and resealing makes it unnecessary."""
        sealed = Encrypter(["old"]).encrypt_text("token")
        rotated = Encrypter(["new", "old"])
        assert rotated.decrypt(sealed) == "token"
        assert Encrypter(["new"]).decrypt(rotated.encrypt_anew(sealed)) == "token"

    def test_what_no_key_opens_is_said_in_words(self) -> None:
        """A lost key means connecting again."""
        with pytest.raises(DecryptError, match="connect again"):
            Encrypter(["other"]).decrypt(Encrypter(["old"]).encrypt_text("token"))

    def test_nothing_of_the_secret_shows(self) -> None:
        """A sealed secret is unreadable, and never sealed the same way twice."""
        encrypter = Encrypter(["key"])
        assert b"token" not in encrypter.encrypt_text("token")
        assert encrypter.encrypt_text("token") != encrypter.encrypt_text("token")


def test_of_an_athletes_events_the_most_credible_are_kept(store: Store) -> None:
    """First events about the credential, then known activities, then the newest."""
    with store.transaction() as tx:
        mira, timo = (tx.athletes.add(Athlete(0, name, f"{name}@example.org", NOW))
                      for name in ("Mira", "Timo"))  # fmt: skip
        rows = tx.source("strava")
        rows.save_seen(mira, [SeenActivity("17", NOW, "{}"), SeenActivity("3", NOW, "{}")], now=NOW)
        rows.note_events([(timo.id, "1")], now=NOW, most=4)
        rows.note_events([(mira.id, str(n)) for n in (3, 17, 200, 1000, 30)], now=NOW, most=4)
        assert tuple(rows.events_due(mira, NOW)) == ("17", "3", "1000", "200")
        rows.note_events([(mira.id, "")], now=NOW, most=4)
        assert tuple(rows.events_due(mira, NOW)) == ("", "17", "3", "1000")
        assert tuple(rows.events_due(timo, NOW)) == ("1",)
        rows.hold_events(mira, NOW + MINUTE)
        assert tuple(rows.events_due(mira, NOW)) == ()
        assert rows.with_events_due(NOW) == (timo.id,)


def test_the_calls_for_events_are_counted_by_the_day(store: Store) -> None:
    """A number a day for each athlete, the last of them perhaps for several events."""
    with store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))
        rows = tx.source("strava")
        tomorrow = NOW + timedelta(days=1)
        assert not rows.spend_event_calls(mira, 1, now=NOW, most=3)
        rows.connect(mira, account_id="1", encrypted=b"x", now=NOW)
        spent = [rows.spend_event_calls(mira, 1, now=NOW, most=3) for _ in range(4)]
        assert spent == [True, True, True, False]
        assert not rows.has_event_calls(mira, now=NOW, most=3)
        assert rows.spend_event_calls(mira, 3, now=tomorrow, most=3)
        assert not rows.spend_event_calls(mira, 1, now=tomorrow, most=3)


def test_a_lease_for_an_event_counts_its_call(store: Store) -> None:
    """In one step: without a call left today, or with the lease taken, there's none."""
    with store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))
        rows = tx.source("strava")
        rows.connect(mira, account_id="1", encrypted=b"x", now=NOW)
        until, later = NOW + timedelta(minutes=10), NOW + timedelta(minutes=11)
        assert rows.lease(mira, now=NOW, until=until, event_calls=2) is not None
        assert rows.lease(mira, now=NOW, until=until, event_calls=2) is None
        assert rows.lease(mira, now=later, until=later + timedelta(minutes=10), event_calls=2)
        rows.release(mira)
        assert not rows.has_event_calls(mira, now=later, most=2)
        assert rows.lease(mira, now=later, until=until, event_calls=2) is None
        assert rows.lease(mira, now=later, until=until) is not None


def test_a_lease_brings_the_rate_limit_and_nobody_else_counts_meanwhile(
    store: Store, athlete: Athlete
) -> None:
    """Its row is locked until the end of the transaction; there is none before the first answer."""
    with store.transaction() as tx:
        connect(tx, athlete)
        leased = tx.source("strava").lease(athlete, now=NOW, until=NOW + MINUTE)
        assert leased
        assert leased[1] is None
        tx.source("strava").save_limit({"at": "then"})
    with store.transaction() as tx:
        leased = tx.source("strava").lease(athlete, now=NOW + MINUTE, until=NOW + 2 * MINUTE)
        assert leased
        assert leased[1] == {"at": "then"}
        with pytest.raises(StoreError), store.transaction(within_s=0.05) as other:
            other.source("strava").limit(lock=True)


def test_an_event_that_is_due_comes_with_what_is_known_of_its_activity(
    store: Store, athlete: Athlete
) -> None:
    """None if it was never seen."""
    seen = SeenActivity("1", NOW, "{}", edited=True)
    with store.transaction() as tx:
        rows = tx.source("strava")
        rows.save_seen(athlete, [seen], now=NOW)
        rows.note_events({(athlete.id, "1"), (athlete.id, "2")}, now=NOW)
        assert rows.events_due(athlete, NOW) == {"1": seen, "2": None}


def test_what_a_sound_source_does_not_show_is_told_once(store: Store, athlete: Athlete) -> None:
    """Again only after everything was shown, or if the message differs."""

    def told(state: SourceState) -> bool:
        with store.transaction() as tx:
            tx.progress.save_source(athlete, "intervals", state)
            is_new = tx.progress.sources_and_news(athlete)[1] == {"intervals": state.last_error}
            tx.progress.mark_errors_notified(athlete)
            return is_new

    hidden = SourceState("ok", NOW, "some runs are hidden")
    assert [told(hidden), told(hidden)] == [True, False]
    assert not told(SourceState("waiting", NOW, "the rate limit is used up"))
    assert not told(hidden)
    assert not told(SourceState("ok", NOW))
    assert told(hidden)
    assert told(SourceState("failing", NOW, "the key is refused"))
