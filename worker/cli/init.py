"""The command `init`: asks for what's needed, writes the settings, checks them."""

import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.context import AttentionError, CommandContext, UsageError, command_of

if TYPE_CHECKING:
    from worker.sources.base import Source

_FOLDER = "FIT files dropped into the inbox. Free, needs nothing, always there."


def init(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Write over settings that are there.")
    ] = False,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: write what needs no answer.")
    ] = False,
) -> None:
    """Ask for what's needed, write the settings and check them."""
    from worker.app import shipped_file
    from worker.cli.doctor import checks, report
    from worker.config import LOCAL_FILE, named_file
    from worker.sources.base import ApiKey

    command = command_of(context)
    file = named_file(command.config) or LOCAL_FILE
    # The commented file as it is shipped holds nothing of anybody's.
    shipped = shipped_file("easeback.example.toml").read_bytes()
    if file.exists() and not force and file.read_bytes() != shipped:
        raise UsageError(f"{file} is there already: change it by hand, or say --force")
    data_dir = str(Path("data").absolute())
    if not defaults:
        data_dir = _ask("Where does Easeback keep its data?", default=data_dir)
    mail = {} if defaults else _ask_mail()
    ways = () if defaults else _ask_ways()
    sections = {kind.name: _ask_section(kind) for kind in ways if kind.asked_for}
    _write(file, _filled({"": {"data_dir": data_dir}, "mail": mail, **sections}))
    command.say(f"wrote {file}, which only you can read")
    written = CommandContext(config=file, verbose=command.verbose)
    written.set_up()
    if not defaults and _ask_athlete(written):
        for kind in ways:
            if issubclass(kind, ApiKey):
                _ask_key(written, kind)
    # That there's no athlete yet is what comes next, and nothing wrong.
    report(command, checks(written), ignored="athletes")


def _ask(question: str, **how: Any) -> str:
    return str(typer.prompt(question, err=True, **how))


def _ask_optional(question: str) -> str:
    """The answer, which may be empty."""
    return _ask(question, default="", show_default=False)


def _ask_mail() -> dict[str, object]:
    from worker.setting_types import MAIL_PORTS

    host = _ask_optional("Mail server (empty: mail is written as files)")
    if not host:
        return {}
    security = _choice("Its security", tuple(MAIL_PORTS), "starttls")
    port = int(_ask("Its port", default=MAIL_PORTS[security], type=int))
    username = _ask_optional("Login (empty: none)")
    password = _ask("Password", hide_input=True) if username else ""
    sender = _ask("Sender", default=username or "easeback@localhost")
    login = {"username": username, "password": password} if username else {}
    return {"host": host, "port": port, "security": security, **login, "sender": sender}


def _choice(question: str, choices: tuple[str, ...], default: str) -> str:
    while True:
        answer = _ask(f"{question} ({', '.join(choices)})", default=default)
        if answer in choices:
            return answer
        typer.echo(f"one of {', '.join(choices)}, please", err=True)


def _ask_ways() -> "tuple[type[Source], ...]":
    """The services by which runs shall come; the folder is always there."""
    from worker.sources.registry import SOURCES

    kinds = {kind.name: kind for kind in sorted(SOURCES, key=lambda kind: kind.name)}
    abouts = {"folder": _FOLDER} | {name: kind.about for name, kind in kinds.items()}
    typer.echo("Runs come in these ways, one or more of them:", err=True)
    width = max(map(len, abouts)) + 2
    for name, about in abouts.items():
        typer.echo(indent(about, " " * (width + 2)).replace(" " * width, f"  {name}", 1), err=True)
    while True:
        answer = _ask("Which (separated by commas)", default="folder")
        ways = set(filter(None, (word.strip().lower() for word in answer.split(","))))
        if ways and ways <= abouts.keys():
            return tuple(kind for name, kind in kinds.items() if name in ways)
        typer.echo(f"{', '.join(abouts)}, or several of them, please", err=True)


def _ask_section(kind: "type[Source]") -> dict[str, object]:
    """What a service needs to be on; nothing where the first answer is empty."""
    first, *others = kind.asked_for
    answer = _ask_optional(f"{kind.title} {first.replace('_', ' ')} (empty: no {kind.title})")
    if not answer:
        return {}
    secrets = {
        key: _ask(f"{kind.title} {key.replace('_', ' ')}", hide_input=True) for key in others
    }
    return {first: answer, **secrets}


def _ask_athlete(written: CommandContext) -> bool:
    """Add the first athlete; False where there was none to add."""
    from worker.cli.athletes import add_athlete
    from worker.config import machine_timezone

    with written.store.reading() as tx:
        if tx.athletes.all():
            return False
    name = _ask_optional("The runner's name (empty: add athletes later)")
    if not name:
        return False
    add_athlete(
        written,
        name=name,
        email=_ask("E-mail"),
        timezone=_ask("Time zone", default=machine_timezone()),
        units=_choice("Units", ("km", "mi"), "km"),
    )
    return True


def _ask_key(written: CommandContext, kind: "type[Source]") -> None:
    """The new athlete's key; one that doesn't work is reported, and can be given later."""
    from worker.cli.connect import connect_athlete
    from worker.sources import SourceError

    try:
        connect_athlete(written, written.services(), kind, None)
    except SourceError as error:
        typer.echo(f"{error}; later: easeback connect {kind.name}", err=True)


def _filled(answers: Mapping[str, dict[str, object]]) -> str:
    """The shipped, commented settings with the answers filled in, by section and key."""
    from worker.app import shipped_file
    from worker.config import toml_string

    section = ""
    lines: list[str] = []
    for line in shipped_file("easeback.example.toml").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        key = line.removeprefix("# ").partition(" = ")[0]
        answered = line.startswith("# ") and key in answers.get(section, {})
        answer = answers[section].pop(key) if answered else ""
        value = toml_string(answer) if isinstance(answer, str) else answer
        lines.append(f"{key} = {value}" if answered else line)
    return "\n".join(lines) + "\n"


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # It may hold a password; what was there before may have been readable by others.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            os.fchmod(descriptor, 0o600)
            out.write(text)
    except OSError as error:
        raise AttentionError(f"{file} can't be written: {error.strerror}") from error
