"""The command `init`: a guided setup. It checks each answer, and writes everything at the end.

Nothing is written before the last answer. A second run suggests the current settings, and leaves
everything else in the file as it is.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.answers import (
    NONE,
    coming_day,
    folder_to_write,
    language_here,
    needed,
    one_of,
    optional,
    optional_host,
    optional_name,
    optional_race,
    pages_address,
    port_number,
    race_metres,
    sender_address,
    units_here,
    zone_here,
)
from worker.cli.arguments import PARSERS
from worker.cli.athletes import (
    PainOption,
    RaceDateOption,
    RaceOption,
    TimezoneOption,
    UnitsOption,
)
from worker.cli.context import (
    AttentionError,
    CommandContext,
    UsageError,
    command_of,
)
from worker.cli.questions import Questions
from worker.cli.settings_file import read_settings, with_answers, write_settings
from worker.domain.contact import checked_name
from worker.domain.models import METRES_PER, PAIN_AREAS, Athlete, Race

if TYPE_CHECKING:
    from worker.sources.base import Source

_FOLDER = "FIT files dropped into the inbox. Free, needs nothing, always there."
_NOTHING_WRITTEN = "stopped; nothing was written"
_INPUT_ENDED = (
    "there's no terminal to ask on, and the input ended before the last answer; nothing was "
    "written: give the answers as options (see `easeback init --help`), or --defaults"
)


def init(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing settings.")] = False,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing; write the defaults.")
    ] = False,
    data_dir: Annotated[str | None, typer.Option("--data-dir", help="The folder for data.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The runner's name.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Their mail address.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of mails and pages: en, de or fr.")
    ] = None,
    timezone: TimezoneOption = None,
    units: UnitsOption = None,
    pain: PainOption = None,
    race: RaceOption = None,
    race_date: RaceDateOption = None,
    race_km: Annotated[str | None, typer.Option("--race-km", help="E.g. 21.1.")] = None,
    mail_host: Annotated[
        str | None, typer.Option("--mail-host", help='The mail server; "none": a folder.')
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="How the pages are reached from elsewhere.")
    ] = None,
) -> None:
    """Set up Easeback step by step: ask for what is needed, check each answer, write the settings.

    Nothing is written before the last answer. Run it again to change something: it suggests the
    current settings, and leaves the rest of the file alone. Without a terminal, the answers are
    the options, or the lines of the input.
    """
    from worker.app import shipped_file
    from worker.cli.doctor import checks, report

    command = command_of(context)
    options = {key: value for key, value in context.params.items() if isinstance(value, str)}
    at_terminal = _is_terminal()
    # Without a terminal, the options are the answers, or else the lines of the input.
    asks = not defaults and (at_terminal or not options)
    file = _file(command)
    shipped = shipped_file("easeback.example.toml").read_text("utf-8")
    # The shipped example file contains no settings of the operator's.
    written_before = _text_of(file)
    before = shipped if written_before is None else written_before
    if before != shipped and not force and defaults:
        raise UsageError(f"{file} is there already: change it by hand, or say --force")
    before = shipped if force else before
    questions = Questions(options, asks=asks, at_terminal=at_terminal)
    try:
        answers = _Interview(questions, read_settings(before, file)).run()
    except (typer.Abort, KeyboardInterrupt) as error:
        questions.say("")  # Ctrl-C leaves the cursor on the line of the question
        if at_terminal or isinstance(error, KeyboardInterrupt):
            raise AttentionError(_NOTHING_WRITTEN) from error
        raise UsageError(_INPUT_ENDED) from error
    write_settings(file, with_answers(before, answers.settings, file))
    command.say(f"wrote {file}, which only you can read")
    written = CommandContext(config=file, verbose=command.verbose)
    try:
        _save_athlete(written, answers)
        keys_left = [
            kind.name
            for kind in answers.ways
            if not _ask_key(written, kind, asks=asks and at_terminal)
        ]
        try:
            # A missing athlete isn't an error here: adding one is the next step.
            report(command, checks(written), ignored="athletes")
        finally:
            command.say(f"next: {_next(written, keys_left)}")
    finally:
        written.close()


def _is_terminal() -> bool:
    import sys

    return sys.stdin.isatty() and sys.stderr.isatty()


def _file(command: CommandContext) -> Path:
    """The existing settings file, or the one to write."""
    from worker.config import LOCAL_FILE, find, named_file

    named = named_file(command.config)
    if named is not None:
        return named
    return find(None) or LOCAL_FILE


def _text_of(file: Path) -> str | None:
    """The text of the settings file, or None if there is none."""
    try:
        return file.read_text("utf-8-sig") if file.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers; `before` is the stored runner (None if new), `athlete` is the changed one."""

    settings: dict[str, dict[str, str | int | None]]
    ways: "tuple[type[Source], ...]"
    before: Athlete | None
    athlete: Athlete | None


