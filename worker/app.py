"""The application, built from the settings: what the pipeline works with, and the web server.

    settings, file = load(config_file)
    works = build_works(settings, file)                 # store, inbox, mailer, composer, sources
    server = build_web_server(settings, works, clock)   # the pages over them

Nothing is kept here, and no other module knows how the rooms are put together.
"""

import hmac
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker import routine
from worker.compose import Composer
from worker.config import Settings, SettingsError, ca_file, folder
from worker.keys import read_keys
from worker.links import Signer
from worker.mail import MailboxMailer, Mailer, SmtpMailer
from worker.model import Athlete, Routine, SourceName
from worker.pipeline import Clock, GarminWorks, StravaWorks, Works
from worker.sources.formats.child import Reader
from worker.sources.garmin.grants import GarminSettings
from worker.sources.garmin.settings import GarminSection
from worker.sources.inbox import Inbox
from worker.sources.strava.grants import StravaSettings
from worker.sources.strava.settings import StravaSection
from worker.store import Sealer, Store

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from worker.web import WebContext, WebServer

NotifyWorkers = Callable[[SourceName, Collection[int]], None]
"""Tells waiting workers that webhook events of a source are due for these athletes."""


def build_works(settings: Settings, file: Path | None, *, patient: bool = True) -> Works:
    """What the pipeline works with by these settings; `file` is where they came from.

    `patient`: whether a torn file in the inbox is given extra looks. The data folder and the inbox
    are made where they aren't there. Raises `SettingsError`, `StoreError`.
    """
    check_engine(settings)
    make_data_dir(settings)
    # Only here, at the start: an inbox that goes away later (a share that was unmounted) is trouble
    # to be told of, not to be papered over with an empty folder.
    try:
        settings.inbox_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"[inbox] path {settings.inbox_path} can't be made: {error.strerror}"
        ) from error
    reader = Reader()
    return Works(
        store=Store.open(settings.url, rules=settings.rules),
        inbox=Inbox(
            settings.inbox_path, settings.inbox, patient=patient, read_many=reader.read_many
        ),
        mailer=build_mailer(settings),
        composer=build_composer(settings, file),
        routines=read_routines(file),
        rules=settings.rules,
        sender=settings.mail.from_header,
        reply_to=settings.mail.reply_to,
        operator=settings.mail.operator,
        backup=settings.backup,
        backups_path=settings.backups_path,
        ping_url=settings.ping_url,
        strava=build_strava(settings),
        garmin=build_garmin(settings, reader),
        keeps_runs_of=frozenset(
            name for name, section in settings.sources.items() if section.keep_runs_on_disconnect
        ),
    )


def check_engine(settings: Settings) -> None:
    """Whether the engine that is set can run here; raises `SettingsError` with the way out."""
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


def make_data_dir(settings: Settings) -> None:
    """The folder that everything is written to; nobody else may read it."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_dir} can't be made: {error.strerror}; "
            "set data_dir to a folder that Easeback may write to"
        ) from error


def build_mailer(settings: Settings) -> Mailer:
    """SMTP where a host is set, else the mailbox folder."""
    mail = settings.mail
    return SmtpMailer(mail) if mail.host else MailboxMailer(settings.mailbox_path)


def build_composer(settings: Settings, file: Path | None) -> Composer:
    """The composer, with the operator's own templates beside the settings, if there are any."""
    templates = folder(file) / "templates"
    return Composer(
        signer=Signer(read_keys(settings), settings.base_url),
        templates=templates if templates.is_dir() else None,
        reply_to=settings.mail.reply_to,
        # The answers in a mail lead to the web server.
        checkins=settings.web.enabled,
        language=settings.mail.language,
    )


def read_routines(file: Path | None) -> tuple[Routine, ...]:
    """The operator's `routine.toml` beside the settings, else the one that is shipped."""
    own = folder(file) / "routine.toml"
    path = own if own.is_file() else shipped_file("routine.toml")
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


def build_strava(settings: Settings) -> StravaWorks | None:
    """What asks Strava; None where no application is set."""
    section = settings.source(StravaSection)
    if section.client_id is None or section.client_secret is None:
        return None
    # Brings the HTTP libraries along.
    from worker.sources.strava.client import Strava

    days = section.retention_days
    try:
        asked = StravaSettings(
            client_id=section.client_id,
            client_secret=section.client_secret.get_secret_value(),
            base_url=section.base_url,
            api_base_url=section.api_base_url,
            every=section.every,
            history=section.history,
            retention=timedelta(days=days) if days is not None else None,
            ca_file=ca_file(),
        )
    except ValueError as error:
        raise SettingsError(f"[strava] {error}") from error
    keys = read_keys(settings)
    token = section.webhook_token.get_secret_value() if section.webhook_token else ""
    # Only Strava and we know this word, made from the oldest key: it stays when keys are added.
    made = hmac.new(keys[-1].encode(), b"easeback.webhook", "sha256").hexdigest()[:32]
    return StravaWorks(
        client=Strava(asked),
        sealer=Sealer(keys),
        signer=Signer(keys, settings.base_url),
        verify_token=token or made,
    )


