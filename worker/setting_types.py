"""Types of settings: sections, and the formats of durations, ports, addresses and secrets.

Other packages import this module, so that each source can define its section next to its code.
`worker.config` assembles the sections.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from worker.domain.contact import ContactError, checked_address
from worker.domain.models import LANGUAGE

FROM_FILE: Final = "may come from a file of its own"
"""Marks a setting that can also be given as `<key>_file`, and that errors don't show."""

_UNITS = {
    "ms": "milliseconds",
    **dict.fromkeys(("s", "sec"), "seconds"),
    "min": "minutes",
    "h": "hours",
    **dict.fromkeys(("d", "day", "days"), "days"),
    "w": "weeks",
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_LONGEST_DURATION = timedelta(days=36_525)  # a longer one would leave the calendar
_SHORTEST_TOKEN = 8
_SHORTEST_KEY = 32

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1"))


def is_loopback(address: str) -> bool:
    """True if the host of an address is this machine."""
    return is_loopback_host(urlsplit(address).hostname or "")


def is_loopback_host(host: str) -> bool:
    """True if a name or an IP address is this machine's."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _UNITS:
        raise ValueError('write a duration such as "5 s", "15 min", "1 h" or "400 d"')
    try:
        length = timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        length = timedelta.max
    if length <= timedelta(0):
        raise ValueError("a duration must be longer than nothing")
    if length > _LONGEST_DURATION:
        raise ValueError("a duration must be at most a hundred years")
    return length


def _address(value: str) -> str:
    hint = 'write an address such as "Easeback <easeback@example.org>"'
    if not value.isprintable():
        raise ValueError(hint)
    try:
        checked_address(parseaddr(value)[1])
    except ContactError:
        raise ValueError(hint) from None
    return value


def _web_address(value: str) -> str:
    # urllib would also open files.
    if not re.fullmatch(r"https?://[^/\s]\S*", value):
        raise ValueError("must begin with http:// or https:// and name a host")
    urlsplit(value).port  # noqa: B018  it raises for an invalid host or port
    return value


def _open_address(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError("it stands in every mail: leave out the login before the @")
    return value


def _provider_address(value: str) -> str:
    if not (value.startswith("https://") or is_loopback(value)):
        raise ValueError("must begin with https://, as tokens travel there")
    return value.rstrip("/")


def _service_address(address: str) -> str:
    parts = urlsplit(address)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))
    if not is_safe or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        # The value isn't shown, because it may contain a password.
        raise ValueError(
            "must be https:// with a host and perhaps a path, or http:// to this machine's "
            "loopback; anywhere else credentials would go in the clear"
        )
    return address.rstrip("/")


def _host(value: str) -> str:
    if not re.fullmatch(r"[^\s@/]*", value):
        raise ValueError(
            "write a name or an address alone, such as mail.example.org: "
            "a login and a port have keys of their own"
        )
    return value


def _token(value: SecretStr | None) -> SecretStr | None:
    # An empty token means none, which is how it is left out in an environment.
    if value is not None and 0 < len(value) < _SHORTEST_TOKEN:
        raise ValueError(
            f"a token has {_SHORTEST_TOKEN} characters at least, for it can be guessed from "
            'the net; "openssl rand -base64 32" makes one'
        )
    return value


def home_path(path: Path) -> Path:
    """The path with `~` expanded; raises `ValueError` if there is no home folder."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home folder for {path}") from error


def _database_url(value: SecretStr | None) -> SecretStr | None:
    url = value.get_secret_value() if value else ""
    if not url.startswith("sqlite:///~/"):
        return value
    return SecretStr(f"sqlite:///{home_path(Path(url.removeprefix('sqlite:///')))}")


def _keys(value: SecretStr | None) -> SecretStr | None:
    keys = value.get_secret_value().split(",") if value else []
    if any(0 < len(key.strip()) < _SHORTEST_KEY for key in keys):
        raise ValueError(
            f"a key has at least {_SHORTEST_KEY} characters, for who guesses it opens every link; "
            '"openssl rand -base64 32" makes one'
        )
    return value


