"""The commands for Strava from the shell: connect, disconnect, webhook, rotate-keys."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO, Any

import pytest

from simulators.clock import Clock
from simulators.empty_database import put_empty_database
from simulators.http_server import Server, running
from simulators.strava.browser import answer_consent
from simulators.strava.service import Service
from tests.command import easeback
from worker.domain.models import Athlete
from worker.store import Store


@dataclass
class Operator:
    """Somebody at a terminal."""

    folder: Path
    server: Server
    port: int

    @property
    def environment(self) -> dict[str, str]:
        shell = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY"}}
        return shell | self.settings

    @property
    def settings(self) -> dict[str, str]:
        application = self.server.service.application
        return {
            "EASEBACK_DATA_DIR": str(self.folder),
            "EASEBACK_BASE_URL": f"http://127.0.0.1:{self.port}",
            "EASEBACK_WEB__PORT": str(self.port),
            "EASEBACK_STRAVA__CLIENT_ID": application.client_id,
            "EASEBACK_STRAVA__CLIENT_SECRET": application.client_secret,
            "EASEBACK_STRAVA__BASE_URL": self.server.base_url,
            "EASEBACK_STRAVA__EVERY": "1 s",
        }

    def call(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return easeback(*arguments, cwd=self.folder, env=self.settings | more)

    def call_without_application(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command without Strava in the settings."""
        settings = {k: v for k, v in self.settings.items() if "CLIENT" not in k}
        return easeback(*arguments, cwd=self.folder, env=settings)

    @contextmanager
    def calling(self, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
        """A running command and its output."""
        with subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-m", "worker", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield process, process.stdout
            finally:
                process.kill()

    def connect(self, **consent: Any) -> tuple[int | None, str, str]:
        """`connect --no-open`, with a runner who follows the printed address; status and output."""
        with self.calling("connect", "--no-open") as (process, says):
            address = says.readline().strip()
            jar = urllib.request.HTTPCookieProcessor(CookieJar())
            browser = urllib.request.build_opener(jar)
            with browser.open(address) as page:
                consent_page = page.url
            back = answer_consent(consent_page, **consent)
            callback = f"http://127.0.0.1:{self.port}/strava/callback?"
            try:
                with browser.open(callback + urllib.parse.urlencode(back)) as page:
                    page.read()
            except urllib.request.HTTPError as refused:
                refused.close()
            out, err = process.communicate(timeout=20)
        return process.returncode, out, err


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = Service(clock=Clock(datetime.now(UTC)))
    service.account("Mira")
    with running(service) as server:
        file = tmp_path / "easeback.db"
        put_empty_database(file)
        with closing(Store.open(f"sqlite:///{file}")) as store, store.transaction() as tx:
            tx.athletes.add(Athlete(0, "Mira", "mira@example.org", service.clock.now))
        yield Operator(tmp_path, server, port)


def test_connects_syncs_and_disconnects(operator: Operator) -> None:
    """One address, one consent; a pass fetches the runs; disconnecting deletes them."""
    service = operator.server.service
    assert service.logged_in is not None
    service.diary.weeks_of_runs(service.logged_in, service.clock.now, 5)
    status, out, _ = operator.connect()
    assert (status, out) == (0, "Mira is connected to Strava\n")
    assert operator.call("once").returncode == 0
    runs = json.loads(operator.call("runs", "--json").stdout)
    assert [run["sources"][0]["source"] for run in runs] == ["strava"] * 5
    assert operator.call("disconnect", "--yes").returncode == 0
    assert json.loads(operator.call("runs", "--json").stdout) == []
    assert service.tokens.consents == {}


def test_disconnecting_forgets_here_where_strava_is_off_by_now(operator: Operator) -> None:
    """Exit status 1, and where to revoke the access; the grant and the runs are gone."""
    service = operator.server.service
    assert service.logged_in is not None
    service.diary.weeks_of_runs(service.logged_in, service.clock.now, 5)
    operator.connect()
    operator.call("once")
    done = operator.call_without_application("disconnect", "--yes")
    assert done.returncode == 1
    assert "forgotten here, but not given back at Strava (Strava is off" in done.stderr
    assert json.loads(operator.call("runs", "--json").stdout) == []


def test_a_cancelled_consent_ends_the_command_and_says_so(operator: Operator) -> None:
    """Exit status 1, one line."""
    status, _, err = operator.connect(button="cancel")
    assert status == 1
    assert err == "easeback: you cancelled on Strava's page; nothing was changed\n"


def test_without_an_application_says_what_to_set(operator: Operator) -> None:
    """Exit status 2."""
    done = operator.call_without_application("connect")
    assert done.returncode == 2
    assert "client_id" in done.stderr


def test_a_redirect_that_strava_refuses_ends_the_command_before_the_browser(
    operator: Operator,
) -> None:
    """One line says what to set, and to which host; status and doctor say it too."""
    elsewhere = {"EASEBACK_BASE_URL": "https://runner.example"}
    done = operator.call("connect", "--no-open", **elsewhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Authorization Callback Domain" in done.stderr
    assert "to runner.example" in done.stderr
    (mira,) = json.loads(operator.call("status", "--json").stdout)["athletes"]
    assert mira["sources"]["strava"]["state"] == "failing"
    assert "Callback Domain" in mira["sources"]["strava"]["last_error"]
    assert "BAD  strava: Strava refuses to send" in operator.call("doctor", **elsewhere).stdout
    operator.connect()
    (mira,) = json.loads(operator.call("status", "--json").stdout)["athletes"]
    assert mira["sources"]["strava"]["state"] == "ok"


def test_an_application_that_is_full_is_said_before_the_browser(operator: Operator) -> None:
    """A new application may have one athlete; for others Strava's page is a dead end."""
    operator.server.service.application = replace(operator.server.service.application, is_full=True)
    done = operator.call("connect", "--no-open")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Limit of connected athletes exceeded" in done.stderr
    assert "Limit of connected athletes" in operator.call("doctor").stdout


def test_a_consent_page_that_is_blocked_is_told_within_seconds(operator: Operator) -> None:
    """The browser may get further: the command keeps waiting."""
    operator.server.fault("status", "/oauth/authorize", times=9, status=403)
    with operator.calling("connect", "--no-open") as (process, says):
        assert says.readline().startswith("http")
        assert process.stderr is not None
        assert "page of consent answers with status 403" in process.stderr.readline()
        assert "a limit of connected athletes" in process.stderr.readline()
        assert process.poll() is None


def test_a_wrong_secret_is_said_by_doctor(operator: Operator) -> None:
    """The message names the setting."""
    done = operator.call("doctor", EASEBACK_STRAVA__CLIENT_SECRET="wrong")
    assert "BAD  strava: Strava doesn't know this client id or client secret" in done.stdout


def test_subscribes_a_webhook_checks_it_and_removes_it(operator: Operator) -> None:
    """The command's own web server answers Strava's check if no worker runs."""
    done = operator.call("webhook", "add")
    assert done.returncode == 0, done.stderr
    assert operator.server.service.subscription is not None
    [row] = json.loads(operator.call("webhook", "list", "--json").stdout)
    assert row["ours"]
    assert operator.call("webhook", "remove").returncode == 0
    assert operator.server.service.subscription is None


def test_keys_rotate_and_the_grant_still_opens(operator: Operator) -> None:
    """With a new key first, the next pass works."""
    operator.connect()
    before = (operator.folder / "keys").read_text().split()
    done = operator.call("rotate-keys")
    assert done.returncode == 0, done.stderr
    assert "1 credential encrypted" in done.stdout
    new, *old = (operator.folder / "keys").read_text().split()
    assert old == before
    assert (operator.folder / "keys").stat().st_mode & 0o777 == 0o600
    (operator.folder / "keys").write_text(new)
    assert operator.call("once").stderr == ""


def test_the_running_worker_catches_the_callback(operator: Operator) -> None:
    """`connect` beside `run`: the worker's web server handles it, and soon the runs are there."""
    service = operator.server.service
    assert service.logged_in is not None
    service.diary.weeks_of_runs(service.logged_in, service.clock.now, 3)
    with operator.calling("run") as (worker, _):
        assert worker.stderr is not None
        until(lambda: "web: pages at" in str(worker.stderr and worker.stderr.readline()))
        status, out, _ = operator.connect()
        assert (status, out) == (0, "Mira is connected to Strava\n")
        until(lambda: len(json.loads(operator.call("runs", "--json").stdout)) == 3)


def until(so: Callable[[], bool], *, within_s: float = 30) -> None:
    begun = time.monotonic()
    while not so():
        assert time.monotonic() - begun < within_s
        time.sleep(0.2)
