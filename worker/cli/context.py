"""What commands share: settings, store, services, clock, options, choice of athlete, output."""

import difflib
import gc
import json
import logging
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from worker.cli.log import set_log_format
from worker.cli.table import table_lines
from worker.domain.shown import printable, printable_json

if TYPE_CHECKING:
    from worker.config import Settings
    from worker.domain.models import Athlete
    from worker.links import Signer
    from worker.pipeline.services import Clock, Services
    from worker.store import Store, Transaction

log = logging.getLogger(__name__)

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""More than Python's default: most of what a worker holds stays until it ends."""

_DIGITS_OF_IDS = 18
"""Databases store no larger numbers."""


_PIPED_COLUMNS = 160

Styled = Sequence[tuple[str, str]]
"""Pieces of text, each with its style in the words of `rich`, such as "bold red"."""


class UsageError(Exception):
    """The command was called wrongly: exit status 2."""


class AttentionError(Exception):
    """The command ran, and something needs attention: exit status 1."""


AthleteOption = Annotated[
    str | None,
    typer.Option("--athlete", metavar="A", help="Whose; optional if there is only one athlete."),
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="INSTANT", help="Set every clock, e.g. 2026-03-07T08:00:00Z."),
]
AthleteArgument = Annotated[
    str | None,
    typer.Argument(metavar="ATHLETE", help="The athlete's name; optional if there is only one."),
]
BY_ITS_NAME = "by its name"
"""How an athlete is named in place of `AthleteArgument`, for error messages."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
NoOpenOption = Annotated[bool, typer.Option("--no-open", help="Don't open the browser.")]

_YEARS = range(1970, 2970)
"""The accepted years, far from the ends of the calendar, where date arithmetic fails."""


@dataclass
class CommandContext:
    """One call of the command line. Settings are read once, on first use.

    `close` closes the databases that were opened.
    """

    config: Path | None = None
    verbose: bool = False
    _opened: "list[Store]" = field(default_factory=list)

    @cached_property
    def _loaded(self) -> "tuple[Settings, Path | None]":
        from worker.config import load

        settings, file = load(self.config)
        set_log_format(settings.log.format)
        if self.verbose:
            log.debug("settings: %(where)s", {"where": where_from(file)})
        return settings, file

    @property
    def settings(self) -> "Settings":
        return self._loaded[0]

    @property
    def file(self) -> Path | None:
        """The settings file that is used, or None."""
        return self._loaded[1]

    @cached_property
    def signer(self) -> "Signer":
        """Signs links to pages. The keys are created if there are none."""
        from worker.keys import read_keys
        from worker.links import Signer

        return Signer(read_keys(self.settings), self.settings.base_url)

    @cached_property
    def store(self) -> "Store":
        """The existing database.

        Raises:
            UsageError: nothing was set up yet.
            StoreError: the database is lost.
            AttentionError: it has an older schema, which only the worker upgrades.
        """
        from worker.sources.sections import PRECEDENCE
        from worker.store import HEAD, Store

        store = replace(Store.at(self.settings.url), precedence=PRECEDENCE)
        self._opened.append(store)
        shown = store.file or store.engine.url.render_as_string(hide_password=True)
        is_there = store.file is None or store.file.is_file()
        is_empty = is_there and store.file is not None and not store.file.stat().st_size
        schema = store.schema() if is_there and not is_empty else None
        if schema is None:
            store.refuse_missing(self.settings.traces)
            what = f"{shown} is empty" if is_there else f"there is no database {shown}"
            raise UsageError(
                f"nothing is set up here: {what}; settings file: {where_from(self.file)}; "
                "begin with `easeback init` or `easeback athlete add`"
            )
        if schema > HEAD:
            Store.open(self.settings.url)  # raises, because a newer Easeback created it
        if schema < HEAD:
            raise AttentionError(
                f"the database {shown} has schema {schema} and not {HEAD}: the worker copies it "
                "and brings it up to date when it starts (`easeback run`, or `easeback once`)"
            )
        return store

    def set_up(self) -> None:
        """Create the data folder and the database if they are missing."""
        from worker.config import make_data_dir
        from worker.store import Store

        make_data_dir(self.settings)
        Store.open(
            self.settings.url, traces=self.settings.traces, before_upgrade=self._copy
        ).close()

    def services(self, *, patient: bool = False) -> "Services":
        """What the pipeline works with. The data folder and the database are created if missing."""
        from worker.app import build_services

        # What is imported by now is never searched for garbage.
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        services = build_services(
            self.settings, self.file, patient=patient, before_upgrade=self._copy
        )
        self._opened.append(services.store)
        return services

    def _copy(self, store: "Store") -> None:
        """Copy a database of an older schema before the upgrade, so that it can be undone."""
        if store.file is None:
            return
        from worker.pipeline.backup import backup_name

        copy = self.settings.backups_path / backup_name(datetime.now(UTC))
        try:
            copy.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise AttentionError(f"{copy.parent} can't be made: {error.strerror}") from error
        store.copy_to(copy)
        log.info(
            "copied the database of schema %(schema)s to %(copy)s",
            {"schema": store.schema(), "copy": str(copy)},
        )

    def close(self) -> None:
        for store in self._opened:
            store.close()

    @property
    def chart_columns(self) -> int:
        """The width of charts: the terminal's, or a wide one where output is piped."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_COLUMNS

    def print_styled(self, pieces: Styled) -> None:
        """Print a drawing: coloured on a terminal, plain elsewhere."""
        if is_plain():
            typer.echo("".join(text for text, _ in pieces))
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False, emoji=False, force_terminal=True)
        console.print(Text.assemble(*pieces), no_wrap=True, crop=False)

    def say(self, text: str = "") -> None:
        """Print a line for people, with control characters escaped."""
        typer.echo(printable(text))

    def print_table(
        self, titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = ()
    ) -> None:
        """Print rows for people; the columns with indexes in `right` are aligned to the right."""
        is_terminal = sys.stdout.isatty()
        # Piped output has no maximum width, unless COLUMNS is set.
        is_bounded = is_terminal or "COLUMNS" in os.environ
        lines = table_lines(
            titles,
            [[printable(cell, but="\n") for cell in row] for row in rows],
            right=right,
            width=shutil.get_terminal_size().columns if is_bounded else None,
        )
        typer.echo("\n".join(lines))

    def print_list(
        self,
        titles: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        as_json: bool,
        json: Iterable[Mapping[str, Any]],
        empty: str,
    ) -> None:
        """Print a list: as JSON, or for people as a table, or `empty` if there are no rows."""
        if as_json:
            self.print_json(list(json))
        elif rows:
            self.print_table(titles, rows)
        else:
            self.say(empty)

    def print_json(self, value: Any) -> None:
        """Print the value as JSON."""
        text = json.dumps(value, ensure_ascii=False, indent=2, default=_json_text)
        typer.echo(printable_json(text))

    def confirm(self, question: str, *, yes: bool, otherwise: str) -> None:
        """Ask, unless `yes` is set; raises `AttentionError(otherwise)` if the answer is no."""
        if not yes and not typer.confirm(question):
            raise AttentionError(otherwise)


