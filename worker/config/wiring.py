"""Wiring: from settings to the works. The one place that knows every room's constructor."""

import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from worker import routine
from worker.compose import Composer
from worker.config.settings import Settings, SettingsError, folder
from worker.links import Signer
from worker.mail import MailboxMailer, Mailer, MailSettings, SmtpMailer
from worker.model import Routine, SourceName
from worker.pipeline import GarminWorks, Keeping, StravaWorks, Works
from worker.sources.formats.child import Reader
from worker.sources.garmin.grants import GarminSettings
from worker.sources.inbox import Inbox, InboxSettings
from worker.sources.strava.grants import StravaSettings
from worker.store import Sealer, Store

_KEY_BYTES = 32


def build(settings: Settings, file: Path | None, *, patient: bool = True) -> Works:
    """The works by these settings; `file` is where they came from.

    `patient`: whether a torn file in the inbox is given extra looks. Raises `SettingsError`,
    `StoreError`.
    """
    check_engine(settings)
    make_data_dir(settings)
    make_inbox(settings)
    mail = mail_settings(settings)
    reader = Reader()
    return Works(
        store=Store.open(settings.url, rules=settings.rules),
        inbox=Inbox(
            InboxSettings(settings.inbox_path, settings.inbox.every, patient),
            read_many=reader.read_many,
        ),
        mailer=mailer(settings),
        composer=composer(settings, file),
        routines=routines(file),
        rules=settings.rules,
        sender=mail.from_header,
        reply_to=mail.reply_to,
        operator=settings.mail.operator,
        keeping=keeping(settings),
        ping_url=settings.ping_url,
        strava=strava(settings),
        keeps_runs_of=frozenset(_kept_on_disconnect(settings)),
        garmin=garmin(settings, reader),
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


def _kept_on_disconnect(settings: Settings) -> Iterator[SourceName]:
    """The sources whose runs stay when an athlete disconnects."""
    if settings.strava.keep_runs_on_disconnect:
        yield "strava"
    if settings.garmin.keep_runs_on_disconnect:
        yield "garmin"


def keeping(settings: Settings) -> Keeping:
    """How copies of the database are kept."""
    backup = settings.backup
    return Keeping(settings.backups_path, backup.every, backup.keep, backup.keep_for)


def strava(settings: Settings) -> StravaWorks | None:
    """What asks Strava; None where no application is set."""
    section = settings.strava
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
            ca_file=os.environ.get("SSL_CERT_FILE"),
        )
    except ValueError as error:
        raise SettingsError(f"[strava] {error}") from error
    own_keys = keys(settings)
    token = section.webhook_token
    return StravaWorks(
        client=Strava(asked),
        sealer=Sealer(own_keys),
        signer=Signer(own_keys, settings.base_url),
        verify_token=token.get_secret_value() if token else _webhook_token(own_keys[-1]),
    )


def garmin(settings: Settings, reader: Reader) -> GarminWorks | None:
    """What asks Garmin, for whoever gave a key; None where it's off."""
    section = settings.garmin
    if not section.enabled:
        return None
    # Brings the HTTP library along.
    from worker.sources.garmin.client import Garmin

    try:
        asked = GarminSettings(
            base_url=section.base_url,
            every=section.every,
            history=section.history,
            ca_file=os.environ.get("SSL_CERT_FILE"),
        )
    except ValueError as error:
        raise SettingsError(f"[garmin] base_url: {error}") from error
    return GarminWorks(
        client=Garmin(asked),
        sealer=Sealer(keys(settings)),
        read=lambda content, name: reader.read(content, name=name),
    )


def _webhook_token(key: str) -> str:
    """What only Strava and we know of a subscription, made from the oldest key: it stays."""
    return hmac.new(key.encode(), b"easeback.webhook", "sha256").hexdigest()[:32]


def composer(settings: Settings, file: Path | None) -> Composer:
    templates = folder(file) / "templates"
    return Composer(
        signer=Signer(keys(settings), settings.base_url),
        templates=templates if templates.is_dir() else None,
        reply_to=settings.mail.reply_to,
        # The answers in a mail lead to the web face.
        checkins=settings.web.enabled,
        language=settings.mail.language,
    )


def mailer(settings: Settings) -> Mailer:
    """SMTP where a host is set, else the mailbox folder."""
    mail = mail_settings(settings)
    return SmtpMailer(mail) if mail.host else MailboxMailer(settings.mailbox_path)


def mail_settings(settings: Settings) -> MailSettings:
    mail = settings.mail
    return MailSettings(
        host=mail.host,
        port=mail.port,
        security=mail.security,
        username=mail.username,
        password=mail.password.get_secret_value() if mail.password else None,
        sender=mail.sender,
        reply_to=mail.reply_to,
    )


def routines(file: Path | None) -> tuple[Routine, ...]:
    """The operator's `routine.toml`, else the one that is shipped."""
    own = folder(file) / "routine.toml"
    path = own if own.is_file() else shipped("routine.toml")
    try:
        return routine.parse_text(path.read_text("utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from error
    except routine.RoutineError as error:
        raise SettingsError(str(error)) from error


def shipped(name: str) -> Path:
    """A file that comes with Easeback: in the installed package, or `config/` of a checkout."""
    installed = Path(__file__).parent / "shipped" / name
    return installed if installed.is_file() else Path(__file__).parents[2] / "config" / name


def keys(settings: Settings) -> tuple[str, ...]:
    """The keys that sign links and seal grants, newest first; made on first use.

    From `secret_key` (several: separated by commas), else `<data_dir>/keys`, a line each, which
    only the owner may read.
    """
    if settings.secret_key is not None:
        found = [key.strip() for key in settings.secret_key.get_secret_value().split(",")]
    else:
        found = _kept_keys(settings.data_dir / "keys")
    if not any(found):
        raise SettingsError(
            "secret_key, or the file `keys` in data_dir, is empty: "
            "put the key back, or remove the file to have a new one made"
        )
    return tuple(key for key in found if key)


def add_key(settings: Settings) -> bool:
    """Put a new key before the others; False where the operator keeps them in `secret_key`."""
    if settings.secret_key is not None:
        return False
    path = settings.data_dir / "keys"
    old = _kept_keys(path)
    fresh = urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    try:
        _written_keys(path, [fresh, *old]).replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: can't be written: {error}") from error
    return True


def _kept_keys(path: Path) -> list[str]:
    try:
        if not path.exists():
            fresh = urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
            _appear(_written_keys(path, [fresh]), path)
        return path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be used: {error}") from error


def _written_keys(path: Path, found: list[str]) -> Path:
    """The keys on the disk under another name: a file that is half there would lock us out."""
    part = path.with_name(f".keys.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join([*found, ""]))
        file.flush()
        os.fsync(file.fileno())
    return part


def _appear(part: Path, path: Path) -> None:
    """Give `part` its name; of two processes that start at once, the first one's file stays."""
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links here (exFAT, SMB)
        part.replace(path)
    part.unlink(missing_ok=True)


def make_inbox(settings: Settings) -> None:
    """The watched folder, made where it isn't there yet.

    Only at the start: one that goes away later (a share that was unmounted) is trouble to be told
    of, not to be papered over with an empty folder.
    """
    try:
        settings.inbox_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"[inbox] path {settings.inbox_path} can't be made: {error.strerror}"
        ) from error


def make_data_dir(settings: Settings) -> None:
    """The folder that everything is written to; nobody else may read it."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_dir} can't be made: {error.strerror}; "
            "set data_dir to a folder that Easeback may write to"
        ) from error
