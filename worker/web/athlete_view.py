"""The data of an athlete's page, read from the store and judged by the rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from markupsafe import Markup

from worker.domain import checkins, detector, planner
from worker.domain.checkins import Advice, CheckIn
from worker.domain.history import History
from worker.domain.models import Athlete, Ceiling, Plan, Signal, Week
from worker.domain.weeks import local_day, past_weeks, since_first_run
from worker.notify.render import Locale
from worker.notify.weekly import week_chart
from worker.pipeline.plans import stored_plan
from worker.store import StoredFinding, StoredRun, Transaction
from worker.store.progress import SourceState
from worker.web.context import WebContext

_WEEKS_SHOWN = 14
_WEEKS_BESIDE_PLAN = 8
_WEEKS_PLANNED = 9
_FINDINGS_SHOWN = 8
_ALERT_DAYS = timedelta(days=182)
_DIARY_DAYS = timedelta(days=91)
_RUN_DAYS = timedelta(days=42)


@dataclass(frozen=True, slots=True)
class AlertDay:
    """A day with findings: the most important one, the others, and the thresholds used."""

    lead: StoredFinding
    others: tuple[StoredFinding, ...]
    signals: tuple[Signal, ...]

    @property
    def against(self) -> date | None:
        """The day of the run to which the leading finding was compared."""
        kind = self.lead.finding.kind
        return next((signal.against for signal in self.signals if signal.kind == kind), None)


@dataclass(frozen=True, slots=True)
class AthleteView:
    """An athlete's data as of today."""

    day: date
    runs: int
    last_run_on: date | None
    weeks: tuple[Week, ...]
    chart: Markup | None
    ceiling: Ceiling
    plan: Plan
    too_little: bool
    alerts: tuple[AlertDay, ...]
    diary: tuple[CheckIn, ...]
    advice: Advice
    sources: Mapping[str, SourceState]


def athlete_view(
    web: WebContext, tx: Transaction, athlete: Athlete, *, now: datetime, locale: Locale
) -> AthleteView:
    """Everything that the page shows."""
    day = local_day(athlete, now)
    history = tx.runs.history(athlete, since=day, rules=web.rules)
    found = tx.findings.standing(athlete, since=day - _ALERT_DAYS)[-_FINDINGS_SHOWN:]
    diary = tx.checkins.since(athlete, day - _DIARY_DAYS)
    weeks = past_weeks(history, until=day, count=_WEEKS_SHOWN, week_starts=athlete.week_starts)
    plan = stored_plan(tx, athlete, history, day, race=athlete.race, rules=web.rules)
    number, last_at = tx.runs.count(athlete)
    advice = checkins.advise(diary, today=day)
    return AthleteView(
        day=day,
        runs=number,
        last_run_on=local_day(athlete, last_at) if last_at else None,
        weeks=weeks,
        chart=_chart(web, locale, weeks, plan),
        ceiling=planner.ceiling(plan, history, rules=web.rules),
        plan=plan,
        too_little=detector.too_little(history, day, rules=web.rules) is not None,
        alerts=_shown(web, athlete, history, found),
        diary=diary[::-1],
        advice=advice,
        sources=tx.progress.sources(athlete),
    )


def listed_runs(tx: Transaction, athlete: Athlete, shown: AthleteView) -> tuple[StoredRun, ...]:
    """The runs of the last weeks and those with findings, newest first."""
    since = shown.day - _RUN_DAYS
    stood_out = {alert.lead.finding.run_id for alert in shown.alerts}
    return tuple(
        one
        for one in reversed(tx.runs.all(athlete))
        if one.run.day >= since or one.run.id in stood_out
    )


def _shown(
    web: WebContext, athlete: Athlete, history: History, found: tuple[StoredFinding, ...]
) -> tuple[AlertDay, ...]:
    """Newest first. Each day is judged again, because its verdict isn't stored."""
    by_day: dict[date, list[StoredFinding]] = {}
    for one in found:
        by_day.setdefault(one.finding.day, []).append(one)
    shown = []
    for day in reversed(by_day):
        verdict = detector.judge_day(history, day, rules=web.rules, race=athlete.race)
        lead, *others = sorted(by_day[day], key=_leading)
        shown.append(AlertDay(lead, tuple(others), verdict.signals))
    return tuple(shown)


def _leading(found: StoredFinding) -> tuple[bool, int, int]:
    """Mailed findings first, then the most severe, then the single run."""
    finding = found.finding
    return (
        found.notified_on is None,
        -finding.severity,
        ("run", "return", "ramp", "month").index(finding.kind),
    )


def _chart(web: WebContext, locale: Locale, weeks: tuple[Week, ...], plan: Plan) -> Markup | None:
    """The weeks from the first run to the current one, and the planned weeks; None if empty."""
    words = web.pages.words(locale)
    planned = [week for week in plan.weeks if week.starts_on > plan.day][:_WEEKS_PLANNED]
    shown = since_first_run(weeks[-_WEEKS_BESIDE_PLAN:] if planned else weeks)
    drawn = week_chart(shown, words, mean_m=None, planned=planned)
    return web.pages.svg(drawn[0], title=drawn[1]) if drawn else None
