"""The command `import`: reads files, folders and whole exports, with progress and a summary."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.context import (
    AthleteOption,
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    command_of,
    the_athlete,
)
from worker.cli.progress import progress
from worker.domain.shown import counted, printable

if TYPE_CHECKING:
    from worker.pipeline.imports import Imported

log = logging.getLogger(__name__)

_SHOWN_FAILURES = 10
_SHOWN_REASONS = 12


def import_history(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, folders, zips, whole exports.")
    ],
    athlete: AthleteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import files, folders and whole account exports.

    No mail is sent about them. Importing something twice changes nothing.
    """
    from worker.pipeline.imports import FAILURES, import_entries, recall_for
    from worker.sources.archive.entries import read_entries
    from worker.sources.archive.manifest import manifest_of
    from worker.sources.formats.child import Reader

    command = command_of(context)
    noted: list[Imported] = []
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"there is nothing at {missing}")
    services = command.services()
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    counts: Counter[str] = Counter()
    without: dict[str, list[Imported]] = {
        verdict: [] for verdict in ("skipped", "failed", "unread", "put_aside", "corrected")
    }
    try:
        found = manifest_of(paths)
        total = None if found.open_ended else found.entries or None
        with (
            Reader() as reader,
            closing(
                read_entries(found, athlete=who, reader=reader, recall=recall_for(services, who))
            ) as read,
            progress("importing", "files", total, quiet=as_json) as advance,
        ):
            for one in import_entries(services, who, read, clock=lambda: datetime.now(UTC)):
                counts[one.verdict] += 1
                if one.verdict in without:
                    without[one.verdict].append(one)
                advance(1)
                if one.verdict == "imported" and one.reason:
                    noted.append(one)
    except KeyboardInterrupt as stop:
        raise AttentionError(
            f"stopped after {counted(counts.total(), 'file')}: the same command goes on from there"
        ) from stop
    failed = [*without["failed"], *without["unread"]]
    listed_in = _list_failures(command.settings.data_dir / FAILURES, failed)
    if as_json:
        command.print_json(
            {
                "imported": counts["imported"],
                "duplicate": counts["duplicate"],
                "notes": [{"file": one.name, "reason": one.reason} for one in noted],
                **{
                    verdict: [
                        {"file": one.name, "reason": one.reason}
                        | ({} if one.count == 1 else {"count": one.count})
                        for one in ones
                    ]
                    for verdict, ones in without.items()
                },
                "failures_file": str(listed_in) if listed_in else None,
            }
        )
    else:
        _print_outcome(command, counts, without, found.passed_over)
        _print_notes(command, noted)
        if listed_in:
            command.say(f"all that failed: {listed_in}")
    if failed:
        where = f": {listed_in}" if listed_in else ""
        more = f" (and {len(failed) - 1:,} more{where})" if len(failed) > 1 else ""
        raise AttentionError(f"{failed[0].name}: {failed[0].reason}{more}")


def _print_outcome(
    command: CommandContext,
    counts: Counter[str],
    without: "Mapping[str, Sequence[Imported]]",
    passed_over: int,
) -> None:
    """Print the counts by result; `without` has the files that gave no run, by verdict."""
    not_runs = sum(one.count for one in without["skipped"])
    rows = [
        ("imported", f"{counts['imported']:,}", ""),
        ("known already", f"{counts['duplicate']:,}", ""),
        ("not runs", f"{not_runs:,}", _by_reason(without["skipped"])),
        ("failed", f"{counts['failed']:,}", _by_reason(without["failed"])),
    ]
    if aside := without["put_aside"]:
        rows.append(("put aside", f"{len(aside):,}", _by_reason(aside)))
    if corrected := without["corrected"]:
        shown = [f"{Path(one.name).name}: {one.reason}" for one in corrected[:_SHOWN_FAILURES]]
        more = len(corrected) - len(shown)
        shown += [f"and {more:,} more"] if more else []
        rows.append(("corrected", f"{len(corrected):,}", "\n".join(map(printable, shown))))
    if unread := without["unread"]:
        rows.append(("not read", f"{len(unread):,}", _by_reason(unread)))
    if passed_over:
        rows.append(("passed over", f"{passed_over:,}", "other files, such as pictures"))
    command.print_table(("", "", ""), rows, right={1})
    for one in (*without["failed"], *unread)[:_SHOWN_FAILURES]:
        command.say(
            f"{'not read' if one.verdict == 'unread' else 'failed'} {one.name}: {one.reason}"
        )
    if unread:
        command.say("what couldn't be read is tried again by the same command")


def _print_notes(command: CommandContext, noted: "Sequence[Imported]") -> None:
    """Print what was recovered or is doubtful about the first runs."""
    for one in noted[:_SHOWN_FAILURES]:
        command.say(f"note {one.name}: {one.reason}")
    if len(noted) > _SHOWN_FAILURES:
        command.say(f"and {len(noted) - _SHOWN_FAILURES:,} more with a note: --json lists all")


def _list_failures(path: Path, failed: "Sequence[Imported]") -> Path | None:
    """Write each failure on a line and return the file; remove the list of an earlier import.

    A list that can't be written is only logged, because the runs are imported already.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if not failed:
            path.unlink(missing_ok=True)
            return None
        lines = (printable(f"{one.name}: {one.reason}") for one in failed)
        part.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        part.replace(path)
    except OSError as error:
        log.warning("the list of failures can't be written: %(why)s", {"why": str(error)})
        return None
    return path


def _by_reason(ones: "Iterable[Imported]") -> str:
    """The number of items by kind of reason, the commonest first."""
    counts: Counter[str] = Counter()
    for one in ones:
        kind, _, _ = one.reason.partition(": ")
        counts[kind] += one.count
    kinds = counts.most_common()
    shown = [f"{number:,} {kind}" for kind, number in kinds[:_SHOWN_REASONS]]
    more = sum(number for _, number in kinds[_SHOWN_REASONS:])
    return "\n".join([*shown, *([f"{more:,} for other reasons"] if more else [])])
