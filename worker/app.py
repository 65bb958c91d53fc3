"""The application, built from the settings: what the pipeline works with, and the web server.

    settings, file = load(config_file)
    services = build_services(settings, file)              # store, inbox, mailer, composer, sources
    server = build_web_server(settings, services, clock)   # the pages over them

This module holds no state, and no other module builds these parts.
"""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.config import Settings, SettingsError, ca_file, folder, make_data_dir
from worker.domain import routine
from worker.domain.models import SourceName
from worker.domain.routine import Routine
from worker.keys import read_keys
from worker.links import Signer
from worker.mail import Heard, MailboxMailer, Mailer, SmtpMailer
from worker.notify import Composer
from worker.notify.pictures import ExercisePicture, PictureError, own_pictures
from worker.pipeline.mail_login import MailLogin
from worker.pipeline.services import Clock, ConnectedSource, Services
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader
from worker.sources.registry import SOURCES
from worker.sources.sections import PRECEDENCE
from worker.store import Encrypter, Store

if TYPE_CHECKING:
    from worker.web import WebServer

_PAGES_WAIT_S = 10.0
"""How long a page waits for a service. A visitor waits for it, and it occupies a thread."""

UNUSED_KEYS = ("nothing is signed",)
"""Keys for a composer whose mails aren't sent, so that no real keys are created."""

NotifyWorkers = Callable[[SourceName, Collection[int]], None]
"""Notifies waiting workers that webhook events of a source are due for these athletes."""


def build_services(
    settings: Settings,
    file: Path | None,
    *,
    patient: bool = True,
    before_upgrade: Callable[[Store], None] = lambda _: None,
) -> Services:
    """Build what the pipeline works with from these settings; `file` is where they came from.

    `patient` says whether a truncated file in the inbox is given extra scans. `before_upgrade` is
    called with a database of an older schema. The data folder and the inbox in it are created if
    missing. An inbox elsewhere isn't, because it may be a share that isn't mounted. Raises
    `SettingsError`, `StoreError`.
    """
    check_engine(settings)
    make_data_dir(settings)
    reader = Reader()
    store = Store.open(
        settings.url,
        rules=settings.rules,
        precedence=PRECEDENCE,
        traces=settings.traces,
        before_upgrade=before_upgrade,
    )
    login = build_mail_login(settings, store)
    return Services(
        store=store,
        inbox=Inbox(
            settings.inbox_path,
            settings.inbox,
            patient=patient,
            read_many=reader.read_many,
            reader=reader,
        ),
        mailer=build_mailer(settings, login),
        mail_login=login,
        composer=build_composer(settings, file),
        routines=read_routines(file),
        rules=settings.rules,
        sender=settings.mail.from_header,
        reply_to=settings.mail.reply_to,
        operator=settings.mail.operator,
        therapist=settings.mail.therapist,
        copies_alerts=settings.mail.copy_alerts,
        tells_red_flags=settings.mail.tell_red_flags,
        backup=settings.backup,
        backups_path=settings.backups_path,
        ping_url=settings.ping_url,
        sources=connected_sources(settings, reader),
        keeps_runs_of=frozenset(
            name for name, section in settings.sources.items() if section.keep_runs_on_disconnect
        ),
    )


def check_engine(settings: Settings) -> None:
    """Check that the configured engine can run here; raises `SettingsError` with a remedy."""
    if settings.engine.kind == "embedded":
        return
    if settings.url.startswith("sqlite"):
        raise SettingsError(
            '[engine] kind = "procrastinate" needs PostgreSQL: set database_url '
            '("postgresql+psycopg://..."), or take the line out'
        )
    if find_spec("procrastinate") is None:
        raise SettingsError(
            '[engine] kind = "procrastinate" needs one more package: '
            'pip install "easeback[postgres]", or take the line out'
        )


def build_mailer(
    settings: Settings, login: MailLogin | None = None, *, heard: Heard | None = None
) -> Mailer:
    """SMTP if a host is set, else the mailbox folder; `heard` receives the dialogue."""
    mail = settings.mail
    if mail.host is None:
        return MailboxMailer(settings.mailbox_path)
    return SmtpMailer(mail, heard=heard, tokens=login)


def build_mail_login(settings: Settings, store: Store) -> MailLogin | None:
    """The login to the mail server with tokens, or None if the settings use a password."""
    if settings.mail.auth != "xoauth2":
        return None
    return MailLogin(settings.mail, store, Encrypter(read_keys(settings)), ca_file=ca_file())