def _networks(value: object) -> object:
    named = value.replace(",", " ").split() if isinstance(value, str) else value
    hint = "write a list of addresses and networks such as 10.0.0.2, 172.16.0.0/12"
    if not isinstance(named, list | tuple):
        raise ValueError(hint)  # noqa: TRY004  pydantic's
    try:
        return tuple(ip_network(str(one)) for one in named)
    except ValueError as error:
        # Only values that look like addresses are shown; others may be secrets.
        is_shown = all(re.fullmatch(r"[\da-fA-F.:/]+", str(one)) for one in named)
        raise ValueError(f"{error}: {hint}" if is_shown else hint) from None


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
OpenAddress = Annotated[WebAddress, AfterValidator(_open_address)]
ProviderAddress = Annotated[OpenAddress, AfterValidator(_provider_address)]
ServiceAddress = Annotated[str, AfterValidator(_service_address)]
"""The address of a service, in its section of the settings."""
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
HomePath = Annotated[Path, AfterValidator(home_path)]
Login = Annotated[str | None, FROM_FILE]
Secret = Annotated[SecretStr | None, FROM_FILE]
DatabaseUrl = Annotated[SecretStr | None, AfterValidator(_database_url), FROM_FILE]
SecretKeys = Annotated[SecretStr | None, AfterValidator(_keys), FROM_FILE]
OperatorToken = Annotated[SecretStr | None, AfterValidator(_token), FROM_FILE]


class Section(BaseModel):
    """One table of the settings. It is immutable and refuses unknown keys."""

    # Validators are built together with those of the settings.
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True
    )


class SourceSection(Section):
    """Settings that every service has.

    `every` is the time between polls, `history` how far back the first import goes.
    `keep_runs_on_disconnect` says whether runs are kept when an athlete disconnects.
    """

    precedence: ClassVar[int]
    """If sources disagree about a run, the lowest precedence wins; 1 is for devices' own files."""

    base_url: str
    every: Duration
    history: Duration = timedelta(days=400)
    keep_runs_on_disconnect: bool = False


Security = Literal["starttls", "tls", "none"]
MailProvider = Literal["microsoft", "google"]
MAIL_PORTS: Mapping[str, int] = {"starttls": 587, "tls": 465, "none": 25}
DEFAULT_SENDER = "Easeback <easeback@localhost>"


class InboxSection(Section):
    """The watched folder (None: `inbox` in data_dir), and the time between two scans."""

    path: HomePath | None = None
    every: Duration = timedelta(seconds=5)


class MailSection(Section):
    """How mail is sent. Without a `host`, it is written into the mailbox folder.

    `port` defaults to the usual one for `security`. `sender` defaults to the login if that is an
    address, else to `easeback@localhost`, which only one's own relay accepts. `operator` gets
    mail about failures. `tell_red_flags` says whether the therapist gets a mail about each red
    flag. `copy_alerts` says whether the practice's therapists get a copy of each alert, and the
    mails about red flags, of athletes who agree to it. `ca_file` has certificate authorities that
    are trusted in addition to the system's.

    With `auth` "xoauth2" we log in as `username` with tokens of the `provider` instead of a
    password. `client_id` is the application registered there, for Microsoft in `tenant`.
    `provider_url` is the address for tokens, by default the provider's own. `ehlo_name` is the name
    in EHLO, `connections` the number of mails that are sent at the same time.
    """

    host: Host | None = None
    port: Port | None = None
    security: Security = "starttls"
    username: Login = None
    password: Secret = None
    auth: Literal["password", "xoauth2"] = "password"
    provider: MailProvider | None = None
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] = "common"
    client_id: Login = None
    client_secret: Secret = None
    provider_url: ProviderAddress | None = None
    sender: Address | None = None
    reply_to: Address | None = None
    language: Annotated[str, Field(pattern=rf"^{LANGUAGE}$", max_length=20)] = "en"
    operator: Address | None = None
    tell_red_flags: bool = True
    copy_alerts: bool = False
    ca_file: HomePath | None = None
    ehlo_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+$")] | None = None
    connections: Annotated[int, Field(ge=1, le=20)] = 2

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.auth == "xoauth2":
            needed = ("host", "username", "provider", "client_id")
            if missing := [key for key in needed if getattr(self, key) is None]:
                raise ValueError(f'auth = "xoauth2" needs {" and ".join(missing)} too')
        return self

    @property
    def from_header(self) -> str:
        """The sender for the From header."""
        if self.sender:
            return self.sender
        if self.username and "@" in self.username:
            return f"Easeback <{self.username}>"
        return DEFAULT_SENDER

    @property
    def therapist(self) -> str | None:
        """Who is notified of red flags: `reply_to`, or else the operator, if set."""
        return (self.reply_to or self.operator) if self.tell_red_flags else None

    @property
    def port_number(self) -> int:
        """The port, by default the usual one for `security`."""
        return self.port or MAIL_PORTS[self.security]


class BackupSection(Section):
    """How often the database is copied, and the most copies that are kept, and for how long."""

    every: Duration = timedelta(days=1)
    keep: Annotated[int, Field(ge=0)] = 7
    keep_for: Duration = timedelta(days=30)
