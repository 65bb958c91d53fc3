"""The imports in the store, on both databases: known entries, and days still to judge."""

from datetime import timedelta

from tests.app import ADDED, NOW, TODAY, recording
from worker.domain.files import KnownEntry
from worker.domain.models import Athlete
from worker.store import Store, Transaction


def athlete(tx: Transaction, name: str = "Anna") -> Athlete:
    return tx.athletes.add(Athlete(0, name, "a@example.org", ADDED))


def test_entries_are_remembered_by_file_in_their_order(store: Store) -> None:
    """For the requested files, each athlete's own; storing one twice has no effect."""
    entries = [KnownEntry("a", n, f"a/{n}", "imported", sha256="ab") for n in (2, 0, 1)]
    with store.transaction() as tx:
        anna, ben = athlete(tx), athlete(tx, "Ben")
        tx.imports.save_entries(anna, entries)
        tx.imports.save_entries(anna, [*entries, KnownEntry("b", 0, "b", "failed", "torn")])
        tx.imports.save_entries(ben, [KnownEntry("a", 0, "a/0", "skipped", "a ride")])
        found = tx.imports.entries_of(anna, ["a", "c"])
        assert list(found) == ["a"]
        assert [one.number for one in found["a"]] == [0, 1, 2]
        assert tx.imports.entries_of(anna, []) == {}


def test_the_first_day_that_waits_to_be_judged_stays_the_first(store: Store) -> None:
    """Whatever is stored later, until it's judged."""
    with store.transaction() as tx:
        anna = athlete(tx)
        for back in (3, 9, 1):
            tx.imports.leave_unjudged(anna, since=TODAY - timedelta(days=back))
        assert tx.imports.hold_unjudged(anna) == TODAY - timedelta(days=9)
        tx.imports.judged(anna)
        assert tx.imports.hold_unjudged(anna) is None


def test_an_athlete_who_is_forgotten_leaves_nothing_of_their_imports(store: Store) -> None:
    """Names of files may reveal places and people."""
    with store.transaction() as tx:
        anna = athlete(tx)
        tx.imports.save_entries(anna, [KnownEntry("a", 0, "a", "imported")])
        tx.imports.leave_unjudged(anna, since=TODAY)
        tx.athletes.remove(anna)
        assert tx.imports.entries_of(anna, ["a"]) == {}
        assert tx.imports.hold_unjudged(anna) is None


def test_a_recording_is_known_by_the_content_of_its_file(store: Store) -> None:
    """Recordings without a file aren't among them."""
    with store.transaction() as tx:
        anna = athlete(tx)
        held = recording(source="import", external_id="with", sha256="ab")
        bare = recording(source="import", external_id="without", km=3.0)
        tx.runs.save(anna, [held, bare], now=NOW, today=TODAY)
        assert tx.runs.contents(anna, "import", ["with", "without", "never"]) == {"with": "ab"}