def where_from(file: Path | None) -> str:
    """The path of the settings file, or a sentence that there is none and where it was searched."""
    from worker.config import found_in

    if file is not None:
        return _in_full(file)
    places = " and ".join(map(_in_full, found_in()))
    return f"none (looked for {places}), so every setting has its default"


def _in_full(path: Path) -> str:
    try:
        return str(path.absolute())
    except OSError:  # the current folder is gone
        return str(path)


def is_plain(stream: TextIO | None = None) -> bool:
    """True if no escape sequence may be written to the stream, by default standard output.

    That is the case if it isn't a terminal, if `TERM` is dumb, or if `NO_COLOR`
    (https://no-color.org) is set. `FORCE_COLOR` has the opposite effect, but `NO_COLOR` wins.
    """
    if os.environ.get("NO_COLOR"):
        return True
    if os.environ.get("FORCE_COLOR"):
        return False
    shown = stream or sys.stdout
    return not shown.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown")


def command_of(context: typer.Context) -> CommandContext:
    command = context.obj
    assert isinstance(command, CommandContext)  # noqa: S101  set by the callback
    return command


def clock_as_of(as_of: str | None) -> "Clock":
    """The current time, or a clock that starts at `--as-of`."""
    if not as_of:
        return lambda: datetime.now(UTC)
    lead = parse_as_of(as_of) - datetime.now(UTC)
    return lambda: datetime.now(UTC) + lead


def parse_as_of(text: str) -> datetime:
    """Parse an instant. Without a zone it is UTC; a date means midnight. Raises `UsageError`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--as-of: {text!r} is not an instant such as 2026-03-07T08:00:00Z"
        ) from error
    if at.year not in _YEARS:
        raise UsageError(f"--as-of: no runner has a calendar of {at.year}")
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def parse_day(text: str) -> date:
    """Parse a date. Raises `UsageError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year not in _YEARS:
        raise UsageError(f"{text!r} is not a date such as 2026-03-07")
    return day


def listed_id(text: str) -> int:
    """The id of a row, as lists show it; raises `UsageError` if it can't be one."""
    if not text.isdecimal() or len(text) > _DIGITS_OF_IDS:
        raise UsageError(f"{text!r} is not a number such as 17, as the list shows it")
    return int(text)


def the_athlete(tx: "Transaction", name: str | None, *, how: str = "with --athlete") -> "Athlete":
    """The athlete with this name, or the only one; `how` tells the user how to name one.

    Raises `UsageError` if no athlete, or more than one, is meant.
    """
    everybody = tx.athletes.all()
    names = [athlete.name for athlete in everybody]
    if name is not None:
        if found := tx.athletes.named(name):
            return found
        hint = "`easeback athlete list` shows who there is"
        if nearest := difflib.get_close_matches(name, names, n=1):
            hint = f"did you mean {nearest[0]!r}?"
        raise UsageError(f"no athlete is called {name!r}; {hint}")
    if not everybody:
        raise UsageError("there is no athlete yet: add one with `easeback athlete add`")
    if len(everybody) > 1:
        raise UsageError(f"there are several athletes, say which {how}: {', '.join(names[:10])}")
    return everybody[0]


def check_language(command: CommandContext, language: str) -> None:
    """Raise `UsageError` for a language without a catalogue, shipped or of the operator's."""
    if not language:
        return
    from worker.app import UNUSED_KEYS, build_composer
    from worker.notify.render import no_such_language

    known = build_composer(command.settings, command.file, UNUSED_KEYS).loader.languages
    if language not in known:
        raise UsageError(f"--language: {no_such_language(language, known)}")


def athletes_meant(tx: "Transaction", name: str | None) -> "tuple[Athlete, ...]":
    """The athlete with this name, or all athletes for None."""
    return tx.athletes.all() if name is None else (the_athlete(tx, name),)


def _json_text(value: object) -> str:
    """An instant or a day in JSON."""
    if isinstance(value, datetime):
        return zulu(value)
    assert isinstance(value, date)  # noqa: S101  no other type is printed
    return value.isoformat()


def zulu(at: datetime) -> str:
    """An instant in UTC, ending in Z."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
