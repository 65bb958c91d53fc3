"""The chart: days or weeks as bars, drawn once, for a page as SVG and for the mail as PNG.

Positions are worked out here; `templates/chart/bars.svg` draws them, with classes and no colours.
A page brings its own style sheet for them; `chart_png` makes the mail's picture from the same SVG.
Every number in a picture also stands in the mail as text.

The PNG is made from the three elements that the template draws with, rect, line and text, on a
clear ground and in tones that hold 3:1 or more against white as well as black, for a mail can't
know on which it will be seen. `chart_png` is no reader of SVG at large: those take two to six
times as long (docs/decisions/mail-chart.md). A palette makes the file small.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from xml.etree import ElementTree as ET

from worker.domain.models import PlannedWeek, Week

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

WIDTH, HEIGHT = 400, 196
_TOP, _FLOOR = 30.0, 172.0
_LETTER = 7.6  # how wide a letter of a label is, about

Tone = Literal["plain", "now", "spike", "earlier", "planned"]
Anchor = Literal["start", "middle", "end"]
Wording = Callable[[float], str]
DayWording = Callable[[date], str]
Span = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Level:
    """A height to compare with, from the `first` column on."""

    metres: float
    label: str
    first: int = 0


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar; `label` stands above it."""

    x: float
    y: float
    width: float
    height: float
    tone: Tone = "plain"
    label: str = ""


