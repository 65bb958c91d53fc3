"""Previews of mails, which are never queued, and a test mail that tries the settings."""

from datetime import datetime, timedelta

from worker.domain import detector, weeks
from worker.domain.models import Athlete, Email
from worker.domain.weeks import local_day
from worker.notify import Composer, NoticeFacts
from worker.pipeline.ingest import alert_facts
from worker.pipeline.services import Services, rendered
from worker.pipeline.unseen import SourceStates
from worker.pipeline.weekly import weekly_facts
from worker.setting_types import MailSection
from worker.store import Transaction


def alert_preview(
    tx: Transaction, services: Services, athlete: Athlete, *, now: datetime
) -> Email | None:
    """The alert about the newest day with a finding, up to `now`; None if there's none."""
    today = local_day(athlete, now)
    history = tx.runs.history(athlete, since=today, rules=services.rules)
    for day in reversed([day for day in history.days() if day <= today]):
        verdict = detector.judge_day(history, day, rules=services.rules, race=athlete.race)
        choice = detector.worth_mailing(
            verdict.findings, mailed=(), today=day, rules=services.rules
        )
        if not isinstance(choice, str):
            facts = alert_facts(tx, services, athlete, choice, verdict, history, now=now)
            return services.composer.alert(facts)
    return None


def trial_mail(composer: Composer, mail: MailSection, recipient: str, *, now: datetime) -> bytes:
    """A test mail that the operator can send to any address."""
    what = "This mail was sent to try the settings: mail from this Easeback reaches you."
    email = composer.notice(NoticeFacts(recipient=recipient, what=what))
    sender, reply_to = mail.from_header, mail.reply_to
    return rendered(email, key="trial", sender=sender, reply_to=reply_to, now=now)[1]


def weekly_preview(
    tx: Transaction, services: Services, athlete: Athlete, *, now: datetime
) -> Email:
    """The weekly mail that was due last."""
    due = weeks.last_weekly_due(athlete, now)
    starts_on = due.week_starts_on
    told = tx.progress.race_told(athlete, starts_on - timedelta(weeks=1))
    sources = SourceStates(tx, athlete)
    return services.composer.weekly(weekly_facts(sources, services, starts_on, told=told, now=now))
