"""Addresses waiting for confirmation, on either database."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.app import App
from worker.domain.models import Athlete
from worker.pipeline.contact import ask_for_address, confirm_address, rename
from worker.store import NameTakenError, Store
from worker.store.addresses import ADDRESS_WAITS

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)


@pytest.fixture
def anna(store: Store) -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, "Anna", "anna@example.org", NOW))


def test_a_code_is_used_once_and_by_its_athlete(store: Store, anna: Athlete) -> None:
    with store.transaction() as tx:
        ben = tx.athletes.add(Athlete(0, "Ben", "ben@example.org", NOW))
        assert tx.addresses.ask(anna, "new@example.org", code="a", now=NOW)
        assert tx.addresses.ask(ben, "ben2@example.org", code="b", now=NOW)
        assert not tx.addresses.use(anna, "b")
        assert not tx.addresses.use(anna, "")
        assert tx.addresses.use(anna, "a")
        assert not tx.addresses.use(anna, "a")
        assert not tx.addresses.use(anna, "")
        assert tx.addresses.waiting(anna, now=NOW) is None
        assert tx.addresses.waiting(ben, now=NOW) is not None


def test_what_waits_ends_and_is_counted_over_a_day(store: Store, anna: Athlete) -> None:
    with store.transaction() as tx:
        asked = [tx.addresses.ask(anna, f"{n}@example.org", code=f"{n}", now=NOW) for n in range(4)]
        assert asked == [True, True, True, False]
        waiting = tx.addresses.waiting(anna, now=NOW + ADDRESS_WAITS)
        assert waiting is not None
        assert waiting.address == "2@example.org"
        later = NOW + ADDRESS_WAITS + timedelta(seconds=1)
        assert tx.addresses.waiting(anna, now=later) is None
        tx.addresses.forget_old(NOW + timedelta(hours=23))
        assert not tx.addresses.ask(anna, "x@example.org", code="x", now=NOW)
        tx.addresses.forget_old(later)
        assert tx.addresses.ask(anna, "x@example.org", code="x", now=later)


def test_a_name_that_is_taken_is_refused_by_the_database_too(store: Store, anna: Athlete) -> None:
    """Two requests may want it at once."""
    with store.transaction() as tx:
        tx.athletes.add(Athlete(0, "Ben", "ben@example.org", NOW))
    with pytest.raises(NameTakenError), store.transaction() as tx:
        tx.athletes.save_name(anna, "Ben")


def test_the_whole_change_from_the_page_to_the_outbox(app: App) -> None:
    """The code confirms the new address; a changed name is kept."""
    anna = app.athlete()
    with app.services.store.transaction() as tx:
        rename(tx, anna, "Anna Bell")
        ask_for_address(tx, app.services, anna, "new@example.org", now=app.now)
        waiting = tx.addresses.waiting(anna, now=app.now)
    assert waiting is not None
    with app.services.store.transaction() as tx:
        assert confirm_address(tx, anna, waiting.code, now=app.now) == "new@example.org"
        changed = tx.athletes.by_id(anna.id)
    assert changed is not None
    assert (changed.name, changed.email) == ("Anna Bell", "new@example.org")
    app.deliver()
    assert sorted(str(mail["To"]) for mail in app.mailer.taken) == [
        "anna@example.org",
        "new@example.org",
    ]
