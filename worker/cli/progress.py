"""The progress of a long command on standard error: a bar on a terminal, else regular lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.cli.context import is_plain

LINE_EVERY_S = 10.0

Advance = Callable[[int], None]
"""Called with the number of things done since the last call."""


@contextmanager
def progress(
    what: str, things: str, total: int | None, *, quiet: bool = False
) -> Iterator[Advance]:
    """Show progress through `total` things, or None if the number is unknown."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty() and not is_plain(sys.stderr):
        with _progress_bar(what, total) as advance:
            yield advance
    else:
        yield Lines(things, total).advance


class Lines:
    """Prints a line at intervals, for logs and pipes."""

    def __init__(self, things: str, total: int | None, *, every_s: float = LINE_EVERY_S) -> None:
        self._things = things
        self._total = total
        self._every_s = every_s
        self._done = 0
        self._began_s = self._printed_s = time.monotonic()

    def advance(self, by: int = 1) -> None:
        """Count `by` more things, and print a line if the last one is long ago."""
        self._done += by
        now_s = time.monotonic()
        if now_s - self._printed_s < self._every_s:
            return
        self._printed_s = now_s
        rate = self._done / (now_s - self._began_s)
        of_total, left = "", ""
        if self._total and self._total > self._done:
            of_total = f" of {self._total:,}"
            left = f", {(self._total - self._done) / rate:,.0f} s left"
        line = f"{self._done:,}{of_total} {self._things}, {rate:,.0f}/s{left}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201  commands print


@contextmanager
def _progress_bar(what: str, total: int | None) -> Iterator[Advance]:
    from rich import progress as rich
    from rich.console import Console

    bar = rich.Progress(
        rich.TextColumn(what),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[rate]}"),
        rich.TimeRemainingColumn() if total else rich.TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    number = bar.add_task(what, total=total, rate="")
    task = bar.tasks[number]

    def advance(by: int) -> None:
        bar.update(number, advance=by, rate=f"{task.speed:,.0f}/s" if task.speed else "")

    with bar:
        yield advance
