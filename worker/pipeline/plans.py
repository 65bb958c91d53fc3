"""An athlete's plan by the stored data, as shown in mails, pages, commands and calendars."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from worker.domain import planner
from worker.domain.checkins import CheckIn
from worker.domain.history import History, week_start
from worker.domain.load import Load
from worker.domain.models import Athlete, Plan, Race
from worker.domain.rules import Rules
from worker.domain.weeks import local_day
from worker.store import StoredFinding, Transaction

if TYPE_CHECKING:
    from worker.notify.calendar import CalendarFacts

AFFECTS_PLAN_FOR = timedelta(days=28)
"""Answers and findings affect a plan for less than this."""


def stored_plan(
    tx: Transaction,
    athlete: Athlete,
    history: History,
    day: date,
    *,
    race: Race | None,
    rules: Rules,
) -> Plan:
    """The plan of a day, by this history and the stored answers and findings."""
    diary = tx.checkins.since(athlete, day - AFFECTS_PLAN_FOR)
    found = tx.findings.standing(athlete, since=day - AFFECTS_PLAN_FOR)
    return plan_by(athlete, history, day, race=race, diary=diary, found=found, rules=rules)


def plan_by(
    athlete: Athlete,
    history: History,
    day: date,
    *,
    race: Race | None,
    diary: Sequence[CheckIn],
    found: Sequence[StoredFinding],
    rules: Rules,
    load: Load | None = None,
) -> Plan:
    """The plan of a day, by these answers and findings, at least those of `AFFECTS_PLAN_FOR`.

    `load` is the load before the day's week, if the caller has it.
    """
    return planner.plan(
        history,
        day,
        race=race,
        checkins=diary,
        findings=[one.finding for one in found],
        rules=rules,
        week_starts=athlete.week_starts,
        load=load,
    )


def calendar_facts(
    tx: Transaction, athlete: Athlete, *, rules: Rules, now: datetime, race: Race | None = None
) -> "CalendarFacts":
    """All facts of the athlete's calendar, with their race or, to try it, another `race`.

    The plan changes when its inputs do, and when a week begins.
    """
    day = local_day(athlete, now)
    history = tx.runs.history(athlete, since=day, rules=rules)
    planned = stored_plan(tx, athlete, history, day, race=race or athlete.race, rules=rules)
    begins = datetime.combine(
        week_start(day, athlete.week_starts), time(), tzinfo=ZoneInfo(athlete.timezone)
    )
    changed_at = max(tx.athletes.plan_changed_at(athlete), begins.astimezone(UTC))
    from worker.notify.calendar import CalendarFacts

    return CalendarFacts(athlete, planned, rules=rules, changed_at=changed_at)
