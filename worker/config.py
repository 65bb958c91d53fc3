"""The settings: one model, from one TOML file, overridden key by key from the environment.

    settings, file = load(config_file)

Every key has a default that works. An unknown key or an invalid value is one clear line that names
the key, its place and a remedy. No other module reads settings from the environment; everything
else receives the settings, or a section of them.
"""

import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from worker import trust
from worker.domain.models import SourceName
from worker.domain.rules import Rules, check_rules
from worker.setting_types import (
    FROM_FILE,
    LOOPBACK,
    BackupSection,
    DatabaseUrl,
    HomePath,
    Host,
    InboxSection,
    MailSection,
    Networks,
    OpenAddress,
    OperatorToken,
    Port,
    SecretKeys,
    Section,
    SourceSection,
    WebAddress,
    home_path,
)
from worker.sources.sections import SECTIONS

PREFIX = "EASEBACK_"
CONFIG_VARIABLE = "EASEBACK_CONFIG"
LOCAL_FILE = Path("config/easeback.toml")

# Other variables with our prefix: those of --config, `move-to` and the tests, and those that
# Kubernetes sets in every pod next to a service called easeback.
_NOT_SETTINGS = re.compile(
    r"EASEBACK_(CONFIG|MOVE_TO|REAL_DATA|TEST_\w+|SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP)\w*)?)"
)


class SettingsError(Exception):
    """The settings can't be used; the message names the key, its place and a remedy."""


class WebSection(Section):
    """Where the web server listens; `token` opens the operator's page from elsewhere.

    `X-Forwarded-For` is only trusted from `trusted_proxies`.
    """

    host: Host = "127.0.0.1"
    port: Port = 8765
    enabled: bool = True
    token: OperatorToken = None
    trusted_proxies: Networks = LOOPBACK


class LogSection(Section):
    """The format of the log: lines for people, or JSON objects for machines."""

    format: Literal["text", "json"] = "text"


class EngineSection(Section):
    """One process with its own scheduler, or many workers on one PostgreSQL."""

    kind: Literal["embedded", "procrastinate"] = "embedded"


class _Settings(BaseModel):
    """All settings except for the sources. Sections are TOML tables of the same names."""

    # Validators are built for all sections together, on first use.
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True
    )

    data_dir: HomePath = Path("data")
    database_url: DatabaseUrl = None
    base_url: OpenAddress = "http://127.0.0.1:8765"
    secret_key: SecretKeys = None
    ping_url: WebAddress | None = None
    inbox: InboxSection = Field(default_factory=InboxSection)
    mail: MailSection = Field(default_factory=MailSection)
    backup: BackupSection = Field(default_factory=BackupSection)
    web: WebSection = Field(default_factory=WebSection)
    log: LogSection = Field(default_factory=LogSection)
    engine: EngineSection = Field(default_factory=EngineSection)
    rules: Rules = Rules()

    @model_validator(mode="after")
    def _sane(self) -> Self:
        check_rules(self.rules)
        return self

    @property
    def inbox_path(self) -> Path:
        return self.inbox.path or self.data_dir / "inbox"

    @property
    def mailbox_path(self) -> Path:
        return self.data_dir / "mailbox"

    @property
    def backups_path(self) -> Path:
        return self.data_dir / "backups"

    @property
    def traces(self) -> tuple[Path, ...]:
        """Paths that exist if there has been a database: files, or folders that aren't empty."""
        return self.backups_path, self.data_dir / "keys", self.mailbox_path

    @property
    def url(self) -> str:
        """The address of the database, which has a default."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'easeback.db'}"

    @property
    def sources(self) -> Mapping[SourceName, SourceSection]:
        """The section of each service, by its name."""
        return {name: getattr(self, name) for name in SECTIONS}


if TYPE_CHECKING:
    Settings = _Settings
else:  # each service adds its section under its name
    Settings = create_model(
        "Settings",
        __base__=_Settings,
        __module__=__name__,
        __doc__="Everything that can be set. Sections are TOML tables of the same names.",
        **{name: (section, Field(default_factory=section)) for name, section in SECTIONS.items()},
    )


def load(config: Path | None = None) -> tuple[Settings, Path | None]:
    """The settings, and the file they come from, or None. Raises `SettingsError`."""
    file = find(config)
    tables, places = _merged(_from_file(file) if file else (), _from_environment())
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        # Not `from error`: pydantic's message contains the values, which may be secrets.
        raise SettingsError("; ".join(_sentences(error, places, file))) from None
    data_dir = settings.data_dir
    # A relative data_dir may already exist, with keys, in somebody else's folder.
    if not data_dir.is_absolute() and data_dir.exists():
        with _in_one_line(data_dir):
            trust.check_trusted(
                data_dir, alone=True, otherwise="set data_dir to a folder of your own, in full"
            )
    return settings, file


def make_data_dir(settings: Settings) -> None:
    """Create the data folder and the inbox in it, and withdraw permissions from other users.

    Others may not list the folder, write to it, or read its keys and its database. Their execute
    permission, with which they reach the inbox, isn't changed. Raises `SettingsError` if the folder
    can't be created or remains accessible to everybody.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if settings.inbox.path is None:
            settings.inbox_path.mkdir(exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_dir} can't be made: {error.strerror}; "
            "set data_dir to a folder that Easeback may write to"
        ) from error
    _keep_others_out(settings.data_dir, stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH)
    for path in (settings.data_dir / "keys", *settings.data_dir.glob("easeback.db*")):
        _keep_others_out(path, stat.S_IRWXG | stat.S_IRWXO)


