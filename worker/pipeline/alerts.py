"""The facts of an alert, read in the transaction that queues it."""

from dataclasses import replace
from datetime import datetime, timedelta

from worker.domain import planner, routine
from worker.domain.checkins import FORTNIGHT, CheckIn
from worker.domain.history import History
from worker.domain.models import Athlete, Email, Finding, Verdict
from worker.notify import AlertFacts
from worker.notify.alert import BLOCKS_SHOWN
from worker.pipeline.services import Services, today_of
from worker.store import Found, Transaction

CHART_WEEKS = 14
"""Weeks of runs that a mail is given, a few more than its chart shows."""


def compose_alert(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    found: Found,
    verdict: Verdict,
    history: History,
    *,
    now: datetime,
) -> Email:
    """The mail about a finding, in one thread with those of the same episode."""
    since = found.finding.day - timedelta(days=services.rules.mail_thread_days)
    earlier = [one for one in tx.findings.told(athlete, since=since)
               if one.message_id and one.id != found.id]  # fmt: skip
    facts = alert_facts(tx, services, athlete, found.finding, verdict, history, now=now)
    return services.composer.alert(
        replace(facts, reply_to_id=earlier[0].message_id if earlier else None)
    )


def alert_facts(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    finding: Finding,
    verdict: Verdict,
    history: History,
    *,
    now: datetime,
) -> AlertFacts:
    """All that the alert about this finding tells of, but for the mail that it answers."""
    rules = services.rules
    days = max(7 * CHART_WEEKS, BLOCKS_SHOWN * rules.ramp_days, rules.run_window_days)
    shown = history.between(finding.day - timedelta(days=days), finding.day)
    return AlertFacts(
        athlete=athlete,
        finding=finding,
        verdict=verdict,
        runs=tuple(run for session in shown for run in session.runs),
        prescription=routine.prescribe(
            services.routines, pain=athlete.pain, severity=finding.severity
        ),
        recovery=planner.recovery(history, finding.day, rules=rules),
        rules=rules,
        now=now,
        diary=recent_checkins(tx, athlete, now=now),
    )


def recent_checkins(tx: Transaction, athlete: Athlete, *, now: datetime) -> tuple[CheckIn, ...]:
    """How it felt in the last fortnight, oldest first."""
    return tx.checkins.since(athlete, today_of(athlete, now) - FORTNIGHT)
