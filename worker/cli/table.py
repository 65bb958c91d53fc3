"""Tables as lines of text. A thousand rows take milliseconds, and ASCII doesn't need rich."""

from collections.abc import Collection, Iterator, Sequence

import typer

_GAP = "  "


def table_lines(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> Iterator[str]:
    """The rows as lines, in columns as wide as their cells; those in `right` are right-aligned.

    To fit into `width` (None for no limit), the widest columns become narrower, and their cells
    wrap. If the longest words don't fit, each row becomes a block with one cell per line.
    """
    columns = list(zip(titles, *rows, strict=True))
    widths = [_width(one) for one in columns]
    if width is not None:
        words = [max(map(_cells, " ".join(one).split()), default=0) for one in columns]
        room = width - len(_GAP) * (len(columns) - 1)
        if sum(words) > room:
            yield from _blocks(titles, rows, width)
            return
        widths = _narrowed(widths, words, room)
    if any(titles):
        yield from (typer.style(line, bold=True) for line in _row_lines(titles, widths, right))
    for row in rows:
        yield from _row_lines(row, widths, right)


def _narrowed(widths: Sequence[int], words: Sequence[int], room: int) -> list[int]:
    """The widths, reduced from the widest until all fit into `room`; no word is broken."""
    narrowed = list(widths)
    while sum(narrowed) > room:
        wide = [place for place, width in enumerate(narrowed) if width > words[place]]
        narrowed[max(wide, key=narrowed.__getitem__)] -= 1
    return narrowed


def _row_lines(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> Iterator[str]:
    if all(cell.isascii() and len(cell) <= width for cell, width in zip(row, widths, strict=True)):
        padded = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line = _GAP.join(padded).rstrip()
        if "\n" not in line:
            yield line
            return
    wrapped = [list(_wrapped(cell, width)) for cell, width in zip(row, widths, strict=True)]
    for at in range(max(map(len, wrapped))):
        cells = []
        for place, (lines, width) in enumerate(zip(wrapped, widths, strict=True)):
            text = lines[at] if at < len(lines) else ""
            padding = " " * (width - _cells(text))
            cells.append(padding + text if place in right else text + padding)
        yield _GAP.join(cells).rstrip()


def _blocks(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    indent = max(map(_cells, titles)) + len(_GAP)
    for number, row in enumerate(rows):
        if number:
            yield ""
        for title, cell in zip(titles, row, strict=True):
            if cell:
                first, *further = _wrapped(cell, max(width - indent, 1))
                yield typer.style(title, bold=True) + " " * (indent - _cells(title)) + first
                yield from (" " * indent + line for line in further)


def _width(column: Sequence[str]) -> int:
    """The width of the widest line in these cells."""
    if all(map(str.isascii, column)) and not any("\n" in cell for cell in column):
        return max(map(len, column))
    return max(_cells(line) for cell in column for line in cell.split("\n"))


def _wrapped(cell: str, width: int) -> Iterator[str]:
    """The lines of the cell, wrapped to `width`, between words if possible."""
    for written in cell.split("\n"):
        line = written
        while len(line) > 1 and _cells(line) > width:
            end = len(line) - 1
            while end > 1 and _cells(line[:end]) > width:
                end -= 1
            space = line.rfind(" ", 1, end + 1)
            yield line[: space if space > 0 else end]
            line = line[space + 1 if space > 0 else end :]
        yield line


def _cells(text: str) -> int:
    """The number of terminal columns that the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
