"""Commands about the services: connect, disconnect, webhook, and rotate-keys.

`sources.registry` lists the services; each class says how it is connected.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.browser import show_in_browser
from worker.cli.connect_mail import MAIL, connect_mail, disconnect_mail
from worker.cli.context import (
    BY_ITS_NAME,
    AthleteArgument,
    AttentionError,
    CommandContext,
    JsonOption,
    NoOpenOption,
    UsageError,
    YesOption,
    command_of,
    the_athlete,
)
from worker.domain.shown import counted

if TYPE_CHECKING:
    from worker.domain.models import Athlete
    from worker.pipeline.services import Services
    from worker.sources.base import ApiKey, OAuth2, Source, Webhook

WAITS_S = 15 * 60
_CHECKS_EVERY_S = 0.3
_HINTS_AFTER_S = 15.0
"""After this time, possible causes are explained: a page that a service blocks never redirects."""

SourceArgument = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="Which service; optional if only one is set up."),
]

webhook = typer.Typer(
    name="webhook",
    help="Have a service report new runs at once. This is optional.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def connect(
    context: typer.Context,
    source: SourceArgument = None,
    athlete: AthleteArgument = None,
    no_open: NoOpenOption = False,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="DAYS|DATE",
            help="When the key expires. A terminal asks; otherwise, the shortest period counts.",
        ),
    ] = None,
) -> None:
    """Connect an athlete to a service, or connect the mail account (SOURCE `mail`).

    A service is connected by consent in the browser or with a key.
    """
    from worker.sources.base import ApiKey
    from worker.sources.registry import SOURCES

    command = command_of(context)
    if source == MAIL:
        connect_mail(command, athlete)
        return
    services = command.services()
    kind, name = _source_and_athlete(context, services, source, athlete)
    ending = [one for one in SOURCES if issubclass(one, ApiKey) and one.key_lives_days]
    if expires is not None and kind not in ending:
        keyed = " or ".join(f"--{one.name}" for one in ending)
        what = "key" if issubclass(kind, ApiKey) else "consent"
        raise UsageError(f"--expires goes with {keyed}: a {what} at {kind.title} has no end")
    connect_athlete(command, services, kind, name, expires=expires, no_open=no_open)


def connect_athlete(
    command: CommandContext,
    services: "Services",
    kind: "type[Source]",
    athlete: str | None,
    *,
    expires: str | None = None,
    no_open: bool = False,
) -> None:
    """Connect the athlete of this name, or the only one; raises `SourceError`."""
    from worker.sources.base import ApiKey, OAuth2
    from worker.sources.registry import SOURCES

    connected = services.sources.get(kind.name)
    if connected is None:
        keyed = " or ".join(
            f"{one.title}, with --{one.name}"
            for one in SOURCES
            if issubclass(one, ApiKey) and one.name in services.sources
        )
        others = f"; or connect to {keyed}" if keyed and not issubclass(kind, ApiKey) else ""
        raise UsageError(f"{kind.off}{others}")
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
    client = connected.client
    if isinstance(client, ApiKey):
        _connect_with_key(command, services, client, who, expires)
    elif isinstance(client, OAuth2):
        _connect_by_consent(command, services, client, who, no_open=no_open)


def disconnect(
    context: typer.Context,
    source: SourceArgument = None,
    athlete: AthleteArgument = None,
    yes: YesOption = False,
) -> None:
    """End an athlete's connection to a service, and forget it.

    By default, runs that no other source has are deleted too.
    """
    from worker.pipeline import credentials

    command = command_of(context)
    if source == MAIL:
        disconnect_mail(command, athlete, yes=yes)
        return
    services = command.services()
    kind, name = _source_and_athlete(context, services, source, athlete)
    with services.store.reading() as tx:
        who = the_athlete(tx, name, how=BY_ITS_NAME)
    is_kept = kind.name in services.keeps_runs_of
    runs = "its runs are kept" if is_kept else f"runs that only {kind.title} told of go too"
    command.confirm(
        f"Disconnect {who.name} from {kind.title}? ({runs})",
        yes=yes,
        otherwise="nothing was disconnected",
    )
    trouble = credentials.disconnect_athlete(services, kind.name, who, now=datetime.now(UTC))
    if trouble:
        raise AttentionError(trouble)
    key_page = getattr(kind, "key_page", None)
    key = f"; the key itself is deleted at {key_page}" if key_page else ""
    command.say(f"{who.name} is disconnected from {kind.title}{key}")


def _source_and_athlete(
    context: typer.Context, services: "Services", source: str | None, athlete: str | None
) -> "tuple[type[Source], str | None]":
    """The service and athlete that `[SOURCE] [ATHLETE]` or `--SOURCE [ATHLETE]` mean.

    A single word is a service if there is one with that name, else an athlete. Without a service,
    it is the only one that is on and is connected by consent. Raises `UsageError`.
    """
    from worker.sources.base import ApiKey
    from worker.sources.registry import SOURCES

    by_name = {kind.name: kind for kind in SOURCES}
    words = [word for word in (source, athlete) if word is not None]
    # A service written like an option may be in any position.
    words.sort(key=lambda word: not word.startswith("-"))
    first = words[0].removeprefix("--").lower() if words else ""
    if first in by_name:
        return by_name[first], words[1] if words[1:] else None
    if words and words[0].startswith("-"):
        raise UsageError(f"No such option: {words[0]} (see `{context.command_path} --help`)")
    if words[1:]:
        raise UsageError(f"no service is called {words[0]!r}: there are {', '.join(by_name)}")
    by_consent = [kind for kind in SOURCES if not issubclass(kind, ApiKey)]
    on = [kind for kind in by_consent if kind.name in services.sources]
    if len(on) > 1:
        raise UsageError(f"say which service: {', '.join(kind.name for kind in on)}")
    return (on or by_consent)[0], words[0] if words else None


def _connect_with_key(
    command: CommandContext,
    services: "Services",
    client: "ApiKey",
    who: "Athlete",
    expires: str | None,
) -> None:
    """Ask for the key without showing it, test it, store it encrypted, and print its expiry."""
    from worker.domain.weeks import local_day
    from worker.pipeline import credentials

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        typer.echo(f"Make a key at {client.key_page} ({client.key_menu}).", err=True)
        # Not an argument, because process lists show arguments.
        key = str(typer.prompt("The key (it isn't shown)", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
    if expires is None and is_terminal and client.key_lives_days:
        offered = ", ".join(map(str, client.key_lives_days))
        question = f"Its expiration, as you chose it there: {offered} days, or the last day's date"
        expires = str(typer.prompt(question, default=str(client.key_lives_days[0]), err=True))
    done = credentials.connect_with_key(
        services, client.name, who, lambda: datetime.now(UTC), key=key, expires=expires
    )
    end = f"; the key runs out on {local_day(who, done.ends_at)}" if done.ends_at else ""
    command.say(f"{who.name} is connected to {client.title}{end}")


def _connect_by_consent(
    command: CommandContext,
    services: "Services",
    client: "OAuth2",
    who: "Athlete",
    *,
    no_open: bool,
) -> None:
    """Show the service's page, and wait until the browser has returned with the consent."""
    from worker.app import callback_url
    from worker.keys import read_keys
    from worker.links import Signer
    from worker.pipeline.credentials import check_redirect

    def connected_at() -> datetime | None:
        with services.store.reading() as tx:
            stored = tx.source(client.name).credential(who)
        return stored.connected_at if stored else None

    now, before = datetime.now(UTC), connected_at()
    refused: list[str] = []
    with _web_server(command, services, refused.append) as origin:
        redirect = callback_url(origin, client.name)
        unasked = check_redirect(services, client.name, who, redirect=redirect, now=now)
        if unasked:
            typer.echo(f"{unasked}: if your browser gets no further, end this by Ctrl-C", err=True)
        signer = Signer(read_keys(command.settings), origin)
        address = signer.sign("connect", who, now=now, source=client.name, by="operator")
        if no_open or not show_in_browser(address):
            print(address, flush=True)  # noqa: T201  alone on its line, for scripts and people
        until, hints_at = time.monotonic() + WAITS_S, time.monotonic() + _HINTS_AFTER_S
        while connected_at() == before:
            if refused:
                raise AttentionError(refused[0])
            if time.monotonic() > until:
                raise AttentionError(
                    "no consent came within 15 minutes, and nothing was changed; "
                    f"{client.no_consent_hint}"
                )
            if time.monotonic() > hints_at:
                hints_at = until + 1
                hint = f"still waiting for {client.title}'s page; {client.no_consent_hint}"
                typer.echo(hint, err=True)
            time.sleep(_CHECKS_EVERY_S)
    command.say(f"{who.name} is connected to {client.title}")


