"""The command `import`: files, folders and whole exports; how far it is, and what came of it."""

import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.progress import progress
from worker.cli.shell import (
    AthleteOption,
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    shell_of,
    the_athlete,
)

if TYPE_CHECKING:
    from worker.pipeline.importing import Imported
    from worker.sources.survey import Survey

log = logging.getLogger(__name__)

FAILURES = "import-failures.txt"
_SHOWN_FAILURES = 10
_SHOWN_REASONS = 12


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, folders, zips, whole exports.")
    ],
    athlete: AthleteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring in a history: nothing is mailed about it, and twice is once."""
    from worker.pipeline.importing import import_pieces, recall_for
    from worker.sources.archive import pieces
    from worker.sources.formats.child import Reader
    from worker.sources.survey import survey

    shell = shell_of(context)
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"there is nothing at {missing}")
    works = shell.works()
    with works.store.reading() as tx:
        who = the_athlete(tx, athlete)
    outcome = Outcome()
    try:
        found = survey(paths)
        total = None if found.open_ended else found.pieces or None
        with (
            Reader() as reader,
            closing(
                pieces(found, athlete=who, reader=reader, recall=recall_for(works, who))
            ) as read,
            progress("importing", "files", total, quiet=as_json) as show,
        ):
            for one in import_pieces(works, who, read, clock=lambda: datetime.now(UTC)):
                outcome.add(one)
                show.advance()
    except KeyboardInterrupt as stop:
        raise AttentionError(
            f"stopped after {outcome.pieces:,} files: the same command goes on from there"
        ) from stop
    outcome.listed_in = _list_failures(shell.settings.data_dir / FAILURES, outcome)
    if as_json:
        shell.print_json(outcome.as_json())
    else:
        _tell(shell, outcome, found)
    if outcome.failed:
        raise AttentionError(_in_a_line(outcome))


@dataclass(slots=True)
class Outcome:
    """What became of all pieces; only those that came to nothing are remembered one by one."""

    imported: int = 0
    duplicate: int = 0
    skipped: "list[Imported]" = field(default_factory=list)
    failed: "list[Imported]" = field(default_factory=list)
    listed_in: Path | None = None

    def add(self, one: "Imported") -> None:
        match one.verdict:
            case "imported":
                self.imported += 1
            case "duplicate":
                self.duplicate += 1
            case "skipped":
                self.skipped.append(one)
            case _:
                self.failed.append(one)

    @property
    def pieces(self) -> int:
        return self.imported + self.duplicate + len(self.skipped) + len(self.failed)

    @property
    def not_runs(self) -> int:
        return sum(one.count for one in self.skipped)

    def as_json(self) -> dict[str, object]:
        return {
            "imported": self.imported,
            "duplicate": self.duplicate,
            "skipped": [_entry(one) for one in self.skipped],
            "failed": [_entry(one) for one in self.failed],
            "failures_file": str(self.listed_in) if self.listed_in else None,
        }


def _entry(one: "Imported") -> dict[str, object]:
    told: dict[str, object] = {"file": one.name, "reason": one.reason}
    return told if one.count == 1 else {**told, "count": one.count}


def _list_failures(path: Path, outcome: Outcome) -> Path | None:
    """Write each failure on a line, and give the file; one of an earlier import is taken away.

    What is imported is kept by now: a list that can't be written takes nothing away from that.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if not outcome.failed:
            path.unlink(missing_ok=True)
            return None
        part.write_text("".join(f"{one.name}: {one.reason}\n" for one in outcome.failed), "utf-8")
        part.replace(path)
    except OSError as error:
        log.warning("the list of failures can't be written: %(why)s", {"why": str(error)})
        return None
    return path


def _tell(shell: Shell, outcome: Outcome, found: "Survey") -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_row("imported", f"{outcome.imported:,}")
    table.add_row("known already", f"{outcome.duplicate:,}")
    table.add_row("not runs", f"{outcome.not_runs:,}", _by_reason(outcome.skipped))
    table.add_row("failed", f"{len(outcome.failed):,}", _by_reason(outcome.failed))
    if found.passed_over:
        table.add_row("passed over", f"{found.passed_over:,}", "other files, such as pictures")
    shell.out.print(table)
    for one in outcome.failed[:_SHOWN_FAILURES]:
        shell.say(f"failed {one.name}: {one.reason}")
    if outcome.listed_in:
        shell.say(f"all that failed: {outcome.listed_in}")


def _by_reason(ones: "Iterable[Imported]") -> str:
    """How many for which kind of reason, the commonest first."""
    counted: Counter[str] = Counter()
    for one in ones:
        kind, _, _ = one.reason.partition(": ")
        counted[kind] += one.count
    kinds = counted.most_common()
    shown = [f"{number:,} {kind}" for kind, number in kinds[:_SHOWN_REASONS]]
    more = sum(number for _, number in kinds[_SHOWN_REASONS:])
    return "\n".join([*shown, *([f"{more:,} for other reasons"] if more else [])])


def _in_a_line(outcome: Outcome) -> str:
    first, *more = outcome.failed
    where = f": {outcome.listed_in}" if outcome.listed_in else ""
    rest = f" (and {len(more):,} more{where})" if more else ""
    return f"{first.name}: {first.reason}{rest}"