@dataclass(frozen=True, slots=True)
class LevelLine:
    """A level across the bars, from `x` to `end`; its label above it, at `label_x`."""

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
    """A word under the floor; `anchor` as SVG knows it."""

    x: float
    label: str
    anchor: Anchor = "middle"


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the template draws, in units of a 400 wide drawing."""

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
    """Each day's metres, the last day's as the spike; the level before; a stretch without runs.

    `days` holds the first day and the last, `pause` the last run before it and the first after.
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
    """Seven days a bar, the last one as the spike; the level of the most before it."""
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
    """Weeks as bars, the last one marked; the mean as a tint behind the weeks it was made of;
    stretches of empty weeks; the weeks planned after them as outlines.
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
    label_width = max(len(say_day(starts_on)) for starts_on in starts) * _LETTER
    every = ceil((label_width + _LETTER) * len(starts) / WIDTH)
    ticks = [
        _tick(x_of(n) + width / 2, say_day(starts_on))
        for n, starts_on in enumerate(starts)
        if (len(weeks) - 1 - n) % every == 0 and x_of(n) + width / 2 > label_width / 2
    ]
    return Picture(tuple(bars), gaps=tuple(gaps), ticks=tuple(ticks), tints=tuple(tints))


def ramps_picture(
    this_m: Sequence[float],
    last_m: Sequence[float],
    *,
    say: Wording,
    say_week: Callable[[int], str],
) -> Picture:
    """Two ramps side by side, week by week: last year's pale, this year's strong."""
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
    """Where the n-th of `count` columns begins, and how wide its bar is."""
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
    """A level from `x` over the last bar, labelled where it begins, or before that bar."""
    y = round(_FLOOR - height_of(level.metres), 2)
    if x < WIDTH / 2:
        return LevelLine(x, WIDTH - 2, y, level.label, x)
    return LevelLine(x, WIDTH - 2, y, level.label, until - 5, "end")


def _tick(x: float, label: str) -> AxisLabel:
    """A word under the column at `x`, pulled in where it would run over the right edge."""
    if x + len(label) * _LETTER / 2 > WIDTH - 2:
        return AxisLabel(WIDTH - 2, label, "end")
    return AxisLabel(x, label)


def _gap(x: float, width: float, label: str) -> Gap:
    return Gap(round(x, 2), round(width, 2), label if len(label) * _LETTER <= width else "")


def _empty_stretches(weeks: Sequence[Week]) -> list[tuple[int, int]]:
    """Two or more weeks in a row without a run, as (first, one past the last)."""
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


# The PNG

_ZOOM = 2
_LEVELS = 15  # steps of a letter's edge
_GREY, _PALE, _QUIET = (0x87, 0x94, 0xA5), (0xA9, 0xB2, 0xBD), (0x76, 0x80, 0x8C)
_TEAL, _ORANGE = (0x17, 0x91, 0x7F), (0xD9, 0x58, 0x0D)
_CORNER = 2

Colour = tuple[int, int, int]


class Ink(NamedTuple):
    """A colour and how much it covers, of 255."""

    colour: Colour
    cover: int = 255


_SHAPES = {
    "gap": Ink(_GREY, 38),
    "tint": Ink(_TEAL, 52),
    "bar plain": Ink(_GREY),
    "bar earlier": Ink(_PALE),
    "bar now": Ink(_TEAL),
    "bar spike": Ink(_ORANGE),
    "bar planned": Ink(_TEAL, 42),
    "level": Ink(_TEAL),
    "floor": Ink(_GREY),
}
_OUTLINED = {"bar planned": "bar now"}
_LETTERS = {
    "quiet": _QUIET,
    "label plain": _QUIET,
    "label now": _TEAL,
    "label planned": _TEAL,
    "level": _TEAL,
    "label spike": _ORANGE,
}
_SIZE, _SPIKE_SIZE = 14.5, 19.0
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_LETTER_COLOURS = tuple(dict.fromkeys(_LETTERS.values()))
_SHAPE_PLACE = {name: n for n, name in enumerate(_SHAPES, start=1)}
_LETTER_PLACE = {colour: 1 + len(_SHAPES) + n * _LEVELS for n, colour in enumerate(_LETTER_COLOURS)}


def chart_png(svg: str, *, font: Path) -> bytes:
    """A chart's SVG as PNG at twice its size. Raises `ValueError` for an element it can't draw."""
    from PIL import Image, ImageDraw

    root = ET.fromstring(svg)  # noqa: S314 - our own template's SVG; its words are escaped there
    size = (int(root.attrib["width"]) * _ZOOM, int(root.attrib["height"]) * _ZOOM)
    image = Image.new("P", size, 0)
    draw = ImageDraw.Draw(image)
    letters = {colour: Image.new("L", size, 0) for colour in _LETTER_COLOURS}
    for element in root:
        kind = element.tag.rpartition("}")[2]
        if kind == "rect":
            _draw_rect(draw, element)
        elif kind == "line":
            left, right, level = map(round, _numbers(element, "x1", "x2", "y1"))
            place = _SHAPE_PLACE[element.attrib["class"]]
            if element.attrib["class"] == "level":
                _dashes(draw, (left, level), (right, level), place)
            else:
                draw.line((left, level, right, level), fill=place, width=_ZOOM)
        elif kind == "text":
            x, y = _numbers(element, "x", "y")
            tone = element.attrib["class"]
            points = _SPIKE_SIZE if tone == "label spike" else _SIZE
            ImageDraw.Draw(letters[_LETTERS[tone]]).text(
                (x, y),
                (element.text or "").replace("\u202f", "\u00a0"),  # the font has no narrow one
                fill=255,
                font=_font(font, points),
                anchor=_ANCHORS[element.attrib["text-anchor"]],
            )
        elif kind != "title":
            raise ValueError(f"the chart's template draws a <{kind}>, which the PNG can't")
    levels, step = range(256), 256 / (_LEVELS + 1)
    seen = [255 if value >= step else 0 for value in levels]
    for colour, layer in letters.items():
        if (box := layer.getbbox()) is None:
            continue
        # Each pixel of a letter is one of its colour's levels.
        part, first = layer.crop(box), _LETTER_PLACE[colour]
        places = [max(0, int(value / step) - 1) + first for value in levels]
        image.paste(part.point(places), box, part.point(seen))
    inks: list[Ink] = [Ink((0, 0, 0), 0), *_SHAPES.values()]
    for colour in _LETTER_COLOURS:
        inks += [Ink(colour, round(255 * (n + 1) / _LEVELS)) for n in range(_LEVELS)]
    image.putpalette([part for ink in inks for part in ink.colour])
    packed = io.BytesIO()
    covers = bytes(ink.cover for ink in inks)
    image.save(packed, "PNG", transparency=covers, compress_level=3)
    return packed.getvalue()


def _draw_rect(draw: "ImageDraw.ImageDraw", element: ET.Element) -> None:
    x, y, width, height = _numbers(element, "x", "y", "width", "height")
    name = element.attrib["class"]
    left, top = round(x), round(y)
    box = (left, top, max(left, round(x + width) - 1), max(top, round(y + height) - 1))
    if name in _OUTLINED:
        draw.rectangle(box, fill=_SHAPE_PLACE[name])
        place = _SHAPE_PLACE[_OUTLINED[name]]
        _dashes(draw, (box[0], box[3]), (box[0], box[1]), place)
        _dashes(draw, (box[0], box[1]), (box[2], box[1]), place)
        _dashes(draw, (box[2], box[1]), (box[2], box[3]), place)
        return
    corner = min(_CORNER * _ZOOM, (box[2] - box[0]) // 2, (box[3] - box[1]) // 2)
    draw.rounded_rectangle(box, max(0, corner), fill=_SHAPE_PLACE[name])


def _dashes(
    draw: "ImageDraw.ImageDraw", begin: tuple[int, int], end: tuple[int, int], place: int
) -> None:
    """A dashed line along one axis."""
    dash, step, thick = 5 * _ZOOM, 9 * _ZOOM, 3
    (left, top), (right, bottom) = sorted((begin, end))
    for n in range(0, max(right - left, bottom - top), step):
        if top == bottom:
            segment = (left + n, top, min(left + n + dash, right), top)
        else:
            segment = (left, top + n, left, min(top + n + dash, bottom))
        draw.line(segment, fill=place, width=thick)


@lru_cache(maxsize=4)
def _font(font: Path, size: float) -> "ImageFont.FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(font, size * _ZOOM, layout_engine=ImageFont.Layout.BASIC)


def _numbers(element: ET.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.attrib[name]) * _ZOOM for name in names)
