"""The weekly mail, from its facts to what its templates are given: figures, rows, the picture."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from worker.checkins import advise
from worker.compose.alert import LONG_RUN_OVER, four_week_mean_m
from worker.compose.chart import Level, Picture, weeks_picture
from worker.compose.facts import Noticed, WeeklyFacts
from worker.compose.words import clean, plainly
from worker.model import Ceiling, Week

_SHOWN = 12
_LONG_RUNS = 6
_DIARY = 7
_TROUBLE = 300
_CALM = timedelta(days=7)


def context(facts: WeeklyFacts, *, today: date) -> dict[str, Any]:
    """What the templates need beside the words, in nouns and numbers."""
    shown = _since_first_run(facts.weeks)[-_SHOWN:]
    calm = _calm(facts, today)
    advice = advise(facts.diary, today=today)
    ceiling = None if advice.stops_runs else facts.ceiling
    readiness = ceiling.readiness if ceiling else None
    return {
        "week": facts.week,
        "ends_on": facts.week.starts_on + timedelta(days=6),
        "mean_m": four_week_mean_m(_since_first_run(facts.weeks)[:-1]),
        "empty_weeks": _empty_at_the_end(facts.weeks),
        "weeks": shown,
        "calm_until": calm.finding.day + _CALM if calm else None,
        "calm_long_m": LONG_RUN_OVER * calm.finding.baseline_m if calm else None,
        "ceiling_m": _week_ceiling_m(facts, today),
        "too_little": bool(facts.too_little),
        "never_ran": facts.never_ran,
        "advice": advice,
        "diary": sorted(facts.diary, key=lambda entry: entry.day)[-_DIARY:],
        "ceiling": ceiling,
        "readiness": readiness,
        "race_name": clean(readiness.race.name) if readiness else "",
        "days_left": (readiness.race.day - today).days if readiness else 0,
        "long_runs": [] if calm else _ahead(ceiling, today),
        "noticed": [(item, plainly(item.why_not)) for item in facts.findings],
        "key_ends_on": facts.key_ends_on,
        "troubles": [clean(trouble, longest=_TROUBLE) for trouble in facts.troubles],
    }


def rows(facts: WeeklyFacts, words: Any) -> list[tuple[str, tuple[str, str, str]]]:
    """The week beside the last and the mean of the four before: a title and three cells a row."""
    weeks = _since_first_run(facts.weeks)
    if not facts.week.runs or len(weeks) < 2:  # noqa: PLR2004 - nothing to lay beside it
        return []
    last, four = weeks[-2], weeks[-5:-1] if len(weeks) > 4 else ()  # noqa: PLR2004  it and four

    def row(title: str, of: Any, say: Any) -> tuple[str, tuple[str, str, str]]:
        mean = sum(of(week) for week in four) / 4 if four else None
        return title, (say(of(facts.week)), say(of(last)), "" if mean is None else say(mean))

    return [
        row(words.row_distance, lambda week: week.distance_m, words.distance),
        row(words.row_runs, lambda week: week.runs, words.count),
        row(words.row_longest, lambda week: week.longest_m, words.distance),
        row(words.row_time, lambda week: week.moving_s, words.hours),
    ]


def picture(facts: WeeklyFacts, words: Any, *, today: date) -> tuple[Picture, str] | None:
    """Twelve weeks with mean, breaks and the coming ceiling; None before there are two."""
    shown = _since_first_run(facts.weeks)[-_SHOWN:]
    if len(shown) < 2:  # noqa: PLR2004 - one bar says nothing
        return None
    mean_m = four_week_mean_m(_since_first_run(facts.weeks)[:-1])
    drawn = weeks_picture(
        shown,
        mean=Level(mean_m, "", len(shown) - 5) if mean_m else None,
        ceiling_m=_week_ceiling_m(facts, today),
        break_label=words.weeks_off,
        say=words.whole,
        say_day=words.short_date,
    )
    return drawn, str(words.weeks_alt(shown))


def _calm(facts: WeeklyFacts, today: date) -> Noticed | None:
    """The run whose calm days still go on: they come before any ceiling, which counts that run."""
    told = [item for item in facts.findings if item.mailed and item.finding.kind != "ramp"]
    return next((item for item in reversed(told) if item.finding.day + _CALM > today), None)


def _week_ceiling_m(facts: WeeklyFacts, today: date) -> float | None:
    stopped = _calm(facts, today) or advise(facts.diary, today=today).stops_runs
    return facts.ceiling.week_m if facts.ceiling and not stopped else None


def _since_first_run(weeks: Sequence[Week]) -> Sequence[Week]:
    """The weeks from the first one with a run: before it nobody rested, nobody was known."""
    first = next((n for n, week in enumerate(weeks) if week.runs), len(weeks))
    return weeks[first:]


def _empty_at_the_end(weeks: Sequence[Week]) -> int:
    count = 0
    for week in reversed(weeks):
        if week.runs:
            break
        count += 1
    return count


def _ahead(ceiling: Ceiling | None, today: date) -> list[Any]:
    if ceiling is None or ceiling.readiness is None:
        return []
    return [run for run in ceiling.readiness.plan if run.day >= today][:_LONG_RUNS]
