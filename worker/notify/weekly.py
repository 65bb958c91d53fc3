"""The weekly mail: what is known of one week, and the mail about it.

`WeeklyFacts` come from the pipeline; `compose_weekly` works out the figures, the rows and the chart
that the templates in `templates/weekly/` are given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import fmean
from typing import Any

from worker.domain.checkins import CheckIn, advise
from worker.domain.models import Athlete, Ceiling, Email, Finding, Step, Week
from worker.domain.planner import RECOVERY, recovering_from
from worker.domain.rules import Rules
from worker.domain.weeks import local_day, since_first_run
from worker.notify.chart import Level, Picture, weeks_picture
from worker.notify.render import Renderer, clean, plainly, routine_context

_SHOWN = 12
_MEAN_OF = 4
_LONG_RUNS = 6
_DIARY = 7
_TROUBLE = 300

WeekRow = tuple[str, tuple[str, str, str]]
"""A figure's title, and how much of it this week, last week and the mean week had."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A finding of the week, and why it was not mailed on its day ("" where it was)."""

    finding: Finding
    mailed: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class WeeklyFacts:
    """One week, the last of `weeks`: 12 or more calendar weeks, oldest first.

    `too_little` says in words what history is still missing, or is None. `troubles` tell what
    couldn't be synced and what to do, a line each, each told once. `key_ends_on` is set while the
    athlete's key to a source is about to run out. `diary` are the check-ins of the last fortnight.
    """

    athlete: Athlete
    weeks: tuple[Week, ...]
    findings: tuple[Noticed, ...]
    steps: Sequence[Step]
    ceiling: Ceiling | None
    rules: Rules
    now: datetime
    too_little: str | None = None
    never_ran: bool = False
    troubles: tuple[str, ...] = ()
    key_ends_on: date | None = None
    diary: tuple[CheckIn, ...] = ()


def compose_weekly(renderer: Renderer, facts: WeeklyFacts) -> Email:
    """The summary of one week."""
    athlete, week, rules = facts.athlete, facts.weeks[-1], facts.rules
    locale = renderer.locale(athlete, rules)
    words = renderer.loader.words("text", locale)
    today = local_day(athlete, facts.now)
    advice = advise(facts.diary, today=today)
    weeks = since_first_run(facts.weeks)
    before = weeks[-1 - _MEAN_OF : -1]
    mean_m = fmean(w.distance_m for w in before) if len(before) == _MEAN_OF else None

    # The days after an alert come before any ceiling, which counts the run that was too long.
    mailed = (item.finding for item in facts.findings if item.mailed)
    jump = recovering_from(mailed, today)
    jumps = [item.finding for item in facts.findings
             if jump and item.finding.day == jump.day and item.finding.kind != "ramp"]  # fmt: skip
    over = {"run": rules.run_over, "return": rules.return_over}
    ceiling = None if advice.stops_runs else facts.ceiling
    ceiling_m = ceiling.week_m if ceiling and not jump else None
    readiness = ceiling.readiness if ceiling else None
    long_runs = readiness.plan if readiness and not jump else ()

    empty_weeks = next((n for n, past in enumerate(reversed(facts.weeks)) if past.runs), None)
    chart = week_chart(weeks[-_SHOWN:], words, mean_m=mean_m, ceiling_m=ceiling_m)
    context = {
        "week": week,
        "ends_on": week.starts_on + timedelta(days=6),
        "mean_m": mean_m,
        "empty_weeks": len(facts.weeks) if empty_weeks is None else empty_weeks,
        "weeks": weeks[-_SHOWN:],
        "calm_until": jump.day + RECOVERY if jump else None,
        # The next long run after a jump, by its own rule and the runs before it.
        "calm_long_m": min((over[one.kind] * one.baseline_m for one in jumps), default=None),
        "ceiling_m": ceiling_m,
        "too_little": bool(facts.too_little),
        "never_ran": facts.never_ran,
        "advice": advice,
        "diary": sorted(facts.diary, key=lambda entry: entry.day)[-_DIARY:],
        "ceiling": ceiling,
        "readiness": readiness,
        "race_name": clean(readiness.race.name) if readiness else "",
        "days_left": (readiness.race.day - today).days if readiness else 0,
        "long_runs": [run for run in long_runs if run.day >= today][:_LONG_RUNS],
        "noticed": [(item, plainly(item.why_not)) for item in facts.findings],
        "key_ends_on": facts.key_ends_on,
        "troubles": [clean(trouble, longest=_TROUBLE) for trouble in facts.troubles],
        "rows": _rows(weeks, words) if week.runs else [],
        "chart_alt": chart[1] if chart else "",
        **routine_context(facts.steps),
    }
    return renderer.email(
        "weekly",
        athlete,
        context,
        locale=locale,
        images=[("chart.png", chart[0])] if chart else [],
        links=renderer.web_links(athlete, facts.now),
    )


def week_chart(
    weeks: Sequence[Week], words: Any, *, mean_m: float | None, ceiling_m: float | None
) -> tuple[Picture, str] | None:
    """Weeks with mean, breaks and the coming ceiling, and the same in words; None for one week."""
    if len(weeks) < 2:  # noqa: PLR2004 - one bar says nothing
        return None
    drawn = weeks_picture(
        weeks,
        mean=Level(mean_m, "", len(weeks) - 1 - _MEAN_OF) if mean_m else None,
        ceiling_m=ceiling_m,
        break_label=words.weeks_off,
        say=words.whole,
        say_day=words.short_date,
    )
    return drawn, str(words.weeks_alt(weeks))


def _rows(weeks: Sequence[Week], words: Any) -> list[WeekRow]:
    """The last of the weeks beside the one before it and the mean of the four before."""
    if len(weeks) < 2:  # noqa: PLR2004 - nothing to lay beside it
        return []
    this, last = weeks[-1], weeks[-2]
    before = weeks[-1 - _MEAN_OF : -1] if len(weeks) > _MEAN_OF else ()
    figures: list[tuple[str, Callable[[Week], float], Callable[[float], str]]] = [
        (words.row_distance, lambda week: week.distance_m, words.distance),
        (words.row_runs, lambda week: week.runs, words.count),
        (words.row_longest, lambda week: week.longest_m, words.distance),
        (words.row_time, lambda week: week.moving_s, words.hours),
    ]
    return [
        (
            title,
            (say(of(this)), say(of(last)), say(sum(map(of, before)) / _MEAN_OF) if before else ""),
        )
        for title, of, say in figures
    ]
