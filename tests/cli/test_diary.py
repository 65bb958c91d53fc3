"""`easeback athlete diary`: the check-ins, for people and for scripts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.empty_database import put_empty_database
from worker.cli.app import run_command_line
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.store import Store

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
ANSWER = CheckIn(NOW.date(), "hurts", areas=("buttock",), level=6, flags=("night_rest",))


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Athlete:
    """Anna, in a data folder of her own."""
    monkeypatch.chdir(tmp_path)
    store = Store.open(put_empty_database(tmp_path / "data" / "easeback.db"))
    with store.transaction() as tx:
        anna = tx.athletes.add(Athlete(0, "Anna", "anna@example.org", added_at=NOW))
        tx.checkins.save(anna, ANSWER, now=NOW)
    store.close()
    return anna


def test_the_diary_shows_each_answer(anna: Athlete, capsys: pytest.CaptureFixture[str]) -> None:
    """Day, feeling, level, areas, and the ticked warning signs."""
    assert run_command_line(["athlete", "diary", anna.name]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("Fri 2026-11-20", "hurts", "6", "buttock", "night_rest"))


def test_a_script_gets_the_diary_as_json(anna: Athlete, capsys: pytest.CaptureFixture[str]) -> None:
    """The same content, and nothing else on standard output."""
    assert run_command_line(["athlete", "diary", anna.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "day": "2026-11-20",
            "feels": "hurts",
            "areas": ["buttock"],
            "level": 6,
            "flags": ["night_rest"],
        }
    ]


def test_an_empty_diary_says_how_answers_come(
    anna: Athlete, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instead of an empty table."""
    assert run_command_line(["athlete", "add", "--name", "Bo", "--email", "bo@example.org"]) == 0
    assert run_command_line(["athlete", "diary", "Bo"]) == 0
    assert "hasn't answered yet" in capsys.readouterr().out


def test_status_says_whose_runs_are_stopped_since_when_and_what_ends_that(
    anna: Athlete, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for programs."""

    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=3), today - timedelta(days=1)
    store = Store.open(f"sqlite:///{Path.cwd() / 'data' / 'easeback.db'}")
    with store.transaction() as tx:
        tx.athletes.add(replace(anna, name="Bo", id=0))
        tx.athletes.remove(anna)
        (bo,) = tx.athletes.all()

    def status() -> dict[str, Any]:
        run_command_line(["status", "--json"])
        return json.loads(capsys.readouterr().out)["athletes"][0]  # type: ignore[no-any-return]

    assert status()["stopped"] is None
    with store.transaction() as tx:
        for day in (first, last):
            tx.checkins.save(bo, replace(ANSWER, day=day), now=NOW)
    store.close()
    ends_on = last + timedelta(days=14)
    assert status()["stopped"] == {
        "state": "be seen",
        "reasons": ["flag", "repeated"],
        "since": str(first),
        "ends_on": str(ends_on),
    }
    run_command_line(["status"])
    assert (
        f"no run is suggested since {first} (a red flag, pain on more than one day): that ends "
        f'with the next answer "fine", or on {ends_on} without an answer'
    ) in capsys.readouterr().out