def _keep_others_out(path: Path, rights: int) -> None:
    """Remove these permission bits from a file or folder, if it exists."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{path}: can't be looked at: {error.strerror}") from error
    left = mode & rights
    if left:
        with suppress(OSError):  # it belongs to somebody else
            path.chmod(stat.S_IMODE(mode) & ~rights)
            left = path.stat().st_mode & rights
    for right, what in ((stat.S_IWOTH, "written"), (stat.S_IROTH, "read")):
        # A folder that everybody can list is no reason to refuse to start.
        if left & right and not (what == "read" and path.is_dir()):
            raise SettingsError(
                f"{path} can be {what} by everybody, and Easeback can't change that: "
                f"chmod go-rwx {shlex.quote(str(path))}, or set data_dir to another folder"
            )


def find(config: Path | None) -> Path | None:
    """The settings file: `config`, else the environment's, the local or the platform's one.

    Raises `SettingsError` if others could have written it, or the routine or a template in its
    folder.
    """
    named = named_file(config)
    if named is not None:
        with _in_one_line(named):
            is_there = named.is_file()
        if not is_there:
            where = "--config" if config else CONFIG_VARIABLE
            raise SettingsError(f"{where}: there is no file {named}; `easeback init` writes one")
    file = named or next((path for path in found_in() if path.is_file()), None)
    templates = folder(file) / "templates"
    for path in (file, folder(file) / "routine.toml", templates, *templates.rglob("*")):
        if path is not None and path.exists():
            with _in_one_line(path):
                trust.check_trusted(
                    path, named=named is not None, otherwise="name a file of your own by --config"
                )
    return file


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except trust.DoubtError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"{path}: can't be looked at: {error.strerror}") from error


def found_in() -> tuple[Path, ...]:
    """The paths that are searched if no file is named, in order."""
    import platformdirs

    platform = Path(platformdirs.user_config_dir("easeback", appauthor=False))
    return LOCAL_FILE, platform / "easeback.toml"


def folder(file: Path | None) -> Path:
    """The folder of the settings file, which also has the operator's routine and templates."""
    return (file or LOCAL_FILE).parent


def named_file(config: Path | None) -> Path | None:
    """The file that the command or the environment names; it may not exist."""
    if config is not None:
        return _expanded(config, "--config")
    named = os.environ.get(CONFIG_VARIABLE)
    return _expanded(Path(named), CONFIG_VARIABLE) if named else None


