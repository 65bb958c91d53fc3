"""Thousands of pairs of recordings: one run recorded twice, and neighbouring runs that stay two.

Generated from a fixed seed. The bounds are those of real devices: a watch, a phone or a service may
disagree by 40 % about the distance, and by whole hours about the time.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from worker.domain.matching import believed_run, group, same_run
from worker.domain.models import Recording
from worker.sources.sections import PRECEDENCE

PAIRS = 1500
SOURCES = ("strava", "garmin", "intervals", "inbox")
FIRST = datetime(2026, 3, 1, tzinfo=UTC)


def a_run(dice: random.Random, source: str, *, number: int) -> Recording:
    """A run of 1.5 to 35 km at a runner's pace on some morning."""
    distance_m = dice.uniform(1_500, 35_000)
    elapsed_s = distance_m * dice.uniform(0.26, 0.45)
    at = FIRST + timedelta(days=number % 28, minutes=dice.uniform(300, 600))
    moving_s = elapsed_s * dice.choice([1.0, dice.uniform(0.7, 1.0)])
    return Recording(
        source, f"{number}", at, at.date(), distance_m, moving_s, elapsed_s,
        device=source != "strava", sha256=f"{number:064x}" if source == "inbox" else None,
    )  # fmt: skip


def later(recording: Recording, seconds: float) -> Recording:
    at = recording.started_at + timedelta(seconds=seconds)
    return replace(recording, started_at=at, day=at.date())


def another(recording: Recording, source: str) -> Recording:
    """An exact copy of the run by another source."""
    sha256 = "f" * 64 if source == "inbox" else None
    return replace(recording, source=source, external_id="other", sha256=sha256)


def _other_yardstick(dice: random.Random, one: Recording, source: str) -> Recording:
    """A watch and a treadmill, or a phone with poor reception: up to 40 % apart."""
    told = another(one, source)
    off_s = dice.uniform(-0.08, 0.08) * (one.elapsed_s or 0)
    return replace(later(told, off_s), distance_m=one.distance_m * dice.uniform(0.6, 1 / 0.6))


def _died_half_way(dice: random.Random, one: Recording, source: str) -> Recording:
    """The battery died: only the beginning, in time and in distance."""
    share = dice.uniform(0.3, 0.9)
    return replace(
        another(one, source),
        distance_m=one.distance_m * share,
        moving_s=(one.moving_s or 0) * share,
        elapsed_s=(one.elapsed_s or 0) * share,
    )


def _clock_is_off(dice: random.Random, one: Recording, source: str) -> Recording:
    """The same length and shape, but in another zone or off by summer time."""
    told = later(another(one, source), dice.choice([-11, -8, -2, -1, 1, 2, 3, 9, 10]) * 3600)
    return replace(
        later(told, dice.uniform(-15, 15)),
        distance_m=one.distance_m * dice.uniform(0.985, 1.015),
        elapsed_s=(one.elapsed_s or 0) + dice.uniform(-2, 2),
        moving_s=(one.moving_s or 0) * dice.uniform(0.9, 1.0),
    )


def _an_hour_later(dice: random.Random, one: Recording, source: str) -> Recording:
    """Another run of about the same length, an hour or more later."""
    hours = -(-((one.elapsed_s or 0) + 300) // 3600)
    told = later(another(one, source), hours * 3600 + dice.uniform(-15, 15))
    slower = dice.choice([-1, 1]) * dice.uniform(0.01, 0.15)
    return replace(
        told,
        distance_m=one.distance_m * dice.uniform(0.98, 1.02),
        elapsed_s=(one.elapsed_s or 0) * (1 + slower),
        moving_s=(one.moving_s or 0) * (1 + slower),
    )


def _after_a_break(dice: random.Random, one: Recording, source: str) -> Recording:
    """The cool-down, or the second half after a coffee."""
    told = later(another(one, source), (one.elapsed_s or 0) + dice.uniform(1, 3300))
    share = dice.uniform(0.2, 1.5)
    return replace(
        told,
        distance_m=one.distance_m * share,
        elapsed_s=(one.elapsed_s or 0) * share,
        moving_s=(one.moving_s or 0) * share,
    )


Make = Callable[[random.Random, Recording, str], Recording]
SAME: list[Make] = [_other_yardstick, _died_half_way, _clock_is_off]
NEIGHBOURS: list[Make] = [_an_hour_later, _after_a_break]


def pairs(make: Make) -> list[tuple[Recording, Recording]]:
    """Pairs with each ordered pair of sources about equally often."""
    both = [*permutations(SOURCES, 2), ("inbox", "inbox")]
    made = []
    for number in range(PAIRS):
        dice = random.Random(f"{make.__name__} {number}")  # noqa: S311  (a dice, no secret)
        first, second = both[number % len(both)]
        one = a_run(dice, first, number=number)
        made.append((one, make(dice, one, second)))
    return made


@pytest.mark.parametrize("make", SAME)
def test_one_run_told_twice_is_one(make: Make) -> None:
    """None of 1,500 is wrong, whatever the distances and whichever source comes first."""
    wrong = [pair for pair in pairs(make) if not (same_run(*pair) and same_run(*reversed(pair)))]
    assert wrong == []


@pytest.mark.parametrize("make", [_other_yardstick, _clock_is_off])
def test_the_written_order_picks_the_figures(make: Make) -> None:
    """The better source leads, and its distance is the run's."""
    for one, other in pairs(make):
        (bundle,) = group([other, one], precedence=PRECEDENCE)
        best = min((one, other), key=lambda r: (not r.device, PRECEDENCE[r.source], r.started_at))
        assert believed_run(bundle).distance_m == best.distance_m


def test_of_a_run_and_a_part_of_it_the_whole_is_believed() -> None:
    """Whichever source is better: a recording of less than 80 % of the time is incomplete."""
    for one, part in pairs(_died_half_way):
        (bundle,) = group([part, one], precedence=PRECEDENCE)
        if (part.elapsed_s or 0) < 0.8 * (one.elapsed_s or 0):
            assert believed_run(bundle).distance_m == one.distance_m


@pytest.mark.parametrize("make", NEIGHBOURS)
def test_two_real_runs_of_a_morning_stay_two(make: Make) -> None:
    """None of 1,500 are merged."""
    merged = [pair for pair in pairs(make) if same_run(*pair) or same_run(*reversed(pair))]
    assert merged == []


def test_what_two_sources_tell_of_two_neighbours_are_two_runs() -> None:
    """Two runs of a morning, each recorded by two sources: never one run, never three."""
    for one, other in pairs(_an_hour_later) + pairs(_after_a_break):
        told = [
            replace(later(run, 7), source="import", external_id=name, sha256=None)
            for run, name in ((one, "a"), (other, "b"))
        ]
        assert len(group([one, other, *told], precedence=PRECEDENCE)) == 2


def test_two_runs_at_the_same_hour_of_two_days_are_two() -> None:
    """The same lap before work, as long as yesterday's to the second: no clock is a day off."""
    for one, other in pairs(_other_yardstick):
        assert not same_run(one, later(replace(other, elapsed_s=one.elapsed_s), 86_400))
