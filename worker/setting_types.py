"""What settings are made of: sections, and how a duration, a port, an address, a secret is written.

Below every room, so that a source can define its section beside its code. `worker.config` puts the
sections together.
"""

import re
from datetime import timedelta
from email.utils import parseaddr
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

FROM_FILE: Final = "may come from a file of its own"
"""Marks a setting that can also be given as `<key>_file`, and that no error shows."""

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
_SHORTEST_TOKEN = 8


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


def _address(value: str) -> str:
    local, at, domain = parseaddr(value)[1].rpartition("@")
    if not (local and at and domain) or not value.isprintable():
        raise ValueError('write an address such as "Easeback <easeback@example.org>"')
    return value


def _token(value: SecretStr | None) -> SecretStr | None:
    # An empty one is none, as an environment that leaves it out may say.
    if value is not None and 0 < len(value) < _SHORTEST_TOKEN:
        raise ValueError(
            f"a token has {_SHORTEST_TOKEN} characters at least, for it can be guessed from "
            'the net; "openssl rand -base64 32" makes one'
        )
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
Login = Annotated[str | None, FROM_FILE]
Secret = Annotated[SecretStr | None, FROM_FILE]
OperatorToken = Annotated[SecretStr | None, AfterValidator(_token), FROM_FILE]


class Section(BaseModel):
    """One table of the settings: no key but its fields, and none that changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSection(Section):
    """What every service can be told: where it is, how often it is asked, what stays of it."""

    base_url: str
    every: Duration
    history: Duration = timedelta(days=400)
    keep_runs_on_disconnect: bool = False
