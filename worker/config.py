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
from contextlib import contextmanager
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
    HomePath,
    Host,
    InboxSection,
    MailSection,
    Networks,
    OpenAddress,
    OperatorToken,
    Port,
    Secret,
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

# Other names with our prefix: the config file's own, that of `move-to`, those of the tests, and
# what Kubernetes gives to every pod beside a service called easeback.
_NOT_SETTINGS = re.compile(
    r"EASEBACK_(CONFIG|MOVE_TO|REAL_DATA|TEST_\w+|SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP)\w*)?)"
)


class SettingsError(Exception):
    """The settings can't be used; the message names the key, its place and what would do."""


class WebSection(Section):
    """Where the web server listens; `token` opens the operator's page from elsewhere.

    Only `trusted_proxies` are believed when they say whom a visit comes from.
    """

    host: Host = "127.0.0.1"
    port: Port = 8765
    enabled: bool = True
    token: OperatorToken = None
    trusted_proxies: Networks = LOOPBACK


class LogSection(Section):
    """Lines for people, or JSON objects for machines."""

    format: Literal["text", "json"] = "text"


class EngineSection(Section):
    """One process with its own scheduler, or many workers on one PostgreSQL."""

    kind: Literal["embedded", "procrastinate"] = "embedded"


class _Settings(BaseModel):
    """Everything that can be set but the sources. Sections are TOML tables of the same names."""

    # Built once, whole, on first use: no section is built for itself.
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True
    )

    data_dir: HomePath = Path("data")
    database_url: Secret = None
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
        """What is there once there was a database: a file, or a folder with something in it."""
        return self.backups_path, self.data_dir / "keys", self.mailbox_path

    @property
    def url(self) -> str:
        """The database's address, with the default filled in."""
        if self.database_url is not None:
            home = f"sqlite:///{Path.home()}/"
            return re.sub(r"^sqlite:///~/", home, self.database_url.get_secret_value())
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
    """The settings, and the file they come from (None: there is none). Raises `SettingsError`."""
    file = find(config)
    tables, places = _merged(_from_file(file) if file else (), _from_environment())
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        # Not `from error`: what pydantic says of a mistake holds what was given, secrets too.
        raise SettingsError("; ".join(_sentences(error, places, file))) from None
    data_dir = settings.data_dir
    # A `data` that is found in the current folder, with its keys, must be our own.
    if not data_dir.is_absolute() and data_dir.exists():
        with _in_one_line(data_dir):
            trust.check_trusted(
                data_dir, alone=True, otherwise="set data_dir to a folder of your own, in full"
            )
    return settings, file


def make_data_dir(settings: Settings) -> None:
    """Make the folder that everything is written to, with the inbox; keep others out of it.

    Nobody else may list it or write to it, nor read its keys and its database. That others may
    pass through it to the inbox stays as it is. Raises `SettingsError` where it can't be made,
    or can't be kept from everybody.
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
    """Take these rights to a file or folder from others."""
    try:
        mode = path.stat().st_mode
        if mode & rights:
            path.chmod(stat.S_IMODE(mode) & ~rights)
        left = path.stat().st_mode & rights
    except FileNotFoundError:
        return
    except OSError:  # it belongs to somebody else
        left = mode & rights
    for right, what in ((stat.S_IWOTH, "written"), (stat.S_IROTH, "read")):
        # A folder's list of names is no secret that's worth a worker that doesn't start.
        if left & right and not (what == "read" and path.is_dir()):
            raise SettingsError(
                f"{path} can be {what} by everybody, and Easeback can't change that: "
                f"chmod go-rwx {shlex.quote(str(path))}, or set data_dir to another folder"
            )


def find(config: Path | None) -> Path | None:
    """The file in force: the one named, else the environment's, the folder's, the platform's.

    Raises `SettingsError` where others could have written it, or what is read beside it: the
    routine and the templates.
    """
    named = named_file(config)
    if named is not None and not named.is_file():
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
    """Where the file is looked for when none is named, the first one first."""
    import platformdirs

    platform = Path(platformdirs.user_config_dir("easeback", appauthor=False))
    return LOCAL_FILE, platform / "easeback.toml"


def folder(file: Path | None) -> Path:
    """The folder of the operator's own routine and templates: that of the settings."""
    return (file or LOCAL_FILE).parent


def named_file(config: Path | None) -> Path | None:
    """The file that the command or the environment names, whether it is there or not."""
    if config is not None:
        return _expanded(config, "--config")
    named = os.environ.get(CONFIG_VARIABLE)
    return _expanded(Path(named), CONFIG_VARIABLE) if named else None


def toml_string(text: str) -> str:
    """The text as TOML writes it: as JSON does, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def ca_file() -> str | None:
    """The authorities whose certificates are trusted, where the environment names other ones."""
    named = os.environ.get("SSL_CERT_FILE")
    return str(_expanded(Path(named), "SSL_CERT_FILE")) if named else None


def _expanded(path: Path, place: str) -> Path:
    try:
        return home_path(path)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from error


def machine_timezone() -> str:
    """The machine's zone by its IANA name, UTC where it has none.

    Raises `SettingsError` where `TZ` is set to something else than a zone.
    """
    from zoneinfo import ZoneInfo

    from tzlocal import get_localzone_name

    given = os.environ.get("TZ")
    # It may also be the path of a zone's file, as in /usr/share/zoneinfo/Europe/Berlin.
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
    """Every key there is: section (or "") → names, each with whether `<key>_file` is known too."""
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()}
    known = {
        section: {key: FROM_FILE in field.metadata for key, field in model.model_fields.items()}
        for section, model in ({"": Settings} | kinds).items()
        if isinstance(model, type) and issubclass(model, BaseModel)
    }
    return known | {"rules": {rule.name: False for rule in fields(Rules)}}


@dataclass(frozen=True, slots=True)
class _Given:
    """One key as it was given; `place` begins a message."""

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
    """A list is written as in JSON."""
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
    """The known key that is most like this one, as it would be written there."""
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
        # What is wrong with a section as a whole came from the variables that are set, if any.
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
        # Text isn't shown: a secret may have been pasted in the wrong place.
        is_shown = isinstance(given, int | float) and not known_keys()[section].get(
            "".join(rest[:1])
        )
        yield ": ".join(filter(None, (where, message))) + (f" (not {given!r})" if is_shown else "")
