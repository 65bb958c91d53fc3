"""The same run from Strava, Garmin, intervals.icu and a watch's file: one run, in any order.

Each case is a day: 320 of them, from a fixed seed. Half are one run recorded two to four times,
with differences as between real devices and services; half are two runs of one morning. Garmin and
intervals.icu have the watch's run, by the same file or by their own summary.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, permutations
from pathlib import Path

import pytest

from simulators.empty_database import put_empty_database
from worker.domain.models import Athlete, Recording, SourceName
from worker.sources.sections import PRECEDENCE
from worker.store import Store

CASES = 320
LAST = date(2026, 2, 28)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Twins:
    """Two recordings of one day, and the number of runs they are."""

    watch: Recording
    strava: Recording
    runs: int

    @property
    def garmin(self) -> Recording:
        """The watch's run at Garmin: every other time with the identical file."""
        return self._by_a_service("garmin", "9", 1)

    @property
    def intervals(self) -> Recording:
        """The watch's run at intervals.icu, in the same way."""
        return self._by_a_service("intervals", "i", CASES + 1)

    def _by_a_service(self, source: SourceName, prefix: str, seed: int) -> Recording:
        number = int(self.watch.external_id.removeprefix("watch-"))
        dice = random.Random(-number - seed)  # noqa: S311  (a dice, no secret)
        told = replace(self.watch, source=source, external_id=f"{prefix}{number}")
        if self.watch.sha256 is not None:
            return told
        return replace(
            told,
            started_at=told.started_at + timedelta(seconds=dice.uniform(-2, 2)),
            distance_m=told.distance_m * dice.uniform(0.999, 1.001),
            device=False,
        )


def twins(number: int) -> Twins:
    """Case `number`, on its own day."""
    dice = random.Random(number)  # noqa: S311  (a dice, no secret)
    day = LAST - timedelta(days=3 * number)
    distance_m = dice.uniform(1_500, 35_000)
    elapsed_s = distance_m * dice.uniform(0.26, 0.45)
    started_at = datetime(day.year, day.month, day.day, 5, tzinfo=UTC) + timedelta(
        minutes=dice.uniform(0, 240)
    )
    watch = Recording(
        "inbox", f"watch-{number}", started_at, day, distance_m, elapsed_s, elapsed_s, device=True
    )
    strava = replace(watch, source="strava", external_id=str(number))
    if number % 4 < 2:
        watch = replace(watch, sha256=f"{number:064x}")
    make = _one_run if number % 2 else _two_runs
    return make(dice, watch, strava)


def _one_run(dice: random.Random, watch: Recording, strava: Recording) -> Twins:
    """Clock slightly or hours off, another distance, a dead battery; or a hidden start."""
    off = timedelta(seconds=dice.uniform(-0.08, 0.08) * (watch.elapsed_s or 0))
    told = replace(
        strava,
        started_at=strava.started_at + off,
        distance_m=strava.distance_m * dice.uniform(0.955, 1.045),
        elapsed_s=(strava.elapsed_s or 0) * dice.uniform(0.97, 1.03),
    )
    if dice.random() < 0.25:
        midnight = told.started_at.replace(hour=0, minute=0, second=1, microsecond=0)
        told = replace(told, started_at=midnight, hidden_start=True)
    elif dice.random() < 0.2:
        told = replace(told, distance_m=watch.distance_m * 1.3, edited=True)
    elif dice.random() < 0.4:
        told = replace(told, distance_m=watch.distance_m * dice.uniform(0.6, 1.4))
    elif dice.random() < 0.4:
        hours = dice.choice([-3, -2, -1, 1, 2, 3])
        told = replace(strava, started_at=strava.started_at + timedelta(hours=hours))
    elif dice.random() < 0.4:
        share = dice.uniform(0.3, 0.9)
        told = replace(
            strava,
            distance_m=strava.distance_m * share,
            elapsed_s=(strava.elapsed_s or 0) * share,
            moving_s=(strava.elapsed_s or 0) * share,
        )
    return Twins(watch, told, 1)


def _two_runs(dice: random.Random, watch: Recording, strava: Recording) -> Twins:
    """Another run of the same day, which began late in the first one or after it."""
    gap = timedelta(seconds=(watch.elapsed_s or 0) * dice.uniform(0.3, 1.5) + 60)
    told = replace(strava, started_at=strava.started_at + gap)
    slower = dice.choice([0.9, 1.1])
    elapsed_s = (strava.elapsed_s or 0) * slower
    return Twins(watch, replace(told, elapsed_s=elapsed_s, moving_s=elapsed_s), 2)


ALL = [twins(number) for number in range(CASES)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(put_empty_database(tmp_path / "easeback.db"), precedence=PRECEDENCE)
    yield store
    store.close()


def athlete(store: Store, name: str = "Mira") -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, name, f"{name}@example.org", NOW))


