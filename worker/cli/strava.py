"""Commands about grants: connect, disconnect, Strava's webhook, and the keys that seal them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.browser import show_in_browser
from worker.cli.context import (
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    command_of,
    the_athlete,
)
from worker.cli.garmin import connect_garmin, disconnect_garmin

if TYPE_CHECKING:
    from worker.domain.models import Athlete
    from worker.pipeline import Services
    from worker.pipeline.services import ConnectedSource
    from worker.sources.base import Webhook

WAITS_S = 15 * 60
_LOOKS_EVERY_S = 0.3

AthleteArgument = Annotated[
    str | None,
    typer.Argument(metavar="[ATHLETE]", help="Who; not needed while there's one athlete."),
]

GarminOption = Annotated[
    bool, typer.Option("--garmin", help="Garmin, by a key of the Personal API.")
]

webhook = typer.Typer(
    name="webhook",
    help="Let Strava tell of new runs at once. Everything works without.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def connect(
    context: typer.Context,
    athlete: AthleteArgument = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address instead of opening the browser.")
    ] = False,
    garmin: GarminOption = False,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="DAYS|DATE",
            help="With --garmin: when the key ends; asked for at a terminal, else 30 days.",
        ),
    ] = None,
) -> None:
    """Connect an athlete: to Strava, by a consent in the browser, or to Garmin, by a key."""
    from worker.keys import read_keys
    from worker.links import Signer
    from worker.pipeline.credentials import check_redirect
    from worker.web.strava import CALLBACK

    command = command_of(context)
    if garmin:
        connect_garmin(command, athlete, expires)
        return
    if expires is not None:
        raise UsageError("--expires goes with --garmin: a consent at Strava has no end")
    services = command.services()
    _strava_of(services)
    now = datetime.now(UTC)
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    before = _connected_at(services, who)
    refused: list[str] = []
    with _shown(command, services, refused.append) as origin:
        check_redirect(services, "strava", who, redirect=f"{origin}{CALLBACK}", now=now)
        signer = Signer(read_keys(command.settings), origin)
        address = signer.sign("connect", {"athlete": who.id}, now=now)
        if no_open or not show_in_browser(address):
            print(address, flush=True)  # noqa: T201  alone on its line, for scripts and people
        _wait(services, who, before, refused)
    command.say(f"{who.name} is connected to Strava")


def disconnect(
    context: typer.Context,
    athlete: AthleteArgument = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    garmin: GarminOption = False,
) -> None:
    """Give the connection to Strava back and forget it, and by default the runs it told of."""
    from worker.pipeline import credentials

    command = command_of(context)
    if garmin:
        disconnect_garmin(command, athlete, yes=yes)
        return
    services = command.services()
    with services.store.reading() as tx:
        who = the_athlete(tx, athlete)
    kept = "strava" in services.keeps_runs_of
    runs = "its runs are kept" if kept else "runs that only Strava told of go too"
    if not yes and not typer.confirm(f"Disconnect {who.name} from Strava? ({runs})"):
        raise AttentionError("nothing was disconnected")
    trouble = credentials.disconnect(services, "strava", who, now=datetime.now(UTC))
    if trouble:
        raise AttentionError(trouble)
    command.say(f"{who.name} is disconnected from Strava")


def rotate_keys(context: typer.Context) -> None:
    """Seal every stored grant with a new key. Stop the worker first."""
    from worker.keys import add_key
    from worker.pipeline.credentials import encrypt_all_anew

    command = command_of(context)
    with command.store.sole_worker():
        made = add_key(command.settings)
        sealed = encrypt_all_anew(command.services())
    first = "a new key stands first" if made else "the first key of secret_key is used"
    command.say(f"{first}; {sealed} grant(s) sealed with it; links signed before still work")


@webhook.command("add")
def add_webhook(context: typer.Context) -> None:
    """Subscribe: Strava checks at once that base_url can be reached."""
    from worker.web.strava import WEBHOOK

    command = command_of(context)
    services = command.services()
    strava, hooks = _webhook_of(services)
    now = datetime.now(UTC)
    with _shown(command, services, lambda _: None):
        callback = f"{command.settings.base_url.rstrip('/')}{WEBHOOK}"
        made = hooks.subscribe(callback, verify_token=strava.verify_token, now=now)
    with services.store.transaction() as tx:
        tx.source("strava").subscribed(made, callback, now=now)
    command.say(f"subscribed (number {made}): Strava tells {callback}")


@webhook.command("list")
def list_webhooks(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the subscription that Strava has, and whether it's this Easeback's."""
    command = command_of(context)
    services = command.services()
    found = _webhook_of(services)[1].subscriptions(now=datetime.now(UTC))
    with services.store.reading() as tx:
        ours = tx.source("strava").subscription()
    rows = [
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
        whose = f"ours, {row['dropped']} event(s) dropped" if row["ours"] else "not ours"
        command.say(f"{row['id']}: {row['callback_url']} ({whose})")
    if not rows:
        command.say("no subscription: Easeback polls, which is enough")


@webhook.command("remove")
def remove_webhook(context: typer.Context) -> None:
    """Remove the application's subscription; from then on Easeback polls."""
    command = command_of(context)
    services = command.services()
    (_, hooks), now = _webhook_of(services), datetime.now(UTC)
    for one in hooks.subscriptions(now=now):
        hooks.unsubscribe(one.id, now=now)
    with services.store.transaction() as tx:
        tx.source("strava").unsubscribed()
    command.say("no subscription any more: Easeback polls")


def _strava_of(services: "Services") -> "ConnectedSource":
    if "strava" not in services.sources:
        from worker.pipeline.session import off

        raise UsageError(f"{off('strava')}; or connect to Garmin, with --garmin")
    return services.sources["strava"]


def _webhook_of(services: "Services") -> "tuple[ConnectedSource, Webhook]":
    strava = _strava_of(services)
    assert strava.client.webhook is not None  # noqa: S101  narrows the type: Strava has one
    return strava, strava.client.webhook


def _connected_at(services: "Services", who: "Athlete") -> datetime | None:
    with services.store.reading() as tx:
        kept = tx.source("strava").credential(who)
    return kept.connected_at if kept else None


@contextmanager
def _shown(
    command: CommandContext, services: "Services", told: Callable[[str], None]
) -> Iterator[str]:
    """The web face, by its address: the worker's where that runs, else one of our own.

    `told` hears why a consent came to nothing; the worker's face says that in the browser alone.
    """
    from worker.app import build_web_server
    from worker.web import WebServerError

    settings = command.settings
    origin = settings.base_url.rstrip("/")
    face = build_web_server(settings, services, lambda: datetime.now(UTC), report=told)
    try:
        face.start()
    except WebServerError:
        if not _is_easeback(face.address):
            with _on_another_port(command, services, told) as elsewhere:
                yield elsewhere
            return
        yield origin
        return
    try:
        yield origin
    finally:
        face.stop()


@contextmanager
def _on_another_port(
    command: CommandContext, services: "Services", told: Callable[[str], None]
) -> Iterator[str]:
    """Another program has the port: any free one on this machine does, Strava allows that."""
    import socket

    from worker.app import build_web_server

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    face = build_web_server(
        command.settings,
        services,
        lambda: datetime.now(UTC),
        base_url=origin,
        port=port,
        report=told,
    )
    face.start()
    try:
        yield origin
    finally:
        face.stop()


def _is_easeback(address: str) -> bool:
    """True where the program on our port is Easeback's worker."""
    import requests

    try:
        return requests.get(f"{address}/livez", timeout=2).ok
    except requests.RequestException:
        return False


def _wait(
    services: "Services", who: "Athlete", before: datetime | None, refused: Sequence[str]
) -> None:
    """Until the grant has come, or Strava's page said no."""
    until = time.monotonic() + WAITS_S
    while _connected_at(services, who) == before:
        if refused:
            raise AttentionError(refused[0])
        if time.monotonic() > until:
            raise AttentionError(
                "no consent came within 15 minutes, and nothing was changed; where Strava's page "
                "spoke of an invalid redirect_uri, set the Authorization Callback Domain at "
                "https://www.strava.com/settings/api to the host of base_url"
            )
        time.sleep(_LOOKS_EVERY_S)
