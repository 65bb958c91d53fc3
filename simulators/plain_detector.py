"""A second implementation of the written rules: slow, short and independent of the detector.

It reports whatever must fire by `docs/evidence.md`; the detector is compared with it on real and
made histories. Each day is judged by itself, without state. It knows only the published numbers,
not the settings.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Self

from worker.domain.history import sessions
from worker.domain.models import Kind, Run
from worker.domain.rules import Rules

_HAIR_M = 0.001
_PUBLISHED = Rules()


@dataclass(frozen=True, slots=True)
class Days:
    """The metres of each day's sessions."""

    by_day: dict[date, list[float]]
    ordered: list[date]

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Self:
        by_day: dict[date, list[float]] = defaultdict(list)
        for session in sessions(runs, rules=_PUBLISHED):
            by_day[session.day].append(session.distance_m)
        return cls(dict(by_day), sorted(by_day))

    def before(self, day: date, days: int) -> list[float]:
        """The metres of each session in the `days` days before `day`."""
        backs = (day - timedelta(days=back) for back in range(1, days + 1))
        return [metres for back in backs for metres in self.by_day.get(back, ())]

    def sum_m(self, last: date, days: int) -> float:
        return sum(self.before(last + timedelta(days=1), days))


def crossings(runs: Iterable[Run], *, since: date = date.min) -> Iterator[tuple[date, Kind]]:
    """Every day and rule that must fire by the written rules, from `since` on, in order."""
    days = Days.of(runs)
    for day in days.ordered[bisect_left(days.ordered, since) :]:
        for kind, rule in RULES.items():
            if rule(days, day):
                yield day, kind


def _run(days: Days, day: date) -> bool:
    before = days.before(day, 30)
    metres = max(days.by_day[day])
    return (
        (day - days.ordered[0]).days >= 42
        and len(before) >= 3
        and metres >= 6000 - _HAIR_M
        and metres > 1.10 * max(before) + _HAIR_M
        and metres - max(before) >= 1000 - _HAIR_M
    )


def _break(days: Days, day: date, *, within: int) -> tuple[date, date, float] | None:
    """The latest break: its last day before, its first day back, and the share it leaves."""
    known = days.ordered[: bisect_right(days.ordered, day)][-within - 1 :]
    gaps = [
        (last, back)
        for last, back in pairwise(known)
        if (back - last).days > 14 and (day - back).days < within
    ]
    if not gaps:
        return None
    last, back = gaps[-1]
    off = (back - last).days - 1
    return last, back, 0.75 if off <= 28 else 0.50 if off <= 56 else 0.33


def _return(days: Days, day: date) -> bool:
    rest = _break(days, day, within=30)
    if not rest:
        return False
    last, back, share = rest
    before = days.before(last + timedelta(days=1), 60)
    reference = max([max(before) * share, *days.before(day, (day - back).days)])
    metres = max(days.by_day[day])
    return (
        len(before) >= 4
        and metres >= 5000 - _HAIR_M
        and metres > 1.10 * reference + _HAIR_M
        and metres - reference >= 1000 - _HAIR_M
    )


def _ramp(days: Days, day: date) -> bool:
    week_m = days.sum_m(day, 7)
    ends = (day - timedelta(days=back) for back in range(7, 7 + 36))
    largest_m = max(days.sum_m(end, 7) for end in ends)
    return (
        (day - days.ordered[0]).days >= 42
        and largest_m >= 8000 - _HAIR_M
        and week_m > 1.30 * largest_m + _HAIR_M
        and week_m - largest_m >= 10_000 - _HAIR_M
    )


def _month(days: Days, day: date) -> bool:
    month_m = days.sum_m(day, 28)
    ends = (day - timedelta(days=back) for back in range(28, 28 + 57))
    largest_m = max(days.sum_m(end, 28) for end in ends)
    return (
        (day - days.ordered[0]).days >= 84
        and largest_m >= 20_000 - _HAIR_M
        and month_m > 1.60 * largest_m + _HAIR_M
        and month_m - largest_m >= min(30_000, largest_m) - _HAIR_M
        and days.sum_m(day, 14) > 0.80 * largest_m + _HAIR_M
        and not _is_left(days, day, month_m)
    )


def _is_left(days: Days, day: date, month_m: float) -> bool:
    """Whether a break left so much of the month before it, or may have: stray runs don't end it."""
    rest = _break(days, day, within=56)
    if not rest:
        return False
    last, _, share = rest
    if len(days.before(last + timedelta(days=1), 60)) < 4:
        return _break(days, last, within=60) is not None
    return month_m <= 1.60 * share * days.sum_m(last, 28) + _HAIR_M


RULES: dict[Kind, Callable[[Days, date], bool]] = {
    "run": _run,
    "return": _return,
    "ramp": _ramp,
    "month": _month,
}