class _Interview:
    """Asks the questions in order; `there` has the current settings."""

    def __init__(self, questions: Questions, there: dict[str, Any]) -> None:
        self._questions = questions
        self._ask = questions.ask
        self._there = there
        self._settings: dict[str, dict[str, str | int | None]] = {}

    def run(self) -> _Answers:
        """Ask everything. Raises `typer.Abort` if the user stops."""
        from worker.config import Settings

        self._questions.say("Enter takes what stands in [brackets]. Ctrl-C stops; nothing is lost.")
        data_dir = self._ask(
            "data_dir", "Where does Easeback keep its data?", folder_to_write,
            proposed=self._known("", "data_dir") or str(Path("data").absolute()),
        )  # fmt: skip
        self._set("", "data_dir", data_dir)
        before, athlete = self._athlete()
        self._mail()
        usual: str = Settings.model_fields["base_url"].default
        base_url = self._ask(
            "base_url", "How are the pages reached (an address for others, if there is one)?",
            pages_address, proposed=self._known("", "base_url") or usual,
        )  # fmt: skip
        self._set("", "base_url", base_url, otherwise=usual)
        ways = self._ways()
        return _Answers(self._settings, ways, before, athlete)

    def _known(self, section: str, key: str) -> str:
        """The value of a key in the file, or "" if it has none."""
        table = self._there.get(section, {}) if section else self._there
        value = table.get(key, "") if isinstance(table, dict) else ""
        return str(value) if isinstance(value, str | int) else ""

    def _set(
        self, section: str, key: str, value: str | int | None, *, otherwise: object = ""
    ) -> None:
        """Record an answer; a default that isn't in the file yet isn't added to it."""
        known = self._known(section, key)
        if value == otherwise and not known:
            return
        if value is None and not known:
            return
        self._settings.setdefault(section, {})[key] = value

    # The runner

    def _athlete(self) -> tuple[Athlete | None, Athlete | None]:
        """The runner as stored, if known, and as they should be saved."""
        there = self._athletes()
        if len(there) > 1:
            self._questions.say(
                f"There are {len(there)} athletes already: change them with `easeback athlete set`."
            )
            self._language()
            return None, None
        before = there[0] if there else None
        ask = self._ask
        name = ask(
            "name",
            "The runner's name" + ("" if before else " (empty: add athletes later)"),
            checked_name if before else optional_name,
            proposed=before.name if before else "",
        )
        if not name:
            self._language()
            return None, None
        email = ask("email", "E-mail", PARSERS["email"], proposed=before.email if before else "")
        self._language()
        zone = ask(
            "timezone", "Time zone", PARSERS["timezone"],
            proposed=before.timezone if before else zone_here(),
        )  # fmt: skip
        units = ask(
            "units", "Units (km, mi)", PARSERS["units"],
            proposed=before.units if before else units_here(),
        )  # fmt: skip
        pain = ask(
            "pain", f"Where does it hurt ({NONE}, or some of: {', '.join(PAIN_AREAS)})",
            PARSERS["pain"], proposed=",".join(before.pain) if before and before.pain else NONE,
        )  # fmt: skip
        known = before or Athlete(0, "", "", datetime.now(UTC))
        values: Any = {"name": name, "email": email, "timezone": zone, "units": units, "pain": pain}
        return before, replace(known, **values, race=self._race(known.race))

    def _athletes(self) -> tuple[Athlete, ...]:
        """The stored athletes, by the settings so far; none if there is no database."""
        from worker.config import Settings
        from worker.store import Store, StoreError

        data_dir = self._settings[""]["data_dir"]
        told = {"data_dir": data_dir, "database_url": self._known("", "database_url") or None}
        try:
            store = Store.at(Settings.model_validate(told).url)
            if store.file is not None and not store.file.is_file():
                return ()
            with closing(store), store.reading() as tx:
                return tx.athletes.all()
        except (StoreError, ValueError):
            return ()  # the checks at the end report the problem

    def _race(self, before: Race | None) -> Race | None:
        name = self._ask(
            "race", f'A race they train for ("{NONE}" for none)', optional_race,
            proposed=before.name if before else NONE,
        )  # fmt: skip
        if not name:
            return None
        day = self._ask(
            "race_date", "On which day (such as 2027-05-09)", coming_day,
            proposed=str(before.day) if before else "",
        )  # fmt: skip
        metres = self._ask(
            "race_km", "How long, in km", race_metres,
            proposed=str(before.distance_m / METRES_PER["km"]) if before else "",
        )  # fmt: skip
        return Race(name, day, metres)

    def _language(self) -> None:
        from worker.notify.render import SHIPPED_LANGUAGES

        before = self._known("mail", "language")
        choices = tuple(dict.fromkeys((*SHIPPED_LANGUAGES, *filter(None, [before]))))
        language = self._ask(
            "language", f"Language of mails and pages ({', '.join(choices)})", one_of(choices),
            proposed=before or language_here(),
        )  # fmt: skip
        self._set("mail", "language", language, otherwise="en")

    # Mail and services

    def _mail(self) -> None:
        from worker.setting_types import MAIL_PORTS, MailSection

        known, keep = self._known, self._set
        host = self._ask(
            "mail_host", f'Mail server ("{NONE}": mail is written into a folder)', optional_host,
            proposed=known("mail", "host") or NONE,
        )  # fmt: skip
        keep("mail", "host", host)
        if host is None or not self._questions.asks:
            return
        security = self._ask(
            "security", f"Its security ({', '.join(MAIL_PORTS)})", one_of(tuple(MAIL_PORTS)),
            proposed=known("mail", "security") or "starttls",
        )  # fmt: skip
        keep("mail", "security", security)
        usual = MAIL_PORTS[security]
        number = self._ask(
            "port", "Its port", port_number, proposed=known("mail", "port") or str(usual)
        )
        keep("mail", "port", number)
        before = known("mail", "username")
        username = self._ask(
            "username", f'Login ("{NONE}" for none)', optional, proposed=before or NONE
        )
        keep("mail", "username", username)
        has_password = bool(known("mail", "password") or known("mail", "password_file"))
        if username is not None:
            stays = has_password and username == before
            password = self._ask(
                "password", "Password (not shown" + ("; empty: as it is)" if stays else ")"), str,
                hidden=True,
            )  # fmt: skip
            if password:
                keep("mail", "password_file", None)
                keep("mail", "password", password)
        elif has_password:
            keep("mail", "password", None)
            keep("mail", "password_file", None)
        usual_sender = MailSection(username=username).from_header
        shown = self._ask(
            "sender", "Sender", sender_address, proposed=known("mail", "sender") or usual_sender
        )
        keep("mail", "sender", shown)

    def _ways(self) -> "tuple[type[Source], ...]":
        """The services from which runs should come; the folder is always there."""
        from worker.sources.registry import SOURCES

        kinds = {kind.name: kind for kind in sorted(SOURCES, key=lambda kind: kind.name)}
        if not self._questions.asks:
            return ()
        abouts = {"folder": _FOLDER} | {name: kind.about for name, kind in kinds.items()}
        self._questions.say("Runs come in these ways, one or more of them:")
        width = max(map(len, abouts)) + 2
        for name, about in abouts.items():
            shown = indent(about, " " * (width + 2)).replace(" " * width, f"  {name}", 1)
            self._questions.say(shown)

        def chosen(answer: str) -> "tuple[type[Source], ...]":
            ways = set(filter(None, (word.strip().lower() for word in answer.split(","))))
            if not ways or not ways <= abouts.keys():
                raise ValueError(f"{', '.join(abouts)}, or several of them, please")
            return tuple(kind for name, kind in kinds.items() if name in ways)

        on = [
            name
            for name, kind in kinds.items()
            if kind.asked_for and self._known(name, kind.asked_for[0])
        ]
        ways = self._ask(
            "ways", "Which (separated by commas)", chosen, proposed=",".join(["folder", *on])
        )
        for kind in ways:
            self._section(kind)
        return ways

    def _section(self, kind: "type[Source]") -> None:
        """Ask for the settings that a service requires, such as the key of an application."""
        for number, key in enumerate(kind.asked_for):
            said = f"{kind.title} {key.replace('_', ' ')}"
            known = self._known(kind.name, key)
            answer = self._ask(
                key, f"{said} (not shown; empty: as it is)" if number and known else said,
                needed if not known else str,
                proposed="" if number else known, hidden=bool(number),
            )  # fmt: skip
            if answer:
                self._set(kind.name, key, answer)


