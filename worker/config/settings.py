"""The settings: one TOML file, overridden key by key from the environment.

Every key has a default that works. A key that isn't known, or a value that makes no sense, is one
clear line that names the key, where it stands and what would do.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic import model_validator as after

from worker.config import trust
from worker.rules import Rules
from worker.rules import check as check_rules

PREFIX = "EASEBACK_"
CONFIG_VARIABLE = "EASEBACK_CONFIG"
LOCAL_FILE = Path("config/easeback.toml")

# Other names with our prefix: the config file's own, those of the tests, and what Kubernetes
# gives to every pod beside a service called easeback.
_NOT_SETTINGS = re.compile(
    r"EASEBACK_(CONFIG|REAL_DATA|TEST_\w+|SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP)\w*)?)"
)
_SECRETS = frozenset(
    {
        "database_url",
        "secret_key",
        "mail.username",
        "mail.password",
        "strava.client_id",
        "strava.client_secret",
        "strava.webhook_token",
        "web.token",
    }
)
_UNITS = {
    "ms": "milliseconds",
    "s": "seconds",
    "sec": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "day": "days",
    "days": "days",
    "w": "weeks",
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class SettingsError(Exception):
    """The settings can't be used; the message names the key, its place and what would do."""


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _UNITS:
        raise ValueError('write a duration such as "5 s", "15 min", "1 h" or "400 d"')
    length = timedelta(**{_UNITS[match[2]]: float(match[1])})
    if length <= timedelta(0):
        raise ValueError("a duration must be longer than nothing")
    return length


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _address(value: str) -> str:
    from email.utils import parseaddr

    local, at, domain = parseaddr(value)[1].rpartition("@")
    if not (local and at and domain) or not value.isprintable():
        raise ValueError('write an address such as "Easeback <easeback@example.org>"')
    return value


Address = Annotated[str, AfterValidator(_address)]


_FEWEST_OF_A_TOKEN = 8


def _token(value: SecretStr) -> SecretStr:
    # An empty one is none, as an environment that leaves it out may say.
    if 0 < len(value) < _FEWEST_OF_A_TOKEN:
        raise ValueError(
            f"a token has {_FEWEST_OF_A_TOKEN} characters at least, for it can be guessed from "
            'the net; "openssl rand -base64 32" makes one'
        )
    return value


