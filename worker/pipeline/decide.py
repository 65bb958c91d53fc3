"""Decide: recordings become runs, runs findings, and at most one of those a mail.

Everything here happens inside the caller's transaction, so that a finding and the mail about it
are kept together or not at all.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from statistics import fmean, median

from worker import ceiling, detect, routine, week
from worker.checkins import FORTNIGHT, CheckIn
from worker.compose import AlertFacts
from worker.load import History
from worker.model import Athlete, Email, Finding, Recording, RecoveryDay, Run, Verdict
from worker.pipeline.works import Works, enqueue, today_of
from worker.store import Change, Found, Transaction

EPISODE_DAYS = 42
"""Alerts nearer to one another than this are one episode, and one thread in the mail reader."""

CHART_WEEKS = 14
_MONTH_DAYS = 30
_WEEK = timedelta(days=7)

TOLD_TOGETHER = "it was told in the mail about another finding"
RESTORED_SINCE = "a backup was restored since: it may have been mailed before"
UNSUBSCRIBED = "alerts are unsubscribed"
IMPORTED = "it was imported: nothing is mailed about the past"


def decide(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    arrived: Iterable[Recording],
    *,
    now: datetime,
    silence: str | None = None,
    also_since: date | None = None,
) -> Change:
    """Keep what arrived and judge every day it touches.

    `silence` says why nothing of it may be mailed (a first sync, an import), else None.
    `also_since` is the first day of another change that belongs to this one.
    """
    tx.athletes.hold(athlete)
    judge_overdue(tx, works, athlete, now=now)
    change = tx.runs.save(athlete, arrived, now=now, today=today_of(athlete, now))
    touched = [day for day in (change.first_day, also_since) if day is not None]
    if touched:
        judge(tx, works, athlete, since=min(touched), now=now, silence=silence)
    return change


def judge_overdue(tx: Transaction, works: Works, athlete: Athlete, *, now: datetime) -> None:
    """Judge in silence what an import has kept since it last judged, if anything."""
    since = tx.imports.unjudged(athlete)
    if since is not None:
        judge(tx, works, athlete, since=since, now=now, silence=IMPORTED)
        tx.imports.judged(athlete)


def judge(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    *,
    since: date,
    now: datetime,
    silence: str | None = None,
) -> None:
    """Judge every day from `since` on; withdraw what no longer holds, mail what should be."""
    history = tx.runs.history(athlete, since=since, rules=works.rules)
    days = [day for day in history.days() if day >= since]
    verdicts = {
        verdict.day: verdict
        for verdict in detect.judge_days(history, days, rules=works.rules, race=athlete.race)
    }
    found = [finding for verdict in verdicts.values() for finding in verdict.findings]
    risen = tx.findings.reconcile(athlete, since=since, found=found, now=now)
    risen = _not_told_before(tx, athlete, risen)
    if not risen:
        return
    choice = silence or _choose(tx, works, athlete, risen, history, today=today_of(athlete, now))
    if isinstance(choice, str):
        tx.findings.silence(risen, choice)
        return
    email = _alert(tx, works, athlete, choice, verdicts[choice.finding.day], history, now=now)
    _leave(tx, works, athlete, [one for one in risen if one.id != choice.id], choice, now=now)
    _tell(tx, works, athlete, choice, email, now=now)


def _not_told_before(
    tx: Transaction, athlete: Athlete, risen: tuple[Found, ...]
) -> tuple[Found, ...]:
    """What a restored backup can't have told already; the rest is kept with that as the reason."""
    restored_at = tx.progress.restored_at()
    if restored_at is None:
        return risen
    restored_on = today_of(athlete, restored_at)
    tx.findings.silence((one for one in risen if one.finding.day <= restored_on), RESTORED_SINCE)
    return tuple(one for one in risen if one.finding.day > restored_on)


def _leave(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    others: Sequence[Found],
    told: Found,
    *,
    now: datetime,
) -> None:
    """Keep why the other findings have no mail of their own; those of its day stand in `told`."""
    today = today_of(athlete, now)
    mailed = detect.Told(today, told.finding.severity)
    for one in others:
        why = detect.worth_mailing([one.finding], told=[mailed], today=today, rules=works.rules)
        together = one.finding.day == told.finding.day or not isinstance(why, str)
        tx.findings.silence([one], TOLD_TOGETHER if together else str(why))


