"""The alert, from its facts to what its templates are given: figures, days, the picture."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from worker.checkins import advise
from worker.compose.chart import Level, Picture, Span, blocks_picture, days_picture, ramps_picture
from worker.compose.facts import AlertFacts
from worker.model import RecoveryDay, Run, Season, Week

LONG_RUN_OVER = 1.10
_BREAK_DAYS = 14
_DAYS_SHOWN = 30
_BLOCKS = 7
_MOST_DAYS = 182


def context(facts: AlertFacts, *, today: date) -> dict[str, Any]:
    """What the templates need beside the words, in nouns and numbers."""
    finding = facts.finding
    pause = _break(facts.runs, finding.day) if finding.kind == "return" else None
    advice = advise(facts.diary, today=today)
    plan = [entry for entry in facts.plan if entry.day >= today]
    if advice.stops_runs:
        plan = [_without_run(entry) for entry in plan]
    return {
        "finding": finding,
        "others": [other for other in facts.verdict.findings if other.kind != finding.kind],
        "break_days": _length(pause) if pause else None,
        "against": _against(facts),
        "advice": advice,
        "next_run": _next_run(plan, today),
        "long_m": None if advice.stops_runs else _next_long_m(facts),
        "mean_m": four_week_mean_m(facts.weeks[:-1]),
        "season": facts.verdict.season,
        "plan": plan,
    }


def picture(facts: AlertFacts, words: Any) -> tuple[Picture, str]:
    """The picture of what happened, and the same in words with all its numbers."""
    finding = facts.finding
    if finding.kind == "ramp":
        blocks = _blocks(facts.runs, finding.day)
        level = Level(finding.baseline_m, words.level_label(finding))
        drawn = blocks_picture(blocks, level=level, say=words.distance, say_day=words.short_date)
        return drawn, str(words.blocks_alt(blocks, finding))
    pause = _break(facts.runs, finding.day) if finding.kind == "return" else None
    first = _first_shown(finding.day, pause)
    since = (pause[1] - first).days if pause else 0
    drawn = days_picture(
        facts.runs,
        days=(first, finding.day),
        level=Level(finding.baseline_m, words.level_label(finding), max(0, since)),
        pause=pause,
        pause_label=words.off(_length(pause)) if pause else "",
        say=words.distance,
        say_day=words.short_date,
    )
    return drawn, str(words.days_alt(_daily(facts.runs, first, finding.day), finding))


def ramps(season: Season | None, words: Any) -> tuple[Picture, str] | None:
    """Last year's ramp beside this year's, where there are both."""
    if season is None or not season.last_ramp_m or not season.this_ramp_m:
        return None
    drawn = ramps_picture(
        season.this_ramp_m, season.last_ramp_m, say=words.whole, say_week=words.week_number
    )
    return drawn, str(words.ramps_alt(season))


def four_week_mean_m(weeks: Sequence[Week]) -> float | None:
    """Metres a week in the last four of these; None where there aren't four."""
    four = weeks[-4:]
    return sum(week.distance_m for week in four) / 4 if len(four) == 4 else None  # noqa: PLR2004  a mean of four


def _next_run(plan: Sequence[RecoveryDay], today: date) -> RecoveryDay | None:
    return next((entry for entry in plan if entry.action == "easy" and entry.day > today), None)


def _without_run(entry: RecoveryDay) -> RecoveryDay:
    """No run is suggested to somebody who should be seen first."""
    return replace(entry, action="rest", at_most_m=None) if entry.action == "easy" else entry


def _against(facts: AlertFacts) -> date | None:
    """The day of the run that the finding was measured by."""
    kind = facts.finding.kind
    return next((signal.against for signal in facts.verdict.signals if signal.kind == kind), None)


def _next_long_m(facts: AlertFacts) -> float | None:
    """1.10 times what the runner was prepared for by single runs *before* the finding."""
    signals = [signal for signal in facts.verdict.signals if signal.kind != "ramp"]
    before = [facts.finding] if facts.finding.kind != "ramp" else []
    baselines = [finding.baseline_m for finding in before] or [
        signal.baseline_m for signal in signals if signal.baseline_m
    ]
    return LONG_RUN_OVER * min(baselines) if baselines else None


def _break(runs: Sequence[Run], day: date) -> Span | None:
    """The last day before the break and the first one after it, where the runs show it."""
    days = sorted({run.day for run in runs if run.day <= day})
    gaps = [(last, back) for last, back in pairwise(days) if (back - last).days > _BREAK_DAYS]
    return max(gaps, key=lambda gap: gap[1], default=None)


def _length(pause: Span) -> int:
    return (pause[1] - pause[0]).days - 1


def _first_shown(day: date, pause: Span | None) -> date:
    """A month before the day; for a return a month before its break, if that isn't too far."""
    since = pause[0] if pause else day
    return max(since - timedelta(days=_DAYS_SHOWN), day - timedelta(days=_MOST_DAYS))


def _daily(runs: Sequence[Run], first: date, last: date) -> list[tuple[date, float]]:
    metres: dict[date, float] = {}
    for run in sorted(runs, key=lambda run: run.day):
        if first <= run.day <= last:
            metres[run.day] = metres.get(run.day, 0.0) + run.distance_m
    return list(metres.items())


def _blocks(runs: Sequence[Run], day: date) -> tuple[Week, ...]:
    """The last seven times seven days, the last of them ending on `day`."""
    blocks = []
    for back in range(_BLOCKS - 1, -1, -1):
        starts_on = day - timedelta(days=7 * back + 6)
        inside = [run for run in runs if 0 <= (run.day - starts_on).days < 7]  # noqa: PLR2004  a week
        metres = [run.distance_m for run in inside]
        blocks.append(Week(starts_on, sum(metres), len(metres), max(metres, default=0.0), 0.0))
    return tuple(blocks)