def rotate_keys(context: typer.Context) -> None:
    """Encrypt every stored credential with a new key. Stop the worker first."""
    from worker.keys import add_key
    from worker.pipeline.credentials import encrypt_all_anew

    command = command_of(context)
    with command.store.sole_worker():
        made = add_key(command.settings)
        number = encrypt_all_anew(command.services())
    first = "a new key stands first" if made else "the first key of secret_key is used"
    command.say(
        f"{first}; {counted(number, 'credential')} encrypted with it; "
        "links signed before still work"
    )


@webhook.command("add")
def add_webhook(context: typer.Context, source: SourceArgument = None) -> None:
    """Subscribe. The service checks at once that it can reach base_url."""
    command = command_of(context)
    services = command.services()
    client, now = _webhook_of(services, source), datetime.now(UTC)
    connected = services.sources[client.name]
    callback = f"{command.settings.base_url.rstrip('/')}{connected.webhook_path}"
    with _web_server(command, services, lambda _: None):
        made = client.subscribe(callback, verify_token=connected.verify_token, now=now)
    with services.store.transaction() as tx:
        tx.source(client.name).subscribed(made, callback, now=now)
    command.say(f"subscribed (number {made}): {client.title} tells {callback}")


@webhook.command("list")
def list_webhooks(
    context: typer.Context, source: SourceArgument = None, as_json: JsonOption = False
) -> None:
    """Show the subscription that the service has, and whether it's this Easeback's."""
    command = command_of(context)
    services = command.services()
    client = _webhook_of(services, source)
    found = client.subscriptions(now=datetime.now(UTC))
    with services.store.reading() as tx:
        ours = tx.source(client.name).subscription()
    rows: list[dict[str, Any]] = [
        {
            "id": one.id,
            "callback_url": one.callback_url,
            "ours": ours is not None and ours.id == one.id,
            "dropped": ours.dropped if ours is not None and ours.id == one.id else 0,
        }
        for one in found
    ]
    if as_json:
        command.print_json(rows)
        return
    for row in rows:
        whose = f"ours, {counted(row['dropped'], 'event')} dropped" if row["ours"] else "not ours"
        command.say(f"{row['id']}: {row['callback_url']} ({whose})")
    if not rows:
        command.say("no subscription: Easeback polls, which is enough")


