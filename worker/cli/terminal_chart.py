"""A chart of weeks for a terminal: one column per week, and a mark in weeks with a warning.

    62 km │           ▅
          │   ▂ ▄ ▇ █ █
          │ ▃ █ █ █ █ █ ▁
          └──────────────
                  △ ▲
            Jan     Feb

A long history is drawn in strips of a year, or half a year on a narrow terminal. All strips have
the same scale, so that seasons can be compared. If the output can't show block characters, ASCII
characters are used.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from worker.cli.context import CommandContext, Styled
from worker.domain.models import METRES_PER, Units, Week

ONE_STRIP_WEEKS = 60
"""A history of up to this many weeks is one strip."""

_HEIGHT = 6
_AXIS = 9
_WIDEST = 3
_YEAR_COLUMNS, _HALF_YEAR_COLUMNS = 53, 27
_WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """The characters of bars, axes and marks; `levels` go from an empty to a full cell."""

    levels: str
    wall: str
    corner: str
    floor: str
    mailed: str
    found: str
    planned: str


_BLOCKS = _Glyphs(" ▁▂▃▄▅▆▇█", "│", "└", "─", "▲", "△", "░")
_PLAIN = _Glyphs(" .:#", "|", "+", "-", "^", "o", "~")


def print_weeks(
    command: CommandContext,
    weeks: Sequence[Week],
    warnings: Iterable[tuple[date, bool]],
    *,
    units: Units,
    planned_from: date = date.max,
) -> None:
    """Print the chart in the width of the terminal; see `weeks_chart`."""
    chart = weeks_chart(
        weeks,
        warnings,
        units=units,
        columns=command.chart_columns,
        encoding=sys.stdout.encoding or "utf-8",
        planned_from=planned_from,
    )
    command.print_styled(chart)


def weeks_chart(
    weeks: Sequence[Week],
    warnings: Iterable[tuple[date, bool]],
    *,
    units: Units,
    columns: int,
    encoding: str = "utf-8",
    planned_from: date = date.max,
) -> Styled:
    """The chart of these weeks, oldest first and without gaps, on a terminal of `columns` columns.

    `warnings` are days, each with whether a mail was sent about it. Weeks from `planned_from` on
    are drawn as planned.
    """
    glyphs = _BLOCKS if encoding.lower().startswith("utf") else _PLAIN
    by_week: dict[date, bool] = {}
    for day, mailed in warnings if weeks else ():
        starts_on = day - timedelta(days=(day - weeks[0].starts_on).days % _WEEK_DAYS)
        by_week[starts_on] = by_week.get(starts_on, False) or mailed
    room = columns - _AXIS - 1
    most_m = max((week.distance_m for week in weeks), default=0.0) or 1.0
    drawn: list[tuple[str, str]] = []
    strips = _strips(weeks, room=room)
    slots = max((offset + len(strip) for offset, strip in strips), default=1)
    pen = _Pen(glyphs, units, most_m, max(1, min(_WIDEST, room // slots)), planned_from)
    for offset, strip in strips:
        year = str(strip[0].starts_on.year) if len(strips) > 1 else ""
        drawn += pen.strip(strip, by_week, offset=offset, title=year)
    return [*drawn, *pen.legend()]


def _strips(weeks: Sequence[Week], *, room: int) -> list[tuple[int, Sequence[Week]]]:
    """The weeks split into years, or half years on a narrow terminal.

    Each strip comes with the number of empty columns before its first week.
    """
    if len(weeks) <= min(ONE_STRIP_WEEKS, room):
        return [(0, weeks)] if weeks else []
    slots = _YEAR_COLUMNS if room >= _YEAR_COLUMNS else _HALF_YEAR_COLUMNS
    strips: dict[tuple[int, int], list[Week]] = {}
    for week in weeks:
        strips.setdefault((week.starts_on.year, _week_of_year(week) // slots), []).append(week)
    return [(_week_of_year(strip[0]) % slots, strip) for strip in strips.values()]


def _week_of_year(week: Week) -> int:
    """The number of the week in its year, from 0 to 52."""
    return (week.starts_on.timetuple().tm_yday - 1) // _WEEK_DAYS


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws strips to one scale. A column is `width` cells wide including a gap."""

    glyphs: _Glyphs
    units: Units
    most_m: float
    width: int
    planned_from: date

    def strip(
        self, weeks: Sequence[Week], marks: dict[date, bool], *, offset: int, title: str
    ) -> Styled:
        drawn: list[tuple[str, str]] = []
        indent = " " * (offset * self.width)
        most = f"{self.most_m / METRES_PER[self.units]:.0f} {self.units}"
        labels = [most, title, *[""] * (_HEIGHT - 2)]
        for row, label in enumerate(labels):
            drawn.append((f"{label:>{_AXIS - 1}} {self.glyphs.wall}{indent}", "dim"))
            drawn += [(self._cell(week, row), _style(marks.get(week.starts_on))) for week in weeks]
            drawn.append(("\n", ""))
        wide = (offset + len(weeks)) * self.width
        drawn.append((" " * _AXIS + self.glyphs.corner + self.glyphs.floor * wide + "\n", "dim"))
        margin = " " * (_AXIS + 1) + indent
        if any(week.starts_on in marks for week in weeks):
            drawn.append((margin, ""))
            for week in weeks:
                mailed = marks.get(week.starts_on)
                glyph = {None: " ", True: self.glyphs.mailed, False: self.glyphs.found}[mailed]
                drawn.append((glyph.ljust(self.width), _style(mailed)))
            drawn.append(("\n", ""))
        drawn.append((margin + self._months(weeks) + "\n", "dim"))
        return drawn

    def _cell(self, week: Week, row: int) -> str:
        """The characters of a week's column in one row, counted from the top."""
        full = len(self.glyphs.levels) - 1
        height = round(week.distance_m / self.most_m * _HEIGHT * full)
        if week.distance_m > 0:
            height = max(height, 1)
        level = min(max(height - (_HEIGHT - 1 - row) * full, 0), full)
        glyph = self.glyphs.levels[level]
        if level and week.starts_on >= self.planned_from:
            glyph = self.glyphs.planned
        return (glyph * max(1, self.width - 1)).ljust(self.width)

    def _months(self, weeks: Sequence[Week]) -> str:
        """The name of each month under the first week that starts in it, if there is room."""
        line = ""
        room = len(weeks) * self.width
        for number, week in enumerate(weeks):
            place = number * self.width
            name = f"{week.starts_on:%b}"
            if week.starts_on.day <= _WEEK_DAYS and len(line) <= place <= room - len(name):
                line = f"{line:<{place}}{name} "
        return line.rstrip()

    def legend(self) -> Styled:
        margin = " " * (_AXIS + 1)
        if self.planned_from < date.max:
            words = f"{self.glyphs.levels[-1]} run   {self.glyphs.planned} planned"
            return [(margin + words, "")]
        return [
            (margin, ""),
            (self.glyphs.mailed, _style(mailed=True)),
            (" mailed   ", ""),
            (self.glyphs.found, _style(mailed=False)),
            (" only noticed", ""),
        ]


def _style(mailed: bool | None) -> str:
    if mailed is None:
        return ""
    return "bold red" if mailed else "yellow"