def _choose(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    risen: Sequence[Found],
    history: History,
    *,
    today: date,
) -> Found | str:
    """The finding to mail, or why there's silence."""
    if "alert" not in athlete.wants:
        return UNSUBSCRIBED
    since = today - timedelta(days=works.rules.mail_forget_days)
    told = [
        detect.Told(one.told_on, one.told_severity)
        for one in tx.findings.told(athlete, since=since)
        if one.told_on is not None and one.told_severity is not None
    ]
    by_finding = {one.finding: one for one in risen}
    choice = detect.worth_mailing(
        list(by_finding), told=told, today=today, rules=works.rules, history=history
    )
    return choice if isinstance(choice, str) else by_finding[choice]


def _tell(
    tx: Transaction, works: Works, athlete: Athlete, found: Found, email: Email, *, now: datetime
) -> None:
    key = f"alert:{found.id}:{found.finding.severity}"
    outbox_id = enqueue(tx, works, email, athlete=athlete, key=key, now=now)
    if outbox_id is not None:
        tx.findings.tell(found, outbox_id=outbox_id, on=today_of(athlete, now))


def _alert(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    found: Found,
    verdict: Verdict,
    history: History,
    *,
    now: datetime,
) -> Email:
    day = found.finding.day
    episode = tx.findings.told(athlete, since=day - timedelta(days=EPISODE_DAYS))
    earlier = [one for one in episode if one.message_id and one.id != found.id]
    return works.composer.alert(
        alert_facts(
            works,
            athlete,
            found.finding,
            verdict,
            history,
            diary=diary(tx, athlete, now=now),
            now=now,
            reply_to_id=earlier[0].message_id if earlier else None,
        )
    )


def alert_facts(
    works: Works,
    athlete: Athlete,
    finding: Finding,
    verdict: Verdict,
    history: History,
    *,
    diary: Sequence[CheckIn],
    now: datetime,
    reply_to_id: str | None = None,
) -> AlertFacts:
    """All that the alert about this finding tells of."""
    day = finding.day
    return AlertFacts(
        athlete=athlete,
        finding=finding,
        verdict=verdict,
        runs=runs_of(history, until=day),
        weeks=week.weeks(history, until=day, count=CHART_WEEKS, week_starts=athlete.week_starts),
        prescription=routine.prescribe(
            works.routines, pain=athlete.pain, severity=finding.severity
        ),
        plan=_plan(history, day),
        ceiling=ceiling.ceiling(
            history, day, rules=works.rules, week_starts=athlete.week_starts, race=athlete.race
        ),
        now=now,
        reply_to_id=reply_to_id,
        diary=tuple(diary),
    )


def diary(tx: Transaction, athlete: Athlete, *, now: datetime) -> tuple[CheckIn, ...]:
    """How it felt in the last fortnight, oldest first."""
    return tx.checkins.since(athlete, today_of(athlete, now) - FORTNIGHT)


def runs_of(history: History, *, until: date, days: int = 7 * CHART_WEEKS) -> tuple[Run, ...]:
    """The runs of the last `days` days."""
    sessions = history.between(until - timedelta(days=days), until)
    return tuple(run for session in sessions for run in session.runs)


def _plan(history: History, day: date) -> tuple[RecoveryDay, ...]:
    """The recovery days, measured by what was usual before `day`."""
    before = history.between(day - timedelta(days=_MONTH_DAYS), day - timedelta(days=1))
    month_m = [session.distance_m for session in before]
    weeks_m = [history.sum_m(day - _WEEK * n, day - _WEEK * (n - 1) - timedelta(days=1))
               for n in range(1, 5)]  # fmt: skip
    return routine.recovery(
        day,
        median_m=median(month_m) if month_m else None,
        longest_before_m=max(month_m, default=None),
        four_week_mean_m=fmean(weeks_m) if any(weeks_m) else None,
    )