@webhook.command("remove")
def remove_webhook(context: typer.Context, source: SourceArgument = None) -> None:
    """Remove the application's subscription. Easeback then polls."""
    command = command_of(context)
    services = command.services()
    client, now = _webhook_of(services, source), datetime.now(UTC)
    for one in client.subscriptions(now=now):
        client.unsubscribe(one.id, now=now)
    with services.store.transaction() as tx:
        tx.source(client.name).unsubscribed()
    command.say("no subscription any more: Easeback polls")


def _webhook_of(services: "Services", source: str | None) -> "Webhook":
    """The service named, or the only one that is on and has a webhook; raises `UsageError`."""
    from worker.sources.base import Webhook
    from worker.sources.registry import SOURCES

    kinds = [kind for kind in SOURCES if issubclass(kind, Webhook)]
    names = ", ".join(kind.name for kind in kinds)
    if source is not None:
        kinds = [kind for kind in kinds if kind.name == source.lower()]
        if not kinds:
            raise UsageError(f"no service called {source!r} has a webhook: there are {names}")
    clients = (one.client for one in services.sources.values())
    on = [one for one in clients if isinstance(one, Webhook) and type(one) in kinds]
    if not on:
        raise UsageError(kinds[0].off)
    if len(on) > 1:
        raise UsageError(f"say which service: {names}")
    return on[0]


@contextmanager
def _web_server(
    command: CommandContext, services: "Services", report: Callable[[str], None]
) -> Iterator[str]:
    """The address of a web server: the running worker's, or one that runs during the block.

    `report` is called with the reason if a consent fails; the worker's server shows it only in the
    browser. If another program uses the port, any free port on this machine is used. Raises
    `AttentionError` if the configured host can't be used.
    """
    import socket

    import requests

    from worker.app import build_web_server
    from worker.web import WebServerError

    def clock() -> datetime:
        return datetime.now(UTC)

    origin = command.settings.base_url.rstrip("/")
    server = build_web_server(command.settings, services, clock, report=report)
    try:
        server.start()
    except WebServerError:
        try:
            is_easeback = requests.get(f"{server.address}/livez", timeout=2).ok
        except requests.RequestException:
            is_easeback = False
        if is_easeback:
            yield origin
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        origin = f"http://127.0.0.1:{port}"
        server = build_web_server(
            command.settings, services, clock, base_url=origin, port=port, report=report
        )
        try:
            server.start()
        except WebServerError as error:
            raise AttentionError(str(error)) from error
    try:
        yield origin
    finally:
        server.stop()
