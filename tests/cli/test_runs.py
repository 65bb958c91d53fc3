"""`easeback runs` lists runs; `runs exclude`, `include`, `correct` and `add` edit them."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.activity_files import Leg, fit_activity
from simulators.empty_database import put_empty_database
from tests.app import run_file
from tests.command import easeback

DAY = date(2026, 3, 6)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An athlete with one run of 8 km."""
    put_empty_database(tmp_path / "data" / "easeback.db")
    easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=tmp_path)
    (tmp_path / "watch.fit").write_bytes(run_file(8.0, day=DAY))
    assert easeback("import", "watch.fit", cwd=tmp_path).returncode == 0
    return tmp_path


def listed(home: Path, *more: str, **settings: str) -> list[dict[str, Any]]:
    answer = easeback("runs", "--json", *more, cwd=home, env=settings)
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def test_runs_says_what_is_left_out_and_who_said_so(home: Path) -> None:
    """Missing from the list, shown with `--all`, and restored by the same id."""
    (before,) = listed(home)
    run_id = str(before["id"])
    answer = easeback("runs", "exclude", run_id, cwd=home)
    assert answer.returncode == 0
    assert f"run {run_id} is left out: Anna, Fri 2026-03-06, 8.0 km" in answer.stdout
    assert listed(home) == []
    (left,) = listed(home, "--all")
    assert (left["excluded"], left["reason"]) == (True, "left out by `easeback runs exclude`")
    assert "manual" in [source["source"] for source in left["sources"]]
    easeback("import", "watch.fit", cwd=home)
    assert listed(home) == []
    assert "left out by" in easeback("runs", "--all", cwd=home).stdout
    assert easeback("runs", "include", run_id, cwd=home).returncode == 0
    assert listed(home) == listed(home, "--all") == [before]


def test_runs_says_what_was_corrected_or_added(home: Path) -> None:
    """The athlete's figures, marked as such."""
    (before,) = listed(home)
    assert "edited" not in before
    assert "ascent_m" not in before  # only if climb counts
    assert listed(home, EASEBACK_RULES__CLIMB_M_PER_KM="100")[0]["ascent_m"] is None
    assert easeback("runs", "correct", str(before["id"]), "--km", "7.2", cwd=home).returncode == 0
    added = easeback(
        "runs", "add", "--date", "2026-03-07", "--km", "5", "--minutes", "30", "--start", "18:30",
        cwd=home,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    corrected, other = listed(home)
    assert (corrected["distance_m"], corrected["edited"]) == (7200.0, True)
    assert (other["day"], other["distance_m"], other["moving_s"], other["edited"]) == (
        "2026-03-07", 5000.0, 1800.0, True,
    )  # fmt: skip
    assert other["sources"][0]["source"] == "manual"
    assert other["started_at"].endswith("Z")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("exclude", "99"), "there is no run 99"),
        (("exclude", "9" * 30), "is not a number such as 17"),
        (("include", "1"), "run 1 counts already"),
        (("correct", "1", "--km", "0"), "it has no distance"),
        (("add", "--date", "7.3.", "--km", "5"), "is not a date such as"),
        (("add", "--date", "2026-03-07", "--km", "5", "--start", "25:00"), "is not a time such as"),
        (("add", "--date", "2026-03-06", "--km", "8.1"), "--start"),
    ],
)
def test_what_cannot_be_is_one_line(home: Path, arguments: tuple[str, ...], why: str) -> None:
    """The line says what is wrong and how to fix it; nothing changes."""
    before = listed(home)
    answer = easeback("runs", *arguments, cwd=home)
    assert answer.returncode == 2
    assert why in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert listed(home, "--all") == before


def test_runs_tells_the_metres_up_where_climb_counts(home: Path) -> None:
    """As the watch summed it up; null if it didn't."""
    leg = Leg(datetime(2026, 3, 7, 7, tzinfo=UTC), 9000, moving_s=3000, extra={"total_ascent": 431})
    (home / "hill.fit").write_bytes(fit_activity([leg]))
    assert easeback("import", "hill.fit", cwd=home).returncode == 0
    counting = listed(home, EASEBACK_RULES__CLIMB_M_PER_KM="100")
    assert [one["ascent_m"] for one in counting] == [None, 431]