def build_composer(
    settings: Settings, file: Path | None, keys: Sequence[str] | None = None
) -> Composer:
    """The composer, with the operator's templates from the folder of the settings, if any.

    `keys` sign the links in mails; by default they are those of the settings, which are created if
    missing. Raises `SettingsError` for a language without a catalogue, and for an unusable picture
    of the operator's own routine.
    """
    pictures: Mapping[str, ExercisePicture] = {}
    if (folder(file) / "routine.toml").is_file():
        steps = (step for one in read_routines(file) for step in one.steps)
        try:
            pictures = own_pictures(steps, folder(file))
        except PictureError as error:
            raise SettingsError(str(error)) from error
    try:
        return Composer(
            signer=Signer(keys or read_keys(settings), settings.base_url),
            templates=_own_templates(file),
            reply_to=settings.mail.reply_to,
            # Check-in links need the web server.
            checkins=settings.web.enabled,
            language=settings.mail.language,
            pictures=pictures,
        )
    except ValueError as error:
        raise SettingsError(f"[mail] language: {error}") from error


def calendar_composer(settings: Settings, file: Path | None) -> Composer:
    """A composer for calendars, which have no links, so no keys are created."""
    return Composer(templates=_own_templates(file), language=settings.mail.language)


def _own_templates(file: Path | None) -> Path | None:
    templates = folder(file) / "templates"
    return templates if templates.is_dir() else None


def read_routines(file: Path | None) -> tuple[Routine, ...]:
    """The operator's `routine.toml` from the folder of the settings, else the shipped one."""
    own = folder(file) / "routine.toml"
    path = own if own.is_file() else shipped_file("routine.example.toml")
    try:
        return routine.parse_routines(path.read_text("utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from error
    except routine.RoutineError as error:
        raise SettingsError(str(error)) from error


def shipped_file(name: str) -> Path:
    """A file that comes with Easeback: in the installed package, or `config/` of a checkout."""
    installed = Path(__file__).parent / "shipped" / name
    return installed if installed.is_file() else Path(__file__).parents[1] / "config" / name


def connected_sources(settings: Settings, reader: Reader) -> Mapping[SourceName, ConnectedSource]:
    """The services that are on, by name."""
    keys = read_keys(settings)
    encrypter, signer = Encrypter(keys), Signer(keys, settings.base_url)
    found: dict[SourceName, ConnectedSource] = {}
    for kind in SOURCES:
        section = settings.sources[kind.name]
        token = getattr(section, "webhook_token", None)
        client = kind.set_up(section, ca_file=ca_file())
        if client is not None:
            found[kind.name] = ConnectedSource(
                client=client,
                encrypter=encrypter,
                signer=signer,
                read_file=lambda content, name: reader.read(content, name=name),
                verify_token=token.get_secret_value() if token else _secret(keys, "webhook"),
                # The path contains a secret that only the service is told.
                webhook_path=webhook_path(kind.name, keys),
            )
    return found


def webhook_path(source: SourceName, keys: Sequence[str]) -> str:
    """The path at which a service posts events; only the service knows it."""
    return f"/{source}/webhook/{_secret(keys, 'webhook.path')}"


def _secret(keys: Sequence[str], use: str) -> str:
    """A secret shared with a service, from the oldest key, so that it stays when keys are added."""
    return hmac.new(keys[-1].encode(), f"easeback.{use}".encode(), "sha256").hexdigest()[:32]


def callback_url(base_url: str, source: SourceName) -> str:
    """The address to which a service redirects browsers after a consent."""
    return f"{base_url.rstrip('/')}/{source}/callback"


def build_web_server(
    settings: Settings,
    services: Services,
    clock: Clock,
    *,
    base_url: str = "",
    port: int | None = None,
    patience: Mapping[str, timedelta] = MappingProxyType({}),
    report: Callable[[str], None] = lambda _: None,
    notify: NotifyWorkers = lambda *_: None,
) -> "WebServer":
    """The web server on its configured host and port; `base_url` and `port` override the settings.

    `patience` has the time that each of the worker's jobs may go without ending a run. `report` is
    called with the reason if a consent failed, and `notify` with the athletes for whom a webhook
    made something due.
    """
    from worker.web import Pages, WebContext, WebServer, base_path, build_app

    services.composer.check()  # so that the operator's page shows broken templates at once
    origin = (base_url or settings.base_url).rstrip("/")
    sources = {
        name: replace(one, client=one.client.impatient(_PAGES_WAIT_S))
        for name, one in services.sources.items()
    }
    web = WebContext(
        services=replace(services, sources=sources),
        signer=Signer(read_keys(settings), origin),
        clock=clock,
        base_url=origin,
        pages=Pages(base_path(origin), services.composer),
        data_dir=settings.data_dir,
        token=settings.web.token.get_secret_value() if settings.web.token else None,
        proxies=settings.web.trusted_proxies,
        patience=patience,
        report=report,
        notify=notify,
    )
    return WebServer(
        build_app(web),
        host=settings.web.host,
        port=settings.web.port if port is None else port,
    )
