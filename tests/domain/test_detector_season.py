"""Re-training after an easy season, last year's ramp, and races."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.detector import judge_day
from worker.domain.models import Race, Run

YEAR = 364


def winters(years: int) -> list[Run]:
    """8 km every second day; from week 40 of each year 4 km every sixth day until the next year."""
    busy = [one for year in range(years) for one in every(
        2, 8000, first=YEAR * year, last=YEAR * year + 279
    )]  # fmt: skip
    easy = [one for year in range(years) for one in every(
        6, 4000, first=YEAR * year + 284, last=YEAR * year + 363
    )]  # fmt: skip
    return busy + easy


def test_a_ramp_after_an_easy_season_is_retraining() -> None:
    """The verdict names the easiest eight weeks and the usual volume."""
    spring = YEAR
    runs = [*winters(1), *every(2, 6000, first=spring, last=spring + 20)]

    season = judge_day(history(runs), day(spring + 20), rules=RULES).season

    assert season is not None
    assert season.usual_m == 224_000
    assert season.easiest_m == 36_000
    assert day(spring - 12) <= season.easiest_on <= day(spring)
    assert sum(season.this_ramp_m) == pytest.approx(
        history(runs).sum_m(season.easiest_on + timedelta(days=1), day(spring + 20))
    )
    assert season.last_ramp_m == ()


def test_last_years_ramp_lies_beside_this_years() -> None:
    """The same number of weeks, from last year's easiest day on."""
    spring = 2 * YEAR
    runs = [*winters(2), *every(2, 6000, first=spring, last=spring + 20)]

    season = judge_day(history(runs), day(spring + 20), rules=RULES).season

    assert season is not None
    assert list(season.this_ramp_m) == [22_000, 18_000, 24_000, 6000]
    assert list(season.last_ramp_m) == [28_000, 24_000, 32_000, 24_000]


def test_an_even_year_has_no_season() -> None:
    """Without an easy season there is no return from one."""
    runs = every(2, 8000, last=500)

    assert judge_day(history(runs), day(500), rules=RULES).season is None


def test_a_season_is_over_twelve_weeks_after() -> None:
    """The easy eight weeks must end within the last twelve."""
    runs = [*winters(1), *every(2, 8000, first=YEAR, last=YEAR + 140)]

    assert judge_day(history(runs), day(YEAR + 80), rules=RULES).season is not None
    assert judge_day(history(runs), day(YEAR + 120), rules=RULES).season is None


def test_half_a_year_is_too_young_for_a_season() -> None:
    """The usual volume isn't known yet."""
    runs = [*every(2, 8000, last=100), *every(2, 8000, first=160, last=181)]

    assert judge_day(history(runs), day(181), rules=RULES).season is None
    later = replace(RULES, season_history_days=181)
    assert judge_day(history(runs), day(181), rules=later).season is not None


def test_a_finding_in_a_ramp_says_retraining() -> None:
    """The mail needs it for its wording."""
    runs = [*winters(1), run(YEAR + 30, 9000)]

    (found,) = judge_day(history(runs), day(YEAR + 30), rules=RULES).findings

    assert found.kind == "return"
    assert found.retraining


BASE = every(3, 10_000, last=60)
HALF = Race("Spring half", day(62), 21_097.5)
Raced = Literal["race", "maybe"] | None


@pytest.mark.parametrize(
    ("metres", "on", "race", "raced"),
    [
        (21_300, 62, HALF, "race"),
        (22_100, 62, HALF, "race"),
        (20_100, 62, HALF, "race"),
        (22_300, 62, HALF, None),
        (21_300, 63, HALF, "race"),
        (21_300, 61, HALF, "race"),
        (21_300, 64, HALF, "maybe"),
        (21_300, 62, None, "maybe"),
        (20_467, 62, None, "maybe"),
        (20_460, 62, None, None),
        (42_700, 62, None, "maybe"),
        (43_500, 62, None, None),
        (30_000, 62, HALF, None),
    ],
)
def test_a_race_is_known_by_its_day_and_distance(
    metres: float, on: int, race: Race | None, raced: Raced
) -> None:
    """Within 5 % and a day of the athlete's race; otherwise within 3 % of a common distance."""
    found = judge_day(history([*BASE, run(on, metres)]), day(on), rules=RULES, race=race).findings

    assert {one.race for one in found} == {raced}


def test_a_race_marked_by_its_source_is_a_race() -> None:
    """Whatever its distance."""
    runs = [*BASE, run(62, 17_300, is_race=True)]

    assert judge_day(history(runs), day(62), rules=RULES).findings[0].race == "race"


def test_a_race_with_its_warm_up_is_still_a_race() -> None:
    """The run is compared with the race's distance, the session with the longest before it."""
    runs = [
        *BASE,
        run(62, 3000, hour=8, run_id=1001),
        run(62, 21_200, hour=9, run_id=1002),
    ]

    (found, *_) = judge_day(history(runs), day(62), rules=RULES, race=HALF).findings

    assert (found.race, found.observed_m) == ("race", 24_200)


def test_a_race_counts_as_the_longest_run_from_then_on() -> None:
    """Three weeks later 20 km are nothing new."""
    runs = [*BASE, run(62, 21_100, is_race=True), *every(3, 8000, first=68, last=80)]

    assert judge_day(history([*runs, run(83, 20_000)]), day(83), rules=RULES).findings == ()
