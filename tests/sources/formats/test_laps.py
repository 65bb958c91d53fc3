"""Laps add up to the whole run, however their writer counts."""

from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.formats.laps import Lap, add_up

Laps = list[tuple[int, int]]
"""Metres and seconds of laps as they were run."""

BEGAN_S = 1_780_000_000.0
ON_FOOT = st.tuples(st.integers(200, 5000), st.integers(60, 1800)).filter(
    lambda lap: 1 <= lap[0] / lap[1] <= 6  # metres a second
)
TRUE_LAPS = st.lists(ON_FOOT, min_size=1, max_size=20)


def one_after_another(run: Laps) -> list[Lap]:
    """The laps as most devices write them."""
    starts = accumulate((seconds for _, seconds in run), initial=0)
    return [Lap(BEGAN_S + start, m, s) for start, (m, s) in zip(starts, run, strict=False)]


def counting_up(run: Laps) -> list[Lap]:
    """Each lap with the totals since the first lap's start."""
    sums = accumulate(run, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    laps = zip(one_after_another(run), sums, strict=True)
    return [Lap(lap.started_s, *so_far) for lap, so_far in laps]


def from_the_start(run: Laps) -> list[Lap]:
    """The same, with each lap starting with the run."""
    return [Lap(BEGAN_S, lap.metres, lap.seconds) for lap in counting_up(run)]


def under_one(run: Laps) -> list[Lap]:
    """One lap over everything, and the laps."""
    return [Lap(BEGAN_S, sum(m for m, _ in run), sum(s for _, s in run)), *one_after_another(run)]


def empty_at_the_end(run: Laps) -> list[Lap]:
    """With an empty last lap, started by the press that ended the run."""
    return [*one_after_another(run), Lap(BEGAN_S + sum(s for _, s in run), 0.0, 0.0)]


def counting_up_to_an_empty_one(run: Laps) -> list[Lap]:
    """Both at once."""
    return [*counting_up(run), Lap(BEGAN_S + sum(s for _, s in run), 0.0, 0.0)]


WRITERS = (one_after_another, counting_up, from_the_start, under_one, empty_at_the_end,
           counting_up_to_an_empty_one)  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("measured", [True, False])
@given(run=TRUE_LAPS)
def test_laps_come_to_what_was_run(
    writer: Callable[[Laps], list[Lap]], measured: bool, run: Laps
) -> None:
    """The track's figures are slightly off; without a track, the total time is known."""
    metres, seconds = sum(m for m, _ in run), sum(s for _, s in run)
    way: dict[str, float] = {"lasted_s": seconds}
    if measured:
        way |= {"way_m": metres * 1.03, "way_s": seconds * 0.97}
    added_m, added_s = add_up(writer(run), **way)
    share = 0.16 if measured else 0.1  # laps that agree with the track are used
    assert added_m == pytest.approx(metres, rel=share)
    assert added_s == pytest.approx(seconds, rel=share)


@given(run=TRUE_LAPS)
def test_laps_without_times_are_added(run: Laps) -> None:
    """Nothing suggests another way of counting."""
    metres, seconds = sum(m for m, _ in run), sum(s for _, s in run)
    assert add_up([Lap(None, m, s) for m, s in run]) == (metres, seconds)


def test_a_track_alone_counts_without_laps() -> None:
    """Without laps there are only the track's figures."""
    assert add_up([], way_m=5000.0, way_s=1500.0, lasted_s=1600.0) == (5000.0, 1500.0)
