"""The runs in the store: correct after recordings arrive, change and go in any order."""

from dataclasses import replace
from datetime import date, time, timedelta
from itertools import permutations

import pytest

from tests.app import ADDED, NOW, TODAY, recording
from worker.domain.models import Athlete, Recording
from worker.domain.rules import Rules
from worker.store import Change, Store, Transaction

WATCH = recording(km=10.0)
STRAVA = recording(km=10.1, at=time(6, 0, 20), source="strava", external_id="1")
ARCHIVE = recording(km=10.05, at=time(6, 0, 5), source="import", external_id="a")


def athlete(tx: Transaction, name: str) -> Athlete:
    return tx.athletes.add(Athlete(0, name, "a@example.org", ADDED))


def save(tx: Transaction, who: Athlete, *arrived: Recording, today: date = TODAY) -> Change:
    return tx.runs.save(who, arrived, now=NOW, today=today)


def kept(tx: Transaction, who: Athlete) -> list[tuple[float, tuple[str, ...]]]:
    """Kilometres and sources of each run."""
    return [
        (one.run.distance_m / 1000, tuple(source for source, _ in one.sources))
        for one in tx.runs.all(who)
    ]


def test_the_same_recording_twice_is_one_run(store: Store) -> None:
    """The second time nothing changes, so nothing needs judging."""
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        first, again = save(tx, anna, WATCH), save(tx, anna, WATCH)
        assert kept(tx, anna) == [(10.0, ("inbox",))]
    assert first.is_new(WATCH)
    assert first.first_day == TODAY
    assert not again.is_new(WATCH)
    assert again.first_day is None


def test_every_order_of_sources_gives_one_run_with_the_same_facts(store: Store) -> None:
    """Watch, Strava, archive: six orders, one result."""
    outcomes = set()
    with store.transaction() as tx:
        for number, order in enumerate(permutations([WATCH, STRAVA, ARCHIVE])):
            who = athlete(tx, f"Anna {number}")
            for arrived in order:
                save(tx, who, arrived)
            outcomes |= {(replace(k.run, id=0), k.sources) for k in tx.runs.all(who)}
    assert len(outcomes) == 1
    assert outcomes.pop()[0].distance_m == 10_000


def test_two_athletes_never_share_a_run(store: Store) -> None:
    """The same file from two athletes is a run of each."""
    with store.transaction() as tx:
        anna, ben = athlete(tx, "Anna"), athlete(tx, "Ben")
        save(tx, anna, WATCH)
        assert save(tx, ben, WATCH).is_new(WATCH)
        tx.runs.drop(anna, "inbox", [WATCH.external_id], today=TODAY)
        assert kept(tx, anna) == []
        assert kept(tx, ben) == [(10.0, ("inbox",))]


def test_a_thousand_runs_of_two_who_run_together_stay_each_ones_own(store: Store) -> None:
    """The same hour and route, another source: none of 1,000 pairs is merged."""
    days = [TODAY - timedelta(days=back) for back in range(1000)]
    with store.transaction() as tx:
        anna, ben = athlete(tx, "Anna"), athlete(tx, "Ben")
        save(tx, anna, *(recording(day, 8.0) for day in days))
        save(tx, ben, *(recording(day, 8.1, source="strava") for day in days))
        assert [tx.runs.count(who)[0] for who in (anna, ben)] == [1000, 1000]
        assert {km for km, _ in kept(tx, ben)} == {8.1}


def test_legs_of_one_file_are_runs_of_their_own(store: Store) -> None:
    """A file's second leg is another run, also when the file comes from a second source."""
    legs = [
        recording(km=5.0, sha256="ab", external_id="ab"),
        recording(km=4.0, at=time(7), sha256="ab", external_id="ab:1", leg=1),
    ]
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, *legs)
        save(tx, anna, *(replace(leg, source="import") for leg in legs))
        assert kept(tx, anna) == [(5.0, ("import", "inbox")), (4.0, ("import", "inbox"))]


def test_a_deleted_recording_takes_its_run_along_unless_another_tells_of_it(store: Store) -> None:
    """A run deleted at Strava stays if the watch's file has it."""
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, WATCH, STRAVA)
        change = tx.runs.drop(anna, "strava", ["1"], today=TODAY)
        assert change.first_day == TODAY
        assert kept(tx, anna) == [(10.0, ("inbox",))]
        tx.runs.drop(anna, "inbox", [WATCH.external_id], today=TODAY)
        assert kept(tx, anna) == []
        assert tx.runs.drop(anna, "inbox", ["unknown"], today=TODAY).first_day is None


def test_an_edit_moves_its_run_to_another_day(store: Store) -> None:
    """Both the old day and the new one are touched."""
    yesterday = TODAY - timedelta(days=1)
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, STRAVA)
        before = tx.runs.all(anna)[0].run
        moved = replace(STRAVA, day=yesterday, started_at=STRAVA.started_at - timedelta(days=1))
        assert save(tx, anna, moved).first_day == yesterday
        assert tx.runs.all(anna)[0].run == replace(
            before, day=yesterday, started_at=moved.started_at
        )
        assert save(tx, anna, STRAVA).first_day == yesterday