def build_garmin(settings: Settings, reader: Reader) -> GarminWorks | None:
    """What asks Garmin, for whoever gave a key; None where it's off."""
    section = settings.source(GarminSection)
    if not section.enabled:
        return None
    # Brings the HTTP library along.
    from worker.sources.garmin.client import Garmin

    try:
        asked = GarminSettings(
            base_url=section.base_url,
            every=section.every,
            history=section.history,
            ca_file=ca_file(),
        )
    except ValueError as error:
        raise SettingsError(f"[garmin] base_url: {error}") from error
    return GarminWorks(
        client=Garmin(asked),
        sealer=Sealer(read_keys(settings)),
        read=lambda content, name: reader.read(content, name=name),
    )


def build_web_server(
    settings: Settings,
    works: Works,
    clock: Clock,
    *,
    base_url: str = "",
    port: int | None = None,
    ticks: Mapping[str, timedelta] | None = None,
    report: Callable[[str], None] = lambda _: None,
    notify: NotifyWorkers = lambda *_: None,
) -> "WebServer":
    """The web server on its configured host and port; `base_url` and `port` stand in for those.

    `ticks` are the worker's jobs and how often each comes round. `report` is told why a consent at
    Strava came to nothing, in words; `notify` which job a webhook has made due.
    """
    from worker.pipeline.forgetting import forget_athlete
    from worker.pipeline.garmin.grants import connect as connect_garmin
    from worker.pipeline.garmin.grants import disconnect as disconnect_garmin
    from worker.pipeline.strava.grants import disconnect as disconnect_strava
    from worker.web import WebContext, WebServer, build_app

    def forget(athlete: Athlete) -> None:
        forget_athlete(works, athlete, mailbox=settings.mailbox_path, now=clock())

    def disconnect(athlete: Athlete, source: SourceName) -> None:
        if source == "strava":
            disconnect_strava(works, athlete, now=clock())
        if source == "garmin":
            disconnect_garmin(works, athlete, now=clock())

    def give_key(athlete: Athlete, key: str, expires: str) -> None:
        if works.garmin is not None:
            connect_garmin(works, works.garmin, athlete, clock, key=key, expires=expires)

    origin = (base_url or settings.base_url).rstrip("/")
    web = WebContext(
        store=works.store,
        signer=Signer(read_keys(settings), origin),
        clock=clock,
        base_url=origin,
        rules=works.rules,
        token=settings.web.token.get_secret_value() if settings.web.token else None,
        ticks=ticks or {},
        connects=("strava",) if works.strava else (),
        forget=forget,
        disconnect=disconnect,
        give_key=give_key if works.garmin else None,
    )
    more = _strava_routes(web, works, works.strava, report, notify) if works.strava else ()
    return WebServer(
        build_app(web, more=more),
        host=settings.web.host,
        port=settings.web.port if port is None else port,
    )


def _strava_routes(
    web: "WebContext",
    works: Works,
    strava: StravaWorks,
    report: Callable[[str], None],
    notify: NotifyWorkers,
) -> "Sequence[BaseRoute]":
    from worker.pipeline.strava.grants import begin_consent, finish_consent
    from worker.pipeline.strava.wishes import note_events
    from worker.sources.strava.refusals import StaleConsent, StravaError
    from worker.web.strava import CALLBACK, Gate, routes

    @contextmanager
    def reported() -> Iterator[None]:
        try:
            yield
        except StaleConsent:  # it was nobody's
            raise
        except StravaError as error:
            report(str(error))
            raise

    def begin(athlete: Athlete, now: datetime) -> tuple[str, str]:
        with reported():
            redirect = f"{web.base_url}{CALLBACK}"
            begun = begin_consent(strava, athlete, redirect=redirect, now=now)
        return begun.address, begun.cookie

    def finish(query: Any, cookie: str, now: datetime) -> tuple[Athlete, str | None]:
        with reported():
            done = finish_consent(works, strava, query, cookie=cookie, now=now)
        return done.athlete, done.missing

    def note(events: Sequence[object], now: datetime) -> None:
        notify("strava", note_events(works, events, now))

    return routes(web, Gate(begin, finish, note, strava.verify_token))