def toml_string(text: str) -> str:
    """The text as a TOML string, which is like a JSON string except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def ca_file() -> str | None:
    """The file of trusted certificate authorities in `SSL_CERT_FILE`, or None."""
    named = os.environ.get("SSL_CERT_FILE")
    return str(_expanded(Path(named), "SSL_CERT_FILE")) if named else None


def _expanded(path: Path, place: str) -> Path:
    try:
        return home_path(path)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from error


def machine_timezone() -> str:
    """The IANA name of the machine's time zone, or "UTC" if it has none.

    Raises `SettingsError` if `TZ` isn't a time zone.
    """
    from zoneinfo import ZoneInfo

    from tzlocal import get_localzone_name

    given = os.environ.get("TZ")
    # It may also be a path such as /usr/share/zoneinfo/Europe/Berlin.
    name = given.removeprefix(":").rpartition("/zoneinfo/")[2] if given else None
    try:
        return ZoneInfo(name or get_localzone_name()).key
    except (ValueError, OSError, LookupError) as error:
        if given:
            raise SettingsError(
                f"TZ: {given!r} is not a time zone such as Europe/Berlin"
            ) from error
        return "UTC"


@cache
def known_keys() -> Mapping[str, Mapping[str, bool]]:
    """All keys: section (or "") → names, each with whether `<key>_file` exists too."""
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()}
    known = {
        section: {key: FROM_FILE in field.metadata for key, field in model.model_fields.items()}
        for section, model in ({"": Settings} | kinds).items()
        if isinstance(model, type) and issubclass(model, BaseModel)
    }
    return known | {"rules": {rule.name: False for rule in fields(Rules)}}


@dataclass(frozen=True, slots=True)
class _Given:
    """One key with its value; `place` says where it was given, for messages."""

    section: str
    key: str
    value: Any
    place: str


def _from_file(file: Path) -> Iterator[_Given]:
    import tomllib

    try:
        written = tomllib.loads(file.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: can't be read: {error}") from error
    for name, value in written.items():
        if name not in known_keys():
            yield _Given("", name, value, f"{file}: {name}")
        elif not isinstance(value, Mapping):
            raise SettingsError(f"{file}: {name} is a section: write [{name}]")
        else:
            for key, inner in value.items():
                yield _Given(name, key, inner, f"{file}: [{name}] {key}")


def _from_environment() -> Iterator[_Given]:
    sections = known_keys().keys() - {""}
    for variable, value in sorted(os.environ.items()):
        if not value or not variable.startswith(PREFIX) or _NOT_SETTINGS.fullmatch(variable):
            continue
        name = variable.removeprefix(PREFIX).lower()
        section, _, key = name.partition("__")
        if name in sections:
            raise SettingsError(f"{variable} is a section: write {variable}__<KEY>")
        if section in sections:
            listed = _listed(value, variable) if section == "rules" else value
            yield _Given(section, key, listed, variable)
        else:
            yield _Given("", name, value, variable)


def _listed(value: str, variable: str) -> Any:
    """Parse a value that may be a list in JSON."""
    if not value.startswith("["):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{variable}: not a list such as [1000, 2000]: {error}") from error


def _merged(*sources: Iterable[_Given]) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """The settings' tables merged from all sources, and the place of each key; later sources win.

    Within one source, a secret takes precedence over its file.
    """
    tables: dict[str, Any] = {section: {} for section in known_keys() if section}
    places: dict[tuple[str, str], str] = {}
    for source in sources:
        for one in sorted(source, key=lambda one: not one.key.endswith("_file")):
            known, key, value = known_keys()[one.section], one.key, one.value
            if key not in known:
                key = key.removesuffix("_file")
                if key == one.key or not known.get(key):
                    raise SettingsError(
                        f"{one.place}: no such setting; the nearest is {_nearest(one)}"
                    )
                place = one.place.replace(f"[{one.section}] ", f"{one.section}.")
                value = _content(_expanded(Path(str(value)), place), place)
            table = tables[one.section] if one.section else tables
            table[key] = value
            places[one.section, key] = one.place
    return tables, places


def _nearest(one: _Given) -> str:
    """The known key that is most similar to this one, written for the same place."""
    from difflib import get_close_matches

    is_variable = one.place.startswith(PREFIX)
    names = [
        f"{PREFIX}{section}__{key}".replace("___", "_").upper() if is_variable else key
        for section, known in known_keys().items()
        if is_variable or section == one.section
        for name, is_secret in known.items()
        for key in ((name, f"{name}_file") if is_secret else (name,))
    ]
    return get_close_matches(one.place if is_variable else one.key, names, n=1, cutoff=0.0)[0]


def _content(file: Path, place: str) -> str:
    try:
        return file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{place}: {file} can't be read: {error}") from error


def _sentences(
    error: ValidationError, places: Mapping[tuple[str, str], str], file: Path | None
) -> Iterator[str]:
    """One sentence for each mistake, with its place; no secret is shown."""
    for mistake in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in mistake["loc"]]
        message = mistake["msg"].removeprefix("Value error, ")
        first_word = message.split(" ")[0]
        if not path and first_word in known_keys()["rules"]:
            path = ["rules", first_word]
        section, *rest = path if len(path) > 1 else ("", *path)
        key = (f"[{section}] " if section else "") + " ".join(rest)
        place = places.get((section, "".join(rest[:1])))
        # An error of a whole section is attributed to the variables that set its keys, if any.
        variables = [
            variable
            for (given_in, _), variable in places.items()
            if [given_in] == path and variable.startswith(PREFIX)
        ]
        if place:
            where = " ".join([place, *rest[1:]])
        else:
            where = " and ".join(variables) or ": ".join(filter(None, (str(file or ""), key)))
        given = mistake["input"]
        # Text isn't shown, because a secret may have been pasted in the wrong place.
        is_shown = isinstance(given, int | float) and not known_keys()[section].get(
            "".join(rest[:1])
        )
        yield ": ".join(filter(None, (where, message))) + (f" (not {given!r})" if is_shown else "")
