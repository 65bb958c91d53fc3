"""How far a long command is, on standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SAY_EVERY_S = 10.0


class Silent:
    """Says nothing about how far it is."""

    def advance(self, by: int = 1) -> None:
        """So many more are done."""


class Lines(Silent):
    """A line now and then, for logs and pipes."""

    def __init__(self, things: str, total: int | None, *, every_s: float = SAY_EVERY_S) -> None:
        self._things = things
        self._total = total
        self._every_s = every_s
        self._done = 0
        self._began_s = self._said_s = time.monotonic()

    def advance(self, by: int = 1) -> None:
        self._done += by
        now_s = time.monotonic()
        if now_s - self._said_s < self._every_s:
            return
        self._said_s = now_s
        rate = self._done / (now_s - self._began_s)
        line = f"{self._done:,} {self._things}, {rate:,.0f}/s"
        if self._total and self._total > self._done:
            left_s = (self._total - self._done) / rate
            line = (
                f"{self._done:,} of {self._total:,} {self._things}, {rate:,.0f}/s, "
                f"{left_s:,.0f} s left"
            )
        print(line, file=sys.stderr, flush=True)  # noqa: T201  this is how a command speaks


class Bar(Silent):
    """A bar on a terminal."""

    def __init__(self, what: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn() if total else TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self.bar.add_task(what, total=total, rate="")

    def advance(self, by: int = 1) -> None:
        task = self.bar.tasks[self._task]
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        self.bar.update(self._task, advance=by, rate=rate)


@contextmanager
def progress(what: str, things: str, total: int | None, *, quiet: bool = False) -> Iterator[Silent]:
    """How far it is with `total` things, None where nobody knows how many there are."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        bar = Bar(what, total)
        with bar.bar:
            yield bar
    else:
        yield Lines(things, total)
