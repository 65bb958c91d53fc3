"""The alert: the facts about one finding, and the mail about it.

The pipeline provides `AlertFacts`. `compose_alert` computes the figures, the days and the charts
for the templates in `templates/alert/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from worker.domain.checkins import CheckIn, advise
from worker.domain.history import counted_m
from worker.domain.models import Athlete, Email, Finding, Run, Season, Verdict, Week
from worker.domain.planner import Recovery
from worker.domain.routine import Step
from worker.domain.rules import Rules
from worker.domain.weeks import local_day
from worker.notify.chart import Level, Picture, Span, blocks_picture, days_picture, ramps_picture
from worker.notify.render import Renderer
from worker.notify.words import Catalogue

BLOCKS_SHOWN = 7
"""The number of bars in the chart of a ramp or a month's rise."""

_MOST_DAYS_SHOWN = 182


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One finding to alert the athlete to, and the `rules` by which it was found.

    `runs` reach back at least 13 weeks, in any order. `reply_to_id` is the Message-ID of the first
    mail of the same episode, so that mail readers show them as one thread. `diary` has the
    check-ins of the last fortnight.
    """

    athlete: Athlete
    finding: Finding
    verdict: Verdict
    runs: Sequence[Run]
    steps: Sequence[Step]
    recovery: Recovery
    rules: Rules
    now: datetime
    reply_to_id: str | None = None
    diary: tuple[CheckIn, ...] = ()


def compose_alert(renderer: Renderer, facts: AlertFacts) -> Email:
    """The mail about one finding."""
    athlete, finding, verdict = facts.athlete, facts.finding, facts.verdict
    locale = renderer.locale(athlete, facts.rules)
    words = renderer.loader.words("text", locale)
    today = local_day(athlete, facts.now)
    advice = advise(facts.diary, today=today)
    plan = [entry for entry in facts.recovery.days if entry.day >= today]
    if advice.stops_runs:
        # No run or exercise is suggested to an athlete who should see a clinician first.
        plan = [
            replace(entry, action="rest", at_most_m=None)
            if entry.action in ("easy", "walk")
            else entry
            for entry in plan
        ]
    pause = _break(facts)
    chart, chart_alt = alert_chart(facts, words)
    images, ramps_alt = [("chart.png", chart)], ""
    season = None if advice.stops_runs else verdict.season
    if ramps := ramps_chart(season, words):
        images.append(("ramps.png", ramps[0]))
        ramps_alt = ramps[1]
    context = {
        "finding": finding,
        "others": [other for other in verdict.findings if other.kind != finding.kind],
        "break_days": _days_off(pause) if pause else None,
        "against": next((one.against for one in verdict.signals if one.kind == finding.kind), None),
        "advice": advice,
        "next_run": next((e for e in plan if e.action == "easy" and e.day > today), None),
        "long_m": None if advice.stops_runs else facts.recovery.next_long_m,
        "week_m": None if advice.stops_runs else facts.recovery.week_m,
        "season": season,
        "plan": plan,
        "chart_alt": chart_alt,
        "ramps_alt": ramps_alt,
        "areas": [area for area in athlete.pain if area in words.area_names],
        **renderer.routine(facts.steps, locale),
    }
    first_id = facts.reply_to_id
    return renderer.email(
        "alert",
        athlete,
        context,
        locale=locale,
        images=images,
        headers=(("In-Reply-To", first_id), ("References", first_id)) if first_id else (),
        links=renderer.web_links(athlete, facts.now, felt_on=finding.day),
    )


def alert_chart(facts: AlertFacts, words: Catalogue) -> tuple[Picture, str]:
    """The chart of what happened, and its text alternative with all its numbers."""
    finding, rules = facts.finding, facts.rules
    if finding.kind in ("ramp", "month"):
        days = rules.ramp_days if finding.kind == "ramp" else rules.month_days
        blocks = _blocks(facts.runs, finding.day, days=days, rules=rules)
        level = Level(finding.baseline_m, words.level_label(finding))
        drawn = blocks_picture(blocks, level=level, say=words.distance, say_day=words.short_date)
        return drawn, str(words.blocks_alt(blocks, finding))
    pause = _break(facts)
    # The window of the rule before the day or the break, cut off if it is too far back.
    first = (pause[0] if pause else finding.day) - timedelta(days=rules.run_window_days)
    first = max(first, finding.day - timedelta(days=_MOST_DAYS_SHOWN))
    since = (pause[1] - first).days if pause else 0
    daily_m: dict[date, float] = {}
    for run in sorted(facts.runs, key=lambda run: run.day):
        if first <= run.day <= finding.day:
            daily_m[run.day] = daily_m.get(run.day, 0.0) + counted_m(run, rules=rules)
    drawn = days_picture(
        daily_m,
        days=(first, finding.day),
        level=Level(finding.baseline_m, words.level_label(finding), max(0, since)),
        pause=pause,
        pause_label=words.off(_days_off(pause)) if pause else "",
        say=words.distance,
        say_day=words.short_date,
    )
    return drawn, str(words.days_alt(list(daily_m.items()), finding))


def ramps_chart(season: Season | None, words: Catalogue) -> tuple[Picture, str] | None:
    """The chart of both years' ramps and its text alternative, or None if there is only one."""
    if season is None or not season.last_ramp_m or not season.this_ramp_m:
        return None
    drawn = ramps_picture(
        season.this_ramp_m, season.last_ramp_m, say=words.whole, say_week=words.week_number
    )
    return drawn, str(words.ramps_alt(season))


def _break(facts: AlertFacts) -> Span | None:
    """The last run before a return's break and the first one after it, or None if not in `runs`."""
    if facts.finding.kind != "return":
        return None
    days = sorted({run.day for run in facts.runs if run.day <= facts.finding.day})
    gaps = [
        (last, back)
        for last, back in pairwise(days)
        if (back - last).days > facts.rules.return_break_days
    ]
    return max(gaps, key=lambda gap: gap[1], default=None)


def _days_off(pause: Span) -> int:
    return (pause[1] - pause[0]).days - 1


def _blocks(runs: Sequence[Run], day: date, *, days: int, rules: Rules) -> tuple[Week, ...]:
    """The last blocks of `days` days; the last block ends on `day`."""
    blocks = []
    for back in range(BLOCKS_SHOWN - 1, -1, -1):
        starts_on = day - timedelta(days=days * (back + 1) - 1)
        metres = [
            counted_m(run, rules=rules) for run in runs if 0 <= (run.day - starts_on).days < days
        ]
        blocks.append(Week(starts_on, sum(metres), len(metres), max(metres, default=0.0), 0.0))
    return tuple(blocks)
