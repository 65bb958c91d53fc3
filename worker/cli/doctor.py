"""The command `doctor`: checks, each of which says how to mend what is bad."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from worker.cli.context import AttentionError, CommandContext, JsonOption, command_of, where_from
from worker.domain.models import Athlete, SourceName
from worker.sources.base import OAuth2

if TYPE_CHECKING:
    from worker.pipeline.services import ConnectedSource
    from worker.store import StoredCredential

_GUESSED_BELOW = 22
"""So many characters of base64 hold 128 random bits."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `says` tells what was found, or how to mend it."""

    what: str
    ok: bool
    says: str


class BadError(Exception):
    """What was looked at isn't well; the message says how to mend it."""


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check settings, folder, database, mail and clock; says how to mend each."""
    command = command_of(context)
    report(command, list(checks(command)), as_json=as_json)


def report(
    command: CommandContext, done: Sequence[Check], *, as_json: bool = False, ignored: str = ""
) -> None:
    """Prints the checks; raises `AttentionError` for the first bad one that isn't `ignored`."""
    if as_json:
        command.print_json([{"what": c.what, "ok": c.ok, "says": c.says} for c in done])
    else:
        for check in done:
            command.say(f"{'ok  ' if check.ok else 'BAD '} {check.what}: {check.says}")
    bad = [check for check in done if not check.ok and check.what != ignored]
    if bad:
        raise AttentionError(f"{bad[0].what}: {bad[0].says}")


def checks(command: CommandContext) -> Iterator[Check]:
    """Look at everything; one bad thing doesn't keep the others from being looked at."""
    from worker.config import SettingsError
    from worker.mail import SendError
    from worker.sources import SourceError
    from worker.store import StoreError

    rows: tuple[tuple[str, Callable[[CommandContext], str]], ...] = (
        ("settings file", _settings_file),
        ("settings", _settings),
        ("clock", _clock),
        ("data folder", _data_folder),
        ("database", _database),
        ("inbox", _inbox),
        ("routine", _routine),
        ("templates", _templates),
        ("mail", _mail),
        ("links", _links),
        ("strava", _strava),
        ("garmin", _garmin),
        ("athletes", _athletes),
        ("worker", _worker),
    )
    for what, look in rows:
        try:
            yield Check(what, ok=True, says=look(command))
        except OSError as error:
            yield Check(what, ok=False, says=_mend(error))
        except (BadError, SettingsError, StoreError, SendError, SourceError) as error:
            yield Check(what, ok=False, says=str(error))
            if what.startswith("settings"):  # without them there's nothing else to look at
                return


