"""Settings: their sources, which one wins, and one clear line for each mistake."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from worker.config import (
    Settings,
    SettingsError,
    ca_file,
    found_in,
    load,
    machine_timezone,
    make_data_dir,
)
from worker.domain.rules import Rules
from worker.keys import read_keys
from worker.setting_types import LOOPBACK

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no variables set."""
    for name in [name for name in os.environ if name.startswith("EASEBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here: Path) -> Write:
    """Write the settings file of the current folder."""

    def in_folder(text: str) -> Path:
        (here / "config").mkdir(exist_ok=True)
        file = here / "config" / "easeback.toml"
        file.write_text(text, "utf-8")
        return file

    return in_folder


def refused(match: str) -> str:
    """Loading fails with one line."""
    with pytest.raises(SettingsError, match=match) as error:
        load()
    assert "\n" not in str(error.value)
    return str(error.value)


# Sources


def test_no_file_at_all_is_fine(here: Path) -> None:
    """Every setting has a default that works."""
    settings, file = load()
    assert file is None
    assert settings.inbox_path == Path("data/inbox")
    assert settings.url == f"sqlite:///{here}/data/easeback.db"
    assert settings.inbox.every == timedelta(seconds=5)
    assert settings.mail.host is None
    assert settings.rules == Rules()


def test_the_nearest_file_wins(here: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config wins over EASEBACK_CONFIG, the current folder and the platform's folder."""

    def named(name: str) -> Path:
        file = here / name
        file.write_text(f'data_dir = "{name}"')
        return file

    platform = found_in()[1]
    platform.parent.mkdir(parents=True)
    platform.write_text('data_dir = "platform"')
    assert str(load()[0].data_dir) == "platform"
    write('data_dir = "folder"')
    assert str(load()[0].data_dir) == "folder"
    monkeypatch.setenv("EASEBACK_CONFIG", str(named("environment")))
    assert str(load()[0].data_dir) == "environment"
    settings, file = load(named("option"))
    assert (str(settings.data_dir), file) == ("option", here / "option")


def test_a_named_file_that_is_missing_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't silently fall back to another file."""
    with pytest.raises(SettingsError, match="--config: there is no file"):
        load(here / "missing.toml")
    monkeypatch.setenv("EASEBACK_CONFIG", "missing.toml")
    refused("EASEBACK_CONFIG: there is no file missing.toml")


def test_the_environment_overrides_key_by_key(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that aren't overridden keep the file's value."""
    write('data_dir = "d"\n[mail]\nhost = "file"\nport = 25\n[rules]\nrun_over = 1.2')
    monkeypatch.setenv("EASEBACK_MAIL__HOST", "environment")
    monkeypatch.setenv("EASEBACK_INBOX__EVERY", "200 ms")
    monkeypatch.setenv("EASEBACK_RULES__RUN_MIN_RUNS", "5")
    monkeypatch.setenv("EASEBACK_RULES__RACE_MAYBE_M", "[5000, 10000]")
    monkeypatch.setenv("EASEBACK_DATA_DIR", "/e")
    settings, _ = load()
    assert [settings.mail.host, settings.mail.port] == ["environment", 25]
    assert settings.inbox.every == timedelta(milliseconds=200)
    assert (settings.rules.run_over, settings.rules.run_min_runs) == (1.2, 5)
    assert list(settings.rules.race_maybe_m) == [5000, 10_000]
    assert settings.data_dir == Path("/e")


def test_what_a_container_is_given_around_is_not_taken_for_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes sets variables for a service's address that look like settings."""
    monkeypatch.setenv("EASEBACK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("EASEBACK_PORT", "tcp://10.0.0.1:8765")
    monkeypatch.setenv("EASEBACK_PORT_8765_TCP_ADDR", "10.0.0.1")
    load()


@pytest.mark.parametrize(
    "variable",
    ["EASEBACK_MAIL__PORT", "EASEBACK_INBOX__EVERY", "EASEBACK_MAIL__PASSWORD_FILE",
     "EASEBACK_WEB__ENABLED", "EASEBACK_BASE_URL", "EASEBACK_RULES__RUN_OVER", "EASEBACK_MAIL",
     "EASEBACK_CONFIG", "EASEBACK_NO_SUCH_KEY", "EASEBACK_STRAVA__CLIENT_ID"],
)  # fmt: skip
def test_a_variable_that_is_set_to_nothing_is_as_if_unset(
    variable: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `${X:-}` does in a compose file; the settings file's value is used."""
    write('base_url = "https://runs.example.org"\n[mail]\nport = 2525')
    monkeypatch.setenv(variable, "")
    settings, _ = load()
    assert (settings.mail.port, settings.base_url) == (2525, "https://runs.example.org")


def test_certificates_are_those_of_the_system_where_the_variable_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty SSL_CERT_FILE names no file."""
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert ca_file() is None


def test_a_byte_order_mark_is_no_mistake(here: Path, write: Write) -> None:
    """Windows' editor writes one: in the settings file, and in a secret's file."""
    (here / "password").write_text("hunter2\n", "utf-8-sig")
    write("").write_text('data_dir = "d"\n[mail]\npassword_file = "password"', "utf-8-sig")
    settings, _ = load()
    assert settings.data_dir == Path("d")
    assert settings.mail.password is not None
    assert settings.mail.password.get_secret_value() == "hunter2"


def test_a_tilde_is_the_home_folder_in_every_path(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell expands the tilde in a file, in quotes, or in a unit's environment."""
    home = here / "home"
    home.mkdir()
    (home / "mine.toml").write_text(
        'data_dir = "~/data"\ndatabase_url = "sqlite:///~/runs.db"\n'
        '[inbox]\npath = "~/runs"\n[mail]\npassword_file = "~/password"\nca_file = "~/mail.pem"'
    )
    (home / "password").write_text("hunter2")
    monkeypatch.setenv("EASEBACK_CONFIG", "~/mine.toml")
    settings, file = load()
    assert file == home / "mine.toml"
    assert settings.data_dir == home / "data"
    assert settings.inbox_path == home / "runs"
    assert settings.url == f"sqlite:///{home}/runs.db"
    assert settings.mail.password is not None
    assert settings.mail.ca_file == home / "mail.pem"
    monkeypatch.setenv("SSL_CERT_FILE", "~/ca.pem")
    assert ca_file() == str(home / "ca.pem")
    assert load(Path("~/mine.toml"))[1] == home / "mine.toml"


def test_a_home_folder_of_any_name_stands_in_the_address_of_a_database(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backslash in it means nothing."""
    monkeypatch.setenv("HOME", r"/home/\d")
    write('database_url = "sqlite:///~/runs.db"')
    assert load()[0].url == r"sqlite:////home/\d/runs.db"
    write('database_url = "postgresql://db/~/x"')
    assert load()[0].url == "postgresql://db/~/x"


def test_all_who_begin_at_the_same_time_have_the_same_key(here: Path) -> None:
    """In containers, all of them may have the same process number."""
    for number in range(50):
        settings = Settings(data_dir=here / str(number))
        settings.data_dir.mkdir()
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(read_keys, [settings] * 8))
        assert len(keys) == 1
        assert [path.name for path in settings.data_dir.iterdir()] == ["keys"]


def test_a_file_of_keys_that_leads_in_a_circle_is_said(here: Path) -> None:
    """In one line, before anything is written."""
    (here / "data").mkdir()
    (here / "data" / "keys").symlink_to("keys")
    with pytest.raises(SettingsError, match="data/keys: can't be looked at: "):
        make_data_dir(load()[0])


def test_the_home_of_nobody_is_said(write: Write) -> None:
    """In one line, without a traceback."""
    write('data_dir = "~nobody-is-called-so/data"')
    refused("data_dir: there is no home folder .*nobody-is-called-so")
    write('[mail]\npassword_file = "~nobody-is-called-so/password"')
    refused("mail.password_file: there is no home folder")
    with pytest.raises(SettingsError, match="--config: there is no home folder"):
        load(Path("~nobody-is-called-so/easeback.toml"))


@pytest.mark.parametrize("zone", ['"Europe/Berlin"', "Europe/Berlln", "Mars"])
def test_a_tz_that_is_no_zone_is_said(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't silently replaced by UTC."""
    monkeypatch.setenv("TZ", zone)
    with pytest.raises(SettingsError, match=r"TZ: .* is not a time zone such as Europe/Berlin"):
        machine_timezone()


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("", None),
    ],
)
def test_the_zone_of_the_machine_is_that_of_tz(
    zone: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty TZ counts as unset."""
    monkeypatch.delenv("TZ", raising=False)
    of_the_machine = machine_timezone()
    monkeypatch.setenv("TZ", zone)
    assert machine_timezone() == (name or of_the_machine)


# Secrets


def test_a_secret_may_lie_in_a_file(
    here: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named in the settings or the environment; a secret given directly wins."""
    (here / "one").write_text("from a file\n")
    write('[mail]\npassword_file = "one"\n[strava]\nclient_id = "7"\nclient_secret_file = "one"')
    monkeypatch.setenv("EASEBACK_DATABASE_URL_FILE", str(here / "one"))
    settings, _ = load()
    assert settings.mail.password is not None
    assert settings.mail.password.get_secret_value() == "from a file"
    assert settings.strava.client_secret is not None
    assert settings.strava.client_secret.get_secret_value() == "from a file"
    assert settings.url == "from a file"
    monkeypatch.setenv("EASEBACK_MAIL__PASSWORD", "directly")
    password = load()[0].mail.password
    assert password is not None
    assert password.get_secret_value() == "directly"


def test_a_secret_said_directly_wins_over_its_file_in_the_settings_too(
    here: Path, write: Write
) -> None:
    """As in the environment."""
    (here / "one").write_text("from a file\n")
    write('[mail]\npassword = "directly"\npassword_file = "one"')
    password = load()[0].mail.password
    assert password is not None
    assert password.get_secret_value() == "directly"


def test_a_secret_file_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and the file."""
    monkeypatch.setenv("EASEBACK_MAIL__PASSWORD_FILE", "/nowhere/password")
    refused("EASEBACK_MAIL__PASSWORD_FILE: /nowhere/password can't be read")


@pytest.mark.parametrize("password", ["[hunter2", '["hunter2"]', "{hunter2}", "hunter2 # no", " h"])
def test_a_password_may_look_like_anything(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that looks like a list, a table or a comment is taken literally."""
    monkeypatch.setenv("EASEBACK_MAIL__PASSWORD", password)
    found = load()[0].mail.password
    assert found is not None
    assert found.get_secret_value() == password


@pytest.mark.parametrize(
    "text",
    [
        '[mail]\npassword = "hunter2"\nport = "hunter3"',
        "[mail]\npassword = [2, 3]\nhost = 'hunter2'",
        '[strava]\nclient_secret = "hunter2"',
        '[web]\ntoken = "hunter2"\nport = 0',
        'secret_key = "hunter2hunter2hunter2hunter2hunter2"\nbase_url = "nowhere"',
        '[mail]\npassword = "hunter2',
    ],
)
def test_no_error_shows_a_secret(write: Write, text: str) -> None:
    """Whatever else is wrong with the settings."""
    write(text)
    assert "hunter2" not in refused(".")


def test_settings_can_be_printed_without_showing_a_secret(write: Write) -> None:
    """In a log or a traceback."""
    write(
        'database_url = "postgresql://u:hunter2@h/d"\n'
        'secret_key = "hunter2hunter2hunter2hunter2hunter2"\n'
        '[mail]\npassword = "hunter2"\n[strava]\nclient_id = "7"\nclient_secret = "hunter2"\n'
        'webhook_token = "hunter2"\n[web]\ntoken = "hunter2hunter2"'
    )
    settings, _ = load()
    assert "hunter2" not in f"{settings!r} {settings}"


def test_a_token_of_the_operator_that_is_empty_is_none(write: Write) -> None:
    """As in an environment that leaves it empty; a token has at least 8 characters."""
    write('[web]\ntoken = ""')
    assert not load()[0].web.token
    write('[web]\ntoken = "12345678"')
    assert load()[0].web.token


def test_trusted_proxies_come_as_a_list_or_on_one_line(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses and networks; loopback by default."""
    assert load()[0].web.trusted_proxies == LOOPBACK
    named = (ip_network("10.0.0.2"), ip_network("fd00::/8"))
    write('[web]\ntrusted_proxies = ["10.0.0.2", "fd00::/8"]')
    assert load()[0].web.trusted_proxies == named
    write("")
    monkeypatch.setenv("EASEBACK_WEB__TRUSTED_PROXIES", "10.0.0.2, fd00::/8")
    assert load()[0].web.trusted_proxies == named


# Mistakes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[mail]\nhots = "x"', r"\[mail\] hots: no such setting; the nearest is host"),
        ('data_dri = "x"', "data_dri: no such setting; the nearest is data_dir"),
        ("[rule]\nrun_over = 1.2", "rule: no such setting; the nearest is rules"),
        ("[rules]\nrun_ovr = 1.2", r"\[rules\] run_ovr: no such setting; the nearest is run_over"),
        ('mail = "x"', r"mail is a section: write \[mail\]"),
        ("[web]\ntrusted_proxies = 7", r"\[web\] trusted_proxies: write a list of addresses"),
        ('[web]\ntrusted_proxies = ["x"]', r"\[web\] trusted_proxies: write a list of addresses"),
        ('[web]\ntrusted_proxies = ["10.0.0.1/8"]', "10.0.0.1/8 has host bits set: write a list"),
        ("[inbox]\nevery = 5", r"\[inbox\] every: write a duration such as"),
        ('[inbox]\nevery = "5 fortnights"', r"\[inbox\] every: write a duration such as"),
        ('[inbox]\nevery = "0 s"', "longer than nothing"),
        ('[inbox]\nevery = "-5 s"', "write a duration"),
        ('[strava]\nhistory = "999999 d"', r"\[strava\] history: .* at most a hundred years"),
        ('[backup]\nkeep_for = "99999999999 w"', "at most a hundred years"),
        ("[strava]\nretention_days = 999999", r"\[strava\] retention_days: "),
        ('[mail]\nsecurity = "ssl"', r"\[mail\] security: .*'starttls'.*'none'$"),
        ('[web]\ntoken = "1234567"', r"\[web\] token: .*8 characters at least.*openssl rand"),
        ("[mail]\nport = 99999", r"\[mail\] port: .*65535 \(not 99999\)$"),
        ('[strava]\nclient_id = "7"', "client_secret is missing"),
        ('[strava]\nbase_url = "http://example.org"', "must be https://"),
        ('base_url = "ftp://example.org"', "base_url: must begin with http"),
        ("[rules]\nrun_over = 0.9", "run_over must be a factor above 1"),
        ("[rules]\nrun_over = nan", "run_over"),
        ("[rules]\nrun_window_days = 1.5", "run_window_days"),
        ("this is no TOML", "not valid TOML"),
        ('[mail]\nhost = "a"\nhost = "b"', "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(write: Write, text: str, words: str) -> None:
    """The line names the file as well."""
    write(text)
    assert "easeback.toml" in refused(words)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("EASEBACK_MAIL__HOTS", "x", "EASEBACK_MAIL__HOTS: no such setting; .*EASEBACK_MAIL__HOST"),
        ("EASEBACK_MIAL__HOST", "x", "EASEBACK_MIAL__HOST: no such setting"),
        ("EASEBACK_DATA_DIR__X", "x", "EASEBACK_DATA_DIR__X: no such setting"),
        ("EASEBACK_MAIL", "x", "EASEBACK_MAIL is a section: write EASEBACK_MAIL__"),
        ("EASEBACK_DATADIR", "x", "the nearest is EASEBACK_DATA_DIR"),
        ("EASEBACK_INBOX__EVERY", "often", "^EASEBACK_INBOX__EVERY: write a duration"),
        ("EASEBACK_MAIL_HOST", "x", "no such setting; the nearest is EASEBACK_MAIL__HOST$"),
        ("EASEBACK_STRAVA_CLIENT_SECRET_FILE", "x", "EASEBACK_STRAVA__CLIENT_SECRET_FILE$"),
        ("EASEBACK_BASE_URL", "ftp://x", "^EASEBACK_BASE_URL: .*must begin with http"),
        ("EASEBACK_PING_URL", "ftp://x", "^EASEBACK_PING_URL: .*must begin with http"),
        ("EASEBACK_PING_URL", "http://[x", "^EASEBACK_PING_URL: Invalid IPv6 URL"),
        ("EASEBACK_PING_URL", "http://x:99999", "^EASEBACK_PING_URL: Port out of range"),
        (
            "EASEBACK_STRAVA__CLIENT_ID",
            "7",
            "^EASEBACK_STRAVA__CLIENT_ID: .*client_secret is missing",
        ),
        ("EASEBACK_RULES__RUN_OVER", "0.9", "^EASEBACK_RULES__RUN_OVER: run_over must be"),
        ("EASEBACK_RULES__RACE_MAYBE_M", '["x"]', "^EASEBACK_RULES__RACE_MAYBE_M"),
        ("EASEBACK_RULES__RACE_MAYBE_M", "[1, ", "EASEBACK_RULES__RACE_MAYBE_M: not a list"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    variable: str, value: str, words: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written there; the settings file isn't named."""
    write('data_dir = "d"')
    monkeypatch.setenv(variable, value)
    refused(words)


def test_bytes_that_are_no_text_are_said(here: Path, write: Write) -> None:
    """Such as a file of another program."""
    write("").write_bytes(b"\xff\xfe\x00")
    refused("can't be read")


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1 s", timedelta(seconds=1)),
        ("15 min", timedelta(minutes=15)),
        ("1 h", timedelta(hours=1)),
        ("1.5h", timedelta(minutes=90)),
        ("400 d", timedelta(days=400)),
        ("2 w", timedelta(weeks=2)),
    ],
)
def test_durations_are_written_as_people_do(write: Write, text: str, length: timedelta) -> None:
    """A number and a unit."""
    write(f'[strava]\nhistory = "{text}"')
    assert load()[0].strava.history == length
