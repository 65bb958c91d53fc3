"""What a practice should notice about each athlete, and who comes first. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from worker.domain.checkins import (
    EMERGENCIES,
    FORTNIGHT,
    Advice,
    CheckIn,
    advise,
    standing_flags,
    unwell_since,
)
from worker.domain.models import Finding, Units, folder_name

Concern = Literal["flags", "hurts", "warned", "sore", "quiet", "blind", "unreached", "paused"]
CONCERNS: Final[tuple[Concern, ...]] = get_args(Concern)
"""Why the practice may want to look at an athlete, the most urgent first."""

QUIET_AFTER: Final = FORTNIGHT
"""An athlete who hasn't run for this long is reported as quiet."""

WARNED_WITHIN: Final = FORTNIGHT
"""How long a warning is reported after its mail was queued."""


@dataclass(frozen=True, slots=True)
class Therapist:
    """A member of the practice, who sees every athlete.

    `language` is "" if none was chosen. `link_id` identifies them in signed links; it changes when
    older links are closed.
    """

    id: int
    name: str
    email: str
    added_at: datetime
    language: str = ""
    link_id: str = ""


@dataclass(frozen=True, slots=True)
class BlindSource:
    """A source that fails; `since_at` is when it last worked, or None if it never did."""

    source: str
    since_at: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The last mail to the athlete was refused or is held: since when, and why in words."""

    since_at: datetime
    why: str
    is_held: bool


@dataclass(frozen=True, slots=True)
class PracticeRow:
    """The stored data of one athlete that the practice's list of athletes needs.

    `diary` is empty if the last answer is "fine". `warned` is the last finding that was mailed
    recently, and `warned_on` the day of that mail.
    """

    id: int
    link_id: str
    name: str
    timezone: str
    units: Units
    added_at: datetime
    paused_at: datetime | None
    last_run_on: date | None
    diary: Sequence[CheckIn] = ()
    warned: Finding | None = None
    warned_on: date | None = None
    blind: Sequence[BlindSource] = ()
    undelivered: Undelivered | None = None


@dataclass(frozen=True, slots=True)
class AthleteStanding:
    """An athlete's state today, on their own calendar.

    `flags` are the red flags that hold, each with the day since when. `unwell_since` is the day
    since when no answer was "fine", and `answer` is the last answer since then.
    """

    row: PracticeRow
    day: date
    advice: Advice
    flags: Mapping[str, date]
    unwell_since: date | None
    answer: CheckIn | None
    concerns: tuple[Concern, ...]

    @property
    def is_emergency(self) -> bool:
        """Whether one of the flags can be an emergency."""
        return not self.flags.keys().isdisjoint(EMERGENCIES)


def standing_of(row: PracticeRow, *, now: datetime) -> AthleteStanding:
    """An athlete's state today."""
    zone = ZoneInfo(row.timezone)
    day = now.astimezone(zone).date()
    advice = advise(row.diary, today=day)
    flags = standing_flags(row.diary, today=day) if row.diary else {}
    since = unwell_since(row.diary, today=day)
    answers = [one for one in row.diary if one.day <= day] if since else []
    answer = max(answers, key=lambda one: one.day, default=None)
    feels = answer.feels if answer else None
    last_on = row.last_run_on or row.added_at.astimezone(zone).date()
    holds: Mapping[Concern, bool] = {
        "flags": bool(flags),
        "hurts": feels == "hurts" or advice.stops_runs,
        "warned": row.warned_on is not None and row.warned_on > day - WARNED_WITHIN,
        "sore": feels == "sore" and not advice.stops_runs,
        "quiet": row.paused_at is None and last_on <= day - QUIET_AFTER,
        "blind": bool(row.blind),
        "unreached": row.undelivered is not None,
        "paused": row.paused_at is not None,
    }
    concerns = tuple(one for one in CONCERNS if holds[one])
    return AthleteStanding(row, day, advice, flags, since, answer, concerns)


def by_urgency(standings: Iterable[AthleteStanding]) -> list[AthleteStanding]:
    """Sort by the most urgent concern, then emergencies, then the newest, then by name."""
    return sorted(standings, key=_urgency)


def _urgency(one: AthleteStanding) -> tuple[int, bool, bool, int, str]:
    gravest = CONCERNS.index(one.concerns[0]) if one.concerns else len(CONCERNS)
    since = _since(one)
    newest_first = -since.toordinal() if since else 0
    mildness = not one.is_emergency, not one.advice.stops_runs
    return gravest, *mildness, newest_first, folder_name(one.row.name)


def _since(one: AthleteStanding) -> date | None:
    """Since when the most urgent concern has held, if known."""
    match one.concerns[:1]:
        case ("flags",):
            return max(one.flags.values())
        case ("hurts",) | ("sore",):
            return one.unwell_since
        case ("warned",):
            return one.row.warned_on
        case ("quiet",):
            return one.row.last_run_on
        case _:
            return None
