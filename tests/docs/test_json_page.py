"""docs/json.md lists the keys that commands print, and no others."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.empty_database import put_empty_database
from tests.command import ROOT
from worker.cli.app import run_command_line

PAGE = (ROOT / "docs" / "json.md").read_text("utf-8")
TABLES = {
    command: set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
    for command, part in re.findall(
        r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """What each command prints for an athlete who ran much further than before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EASEBACK_RULES__CLIMB_M_PER_KM", "100")
    put_empty_database(tmp_path / "data" / "easeback.db")
    days = [date(2026, 9, 1) + timedelta(days=2 * number) for number in range(40)]
    rows = [f"{day}T08:00:00,{20_000 if day == days[-1] else 8000}\n" for day in days]
    Path("history.csv").write_text("start_date_local,distance_m\n" + "".join(rows))
    for line in (
        "athlete add --name Anna --email anna@example.org",
        "import history.csv",
        "runs correct 2 --km 7",
        "runs exclude 3",
    ):
        assert run_command_line(line.split()) == 0
    found = {}
    for command in ("runs --all", "alerts", "status", "ceiling", "plan", "backtest"):
        capsys.readouterr()
        assert run_command_line([*command.split(), "--json"]) == 0, command
        found[command.split()[0]] = json.loads(capsys.readouterr().out)
    return found


def test_the_page_lists_the_keys(printed: dict[str, Any]) -> None:
    """Of objects, and of all objects of a list together."""
    assert TABLES.keys() == printed.keys()
    for command, value in printed.items():
        objects = value if isinstance(value, list) else [value]
        assert {key for one in objects for key in one} == TABLES[command], command


def test_the_page_names_the_keys_within(printed: dict[str, Any]) -> None:
    """Those of athletes, sources, mails and files in `status`, of weeks and of past alerts."""
    status, (athlete,) = printed["status"], printed["status"]["athletes"]
    for inside in (
        athlete,
        athlete["sources"]["import"],
        status["outbox"],
        status["inbox"],
        printed["runs"][0]["sources"][0],
        printed["plan"]["weeks"][0],
        printed["backtest"]["alerts"][0],
    ):
        assert [key for key in inside if f"`{key}`" not in PAGE] == []
