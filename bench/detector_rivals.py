"""Other warning rules on the same runs: the folk rule, load ratios, monotony.

Each is evaluated on every day with a run after six weeks of history, and mails at most once in 14
days, as the detector does. They are implemented as their authors or users state them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, pstdev

from worker.domain.models import Run

_QUIET_DAYS = 14
_HISTORY_DAYS = 42

Rule = Callable[["Daily", int], bool]


@dataclass(frozen=True, slots=True)
class Daily:
    """Metres of each calendar day from the first run on, and the two smoothed loads."""

    first: date
    metres: tuple[float, ...]
    acute: tuple[float, ...]
    chronic: tuple[float, ...]


def daily(runs: Sequence[Run]) -> Daily:
    first = min(run.day for run in runs)
    metres = [0.0] * ((max(run.day for run in runs) - first).days + 1)
    for run in runs:
        metres[(run.day - first).days] += run.distance_m
    return Daily(first, tuple(metres), _smoothed(metres, days=7), _smoothed(metres, days=28))


def _smoothed(metres: Sequence[float], *, days: int) -> tuple[float, ...]:
    share = 2 / (days + 1)
    smooth = [metres[0]]
    for today in metres[1:]:
        smooth.append(share * today + (1 - share) * smooth[-1])
    return tuple(smooth)


def folk(load: Daily, day: int) -> bool:
    """The week so far is more than 110 % of the week before."""
    monday = day - (load.first + timedelta(days=day)).weekday()
    last_week = sum(load.metres[max(0, monday - 7) : monday])
    return last_week > 0 and sum(load.metres[monday : day + 1]) > 1.1 * last_week


def acwr(load: Daily, day: int) -> bool:
    """Seven days over the mean week of the three weeks before them: above 1.5."""
    acute = sum(load.metres[day - 6 : day + 1])
    chronic = sum(load.metres[day - 27 : day - 6]) / 3
    return chronic > 0 and acute / chronic > 1.5


def ewma(load: Daily, day: int) -> bool:
    """The load smoothed over 7 days over that of 28: above 1.5."""
    return load.chronic[day] > 0 and load.acute[day] / load.chronic[day] > 1.5


def monotony(load: Daily, day: int) -> bool:
    """Mean over standard deviation of seven daily loads: above 2."""
    week = load.metres[day - 6 : day + 1]
    spread = pstdev(week)
    return spread > 0 and fmean(week) / spread > 2


RIVALS: dict[str, Rule] = {
    "folk rule: week > 110 % of last week": folk,
    "ACWR rolling, uncoupled > 1.5": acwr,
    "ACWR EWMA > 1.5": ewma,
    "monotony > 2": monotony,
}


def mails(runs: Sequence[Run], rule: Rule) -> Iterator[date]:
    """The days on which that rule would have mailed."""
    load = daily(runs)
    quiet_until = _HISTORY_DAYS
    for day, metres in enumerate(load.metres):
        if day >= quiet_until and metres > 0 and rule(load, day):
            quiet_until = day + _QUIET_DAYS
            yield load.first + timedelta(days=day)
