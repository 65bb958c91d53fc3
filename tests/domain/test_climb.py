"""Climb counts if the rules say so; otherwise it's ignored."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.app import recording
from tests.domain.histories import RULES, day, every, history, lives, run
from worker.domain.detector import judge_day
from worker.domain.history import counted_m
from worker.domain.matching import believed_run
from worker.domain.models import Race, Run
from worker.domain.planner import ceiling, plan
from worker.domain.rules import Rules
from worker.domain.weeks import past_weeks

TRAIL = Rules(climb_m_per_km=100)


@given(lives(), st.data())
def test_climb_changes_nothing_while_it_is_off(runs: list[Run], data: st.DataObject) -> None:
    """Judged, planned and summed up as without climb."""
    ascents = st.none() | st.floats(0, 3000)
    climbed = [replace(one, ascent_m=data.draw(ascents)) for one in runs]
    flat, hilly = history(runs), history(climbed)
    last = runs[-1].day
    assert plan(hilly, last, rules=RULES) == plan(flat, last, rules=RULES)
    assert past_weeks(hilly, until=last, count=12, week_starts=0) == past_weeks(
        flat, until=last, count=12, week_starts=0
    )
    for one in runs:
        assert judge_day(hilly, one.day, rules=RULES) == judge_day(flat, one.day, rules=RULES)


@given(lives(), st.integers(1, 500))
def test_a_history_without_climb_is_the_same_with_the_rule(runs: list[Run], metres: int) -> None:
    """If no source has the climb, distance alone counts."""
    rules = replace(RULES, climb_m_per_km=metres)
    assert history(runs, rules).sessions == history(runs).sessions


def test_a_hundred_metres_up_count_as_a_kilometre() -> None:
    """8 km with 700 m of climb count as 15: a finding, and the week says so."""
    flat = every(2, 8000, last=58)
    steep = replace(run(60, 8000), ascent_m=700.0)
    past = history([*flat, steep], TRAIL)
    (finding,) = judge_day(past, day(60), rules=TRAIL).findings
    assert (finding.kind, finding.observed_m, finding.baseline_m) == ("run", 15_000, 8000)
    assert judge_day(history([*flat, steep]), day(60), rules=RULES).findings == ()
    assert past_weeks(past, until=day(60), count=1, week_starts=0)[0].longest_m == 15_000


def test_a_ceiling_that_counts_climb_says_so() -> None:
    """Beside its numbers, unless climb doesn't count."""
    hilly = [replace(one, ascent_m=200.0) for one in every(2, 8000, last=60)]
    told = {}
    for rules in (RULES, TRAIL):
        past = history(hilly, rules)
        told[rules] = ceiling(plan(past, day(61), rules=rules), past, rules=rules)
    assert (told[TRAIL].next_run_m or 0) > (told[RULES].next_run_m or 0)
    assert "100 m up as 1 km more" in told[TRAIL].basis
    assert "up as" not in told[RULES].basis


def test_a_race_is_known_by_its_distance() -> None:
    """10 km on the race's day are the race, whatever their climb."""
    race = Race("Hill", day(60), 10_000)
    runs = [*every(2, 5000, last=58), replace(run(60, 10_000), ascent_m=900.0)]
    (finding, *_) = judge_day(history(runs, TRAIL), day(60), rules=TRAIL, race=race).findings
    assert finding.race == "race"


def test_an_impossible_climb_is_ignored() -> None:
    """More than a metre per metre, more than 12 km, or negative; another source's may be used."""
    told = {ascent_m: replace(recording(km=10.0), ascent_m=ascent_m)
            for ascent_m in (-1.0, 0.0, 9_999.0, 10_001.0, float("nan"))}  # fmt: skip
    believed = {ascent_m: believed_run([one]).ascent_m for ascent_m, one in told.items()}
    assert [believed[m] for m in (-1.0, 0.0, 9_999.0, 10_001.0)] == [None, 0.0, 9_999.0, None]
    assert believed_run([told[10_001.0], told[9_999.0]]).ascent_m == 9_999.0
    far = replace(recording(km=100.0), ascent_m=12_001.0)
    assert believed_run([far]).ascent_m is None
    assert counted_m(believed_run([far]), rules=TRAIL) == 100_000


def test_pieces_of_a_run_climb_together() -> None:
    """A watch stopped on the summit leaves the climb in one file and the rest in another."""
    whole = [
        replace(recording(km=5.0, external_id=name), ascent_m=300.0, started_at=at)
        for name, at in (("a", run(0, 1).started_at), ("b", run(0, 1, hour=8).started_at))
    ]
    assert believed_run(whole).ascent_m == 600.0
