"""Check-ins: an athlete's answers, and when they mean "see a clinician". Pure.

Answers are by day, and the last one of a day counts. They are evaluated with a coach's caution and
a clinician's red flags. This is neither a diagnosis nor a measured risk:

- a *red flag* is one of the signs listed above the exercises in every alert;
- pain is *repeated* if it hurts on two days of a fortnight;
- pain is *rising* if it is two points of ten above an earlier answer of the fortnight and at least
  moderate: pain research takes two points for a real change (Farrar et al. 2001, Pain 94:149), and
  "moderate" commonly begins at four;
- pain is *severe* from seven points of ten on.

Each of these stops the suggestions to run until the athlete answers "fine". The sentences about
them are in the word lists of `notify/templates`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Final, Literal, get_args

Feels = Literal["fine", "sore", "hurts"]
FEELS: Final[tuple[Feels, ...]] = get_args(Feels)

EMERGENCIES: Final = ("saddle_numb", "bladder_bowel", "weak_legs")
BE_SEEN: Final = ("no_weight", "groin_hop", "bone_point", "night_rest", "leg_numb", "fever")
RED_FLAGS: Final = (*EMERGENCIES, *BE_SEEN)

WORST: Final = 10
FORTNIGHT: Final = timedelta(days=14)
_DAY: Final = timedelta(days=1)
_DAY_OF: Final = attrgetter("day")
_HURTING_DAYS: Final = 2
_RISE: Final = 2
_MODERATE: Final = 4
_SEVERE: Final = 7

Reason = Literal["emergency", "flag", "severe", "repeated", "rising"]
AdviceState = Literal["unknown", "go on", "easy", "hold", "be seen", "emergency"]

_ALONE: Final[dict[Feels, AdviceState]] = {"fine": "go on", "sore": "easy", "hurts": "hold"}


@dataclass(frozen=True, slots=True)
class CheckIn:
    """One day's answer. `areas` are of `PAIN_AREAS`, `level` 0 to 10, `flags` of `RED_FLAGS`."""

    day: date
    feels: Feels
    areas: tuple[str, ...] = ()
    level: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """What the answers of the last fortnight mean; `reasons` only if a clinician comes first."""

    state: AdviceState
    reasons: tuple[Reason, ...] = ()

    @property
    def stops_runs(self) -> bool:
        """True if no run may be suggested, because a clinician comes first."""
        return self.state in ("be seen", "emergency")


def advise(diary: Iterable[CheckIn], *, today: date) -> Advice:
    """Advice from a diary in any order.

    Answers older than a fortnight, or dated in the future, don't count.
    """
    return _advice(_recent(_sorted(diary), today))


def _advice(recent: list[CheckIn]) -> Advice:
    if not recent:
        return Advice("unknown")
    reasons = tuple(_reasons(recent))
    if "emergency" in reasons:
        return Advice("emergency", reasons)
    if reasons:
        return Advice("be seen", reasons)
    return Advice(_ALONE[recent[-1].feels])


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no run is suggested to an athlete, and since which day.

    It ends with the athlete's next "fine", or on the day `ends_on` if there is no answer until
    then.
    """

    advice: Advice
    since: date
    ends_on: date


def stop_of(diary: Iterable[CheckIn], *, today: date) -> Stop | None:
    """What stops an athlete's runs today, according to the whole diary, or None."""
    past = _sorted(diary)
    recent = _recent(past, today)
    advice = _advice(recent)
    if not advice.stops_runs:
        return None
    since = _since(today, lambda day: _advice(_recent(past, day)).stops_runs)
    return Stop(advice, since, recent[-1].day + FORTNIGHT)


def standing_flags(diary: Iterable[CheckIn], *, today: date) -> Mapping[str, date]:
    """The red flags that hold today, each with the day since when it has held."""
    past = _sorted(diary)

    def flags_on(day: date) -> set[str]:
        return {flag for one in _since_fine(_recent(past, day)) for flag in one.flags}

    standing = flags_on(today)
    return {
        flag: _since(today, lambda day, flag=flag: flag in flags_on(day))  # type: ignore[misc]
        for flag in RED_FLAGS
        if flag in standing
    }


def unwell_since(diary: Iterable[CheckIn], *, today: date) -> date | None:
    """The day of the first answer since the last "fine", or None if all is fine or nothing counts.

    After a fortnight without an answer, counting starts again.
    """
    first, until = None, today
    for one in reversed(_sorted(one for one in diary if one.day <= today)):
        if one.day <= until - FORTNIGHT or _is_fine(one):
            break
        first = until = one.day
    return first


def _since(today: date, holds: Callable[[date], bool]) -> date:
    """The first day of the unbroken period up to today for which `holds` is true."""
    first = today
    while holds(first - _DAY):
        first -= _DAY
    return first


def _sorted(diary: Iterable[CheckIn]) -> list[CheckIn]:
    return sorted(diary, key=_DAY_OF)


def _recent(diary: list[CheckIn], today: date) -> list[CheckIn]:
    """The answers of a sorted diary that count today, oldest first."""
    end = bisect_right(diary, today, key=_DAY_OF)
    return diary[bisect_right(diary, today - FORTNIGHT, hi=end, key=_DAY_OF) : end]


def _reasons(recent: list[CheckIn]) -> Iterable[Reason]:
    """Why a clinician should see the athlete.

    Answers before the last "fine" only count for `repeated` and `rising`.
    """
    last = recent[-1]
    since_fine = _since_fine(recent)
    flags = {flag for one in since_fine for flag in one.flags}
    if flags.intersection(EMERGENCIES):
        yield "emergency"
    if flags.intersection(BE_SEEN):
        yield "flag"
    if not since_fine:
        return
    if any((one.level or 0) >= _SEVERE for one in since_fine):
        yield "severe"
    if sum(one.feels == "hurts" for one in recent) >= _HURTING_DAYS:
        yield "repeated"
    earlier = [one.level for one in recent[:-1] if one.feels != "fine" and one.level is not None]
    if earlier and (last.level or 0) >= max(min(earlier) + _RISE, _MODERATE):
        yield "rising"


def _since_fine(recent: list[CheckIn]) -> list[CheckIn]:
    """The answers after the last "fine". An answer with a red flag never counts as fine."""
    for back, one in enumerate(reversed(recent)):
        if _is_fine(one):
            return recent[len(recent) - back :]
    return recent


def _is_fine(answer: CheckIn) -> bool:
    return answer.feels == "fine" and not answer.flags