def save(store: Store, who: Athlete, *recordings: Recording) -> None:
    with store.transaction() as tx:
        tx.runs.save(who, recordings, now=NOW, today=NOW.date())


def runs_a_day(store: Store, who: Athlete, cases: Iterable[Twins] = ALL) -> list[int]:
    """The number of runs on each case's day."""
    with store.reading() as tx:
        days = [kept.run.day for kept in tx.runs.all(who)]
    return [days.count(one.watch.day) for one in cases]


EXPECTED = [one.runs for one in ALL]


@pytest.mark.parametrize("order", ["watch first", "strava first", "all at once", "mixed"])
def test_each_pair_is_as_many_runs_as_it_is(store: Store, order: str) -> None:
    """None of 320 is wrong, whichever source comes first."""
    mira = athlete(store)
    watch, strava = [one.watch for one in ALL], [one.strava for one in ALL]
    if order == "all at once":
        save(store, mira, *chain(strava, watch))
    elif order == "mixed":
        save(store, mira, *strava[::3], *watch[1::3])
        save(store, mira, *watch, *strava)
    else:
        first, second = (watch, strava) if order == "watch first" else (strava, watch)
        save(store, mira, *first)
        save(store, mira, *second)
    assert runs_a_day(store, mira) == EXPECTED


ORDERS = list(permutations(("watch", "garmin", "strava", "intervals")))


@pytest.mark.parametrize("cases", [80, pytest.param(CASES, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("order", ORDERS, ids=", ".join)
def test_four_sources_are_as_many_runs_as_there_are(
    store: Store, order: tuple[str, ...], cases: int
) -> None:
    """None is wrong in each of the 24 orders: whole histories, or day by day.

    Each order has a part of the cases, so that all 320 are covered; in the long form it has all of
    them.
    """
    mira = athlete(store)
    first = ORDERS.index(order) // 2 * cases % CASES
    given = ALL[first : first + cases]
    if ORDERS.index(order) % 2:
        for source in order:
            save(store, mira, *(getattr(one, source) for one in given))
    else:
        for n in range(0, cases, 40):
            for source in order:
                save(store, mira, *(getattr(one, source) for one in given[n : n + 40]))
    assert runs_a_day(store, mira, given) == [one.runs for one in given]
    with store.reading() as tx:
        told = [len(kept.sources) for kept in tx.runs.all(mira)]
    assert sum(told) == 4 * cases


@pytest.mark.parametrize("left", ["inbox", "garmin", "strava", "intervals"])
def test_of_four_sources_the_last_one_left_still_tells(store: Store, left: SourceName) -> None:
    """One run for each case stays when the other three are gone."""
    mira = athlete(store)
    by_source = {
        "inbox": "watch", "garmin": "garmin", "strava": "strava", "intervals": "intervals",
    }  # fmt: skip
    for name in by_source.values():
        save(store, mira, *(getattr(one, name) for one in ALL))
    for source in by_source.keys() - {left}:
        ids = [getattr(one, by_source[source]).external_id for one in ALL]
        with store.transaction() as tx:
            tx.runs.drop(mira, source, ids, today=NOW.date())
    assert runs_a_day(store, mira) == [1] * CASES


@pytest.mark.parametrize("gone", ["inbox", "strava"])
def test_deleting_one_source_leaves_the_other(store: Store, gone: str) -> None:
    """One run for each case stays, from the remaining source."""
    mira = athlete(store)
    save(store, mira, *(one.watch for one in ALL), *(one.strava for one in ALL))
    ids = [(one.watch if gone == "inbox" else one.strava).external_id for one in ALL]
    with store.transaction() as tx:
        tx.runs.drop(mira, "inbox" if gone == "inbox" else "strava", ids, today=NOW.date())
    assert runs_a_day(store, mira) == [1] * CASES


def test_the_better_record_is_believed(store: Store) -> None:
    """The watch's figures, unless the athlete corrected them on Strava."""
    mira = athlete(store)
    save(store, mira, *(one.watch for one in ALL), *(one.strava for one in ALL))
    with store.reading() as tx:
        metres = {kept.run.day: kept.run.distance_m for kept in tx.runs.all(mira)}
    for one in (one for one in ALL if one.runs == 1):
        believed = one.strava if one.strava.edited else one.watch
        assert metres[one.watch.day] == pytest.approx(believed.distance_m)


def test_two_runners_never_merge(store: Store) -> None:
    """The same recordings in two accounts are two runners' runs."""
    mira, timo = athlete(store), athlete(store, "Timo")
    save(store, mira, *(one.watch for one in ALL))
    save(store, timo, *(one.strava for one in ALL))
    assert runs_a_day(store, mira) == runs_a_day(store, timo) == [1] * CASES
