"""The weekly mail: the facts about one week, and the mail about it.

The pipeline provides `WeeklyFacts`. `compose_weekly` computes the figures, the rows and the chart
for the templates in `templates/weekly/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import fmean

from worker.domain.checkins import CheckIn, advise
from worker.domain.models import Athlete, Email, Finding, Plan, PlannedWeek, Week
from worker.domain.plan_change import PlanChange
from worker.domain.routine import Step
from worker.domain.rules import Rules
from worker.domain.weeks import local_day, since_first_run
from worker.notify.chart import Level, Picture, weeks_picture
from worker.notify.render import Renderer, clean
from worker.notify.words import Catalogue

_SHOWN = 12
_SHOWN_BESIDE_PLAN = 6
_PLANNED = 9
_MEAN_OF = 4
_DIARY = 7
_TROUBLE = 300
_REASON = 200

WeekRow = tuple[str, tuple[str, str, str]]
"""A figure's title, and its values for this week, last week and the mean week."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A finding of the week, and why it was not mailed on its day ("" if it was)."""

    finding: Finding
    mailed: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A source that can't be read, or files that can't. `source` is its title, "" for the inbox."""

    source: str = ""
    since: date | None = None
    files: int = 0


@dataclass(frozen=True, slots=True)
class WeeklyFacts:
    """One week, the last of `weeks`: 12 or more calendar weeks, oldest first.

    `plan` is the plan of the following week, and `change` is how it differs from that of a week
    ago. `too_little` says what history is still missing, or is None. `troubles` are problems with
    sources and their remedies, a line each, each reported once; `unseen` is reported as long as
    it lasts. `key_ends_on` is set if the athlete's key to a source is about to expire. `diary` has
    the check-ins of the last fortnight.
    """

    athlete: Athlete
    weeks: tuple[Week, ...]
    findings: tuple[Noticed, ...]
    steps: Sequence[Step]
    plan: Plan
    rules: Rules
    now: datetime
    too_little: str | None = None
    never_ran: bool = False
    change: PlanChange | None = None
    troubles: tuple[str, ...] = ()
    key_ends_on: date | None = None
    unseen: tuple[Unseen, ...] = ()
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

    plan = facts.plan
    planned = plan.weeks[:_PLANNED]
    race = athlete.race if len(plan.weeks) > 1 else None
    empty_weeks = next((n for n, past in enumerate(reversed(facts.weeks)) if past.runs), None)
    shown = weeks[-_SHOWN_BESIDE_PLAN:] if race else weeks[-_SHOWN:]
    chart = week_chart(shown, words, mean_m=mean_m, planned=planned)
    context = {
        "week": week,
        "ends_on": week.starts_on + timedelta(days=6),
        "mean_m": mean_m,
        "empty_weeks": len(facts.weeks) if empty_weeks is None else empty_weeks,
        "weeks": shown,
        "planned": planned,
        "too_little": bool(facts.too_little),
        "never_ran": facts.never_ran,
        "advice": advice,
        "diary": sorted(facts.diary, key=lambda entry: entry.day)[-_DIARY:],
        "plan": plan,
        "coming": plan.weeks[0] if plan.weeks else None,
        "change": facts.change,
        "to_race": plan.weeks if race else (),
        "longest_m": max((week.long_m for week in plan.weeks), default=0.0),
        "race_name": clean(race.name) if race else "",
        "days_left": (race.day - today).days if race else 0,
        "noticed": [
            (item, clean(words.reason(item.why_not), longest=_REASON)) for item in facts.findings
        ],
        "key_ends_on": facts.key_ends_on,
        "unseen": facts.unseen,
        "troubles": [clean(_told(trouble, words), longest=_TROUBLE) for trouble in facts.troubles],
        "rows": _rows(weeks, words) if week.runs else [],
        "chart_alt": chart[1] if chart else "",
        **renderer.routine(facts.steps, locale),
    }
    return renderer.email(
        "weekly",
        athlete,
        context,
        locale=locale,
        images=[("chart.png", chart[0])] if chart else [],
        links=renderer.web_links(athlete, facts.now),
    )


def _told(trouble: str, words: Catalogue) -> str:
    """A problem in the reader's language; it begins with the name of its source."""
    source, colon, why = trouble.partition(": ")
    if not colon or source not in words.source_names:
        return words.reason(trouble)
    return f"{words.source_names[source]}{words.colon} {words.reason(why)}"


def week_chart(
    weeks: Sequence[Week],
    words: Catalogue,
    *,
    mean_m: float | None,
    planned: Sequence[PlannedWeek] = (),
) -> tuple[Picture, str] | None:
    """The chart of the weeks and the plan, and its text alternative; None for a single week."""
    if len(weeks) < 2:  # noqa: PLR2004 - one bar says nothing
        return None
    drawn = weeks_picture(
        weeks,
        mean=Level(mean_m, "", len(weeks) - 1 - _MEAN_OF) if mean_m else None,
        planned=planned,
        break_label=words.weeks_off,
        say=words.whole,
        say_day=words.short_date,
    )
    said = str(words.weeks_alt(weeks))
    return drawn, f"{said} {words.plan_alt(planned)}" if planned else said


def _rows(weeks: Sequence[Week], words: Catalogue) -> list[WeekRow]:
    """The last week, compared with the week before it and the mean of the four before."""
    if len(weeks) < 2:  # noqa: PLR2004 - nothing to compare
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
