"""The weekly mail: due once a week on the athlete's own clock, queued once, told once."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.domain import detector, planner, routine
from worker.domain.checkins import FORTNIGHT
from worker.domain.models import Athlete
from worker.domain.weeks import (
    NEARLY_THE_SAME,
    last_weekly_due,
    local_day,
    next_weekly_due,
    past_weeks,
)
from worker.notify import Noticed, WeeklyFacts
from worker.pipeline.ingest import CHART_WEEKS
from worker.pipeline.plans import BEARING, plan_by
from worker.pipeline.services import Services, enqueue, for_each_due
from worker.pipeline.session import WARN_BEFORE
from worker.pipeline.unseen import is_reading, unseen
from worker.store import DUE_AT_ONCE, Transaction

_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)


def queue_due_weeklies(services: Services, now: datetime) -> None:
    """Queue every weekly mail that is due."""
    for_each_due(
        lambda: weekly_due(services, now), lambda athlete: queue_weekly(services, athlete, now)
    )


def weekly_due(
    services: Services, now: datetime, *, most: int = DUE_AT_ONCE
) -> tuple[Athlete, ...]:
    """For whom a weekly mail is due, at most so many; nobody while the clock is in doubt."""
    if services.doubts(now):
        return ()
    with services.store.reading() as tx:
        return tx.athletes.with_weekly_due(now, most=most)


def queue_weekly(services: Services, athlete: Athlete, now: datetime) -> None:
    """Queue one athlete's weekly mail where it is due; twice is once.

    A week that ended before the athlete was added has no mail. Weeks that passed while nothing ran
    collapse into the latest: they are marked as skipped. One that was told before its end, by a
    clock that ran ahead, is told again; one that is nearly the same as the last, after the athlete
    has moved or changed when weeks begin, isn't. What waits in the inbox and at the sources is read
    first.
    """
    with services.store.transaction() as tx:
        tx.athletes.hold(athlete)
        due = last_weekly_due(athlete, now)
        starts_on = due.week_starts_on
        ends_at = _ends_at(athlete, starts_on, now)
        if is_reading(tx, services, athlete, due_at=due.due_at, ends_at=ends_at, now=now):
            return  # it stays due
        today = local_day(athlete, now)
        unfinished = [
            week for week in tx.progress.forget_weeks_after(athlete, starts_on + NEARLY_THE_SAME)
            if week + _WEEK > today
        ]  # fmt: skip
        keys = [_key(athlete, week) for week in unfinished]
        tx.outbox.take_back_early(athlete, keys, now=now)
        if starts_on + _WEEK - _DAY >= local_day(athlete, athlete.added_at):
            last = tx.progress.last_week(athlete)
            missed = last + _WEEK if last else starts_on
            while missed + NEARLY_THE_SAME < starts_on:
                tx.progress.save_week(athlete, missed, state="skipped")
                missed += _WEEK
            if last is None or starts_on - last > NEARLY_THE_SAME:
                _queue(tx, services, athlete, starts_on, now=now)
        upcoming = next_weekly_due(athlete, now)
        tx.athletes.weekly_done(athlete, next_at=upcoming.due_at)


def _queue(
    tx: Transaction, services: Services, athlete: Athlete, starts_on: date, *, now: datetime
) -> None:
    if "weekly" not in athlete.wants:
        tx.progress.save_week(athlete, starts_on, state="skipped")
        return
    facts = weekly_facts(tx, services, athlete, starts_on, now=now)
    email = services.composer.weekly(facts)
    key = _key(athlete, starts_on)
    outbox_id = enqueue(tx, services, email, athlete=athlete, key=key, now=now)
    tx.progress.save_week(athlete, starts_on, state="queued", outbox_id=outbox_id)
    if facts.troubles:
        tx.progress.mark_errors_notified(athlete)


def _ends_at(athlete: Athlete, starts_on: date, now: datetime) -> datetime:
    """When the week ends on the athlete's clock, or now, where it hasn't ended yet."""
    midnight = datetime.combine(starts_on + _WEEK, time(), tzinfo=ZoneInfo(athlete.timezone))
    return min(midnight, now)


def _key(athlete: Athlete, starts_on: date) -> str:
    return f"weekly:{athlete.id}:{starts_on}"


def weekly_facts(
    tx: Transaction, services: Services, athlete: Athlete, starts_on: date, *, now: datetime
) -> WeeklyFacts:
    """All that the mail about this week tells of."""
    rules = services.rules
    ends_on = starts_on + _WEEK - _DAY
    history = tx.runs.history(athlete, since=starts_on, rules=rules)
    weeks = past_weeks(history, until=ends_on, count=CHART_WEEKS, week_starts=athlete.week_starts)
    today = local_day(athlete, now)
    diary = tx.checkins.since(athlete, starts_on - BEARING)
    recent = tx.findings.standing(athlete, since=starts_on - BEARING)
    found = [one for one in recent if starts_on <= one.finding.day <= ends_on]
    race, told = athlete.race, tx.progress.race_told(athlete, starts_on - _WEEK)
    moved = None
    if race and told and (told.day, told.distance_m) != (race.day, race.distance_m):
        moved = told, race
    plan, before = (
        plan_by(athlete, history, day, race=planned_for, diary=diary, found=recent, rules=rules)
        for day, planned_for in (
            (max(starts_on + _WEEK, today), race),
            (starts_on, told if moved else race),
        )
    )
    return WeeklyFacts(
        athlete=athlete,
        weeks=weeks,
        findings=tuple(
            Noticed(one.finding, mailed=one.notified_on is not None, why_not=one.silence or "")
            for one in found
        ),
        steps=routine.prescribe(
            services.routines,
            pain=athlete.pain,
            severity=max((one.finding.severity for one in found), default=1),
        ),
        plan=plan,
        change=planner.change_of(before, plan, history, rules=rules, moved=moved),
        rules=rules,
        now=now,
        too_little=detector.too_little(history, ends_on, rules=rules),
        never_ran=history.first_day is None,
        # What couldn't be synced was told once and isn't told again.
        troubles=tuple(
            f"{source}: {trouble}" for source, trouble in tx.progress.new_errors(athlete).items()
        ),
        key_ends_on=_key_ends_on(tx, athlete, now),
        unseen=unseen(tx, services, athlete, ends_at=_ends_at(athlete, starts_on, now)),
        diary=tuple(one for one in diary if one.day > today - FORTNIGHT),
    )


def _key_ends_on(tx: Transaction, athlete: Athlete, now: datetime) -> date | None:
    """The last day of the first key that is about to end; one that has ended had its own mail."""
    stored = tx.credentials(athlete).values()
    ends = [one.ends_at for one in stored if one.ends_at and one.revoked_at is None]
    soon = [at for at in ends if timedelta(0) < at - now <= WARN_BEFORE]
    return local_day(athlete, min(soon)) if soon else None
