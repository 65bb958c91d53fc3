"""The command `import`: files, folders and archives, with a bar on a terminal."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

_SHOWN_FAILURES = 20


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    athlete: AthleteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring in a history: nothing is mailed about it, and twice is once."""
    from worker.pipeline.importing import import_pieces
    from worker.sources import archive
    from worker.sources.formats.child import Reader

    shell = shell_of(context)
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"there is nothing at {missing}")
    works = shell.works()
    with works.store.reading() as tx:
        who = the_athlete(tx, athlete)
    total = len(archive.files(paths))
    with Reader() as reader:
        pieces = archive.pieces(paths, athlete=who, read_many=reader.read_many)
        done = import_pieces(works, who, pieces, clock=lambda: datetime.now(UTC))
        outcome = list(done if as_json else _with_bar(done, total))
    if as_json:
        shell.print_json(_as_json(outcome))
    else:
        _tell(shell, outcome)
    failed = [one for one in outcome if one.verdict == "failed"]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise AttentionError(f"{failed[0].name}: {failed[0].reason}{more}")


def _with_bar(done: "Iterable[Imported]", total: int) -> "Iterator[Imported]":
    """Pass the verdicts on, showing how far it is: a bar on a terminal, else nothing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("importing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.speed:.0f}/s"),
        TimeRemainingColumn(),
    )
    if not sys.stderr.isatty():
        yield from done
        return
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("importing", total=total)
        for one in done:
            yield one
            progress.advance(task)


def _tell(shell: Shell, outcome: "list[Imported]") -> None:
    count = Counter(one.verdict for one in outcome)
    shell.say(
        f"{count['imported']} imported, {count['duplicate']} known already, "
        f"{count['skipped']} not runs, {count['failed']} failed"
    )
    failed = [one for one in outcome if one.verdict == "failed"]
    for one in failed[:_SHOWN_FAILURES]:
        shell.say(f"  failed {one.name}: {one.reason}")
    if len(failed) > _SHOWN_FAILURES:
        shell.say(f"  and {len(failed) - _SHOWN_FAILURES} more: --json lists them all")


def _as_json(outcome: "list[Imported]") -> dict[str, object]:
    count = Counter(one.verdict for one in outcome)
    return {
        "imported": count["imported"],
        "duplicate": count["duplicate"],
        "skipped": [
            {"file": o.name, "reason": o.reason} for o in outcome if o.verdict == "skipped"
        ],
        "failed": [{"file": o.name, "reason": o.reason} for o in outcome if o.verdict == "failed"],
    }
