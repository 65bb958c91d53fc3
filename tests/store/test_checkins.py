"""The check-ins in the store, on either database."""

from datetime import UTC, date, datetime, timedelta

from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.store import Store

NOW = datetime(2026, 2, 21, 15, 30, tzinfo=UTC)
TODAY = date(2026, 2, 21)


def add(store: Store, name: str) -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, name, f"{name}@example.org", NOW))


def keep(store: Store, athlete: Athlete, *answers: CheckIn) -> None:
    with store.transaction() as tx:
        for answer in answers:
            tx.checkins.save(athlete, answer, now=NOW)


def test_an_answer_comes_back_as_it_was_given(store: Store) -> None:
    """Day, feeling, areas, level and flags."""
    mira = add(store, "Mira")
    full = CheckIn(TODAY, "hurts", ("knee", "foot"), 0, ("fever",))
    bare = CheckIn(TODAY - timedelta(days=1), "fine")
    keep(store, mira, full, bare)
    with store.reading() as tx:
        assert tx.checkins.all(mira) == (bare, full)


def test_the_second_answer_of_a_day_replaces_the_first(store: Store) -> None:
    """With its level and flags."""
    mira = add(store, "Mira")
    keep(store, mira, CheckIn(TODAY, "hurts", ("knee",), 7, ("fever",)), CheckIn(TODAY, "sore"))
    with store.reading() as tx:
        assert tx.checkins.all(mira) == (CheckIn(TODAY, "sore"),)


def test_answers_since_a_day_are_the_athletes_own(store: Store) -> None:
    """The day itself is included; another athlete's answers aren't."""
    mira, other = add(store, "Mira"), add(store, "Other")
    days = [TODAY - timedelta(days=back) for back in (2, 1, 0)]
    keep(store, mira, *(CheckIn(day, "fine") for day in days))
    keep(store, other, CheckIn(TODAY, "hurts"))
    with store.reading() as tx:
        assert [one.day for one in tx.checkins.since(mira, days[1])] == days[1:]


def test_a_diary_goes_with_its_athlete(store: Store) -> None:
    """Nobody else's is deleted."""
    mira, other = add(store, "Mira"), add(store, "Other")
    for athlete in (mira, other):
        keep(store, athlete, CheckIn(TODAY, "sore"))
    with store.transaction() as tx:
        tx.athletes.remove(mira)
    with store.reading() as tx:
        assert tx.checkins.all(mira) == ()
        assert len(tx.checkins.all(other)) == 1


def test_areas_and_wishes_are_kept_apart_from_the_rest(store: Store) -> None:
    """An answer or an unsubscription changes its own column, and no due date."""
    mira = add(store, "Mira")
    with store.transaction() as tx:
        due_at = tx.athletes.next_weekly_at(mira)
        tx.athletes.save_pain(mira, ("knee",))
        tx.athletes.save_wants(mira, {"weekly"})
        kept = tx.athletes.by_id(mira.id)
        assert kept is not None
        assert kept.pain == ("knee",)
        assert kept.wants == {"weekly"}
        assert tx.athletes.next_weekly_at(mira) == due_at
        assert tx.athletes.count() == 1