def _mend(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    return f"{where}{reason}: check that it's there, what it is, and who may use it"


def _settings_file(command: CommandContext) -> str:
    from worker.config import find

    return where_from(find(command.config))


def _settings(command: CommandContext) -> str:
    from worker.app import check_engine

    settings = command.settings
    check_engine(settings)
    chosen = {"secret_key": settings.secret_key, "[web] token": settings.web.token}
    for name, secret in chosen.items():
        if secret and any(
            len(key) < _GUESSED_BELOW for key in secret.get_secret_value().split(",")
        ):
            raise BadError(
                f"{name} is short enough to be guessed: make one of {_GUESSED_BELOW} characters "
                "or more, for example with `openssl rand -base64 32`"
            )
    return "every value can be used"


def _clock(command: CommandContext) -> str:
    from worker.jobs.clock import FIRST_RELEASE

    del command
    now = datetime.now(UTC)
    if now < FIRST_RELEASE:
        raise BadError(f"this machine says it is {now:%Y-%m-%d %H:%M} UTC: set its clock")
    return f"{now:%Y-%m-%d %H:%M} UTC"


def _data_folder(command: CommandContext) -> str:
    from worker.app import make_data_dir

    make_data_dir(command.settings)
    folder = command.settings.data_dir.absolute()
    probe = folder / f".check-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
    except OSError as error:
        raise BadError(
            f"{folder} can't be written to ({error.strerror}): make room, or give Easeback the "
            "right to write there"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
    mode = folder.stat().st_mode & 0o077
    return f"{folder}{', which others may read: chmod 700 it' if mode else ''}"


def _database(command: CommandContext) -> str:
    from worker.store import file_system

    shown = command.store.engine.url.render_as_string(hide_password=True)
    command.store.check()
    if command.store.file is not None and (share := file_system.warning(command.store.file)):
        raise BadError(share)
    return f"{shown}, schema {command.store.schema()}"


def _inbox(command: CommandContext) -> str:
    folder = command.settings.inbox_path
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadError(f"{folder} can't be read: give Easeback the right to")
    return str(folder.absolute())


def _routine(command: CommandContext) -> str:
    from worker.app import read_routines

    found = read_routines(command.file)
    steps = sum(len(one.steps) for one in found)
    return f"{len(found)} set(s) with {steps} steps"


def _templates(command: CommandContext) -> str:
    from worker.app import build_composer

    broken = build_composer(command.settings, command.file).check()
    if broken:
        raise BadError(f"{broken[0]}; the shipped one is used instead")
    return "compose"


def _mail(command: CommandContext) -> str:
    from worker.app import build_mailer

    return build_mailer(command.settings).check()


def _links(command: CommandContext) -> str:
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    address = command.settings.base_url
    host = urlsplit(address).hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    only = ": they open on this machine only; set base_url for a phone" if here else ""
    return f"those in mail begin with {address}{only}"


def _strava(command: CommandContext) -> str:
    from worker.web.strava import CALLBACK

    strava = _source(command, "strava")
    if strava is None:
        return "off: no [strava] client_id is set"
    now = datetime.now(UTC)
    client = strava.client
    if client.webhook is not None and isinstance(client.auth, OAuth2):
        client.webhook.subscriptions(now=now)
        redirect = f"{command.settings.base_url.rstrip('/')}{CALLBACK}"
        client.auth.check_redirect(redirect, now=now)
    connected = _connected(command, "strava")
    ailing = [f"{one.name}: {error}" for one, _, error in connected if error]
    if ailing:
        raise BadError("; ".join(ailing))
    return f"answers; {len(connected)} athlete(s) connected"


def _garmin(command: CommandContext) -> str:
    from worker.pipeline.credentials import ends_soon

    garmin = _source(command, "garmin")
    if garmin is None:
        return "off: [garmin] enabled is false"
    now = datetime.now(UTC)
    told: list[str] = []
    connected = _connected(command, "garmin")
    for one, stored, error in connected:
        if error:
            raise BadError(f"{one.name}: {error}")
        soon = ends_soon(garmin, stored, one, now)
        told += [f"{one.name}: {soon}"] if soon else []
    number = f"{len(connected)} athlete(s) connected"
    return "; ".join([number, *told]) if connected else "nobody is connected"


def _source(command: CommandContext, name: SourceName) -> "ConnectedSource | None":
    from worker.app import connected_sources
    from worker.sources.formats.child import Reader

    return connected_sources(command.settings, Reader()).get(name)


def _connected(
    command: CommandContext, source: SourceName
) -> "list[tuple[Athlete, StoredCredential, str | None]]":
    """Who is connected, by what, and what is wrong with it, if anything."""
    found = []
    with command.store.reading() as tx:
        for one in tx.athletes.all():
            stored = tx.source(source).credential(one)
            state = tx.progress.sources(one).get(source)
            failing = state is not None and state.state == "failing"
            if stored is not None:
                found.append((one, stored, state.last_error if state and failing else None))
    return found


def _athletes(command: CommandContext) -> str:
    with command.store.reading() as tx:
        number = len(tx.athletes.all())
    if not number:
        raise BadError("there is none yet: add one with `easeback athlete add`")
    return str(number)


def _worker(command: CommandContext) -> str:
    from worker.store import LockedError

    try:
        with command.store.sole_worker():
            return "not running now (`easeback run` starts it)"
    except LockedError as error:
        return f"running: {error}"
