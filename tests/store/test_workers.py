"""The workers that share the database, by the database's clock."""

from datetime import timedelta

from worker.store import Store
from worker.store.tables import crew

MINUTE = timedelta(minutes=1)


def test_whoever_beats_lives_until_it_leaves(store: Store) -> None:
    """Each by its name, with its role and host; repeated beats count once."""
    with store.transaction() as tx:
        for _ in range(2):
            tx.workers.beat("first", role="worker", place="here")
        tx.workers.beat("face", role="web", place="there")
    with store.reading() as tx:
        seen = {mate.name: (mate.role, mate.place) for mate in tx.workers.living(within=MINUTE)}
    assert seen == {"first": ("worker", "here"), "face": ("web", "there")}
    with store.transaction() as tx:
        tx.workers.leave("first")
        assert [mate.name for mate in tx.workers.living(within=MINUTE)] == ["face"]


def test_whoever_is_not_seen_any_more_counts_as_dead_and_is_forgotten(store: Store) -> None:
    """After a while; after a day its name is removed."""
    with store.transaction() as tx:
        tx.workers.beat("gone", role="worker", place="here")
        now = tx.workers.now()
    with store.transaction() as tx:
        tx.connection.execute(crew.update().values(seen_at=now - timedelta(days=2)))
        assert list(tx.workers.living(within=MINUTE)) == []
        tx.workers.beat("new", role="worker", place="here")
        assert tx.connection.execute(crew.select()).one().name == "new"
