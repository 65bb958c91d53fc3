"""An event that comes while its activity is being looked at isn't lost with the wish before it."""

from datetime import timedelta

from simulators.clock import Clock
from worker.domain.models import Athlete
from worker.store import Store


def test_what_is_wished_again_during_a_look_is_looked_at_again(store: Store) -> None:
    """The first look may have come before the change that the second event tells of."""
    clock = Clock()
    with store.transaction() as tx:
        mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", clock.now))
        tx.source("strava").note_events([(mira.id, "1")], now=clock.now)
    looked_at = clock.now
    later = clock.step(timedelta(seconds=1))
    with store.transaction() as tx:
        tx.source("strava").note_events([(mira.id, "1")], now=later)
        tx.source("strava").event_done(mira, "1", looked_at=looked_at)
        assert tx.source("strava").events_due(mira, later) == ("1",)
        tx.source("strava").event_done(mira, "1", looked_at=later)
        assert tx.source("strava").with_events_due(later) == ()
