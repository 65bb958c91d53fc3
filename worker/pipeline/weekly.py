"""The weekly mail: due once a week by the athlete's own clock, and queued once."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.domain import detector, routine
from worker.domain.checkins import FORTNIGHT
from worker.domain.history import week_start
from worker.domain.load import Load
from worker.domain.models import Athlete, Race
from worker.domain.plan_change import change_of
from worker.domain.weeks import (
    NEARLY_THE_SAME,
    last_weekly_due,
    local_day,
    next_weekly_due,
    past_weeks,
)
from worker.notify import Noticed, WeeklyFacts
from worker.pipeline.ingest import CHART_WEEKS
from worker.pipeline.plans import AFFECTS_PLAN_FOR, plan_by
from worker.pipeline.services import Services, enqueue, for_each_due
from worker.pipeline.session import WARN_BEFORE
from worker.pipeline.unseen import SourceStates, is_reading, unseen
from worker.store import DUE_AT_ONCE

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
    """The athletes whose weekly mail is due, up to a limit; none while the clock is in doubt."""
    if services.doubts(now):
        return ()
    with services.store.reading() as tx:
        return tx.athletes.with_weekly_due(now, most=most)


def queue_weekly(services: Services, athlete: Athlete, now: datetime) -> None:
    """Queue one athlete's weekly mail if it is due; calling it twice changes nothing.

    There is no mail about a week that ended before the athlete was added. Of the weeks that passed
    while nothing ran, only the latest is mailed, and the others are marked as skipped. A week that
    was mailed before its end, because the clock was ahead, is mailed again. A week that is nearly
    the same as the last, because the athlete moved or changed when weeks begin, isn't mailed. What
    waits in the inbox and at the sources is read first.
    """
    with services.store.transaction() as tx:
        tx.athletes.hold(athlete)
        due = last_weekly_due(athlete, now)
        starts_on = due.week_starts_on
        ends_at = _ends_at(athlete, starts_on, now)
        sources = SourceStates(tx, athlete)
        if is_reading(sources, services, due_at=due.due_at, ends_at=ends_at, now=now):
            return  # it stays due
        today = local_day(athlete, now)
        marked = tx.progress.weeks_from(athlete, starts_on - _WEEK)
        if max(marked, default=starts_on) > starts_on + NEARLY_THE_SAME:
            ahead = tx.progress.forget_weeks_after(athlete, starts_on + NEARLY_THE_SAME)
            unfinished = [week for week in ahead if week + _WEEK > today]
            keys = [_key(athlete, week) for week in unfinished]
            tx.outbox.take_back_early(athlete, keys, now=now)
        if starts_on + _WEEK - _DAY >= local_day(athlete, athlete.added_at):
            kept = (week for week in marked if week <= starts_on + NEARLY_THE_SAME)
            last = max(kept, default=None)
            missed = last + _WEEK if last else starts_on
            while missed + NEARLY_THE_SAME < starts_on:
                tx.progress.save_week(athlete, missed, state="skipped")
                missed += _WEEK
            if last is None or starts_on - last > NEARLY_THE_SAME:
                told = marked.get(starts_on - _WEEK)
                _queue(sources, services, starts_on, told=told, now=now)
        upcoming = next_weekly_due(athlete, now)
        tx.athletes.weekly_done(athlete, next_at=upcoming.due_at)


def _queue(
    sources: SourceStates, services: Services, starts_on: date, *, told: Race | None, now: datetime
) -> None:
    tx, athlete = sources.tx, sources.athlete
    if not athlete.gets("weekly"):
        tx.progress.save_week(athlete, starts_on, state="skipped")
        return
    facts = weekly_facts(sources, services, starts_on, told=told, now=now)
    email = services.composer.weekly(facts)
    key = _key(athlete, starts_on)
    outbox_id = enqueue(tx, services, email, athlete=athlete, key=key, now=now)
    tx.progress.save_week(athlete, starts_on, state="queued", outbox_id=outbox_id)
    if facts.troubles:
        tx.progress.mark_errors_notified(athlete)


def _ends_at(athlete: Athlete, starts_on: date, now: datetime) -> datetime:
    """When the week ends on the athlete's clock, or now, if it hasn't ended yet."""
    midnight = datetime.combine(starts_on + _WEEK, time(), tzinfo=ZoneInfo(athlete.timezone))
    return min(midnight, now)


def _key(athlete: Athlete, starts_on: date) -> str:
    return f"weekly:{athlete.id}:{starts_on}"


def weekly_facts(
    sources: SourceStates, services: Services, starts_on: date, *, told: Race | None, now: datetime
) -> WeeklyFacts:
    """All facts of the mail about this week; `told` is the race that the last mail mentioned."""
    tx, athlete, rules = sources.tx, sources.athlete, services.rules
    ends_on = starts_on + _WEEK - _DAY
    history = tx.runs.history(athlete, since=starts_on, rules=rules)
    weeks = past_weeks(history, until=ends_on, count=CHART_WEEKS, week_starts=athlete.week_starts)
    today = local_day(athlete, now)
    diary = tx.checkins.since(athlete, starts_on - AFFECTS_PLAN_FOR)
    recent = tx.findings.standing(athlete, since=starts_on - AFFECTS_PLAN_FOR)
    found = [one for one in recent if starts_on <= one.finding.day <= ends_on]
    race, moved = athlete.race, None
    if race and told and (told.day, told.distance_m) != (race.day, race.distance_m):
        moved = told, race
    planned_on = max(starts_on + _WEEK, today)
    begin = week_start(planned_on, athlete.week_starts)
    # Both plans share the load before the week that has just ended.
    load = Load.of(history, starts_on, rules=rules)
    plan, before = (
        plan_by(
            athlete,
            history,
            day,
            race=planned_for,
            diary=diary,
            found=recent,
            rules=rules,
            load=load_before,
        )
        for day, planned_for, load_before in (
            (planned_on, race, load.and_of(history.between(starts_on, begin - _DAY))),
            (starts_on, told if moved else race, load),
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
        change=change_of(before, plan, history, rules=rules, moved=moved),
        rules=rules,
        now=now,
        too_little=detector.too_little(history, ends_on, rules=rules),
        never_ran=history.first_day is None,
        # Errors are reported only once.
        troubles=tuple(f"{source}: {trouble}" for source, trouble in sources.new_errors.items()),
        key_ends_on=_key_ends_on(sources, now),
        unseen=unseen(sources, services, ends_at=_ends_at(athlete, starts_on, now)),
        diary=tuple(one for one in diary if one.day > today - FORTNIGHT),
    )


def _key_ends_on(sources: SourceStates, now: datetime) -> date | None:
    """The last day of the first key that is about to expire; an expired one had its own mail."""
    valid = (one for one in sources.credentials.values() if one.revoked_at is None)
    ends = [one.ends_at for one in valid if one.ends_at]
    soon = [at for at in ends if timedelta(0) < at - now <= WARN_BEFORE]
    return local_day(sources.athlete, min(soon)) if soon else None
