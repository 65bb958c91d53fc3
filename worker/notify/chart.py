"""The chart: days or weeks as bars, as SVG for a page and as PNG for a mail.

Positions are computed here. `templates/chart/bars.svg` draws them, with classes and without
colours. A page has its own style sheet for them; `chart_png` makes the mail's picture from the
same SVG. Every number in a picture is also in the mail's text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import Literal

from worker.domain.models import PlannedWeek, Week

WIDTH, HEIGHT = 400, 196
_TOP, _FLOOR = 30.0, 172.0
_LETTER = 7.6  # approximate width of a letter in a label
_WIDE_LETTER = 9.4  # the same in the widest font of a page

Tone = Literal["plain", "now", "spike", "earlier", "planned"]
Anchor = Literal["start", "middle", "end"]
Wording = Callable[[float], str]
DayWording = Callable[[date], str]
Span = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Level:
    """A reference level, drawn from the `first` column on."""

    metres: float
    label: str
    first: int = 0


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar; `label` is above it."""

    x: float
    y: float
    width: float
    height: float
    tone: Tone = "plain"
    label: str = ""


@dataclass(frozen=True, slots=True)
class LevelLine:
    """A level across the bars from `x` to `end`, with its label above it at `label_x`."""

    x: float
    end: float
    y: float
    label: str
    label_x: float
    anchor: Anchor = "start"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without a run."""

    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """A label under the axis; `anchor` is SVG's `text-anchor`."""

    x: float
    label: str
    anchor: Anchor = "middle"


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that the template draws, in units of a drawing that is 400 wide."""

    bars: tuple[ChartBar, ...]
    lines: tuple[LevelLine, ...] = ()
    gaps: tuple[Gap, ...] = ()
    ticks: tuple[AxisLabel, ...] = ()
    tints: tuple[ChartBar, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    floor: float = _FLOOR


def days_picture(
    daily_m: Mapping[date, float],
    *,
    days: Span,
    level: Level,
    pause: Span | None,
    pause_label: str,
    say: Wording,
    say_day: DayWording,
) -> Picture:
    """Each day as a bar, the last one as the spike, with the level before it and the break.

    `days` has the first and the last day, `pause` the last run before the break and the first one
    after it.
    """
    first, last = days
    x_of, width = _columns((last - first).days + 1)
    height_of = _scale(max(*daily_m.values(), level.metres))
    bars = [
        _bar(x_of((day - first).days), width, height_of(amount_m))
        for day, amount_m in daily_m.items()
    ]
    bars[-1] = replace(bars[-1], tone="spike", label=say(daily_m[last]))
    gaps = []
    if pause is not None:
        begin, end = (x_of(max(0, (day - first).days)) for day in pause)
        gaps.append(_gap(begin + width + 1, end - begin - width - 2, pause_label))
    line = _line(level, x_of(level.first), height_of, until=bars[-1].x)
    return Picture(tuple(bars), (line,), tuple(gaps), _day_ticks(first, last, x_of, say_day))


def blocks_picture(
    blocks: Sequence[Week], *, level: Level, say: Wording, say_day: DayWording
) -> Picture:
    """Each block of days as a bar, the last one as the spike, with the level before it."""
    x_of, width = _columns(len(blocks))
    height_of = _scale(max(level.metres, *(block.distance_m for block in blocks)))
    bars = [_bar(x_of(n), width, height_of(block.distance_m)) for n, block in enumerate(blocks)]
    bars[-1] = replace(bars[-1], tone="spike", label=say(blocks[-1].distance_m))
    line = _line(level, x_of(0), height_of, until=bars[-1].x)
    ticks = [_tick(x_of(n) + width / 2, say_day(block.starts_on)) for n, block in enumerate(blocks)]
    return Picture(tuple(bars), lines=(line,), ticks=tuple(ticks))


def weeks_picture(
    weeks: Sequence[Week],
    *,
    mean: Level | None,
    planned: Sequence[PlannedWeek] = (),
    break_label: Callable[[int], str],
    say: Wording,
    say_day: DayWording,
) -> Picture:
    """Weeks as bars, the last one highlighted, with the mean as a tint behind its weeks.

    Stretches of empty weeks are marked, and planned weeks are outlines.
    """
    x_of, width = _columns(len(weeks) + len(planned))
    most_m = max(week.distance_m for week in weeks)
    planned_m = [week.week_m for week in planned]
    height_of = _scale(max(most_m, *planned_m, mean.metres if mean else 0.0))
    bars = [
        _bar(x_of(n), width, height_of(week.distance_m), label=say(week.distance_m))
        for n, week in enumerate(weeks)
        if week.runs
    ]
    if weeks[-1].runs:
        bars[-1] = replace(bars[-1], tone="now")
    bars += [
        _bar(x_of(n), width, height_of(metres), "planned", say(metres))
        for n, metres in enumerate(planned_m, len(weeks))
    ]
    tints = []
    if mean is not None:
        start, end = x_of(max(0, mean.first)) - 2, x_of(len(weeks) - 1) - 2
        tints.append(
            ChartBar(start, _FLOOR - height_of(mean.metres), end - start, height_of(mean.metres))
        )
    gaps = [
        _gap(x_of(begin), x_of(end) - x_of(begin), break_label(end - begin))
        for begin, end in _empty_stretches(weeks)
    ]
    starts = [week.starts_on for week in weeks] + [week.starts_on for week in planned]
    middles = [(x_of(n) + width / 2, say_day(on)) for n, on in enumerate(starts)]
    ticks = _ticks_apart(middles, len(weeks) - 1)
    return Picture(tuple(bars), gaps=tuple(gaps), ticks=ticks, tints=tuple(tints))


def ramps_picture(
    this_m: Sequence[float],
    last_m: Sequence[float],
    *,
    say: Wording,
    say_week: Callable[[int], str],
) -> Picture:
    """Two ramps side by side, week by week: last year's in a pale colour."""
    count = max(len(this_m), len(last_m))
    x_of, width = _columns(count)
    height_of = _scale(max(*this_m, *last_m, 1.0))
    half = width / 2 - 1
    bars = [
        _bar(x_of(n), half, height_of(amount_m), "earlier") for n, amount_m in enumerate(last_m)
    ]
    bars += [
        _bar(x_of(n) + half + 2, half, height_of(amount_m), "now", say(amount_m))
        for n, amount_m in enumerate(this_m)
    ]
    ticks = [_tick(x_of(n) + width / 2, say_week(n + 1)) for n in range(count)]
    return Picture(tuple(bars), ticks=tuple(ticks))


