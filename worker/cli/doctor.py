"""The command `doctor`: runs checks, each of which says how to fix what is wrong."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.context import (
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    command_of,
    where_from,
)
from worker.domain.shown import counted

if TYPE_CHECKING:
    from worker.mail import Heard, Mailer
    from worker.sources.base import Source

_GUESSED_BELOW = 22
"""The number of base64 characters that hold 128 random bits."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `message` is what was found, or how to fix it.

    `unusable` is True if the settings can't be used, by this or any other command.
    """

    what: str
    ok: bool
    message: str
    unusable: bool = False


class BadError(Exception):
    """A check failed; the message says how to fix it."""


def doctor(
    context: typer.Context,
    mail_to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Send a test mail there, and show each answer."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the setup, and say how to fix what is wrong."""
    command = command_of(context)
    heard: list[str] = []

    def with_trial() -> Iterator[Check]:
        settings_hold, not_set_up = True, None
        try:
            for check in checks(command):
                settings_hold &= check.ok or not check.what.startswith("setting")
                yield check
        except UsageError as error:
            not_set_up = error
        # Without a mail server, the mail would be a file in a data folder that isn't set up.
        can_send = not_set_up is None or command.settings.mail.host is not None
        if mail_to is not None and settings_hold and can_send:
            yield _tried("trial mail", lambda: _send_trial(command, mail_to, heard))
        if not_set_up is not None:
            raise not_set_up

    report(command, with_trial(), as_json=as_json, heard=heard)


def report(
    command: CommandContext,
    run: Iterable[Check],
    *,
    as_json: bool = False,
    ignored: str = "",
    heard: Sequence[str] = (),
) -> None:
    """Print the checks, and what was `heard` during them.

    Raises `AttentionError` for the first failed check that isn't `ignored`, or `UsageError` if the
    settings can't be used. If nothing is set up yet, the checks end there, and the `UsageError` is
    raised again.
    """
    done: list[Check] = []
    not_set_up: UsageError | None = None
    try:
        for check in run:
            done.append(check)  # noqa: PERF402  what ran before an error counts
    except UsageError as error:
        not_set_up = error
    if as_json:
        command.print_json([{"what": c.what, "ok": c.ok, "says": c.message} for c in done])
    else:
        for line in heard:
            command.say(f"     {line}")
        for check in done:
            command.say(f"{'ok  ' if check.ok else 'BAD '} {check.what}: {check.message}")
    if not_set_up:
        raise not_set_up
    bad = [check for check in done if not check.ok and check.what != ignored]
    if bad:
        words = f"{bad[0].what}: {bad[0].message}"
        raise UsageError(words) if bad[0].unusable else AttentionError(words)


def checks(command: CommandContext) -> Iterator[Check]:
    """Run every check. If the settings can't be used, the others don't run."""
    from worker.sources.registry import SOURCES

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
        *((kind.name, partial(_source, kind)) for kind in SOURCES),
        ("athletes", _athletes),
        ("worker", _worker),
    )
    for what, check in rows:
        done = _tried(what, partial(check, command))
        yield done
        if not done.ok and what.startswith("settings"):  # every other check needs them
            return


def _tried(what: str, check: Callable[[], str]) -> Check:
    """The result of a check, which returns what it found or raises what is wrong."""
    from worker.config import SettingsError
    from worker.mail import SendError
    from worker.sources.base import SourceError
    from worker.store import StoreError

    try:
        return Check(what, ok=True, message=check())
    except OSError as error:
        return Check(what, ok=False, message=_mend(error))
    except (BadError, SettingsError, StoreError, SendError, SourceError) as error:
        unusable = isinstance(error, SettingsError)
        return Check(what, ok=False, message=str(error), unusable=unusable)


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
    token = settings.web.token
    if token and len(token) < _GUESSED_BELOW:
        raise BadError(
            f"[web] token is short enough to be guessed: make one of {_GUESSED_BELOW} characters "
            "or more, for example with `openssl rand -base64 32`"
        )
    return "every value can be used"


