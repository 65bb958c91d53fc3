"""The command `init`: asks for what's needed, writes the settings, checks them."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.context import AttentionError, CommandContext, UsageError, command_of


def init(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Write over settings that are there.")
    ] = False,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: write what needs no answer.")
    ] = False,
) -> None:
    """Ask for what's needed, write the settings, check them."""
    command = command_of(context)
    file = _target(command)
    if file.exists() and not force and not _untouched(file):
        raise UsageError(f"{file} is there already: change it by hand, or say --force")
    data_dir = _ask("Where does Easeback keep its data?", str(Path("data").absolute()), defaults)
    mail = None if defaults else _ask_mail()
    ways = frozenset[str]() if defaults else _ask_ways()
    strava = _ask_strava() if "strava" in ways else None
    _write(file, _filled(data_dir, mail, strava))
    command.say(f"wrote {file}, which only you can read")
    written = CommandContext(config=file, verbose=command.verbose)
    if not defaults and _ask_athlete(written) and "garmin" in ways:
        _ask_garmin(written)
    _check(command, written)


def _target(command: CommandContext) -> Path:
    from worker.config import LOCAL_FILE, named_file

    return named_file(command.config) or LOCAL_FILE


def _untouched(file: Path) -> bool:
    """True for the commented file as it is shipped: it holds nothing of anybody's."""
    from worker.app import shipped_file

    return file.read_bytes() == shipped_file("easeback.toml").read_bytes()


def _ask(question: str, default: str, defaults: bool) -> str:
    return default if defaults else str(typer.prompt(question, default=default, err=True))


def _ask_mail() -> dict[str, object] | None:
    from worker.setting_types import MAIL_PORTS

    host = typer.prompt(
        "Mail server (empty: mail is written as files)", default="", show_default=False, err=True
    )
    if not host:
        return None
    security = _choice("Its security", tuple(MAIL_PORTS), "starttls")
    port = typer.prompt("Its port", default=MAIL_PORTS[security], type=int, err=True)
    username = typer.prompt("Login (empty: none)", default="", show_default=False, err=True)
    password = typer.prompt("Password", hide_input=True, err=True) if username else ""
    sender = typer.prompt("Sender", default=username or "easeback@localhost", err=True)
    answers = {
        "host": host,
        "port": port,
        "security": security,
        "username": username,
        "password": password,
        "sender": sender,
    }
    return {key: value for key, value in answers.items() if value != ""}


def _choice(question: str, choices: tuple[str, ...], default: str) -> str:
    while True:
        answer = str(typer.prompt(f"{question} ({', '.join(choices)})", default=default, err=True))
        if answer in choices:
            return answer
        typer.echo(f"one of {', '.join(choices)}, please", err=True)


_WAYS = """Runs come in three ways, one or more of them:
  folder  FIT files dropped into the inbox. Free, needs nothing, always there.
  garmin  Garmin Connect. Free; each athlete makes a key there (Settings, Personal API), and a new
          one when it runs out: after 30, 90, 180 or 365 days, as chosen.
  strava  Strava. Needs an API application (https://www.strava.com/settings/api), whose owner
          needs a paid subscription."""


def _ask_ways() -> frozenset[str]:
    typer.echo(_WAYS, err=True)
    while True:
        answer = str(typer.prompt("Which (separated by commas)", default="folder", err=True))
        ways = frozenset(filter(None, (word.strip().lower() for word in answer.split(","))))
        if ways and ways <= {"folder", "garmin", "strava"}:
            return ways
        typer.echo("folder, garmin, strava, or several of them, please", err=True)


def _ask_strava() -> dict[str, object] | None:
    client_id = typer.prompt(
        "Strava client id (empty: no Strava)", default="", show_default=False, err=True
    )
    if not client_id:
        return None
    secret = typer.prompt("Strava client secret", hide_input=True, err=True)
    return {"client_id": client_id, "client_secret": secret}


def _ask_athlete(written: CommandContext) -> bool:
    """Add the first athlete; False where there was none to add."""
    from worker.cli.arguments import local_timezone
    from worker.cli.athletes import add_athlete

    with written.store.reading() as tx:
        if tx.athletes.all():
            return False
    name = typer.prompt(
        "The runner's name (empty: add athletes later)", default="", show_default=False, err=True
    )
    if not name:
        return False
    add_athlete(
        written,
        name=name,
        email=str(typer.prompt("E-mail", err=True)),
        timezone=str(typer.prompt("Time zone", default=local_timezone(), err=True)),
        units=_choice("Units", ("km", "mi"), "km"),
    )
    return True


def _ask_garmin(written: CommandContext) -> None:
    """The new athlete's key; one that doesn't work is said, and can be given later."""
    from worker.cli.garmin import connect_garmin
    from worker.sources import SourceError

    try:
        connect_garmin(written, None, None)
    except SourceError as error:
        typer.echo(f"{error}; later: easeback connect --garmin", err=True)


def _filled(data_dir: str, mail: dict[str, object] | None, strava: dict[str, object] | None) -> str:
    """The shipped, commented settings with the answers filled in."""
    from worker.app import shipped_file

    answers: dict[str, dict[str, object]] = {
        "": {"data_dir": data_dir},
        "mail": mail or {},
        "strava": strava or {},
    }
    section = ""
    lines: list[str] = []
    for line in shipped_file("easeback.toml").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        key = line.removeprefix("# ").partition(" = ")[0]
        answered = line.startswith("# ") and key in answers.get(section, {})
        # A TOML string is written as a JSON string is.
        lines.append(f"{key} = {json.dumps(answers[section].pop(key))}" if answered else line)
    return "\n".join(lines) + "\n"


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # It may hold a password.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise AttentionError(f"{file} can't be written: {error.strerror}") from error


def _check(command: CommandContext, written: CommandContext) -> None:
    from worker.cli.doctor import checks, report

    # That there's no athlete yet is what comes next, and nothing wrong.
    report(command, list(checks(written)), ignored="athletes")