def _save_athlete(written: CommandContext, answers: _Answers) -> None:
    """Create what is missing, and save the runner."""
    from worker.cli.athletes import save_new_athlete

    if answers.athlete is None:
        written.set_up()
    elif answers.before is None:
        save_new_athlete(written, replace(answers.athlete, added_at=datetime.now(UTC)))
    elif answers.athlete != answers.before:
        with written.store.transaction() as tx:
            tx.athletes.change(answers.athlete, now=datetime.now(UTC))
        written.say(f"changed {answers.athlete.name}")


def _ask_key(written: CommandContext, kind: "type[Source]", *, asks: bool) -> bool:
    """Ask for the athlete's key to a service; False if it must be entered later."""
    from worker.cli.connect import connect_athlete
    from worker.sources.base import ApiKey, SourceError

    if not (asks and issubclass(kind, ApiKey)):
        return False
    try:
        connect_athlete(written, written.services(), kind, None)
    except SourceError as error:
        typer.echo(str(error), err=True)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("", err=True)
    except UsageError:  # there isn't exactly one athlete
        pass
    else:
        return True
    return False


def _next(written: CommandContext, keys_left: list[str]) -> str:
    with written.store.reading() as tx:
        has_athlete = bool(tx.athletes.count())
    if not has_athlete:
        return "easeback athlete add --name NAME --email ADDRESS"
    if keys_left:
        return f"easeback connect {keys_left[0]}, then easeback run"
    inbox = written.settings.inbox_path
    return f"easeback run, and put the files of your runs into {inbox}"
