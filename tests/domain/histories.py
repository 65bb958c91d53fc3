"""Made histories for the tests: short notations for runs, and hypothesis strategies."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from hypothesis import strategies as st

from worker.domain.history import History
from worker.domain.models import Run
from worker.domain.rules import Rules

RULES = Rules()
MONDAY = date(2024, 1, 1)


def day(number: int) -> date:
    """The day that many days after the first Monday of 2024."""
    return MONDAY + timedelta(days=number)


def run(
    number: int, metres: float, *, hour: float = 7, is_race: bool = False, run_id: int | None = None
) -> Run:
    """A run on `day(number)` at six minutes per kilometre; its id is `number` by default."""
    started_at = datetime.combine(day(number), time(), tzinfo=UTC) + timedelta(hours=hour)
    return Run(
        id=number if run_id is None else run_id,
        started_at=started_at,
        day=day(number),
        distance_m=metres,
        moving_s=metres * 0.36,
        elapsed_s=metres * 0.36,
        is_race=is_race,
    )


def every(days: int, metres: float, *, first: int = 0, last: int) -> list[Run]:
    """A run of the same length every `days` days."""
    return [run(number, metres) for number in range(first, last + 1, days)]


def history(runs: Iterable[Run], rules: Rules = RULES) -> History:
    return History.of(runs, rules=rules)


@st.composite
def lives(draw: st.DrawFn, *, most: int = 40) -> list[Run]:
    """Runs of up to about two years: rest days, long breaks, double days, odd lengths."""
    gaps = draw(
        st.lists(
            st.one_of(st.integers(0, 4), st.integers(0, 4), st.sampled_from([14, 15, 30, 60, 120])),
            min_size=1,
            max_size=most,
        )
    )
    runs: list[Run] = []
    number = 0
    for index, gap in enumerate(gaps):
        number += gap
        metres = draw(
            st.one_of(
                st.integers(30, 450).map(lambda hundred: hundred * 100.0),
                st.sampled_from([5000.0, 5500.0, 10_000.0, 11_000.0, 13_000.0]),
            )
        )
        hour = draw(st.sampled_from([6.0, 7.0, 7.5, 12.0, 18.0, 23.5]))
        runs.append(run(number, metres, hour=hour, run_id=index))
    return runs


def days_of(runs: Sequence[Run]) -> list[date]:
    """The days with a run, and the rest days before and after them."""
    near = {one.day + timedelta(days=off) for one in runs for off in (-1, 0, 1)}
    return sorted(near)
