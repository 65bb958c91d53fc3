"""What a mail is made of: nouns in, nothing computed yet.

The pipeline fills these from the store and the pure rooms; the composer turns each into one
`Email`. They hold nouns of `model` and no sentence to the athlete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from worker.checkins import CheckIn
from worker.model import Athlete, Ceiling, Finding, RecoveryDay, Run, Verdict, Week
from worker.routine import Prescription


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One finding that the athlete is told.

    `runs` reach back 13 weeks at least, in any order. `weeks` are calendar weeks, oldest first,
    the last of them that of the finding. `reply_to_id` is the Message-ID of the first mail of the
    same episode, so that mail readers show them as one thread. `diary` are the check-ins of the
    last fortnight.
    """

    athlete: Athlete
    finding: Finding
    verdict: Verdict
    runs: Sequence[Run]
    weeks: tuple[Week, ...]
    prescription: Prescription
    plan: tuple[RecoveryDay, ...]
    ceiling: Ceiling | None
    now: datetime
    reply_to_id: str | None = None
    diary: tuple[CheckIn, ...] = ()


@dataclass(frozen=True, slots=True)
class Noticed:
    """A finding of the week, and why it was not mailed on its day ("" where it was)."""

    finding: Finding
    mailed: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class WeeklyFacts:
    """One week. `weeks` are 12 or more calendar weeks, oldest first, `week` the last of them.

    `too_little` says in words what history is still missing, or is None. `troubles` tell what
    couldn't be synced and what to do, a line each, each told once. `key_ends_on` is set while the
    athlete's key to a source is about to run out. `diary` are the check-ins of the last fortnight.
    """

    athlete: Athlete
    week: Week
    weeks: tuple[Week, ...]
    findings: tuple[Noticed, ...]
    prescription: Prescription
    ceiling: Ceiling | None
    now: datetime
    too_little: str | None = None
    never_ran: bool = False
    troubles: tuple[str, ...] = ()
    key_ends_on: date | None = None
    diary: tuple[CheckIn, ...] = ()


@dataclass(frozen=True, slots=True)
class ReconnectFacts:
    """A source that no longer lets us in, until the athlete connects it again."""

    athlete: Athlete
    source: str
    now: datetime


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """Something the operator should look at: one line of what, further lines of how to mend it.

    Made of our own words; what came from elsewhere in them is cleaned before it's shown.
    """

    recipient: str
    what: str
    now: datetime
    lines: tuple[str, ...] = ()