def _columns(count: int) -> tuple[Callable[[int], float], float]:
    """A function that returns the x of the n-th of `count` columns, and the width of a bar."""
    step = (WIDTH - 4) / count
    width = min(step - max(1.2, step * 0.22), 42.0)
    return (lambda n: round(2 + n * step + (step - width) / 2, 2)), round(width, 2)


def _scale(most_m: float) -> Callable[[float], float]:
    return lambda metres: round((_FLOOR - _TOP) * metres / most_m, 2) if most_m else 0.0


def _bar(x: float, width: float, height: float, tone: Tone = "plain", label: str = "") -> ChartBar:
    height = max(height, 1.5)
    return ChartBar(x, round(_FLOOR - height, 2), width, height, tone, label)


def _line(
    level: Level, x: float, height_of: Callable[[float], float], *, until: float
) -> LevelLine:
    """A level from `x` to the right edge, labelled at its start or before the last bar."""
    y = round(_FLOOR - height_of(level.metres), 2)
    if x < WIDTH / 2:
        return LevelLine(x, WIDTH - 2, y, level.label, x)
    return LevelLine(x, WIDTH - 2, y, level.label, until - 5, "end")


def _tick(x: float, label: str) -> AxisLabel:
    """A label under the column at `x`, moved left if it would exceed the right edge."""
    if x + len(label) * _WIDE_LETTER / 2 > WIDTH - 2:
        return AxisLabel(WIDTH - 2, label, "end")
    return AxisLabel(x, label)


def _ticks_apart(middles: Sequence[tuple[float, str]], labelled: int) -> tuple[AxisLabel, ...]:
    """Labels under as many columns as there is room for, including the column `labelled`."""
    half = max(len(label) for _, label in middles) * _WIDE_LETTER / 2
    for every in range(1, len(middles)):
        chosen = [one for one in middles[labelled % every :: every] if one[0] > half]
        reaches = [min(x, WIDTH - 2 - half) for x, _ in chosen]
        if all(later - one >= 2 * half + _LETTER for one, later in pairwise(reaches)):
            return tuple(_tick(x, label) for x, label in chosen)
    return (_tick(*middles[labelled]),)


def _gap(x: float, width: float, label: str) -> Gap:
    return Gap(round(x, 2), round(width, 2), label if len(label) * _LETTER <= width else "")


def _empty_stretches(weeks: Sequence[Week]) -> list[tuple[int, int]]:
    """Stretches of two or more weeks without a run, as indexes (first, one past the last)."""
    found, begin = [], 0
    for is_empty, stretch in groupby(weeks, key=lambda week: not week.runs):
        end = begin + len(list(stretch))
        if is_empty and end - begin > 1:
            found.append((begin, end))
        begin = end
    return found


def _day_ticks(
    first: date, last: date, x_of: Callable[[int], float], say_day: DayWording
) -> tuple[AxisLabel, ...]:
    span = (last - first).days
    middle = [round(span / 3), round(span * 2 / 3)]
    return (
        AxisLabel(2, say_day(first), "start"),
        *(AxisLabel(x_of(n), say_day(first + timedelta(days=n))) for n in middle),
        AxisLabel(WIDTH - 2, say_day(last), "end"),
    )