Token = Annotated[SecretStr, AfterValidator(_token)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InboxSection(Section):
    path: Path | None = None
    every: Duration = timedelta(seconds=5)


class MailSection(Section):
    host: str | None = None
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: Address | None = None
    reply_to: Address | None = None
    language: Literal["en", "de"] = "en"
    operator: Address | None = None


class BackupSection(Section):
    every: Duration = timedelta(days=1)
    keep: Annotated[int, Field(ge=0)] = 7
    keep_for: Duration = timedelta(days=30)


class StravaSection(Section):
    client_id: str | None = None
    client_secret: SecretStr | None = None
    base_url: str = "https://www.strava.com"
    api_base_url: str | None = None
    every: Duration = timedelta(minutes=15)
    history: Duration = timedelta(days=400)
    retention_days: Annotated[int, Field(ge=1)] | None = None
    keep_runs_on_disconnect: bool = False
    webhook_token: SecretStr | None = None

    @after(mode="after")
    def _both_or_none(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            missing = "client_secret" if self.client_id else "client_id"
            raise ValueError(f"{missing} is missing: Strava gives you both, and needs both")
        if not re.match(r"https://|http://(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:|/|$)",
                        self.base_url):  # fmt: skip
            raise ValueError("base_url must be https://, or http:// to this machine's loopback")
        return self


class GarminSection(Section):
    enabled: bool = True
    base_url: str = "https://personal.connectapi.garmin.com"
    every: Duration = timedelta(hours=1)
    history: Duration = timedelta(days=400)
    keep_runs_on_disconnect: bool = False


class WebSection(Section):
    host: str = "127.0.0.1"
    port: Port = 8765
    enabled: bool = True
    token: Token | None = None


class LogSection(Section):
    format: Literal["text", "json"] = "text"


class EngineSection(Section):
    kind: Literal["embedded", "procrastinate"] = "embedded"


class Settings(Section):
    """Everything that can be set. Sections are TOML tables of the same names."""

    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    base_url: str = "http://127.0.0.1:8765"
    secret_key: SecretStr | None = None
    ping_url: str | None = None
    inbox: InboxSection = InboxSection()
    mail: MailSection = MailSection()
    backup: BackupSection = BackupSection()
    strava: StravaSection = StravaSection()
    garmin: GarminSection = GarminSection()
    web: WebSection = WebSection()
    log: LogSection = LogSection()
    engine: EngineSection = EngineSection()
    rules: Rules = Rules()

    @after(mode="after")
    def _sane(self) -> Self:
        check_rules(self.rules)
        if not re.match(r"https?://[^/\s]+", self.base_url):
            raise ValueError("base_url must begin with http:// or https:// and name a host")
        # urllib would open files too. What was given isn't shown: its path may be a secret.
        if self.ping_url is not None and not re.fullmatch(r"https?://[^/\s]\S*", self.ping_url):
            raise ValueError("ping_url must begin with http:// or https:// and name a host")
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
    def url(self) -> str:
        """The database's address, with the default filled in."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'easeback.db'}"


def load(config: Path | None = None) -> tuple[Settings, Path | None]:
    """The settings, and the file they come from (None: there is none). Raises `SettingsError`."""
    file = find(config)
    written = _read(file) if file else {}
    _refuse_unknown(written, where=str(file))
    said = _environment(os.environ)
    try:
        settings = Settings(**_merged(_with_secrets(written, str(file)), said))
    except ValidationError as error:
        raise SettingsError(_in_words(error, file)) from error
    _doubt_data_dir(settings.data_dir)
    return settings, file


def find(config: Path | None) -> Path | None:
    """The file in force: the one named, else the environment's, the folder's, the platform's.

    Raises `SettingsError` where others could have written it, or what is read beside it: the
    routine and the templates.
    """
    named = _named(config)
    file = named or next((path for path in found_in() if path.is_file()), None)
    for path in _read_from(file):
        with _in_one_line(path):
            trust.check(
                path, named=named is not None, otherwise="name a file of your own by --config"
            )
    return file


def _read_from(file: Path | None) -> Iterator[Path]:
    """The settings file, and what is read beside it, as far as it's there."""
    templates = folder(file) / "templates"
    yield from (path for path in (file, folder(file) / "routine.toml") if path and path.exists())
    if templates.is_dir():
        yield templates
        yield from (path for path in templates.rglob("*") if path.exists())


def _doubt_data_dir(data_dir: Path) -> None:
    """A `data` that is found in the current folder, with its keys, must be our own."""
    if not data_dir.is_absolute() and data_dir.exists():
        with _in_one_line(data_dir):
            trust.check_alone(data_dir, otherwise="set data_dir to a folder of your own, in full")


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except trust.DoubtError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"{path}: can't be looked at: {error.strerror}") from error


def _named(config: Path | None) -> Path | None:
    """The file that `--config` or the environment names."""
    variable = os.environ.get(CONFIG_VARIABLE)
    named = config or (Path(variable) if variable else None)
    if named is not None and not named.is_file():
        where = "--config" if config else CONFIG_VARIABLE
        raise SettingsError(f"{where}: there is no file {named}; `easeback init` writes one")
    return named


def found_in() -> tuple[Path, ...]:
    """Where the file is looked for when none is named, the first one first."""
    return LOCAL_FILE, platform_file()


def folder(file: Path | None) -> Path:
    """Where the operator's own routine and templates lie: beside the settings."""
    return (file or LOCAL_FILE).parent


def platform_file() -> Path:
    """Where this platform keeps a program's settings."""
    return Path(platformdirs.user_config_dir("easeback", appauthor=False)) / "easeback.toml"


def keys() -> Mapping[str, frozenset[str]]:
    """Every known key: section (or "") → names."""
    sections: dict[str, frozenset[str]] = {"": frozenset(Settings.model_fields)}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            sections[name] = frozenset(kind.model_fields)
    sections["rules"] = frozenset(field.name for field in fields(Rules))
    return sections


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: can't be read: {error}") from error


def _refuse_unknown(written: Mapping[str, Any], *, where: str) -> None:
    known = keys()
    for name, value in written.items():
        section = known.get(name)
        if section is not None:
            if not isinstance(value, Mapping):
                raise SettingsError(f"{where}: {name} is a section: write [{name}]")
            for key in value:
                _refuse(key, section, where=f"{where}: [{name}] {key}", section=name)
        else:
            _refuse(name, known[""], where=f"{where}: {name}", section="")


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the variables say, as nested tables; a list is written as in JSON."""
    known = keys()
    said: dict[str, Any] = {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or _NOT_SETTINGS.fullmatch(variable):
            continue
        section, sunder, key = variable.removeprefix(PREFIX).lower().partition("__")
        if not sunder:
            section, key = "", section
        elif section not in known:
            _refuse(section, known.keys() - {""}, where=variable, section="")
        _refuse(key, known[section], where=variable, section=section)
        table = said.setdefault(section, {}) if section else said
        value = environment[variable]
        if key.endswith("_file") and key not in known[section]:
            # The variable itself wins over the file.
            table.setdefault(key.removesuffix("_file"), _secret(Path(value), variable))
        else:
            is_list = section == "rules" and value.startswith("[")
            table[key] = _listed(value, variable) if is_list else value
    return said


def _listed(value: str, variable: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{variable}: not a list such as [1000, 2000]: {error}") from error


def _merged(written: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(written)
    for key, value in said.items():
        both[key] = {**both.get(key, {}), **value} if isinstance(value, Mapping) else value
    return both


def _refuse(key: str, known: frozenset[str] | set[str], *, where: str, section: str) -> None:
    dotted = f"{section}.{key}" if section else key
    if key in known or dotted.removesuffix("_file") in _SECRETS:
        return
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    if where.startswith(PREFIX):
        name = f"{PREFIX}{section}__{nearest[0]}" if section else f"{PREFIX}{nearest[0]}"
        raise SettingsError(f"{where}: no such setting; the nearest is {name.upper()}")
    raise SettingsError(f"{where}: no such setting; the nearest is {nearest[0]}")


def _with_secrets(written: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is written, with each `..._file` replaced by what the file it names holds."""
    filled = {key: dict(v) if isinstance(v, Mapping) else v for key, v in written.items()}
    for dotted in _SECRETS:
        section, _, key = dotted.rpartition(".")
        table = filled.get(section, {}) if section else filled
        if f"{key}_file" in table:
            place = f"{where}: {dotted}_file"
            table[key] = _secret(Path(str(table.pop(f"{key}_file"))), place)
    return filled


def _secret(file: Path, place: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{place}: {file} can't be read: {error}") from error


def _in_words(error: ValidationError, file: Path | None) -> str:
    return "; ".join(_each(error, file))


def _each(error: ValidationError, file: Path | None) -> Iterator[str]:
    for mistake in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in mistake["loc"]]
        variable = PREFIX + "__".join(path).upper()
        message = mistake["msg"].removeprefix("Value error, ")
        if not path and message.split(" ")[0] in keys()["rules"]:
            path = ["rules", message.split(" ")[0]]
            variable = PREFIX + "__".join(path).upper()
        key = f"[{path[0]}] {' '.join(path[1:])}" if len(path) > 1 else "".join(path)
        place = variable if variable in os.environ else f"{file}: {key}" if file else key
        given = mistake["input"]
        shown = f" (not {given!r})" if isinstance(given, str | int | float) else ""
        secret = ".".join(path[:2]) in _SECRETS
        said = f"{place}: {message}{'' if secret else shown}"
        yield said.replace(": : ", ": ").removeprefix(": ")
