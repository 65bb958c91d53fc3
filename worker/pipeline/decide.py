"""Decide: recordings become runs, runs findings, and at most one of those a mail.

Everything here happens inside the caller's transaction, so that a finding and the mail about it
are kept together or not at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from worker import ceiling, detect, routine
from worker.checkins import FORTNIGHT, CheckIn
from worker.compose import AlertFacts
from worker.compose.alert import BLOCKS_SHOWN
from worker.load import History
from worker.model import Athlete, Email, Finding, Recording, Verdict
from worker.pipeline.works import Works, enqueue, today_of
from worker.store import Change, Found, Transaction

CHART_WEEKS = 14
"""Weeks of runs that a mail is given, a few more than its chart shows."""

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
    """The mail about a finding, in one thread with those of the same episode."""
    since = found.finding.day - timedelta(days=works.rules.mail_thread_days)
    earlier = [one for one in tx.findings.told(athlete, since=since)
               if one.message_id and one.id != found.id]  # fmt: skip
    facts = alert_facts(tx, works, athlete, found.finding, verdict, history, now=now)
    return works.composer.alert(
        replace(facts, reply_to_id=earlier[0].message_id if earlier else None)
    )


def alert_facts(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    finding: Finding,
    verdict: Verdict,
    history: History,
    *,
    now: datetime,
) -> AlertFacts:
    """All that the alert about this finding tells of, but for the mail that it answers."""
    rules = works.rules
    days = max(7 * CHART_WEEKS, BLOCKS_SHOWN * rules.ramp_days, rules.run_window_days)
    shown = history.between(finding.day - timedelta(days=days), finding.day)
    return AlertFacts(
        athlete=athlete,
        finding=finding,
        verdict=verdict,
        runs=tuple(run for session in shown for run in session.runs),
        prescription=routine.prescribe(
            works.routines, pain=athlete.pain, severity=finding.severity
        ),
        recovery=ceiling.recovery(history, finding.day, rules=rules),
        rules=rules,
        now=now,
        diary=recent_checkins(tx, athlete, now=now),
    )


def recent_checkins(tx: Transaction, athlete: Athlete, *, now: datetime) -> tuple[CheckIn, ...]:
    """How it felt in the last fortnight, oldest first."""
    return tx.checkins.since(athlete, today_of(athlete, now) - FORTNIGHT)