def _clock(_: CommandContext) -> str:
    from worker.config import machine_timezone
    from worker.jobs.ticks import FIRST_RELEASE

    now, zone = datetime.now(UTC), machine_timezone()
    if now < FIRST_RELEASE:
        raise BadError(f"this machine says it is {now:%Y-%m-%d %H:%M} UTC: set its clock")
    return f"{now:%Y-%m-%d %H:%M} UTC, time zone {zone}"


def _data_folder(command: CommandContext) -> str:
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
    mode = folder.stat().st_mode & 0o066
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
    if not folder.is_dir():
        raise BadError(f"there is no folder {folder}: make it, or mount the share that it lies on")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadError(f"{folder} can't be read: give Easeback the right to")
    return str(folder.absolute())


def _routine(command: CommandContext) -> str:
    from worker.app import read_routines

    found = read_routines(command.file)
    steps = sum(len(one.steps) for one in found)
    return f"{counted(len(found), 'set')} with {counted(steps, 'step')}"


def _templates(command: CommandContext) -> str:
    from worker.app import UNUSED_KEYS, build_composer

    broken = build_composer(command.settings, command.file, UNUSED_KEYS).check()
    if broken:
        raise BadError(f"{broken[0]}; the shipped one is used instead")
    return "compose"


def _mail(command: CommandContext) -> str:
    return _mailer(command).check()


def _mailer(command: CommandContext, heard: "Heard | None" = None) -> "Mailer":
    from worker.app import build_mail_login, build_mailer

    login = None
    if command.settings.mail.auth == "xoauth2":  # only this login needs the database
        login = build_mail_login(command.settings, command.store)
    return build_mailer(command.settings, login, heard=heard)


def _send_trial(command: CommandContext, recipient: str, heard: list[str]) -> str:
    """Send a mail to any address; the dialogue with the server goes into `heard`."""
    from worker.app import UNUSED_KEYS, build_composer
    from worker.pipeline.preview import trial_mail

    settings = command.settings
    composer = build_composer(settings, command.file, UNUSED_KEYS)
    mime = trial_mail(composer, settings.mail, recipient, now=datetime.now(UTC))
    mailer = _mailer(command, lambda said, answer: heard.append(f"{said}: {answer}"))
    mailer.send(
        mime, sender=settings.mail.from_header, recipient=recipient, before_dot=lambda: None
    )
    return f"sent to {recipient}" if settings.mail.host else "written into the mailbox folder"


def _links(command: CommandContext) -> str:
    from worker.setting_types import is_loopback

    address = command.settings.base_url
    is_here = is_loopback(address)
    only = ": they open on this machine only; set base_url for a phone" if is_here else ""
    return f"those in mail begin with {address}{only}"


def _source(kind: "type[Source]", command: CommandContext) -> str:
    from worker.app import callback_url, connected_sources
    from worker.pipeline.session import ends_soon
    from worker.sources.base import OAuth2, Webhook
    from worker.sources.formats.child import Reader

    connected = connected_sources(command.settings, Reader()).get(kind.name)
    if connected is None:
        return "off: " + (
            f"no [{kind.name}] {kind.asked_for[0]} is set"
            if kind.asked_for
            else f"[{kind.name}] enabled is false"
        )
    client, now = connected.client, datetime.now(UTC)
    if isinstance(client, Webhook):
        client.subscriptions(now=now)
    if isinstance(client, OAuth2):
        client.check_redirect(callback_url(command.settings.base_url, kind.name), now=now)
    number, failing, ending = 0, list[str](), list[str]()
    with command.store.reading() as tx:
        for who in tx.athletes.all():
            stored = tx.source(kind.name).credential(who)
            if stored is None:
                continue
            number += 1
            state = tx.progress.sources(who).get(kind.name)
            if state is not None and state.state == "failing":
                failing.append(f"{who.name}: {state.last_error}")
            elif soon := ends_soon(connected, stored, who, now):
                ending.append(f"{who.name}: {soon}")
    if failing:
        raise BadError("; ".join(failing))
    answers = ["answers"] if isinstance(client, OAuth2) else []
    if not number and not answers:
        return "nobody is connected"
    return "; ".join([*answers, f"{counted(number, 'athlete')} connected", *ending])


def _athletes(command: CommandContext) -> str:
    with command.store.reading() as tx:
        number = tx.athletes.count()
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