@pytest.mark.parametrize("seconds", [-30, 30], ids=["starting before", "starting after"])
def test_an_edit_that_parts_two_recordings_leaves_a_run_of_each(store: Store, seconds: int) -> None:
    """Moved to the evening at Strava it's no longer the watch's, whichever starts first."""
    strava = replace(STRAVA, started_at=WATCH.started_at + timedelta(seconds=seconds))
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, WATCH, strava)
        assert kept(tx, anna) == [(10.0, ("inbox", "strava"))]
        save(tx, anna, replace(strava, started_at=strava.started_at + timedelta(hours=13)))
        assert sorted(kept(tx, anna)) == [(10.0, ("inbox",)), (10.1, ("strava",))]


def test_a_deleted_go_between_parts_what_it_joined(store: Store) -> None:
    """Runs starting at six and at a quarter past are one only by the recording between them."""
    early = recording(km=10.0, source="import", external_id="early")
    between = recording(km=10.0, at=time(6, 8), source="strava", external_id="between")
    late = recording(km=10.5, at=time(6, 15), source="garmin", external_id="late")
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, early, between, late)
        assert len(kept(tx, anna)) == 1
        tx.runs.drop(anna, "strava", ["between"], today=TODAY)
        assert sorted(kept(tx, anna)) == [(10.0, ("import",)), (10.5, ("garmin",))]


def test_a_join_that_moves_a_run_to_another_day_touches_both_days(store: Store) -> None:
    """The watch's clock says Friday, Strava's zone says Thursday: Thursday is judged again too."""
    thursday = TODAY - timedelta(days=1)
    strava = replace(STRAVA, day=thursday)
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, strava)
        change = save(tx, anna, WATCH)
        assert [one.run.day for one in tx.runs.all(anna)] == [TODAY]
        assert change.first_day == thursday


def test_a_run_keeps_its_id_over_edits(store: Store) -> None:
    """Findings and edits refer to a run by its id."""
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, STRAVA)
        before = tx.runs.all(anna)[0].run.id
        save(tx, anna, replace(STRAVA, distance_m=7000.0, edited=True), WATCH)
        save(tx, anna, replace(STRAVA, distance_m=10_050.0))
        assert before in {one.run.id for one in tx.runs.all(anna)}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        pytest.param(recording(km=10.0, minutes=20), "world record", id="too fast"),
        pytest.param(recording(km=301.0), "longer than 300 km", id="too long"),
        pytest.param(recording(TODAY + timedelta(days=2)), "future", id="in the future"),
        pytest.param(recording(date(1999, 5, 1)), "2000", id="before any watch"),
    ],
)
def test_implausible_runs_are_kept_and_not_counted(
    store: Store, odd: Recording, reason: str
) -> None:
    """A quarantined run is listed with its reason and doesn't count."""
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, odd)
        assert [reason in (one.quarantine or "") for one in tx.runs.quarantined(anna)] == [True]
        assert tx.runs.counted(anna) == ()
        assert tx.runs.count(anna) == (0, None)


def test_a_run_of_tomorrow_counts_once_it_is_tomorrow(store: Store) -> None:
    """Only runs quarantined for their date are released."""
    later = recording(TODAY + timedelta(days=2))
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, later, recording(km=10.0, minutes=20))
        assert tx.runs.release(anna, today=TODAY + timedelta(days=1)) is None
        assert tx.runs.release(anna, today=later.day) == later.day
        assert [run.day for run in tx.runs.counted(anna)] == [later.day]


def test_more_recordings_than_a_statement_has_room_for_are_saved_at_once(store: Store) -> None:
    """A long history in one go loses nothing."""
    many = [recording(TODAY - timedelta(days=back), 5.0) for back in range(3000)]
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        change = save(tx, anna, *many)
        assert len(change.new_run_ids) == len(many)
        assert len(tx.runs.counted(anna, since=TODAY - timedelta(days=99))) == 100


def test_what_is_plausible_follows_the_rules(database_url: str) -> None:
    """With a limit of 50 km an ultra is quarantined, otherwise it counts."""
    ultra = recording(km=60.0)
    for longest_m, counted in ((50_000.0, 0), (300_000.0, 1)):
        store = Store.open(database_url, rules=Rules(plausible_max_m=longest_m))
        with store.transaction() as tx:
            anna = athlete(tx, f"Anna {longest_m:.0f}")
            save(tx, anna, ultra)
            assert tx.runs.count(anna)[0] == counted
        store.close()


def test_the_metres_up_stay_with_recording_and_run(store: Store) -> None:
    """A run whose recordings have no climb has none; one added later brings it."""
    with store.transaction() as tx:
        anna = athlete(tx, "Anna")
        save(tx, anna, WATCH)
        assert [one.ascent_m for one in tx.runs.counted(anna)] == [None]
        save(tx, anna, replace(WATCH, ascent_m=431.5))
        assert [one.ascent_m for one in tx.runs.counted(anna)] == [431.5]
        assert [one.run.ascent_m for one in tx.runs.all(anna)] == [431.5]
        assert [one.ascent_m for one in tx.runs.recorded(anna, "inbox")] == [431.5]
