"""The commands for Garmin from the shell: connect, once, status, doctor, disconnect."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulators.clock import Clock
from simulators.empty_database import put_empty_database
from simulators.garmin import Service
from simulators.http_server import running
from tests.command import easeback
from tests.terminal import converse
from worker.domain.models import Athlete
from worker.store import Store

HIDDEN = "(it isn't shown): "
"""The blank at its end is written once the terminal's echo is off."""


@dataclass
class Operator:
    """Somebody at a terminal, or a script."""

    folder: Path
    service: Service
    address: str

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "EASEBACK_DATA_DIR": str(self.folder / "data"),
            "EASEBACK_GARMIN__BASE_URL": self.address,
            "EASEBACK_GARMIN__EVERY": "1 s",
        }

    def call(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return easeback(*arguments, cwd=self.folder, env=self.settings, given=given)

    def answer(self, *arguments: str, answers: list[tuple[str, str]], without: str = "") -> str:
        """Run a command at a terminal, answering its questions; returns all output."""
        env = {name: value for name, value in self.settings.items() if name != without}
        return converse(*arguments, cwd=self.folder, answers=answers, env=env).shown


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    service = Service(clock=Clock(datetime.now(UTC)))
    (tmp_path / "data").mkdir(mode=0o700)
    with running(service) as server:  # type: ignore[arg-type]  # it answers questions too
        file = tmp_path / "data" / "easeback.db"
        put_empty_database(file)
        with closing(Store.open(f"sqlite:///{file}")) as store, store.transaction() as tx:
            tx.athletes.add(
                Athlete(0, "Mira", "mira@example.org", service.clock.now - timedelta(days=90))
            )
        yield Operator(tmp_path, service, server.base_url)


def test_a_key_is_for_one_athlete_alone(operator: Operator) -> None:
    """Pasted for another athlete it's refused, and the first one's stays."""
    key = operator.service.make_key(operator.service.account("Mira"))
    assert operator.call("connect", "garmin", "Mira", given=f"{key}\n").returncode == 0
    added = operator.call("athlete", "add", "--name", "Timo", "--email", "timo@example.org")
    assert added.returncode == 0, added.stderr
    done = operator.call("connect", "garmin", "Timo", given=f"{key}\n")
    assert done.returncode == 1
    assert "this Garmin account is connected for another athlete already" in done.stderr
    assert done.stderr.count("\n") == 1
    athletes = json.loads(operator.call("status", "--json").stdout)["athletes"]
    connected = [one["name"] for one in athletes if "garmin" in one["sources"]]
    assert connected == ["Mira"]
    assert operator.call("connect", "garmin", "Mira", given=f"{key}\n").returncode == 0


def test_connects_by_a_piped_key_syncs_and_disconnects(operator: Operator) -> None:
    """The key on standard input; a pass fetches the runs; disconnecting deletes them."""
    service = operator.service
    account = service.account("Mira")
    service.weeks_of_runs(account, service.clock.now - timedelta(hours=2), 3)
    key = service.make_key(account)
    done = operator.call("connect", "--garmin", "Mira", "--expires", "90", given=f"{key}\n")
    ends_on = f"{service.clock.now + timedelta(days=90):%Y-%m-%d}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Mira is connected to Garmin; the key runs out on {ends_on}\n"
    assert operator.call("once").returncode == 0
    runs = json.loads(operator.call("runs", "--json").stdout)
    assert [run["sources"][0]["source"] for run in runs] == ["garmin"] * 3
    told = json.loads(operator.call("status", "--json").stdout)
    [mira] = told["athletes"]
    assert mira["sources"]["garmin"]["state"] == "ok"
    assert mira["sources"]["garmin"]["backlog"] == 0
    assert "ok   garmin: 1 athlete connected" in operator.call("doctor").stdout
    done = operator.call("disconnect", "--garmin", "--yes")
    assert done.returncode == 0
    assert "disconnected from Garmin" in done.stdout
    assert json.loads(operator.call("runs", "--json").stdout) == []


@pytest.mark.parametrize("words", ["garmin", "garmin Mira", "--garmin", "Mira --garmin"])
def test_the_service_is_named_as_a_word_or_as_an_option(operator: Operator, words: str) -> None:
    """The option is the older form."""
    key = operator.service.make_key(operator.service.account("Mira"))
    done = operator.call("connect", *words.split(), given=key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Mira is connected to Garmin")


def test_at_a_terminal_the_key_is_asked_for_without_echo(operator: Operator) -> None:
    """And then when it ends; the key is never shown."""
    account = operator.service.account("Mira")
    key = operator.service.make_key(account)
    shown = operator.answer(
        "connect", "--garmin", answers=[(HIDDEN, key), ("Its expiration", "180")]
    )
    assert "Mira is connected to Garmin" in shown
    assert "30, 90, 180, 365 days" in shown
    assert key not in shown


@pytest.mark.parametrize(
    ("given", "arguments", "status", "words"),
    [
        ("nonsense\n", (), 1, "Garmin doesn't accept this key"),
        ("", (), 1, "no key was given"),
        ("x\n", ("--expires", "soon"), 1, "isn't when a key ends"),
    ],
)
def test_what_does_not_work_is_one_clear_line(
    operator: Operator, given: str, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """It says what to do, and shows nothing of the key."""
    done = operator.call("connect", "--garmin", *arguments, given=given)
    assert done.returncode == status
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert "nonsense" not in done.stderr


def test_options_that_do_not_go_together_are_wrong_usage(operator: Operator) -> None:
    """Exit status 2."""
    done = operator.call("connect", "--expires", "90")
    assert done.returncode == 2
    assert "goes with --garmin" in done.stderr


def test_a_key_in_its_last_days_is_said_by_status_and_doctor(operator: Operator) -> None:
    """Both are well, and say until when."""
    account = operator.service.account("Mira")
    key = operator.service.make_key(account)
    operator.call("connect", "--garmin", "--expires", "10", given=key)
    done = operator.call("status")
    assert done.returncode == 0
    assert "garmin: nothing yet" in done.stdout
    assert "the key runs out on" in done.stdout
    assert "the key runs out on" in operator.call("doctor").stdout


def test_a_dead_key_is_said_with_how_to_mend_it(operator: Operator) -> None:
    """`once` and `status` exit with 1, `doctor` names it."""
    account = operator.service.account("Mira")
    key = operator.service.make_key(account)
    operator.call("connect", "--garmin", given=key)
    operator.service.keys.clear()
    operator.service.tokens.clear()
    done = operator.call("once")
    assert done.returncode == 1
    assert "no longer accepts the key" in done.stderr
    assert operator.call("status").returncode == 1
    assert "BAD  garmin: Mira: Garmin no longer accepts the key" in operator.call("doctor").stdout


def test_keys_rotate_and_the_grant_still_opens(operator: Operator) -> None:
    """With a new sealing key first, that one is enough."""
    account = operator.service.account("Mira")
    operator.call("connect", "--garmin", given=operator.service.make_key(account))
    done = operator.call("rotate-keys")
    assert "1 credential encrypted" in done.stdout
    keys = operator.folder / "data" / "keys"
    new, *_ = keys.read_text().split()
    keys.write_text(new)
    assert operator.call("once").stderr == ""


def test_init_offers_three_ways_with_what_each_costs_and_needs(operator: Operator) -> None:
    """Choosing Garmin asks for the key at once, and it works."""
    account = operator.service.account("Anna")
    key = operator.service.make_key(account)
    data = operator.folder / "new"
    shown = operator.answer(
        "--config", str(operator.folder / "easeback.toml"), "init",
        answers=[
            ("keep its data?", str(data)), ("The runner's name", "Anna"),
            ("E-mail", "anna@example.org"), ("Language", ""), ("Time zone", "UTC"), ("Units", "km"),
            ("Where does it hurt", ""), ("A race", ""), ("Mail server", ""), ("How are", ""),
            ("Which", "garmin"), (HIDDEN, key), ("Its expiration", "365"),
        ],
        without="EASEBACK_DATA_DIR",
    )  # fmt: skip
    for words in ("folder", "Free, needs nothing", "after 30, 90, 180 or 365 days", "subscription"):
        assert words in shown
    assert "Anna is connected to Garmin" in shown
    assert key not in shown
