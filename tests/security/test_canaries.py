"""No wrong setting reveals a secret: each secret is a unique word, and each key is broken once.

Every command that reads settings is called with `--verbose`, so that tracebacks are covered.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import ROOT
from worker.config import Settings, known_keys

CANARY = "canary"
WRONG = ("nonsense", -1, [1, "nonsense"], {"key": "nonsense"}, "", f"https://u:{CANARY}0@host:x/")
NO_ONE_LISTENS = "127.0.0.1:1"

_MANY = """
import contextlib, io, json, logging, os, sys
from pathlib import Path
from worker.cli.app import run_command_line
around = dict(os.environ)
for toml, environment, arguments in json.load(sys.stdin):
    Path("settings.toml").write_text(toml)
    os.environ.clear()
    os.environ.update(around | environment)
    logging.getLogger().handlers.clear()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = run_command_line(["--config", "settings.toml", "--verbose", *arguments])
    print(json.dumps([status, said.getvalue()]))
"""

Tables = Mapping[str, Mapping[str, Any]]
Call = tuple[str, Mapping[str, str], list[str]]


def secrets() -> dict[tuple[str, str], str]:
    """Each secret setting by section and key, with a unique word."""
    sections = {"": Settings} | {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if name in known_keys() and name != "rules"
    }
    found = [
        (section, key)
        for section, model in sections.items()
        for key, field in model.model_fields.items()  # type: ignore[union-attr]
        if "SecretStr" in str(field.annotation)
    ]
    words = {at: f"{CANARY}{number:02}" + "x" * 32 for number, at in enumerate(found, 1)}
    url = f"postgresql+psycopg://someone:{words['', 'database_url']}@{NO_ONE_LISTENS}/name"
    ping = {("", "ping_url"): f"http://{NO_ONE_LISTENS}/{CANARY}"}
    return {**words, ("", "database_url"): url, **ping}


def usable() -> dict[str, dict[str, Any]]:
    """Valid settings with every secret, without reachable servers."""
    tables: dict[str, dict[str, Any]] = {
        "": {"data_dir": "data"},
        "mail": {"host": "127.0.0.1", "port": 1, "username": "someone"},
        "strava": {"client_id": "7", "base_url": f"http://{NO_ONE_LISTENS}"},
        "garmin": {"base_url": f"http://{NO_ONE_LISTENS}"},
        "web": {"port": 1},
    }
    for (section, key), word in secrets().items():
        tables.setdefault(section, {})[key] = word
    return tables


def toml(tables: Tables) -> str:
    def value(given: object) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f"{key} = {value(one)}" for key, one in given.items()) + "}"
        return json.dumps(given)

    lines: list[str] = []
    for section in sorted(tables):
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {value(given)}" for key, given in tables[section].items()]
    return "\n".join(lines)


def broken() -> Iterator[Call]:
    """One call for each key and each invalid value, in the file and as a variable."""
    for section, known in known_keys().items():
        for key in known:
            if not section and key in known_keys():
                continue
            for value in WRONG:
                tables = usable()
                tables.setdefault(section, {})[key] = value
                yield toml(tables), {}, ["athlete", "list"]
                if isinstance(value, str):
                    variable = f"EASEBACK_{section}__{key}" if section else f"EASEBACK_{key}"
                    yield toml(usable()), {variable.upper(): value}, ["athlete", "list"]
    yield toml(usable()) + '\nport = "unfinished', {}, ["status"]
    yield toml(usable()) + f'\n{CANARY}_key = "x"'.replace(CANARY, "some"), {}, ["status"]


def swapped() -> Iterator[Call]:
    """A secret pasted into the wrong setting."""
    for section, key in (
        ("mail", "host"), ("web", "host"), ("", "base_url"), ("strava", "client_id"),
        ("strava", "base_url"), ("garmin", "base_url"), ("", "database_url"),
    ):  # fmt: skip
        for value in (
            f"someone:{CANARY}@host.invalid",
            f"https://someone:{CANARY}@host.invalid",
            f"postgresql+psycopg://someone:no@{CANARY}@{NO_ONE_LISTENS}/name",
            f"postgresql+psycopg://someone:no/{CANARY}:{CANARY}@{NO_ONE_LISTENS}/name",
            f"postgresql+psycopg://{NO_ONE_LISTENS}/name?user=u&password={CANARY}",
            CANARY,
        ):
            if key == "host" and value == CANARY:
                continue  # a single word is a valid host name
            tables = usable()
            tables.setdefault(section, {})[key] = value
            if (section, key) != ("", "database_url"):
                del tables[""]["database_url"]
            for command in (["doctor"], ["status"]):
                yield toml(tables), {}, command


def working() -> Iterator[Call]:
    """Every secret is valid, and no server answers."""
    tables = usable()
    yield toml(tables), {}, ["doctor"]
    del tables[""]["database_url"]
    anna = ["athlete", "add", "--name", "Anna", "--email", "anna@example.org"]
    for command in (anna, ["doctor"], ["doctor", "--json"], ["status", "--json"], ["once"]):
        yield toml(tables), {}, command


def said_by(calls: list[Call], folder: Path) -> list[tuple[int, str]]:
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", _MANY],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": ""},
        input=json.dumps(calls),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return [(status, said) for status, said in map(json.loads, done.stdout.splitlines())]


@pytest.mark.parametrize("calls", [broken, swapped, working])
def test_no_secret_is_said_whatever_is_wrong(calls: Any, tmp_path: Path) -> None:
    """Neither in the command's line nor in the log of `--verbose`."""
    given = list(calls())
    done = list(zip(given, said_by(given, tmp_path), strict=True))
    assert [said for _, (_, said) in done if CANARY in said] == []
    assert all(said for _, (status, said) in done if status)
    assert calls is working or any(status == 2 for _, (status, _) in done)


def test_the_canaries_are_of_every_secret() -> None:
    """Secrets added to the settings later are included."""
    names = {key for section, key in secrets()}
    assert {
        "secret_key",
        "database_url",
        "password",
        "client_secret",
        "token",
        "webhook_token",
    } <= names
    from_file = {
        (section, key)
        for section, known in known_keys().items()
        for key, may in known.items()
        if may
    }
    assert from_file - secrets().keys() <= {
        ("mail", "username"),
        ("mail", "client_id"),
        ("strava", "client_id"),
    }
