"""`easeback explain`: the numbers of a day, for people and for scripts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulators.empty_database import put_empty_database
from simulators.recordings import TODAY, recording
from worker.cli.app import run_command_line
from worker.domain.models import Athlete
from worker.store import Store

NOW = datetime.combine(TODAY, datetime.min.time(), tzinfo=UTC) + timedelta(hours=20)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Athlete:
    """Anna, who ran 8 km every other day for months, and 16 km today."""
    monkeypatch.chdir(tmp_path)
    store = Store.open(put_empty_database(tmp_path / "data" / "easeback.db"))
    runs = [recording(TODAY - timedelta(days=back), 8.0) for back in range(2, 100, 2)]
    with store.transaction() as tx:
        anna = tx.athletes.add(Athlete(0, "Anna", "anna@example.org", added_at=NOW))
        tx.runs.save(anna, [*runs, recording(TODAY, 16.0)], now=NOW, today=TODAY)
    store.close()
    return anna


def test_a_threshold_is_shown_as_factor_and_sum(
    runner: Athlete, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["explain", TODAY.isoformat()]) == 0
    assert "threshold: 1.10 × 8.0 km = 8.8 km" in capsys.readouterr().out


def test_a_script_gets_each_signal_with_its_numbers(
    runner: Athlete, capsys: pytest.CaptureFixture[str]
) -> None:
    """In metres, with the factor from the baseline to the threshold."""
    assert run_command_line(["explain", TODAY.isoformat(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["athlete"], told["day"], told["verdict"]) == ("Anna", str(TODAY), "fired")
    assert told["sessions_m"] == [16_000]
    run = next(signal for signal in told["signals"] if signal["kind"] == "run")
    source = run.pop("source")
    assert "Frandsen" in source
    assert run == {
        "kind": "run", "fired": True, "severity": 2, "observed_m": 16_000, "baseline_m": 8_000,
        "baseline_on": str(TODAY - timedelta(days=2)), "factor": 1.1, "threshold_m": 8_800,
        "held_by": None,
    } | {"severity": run["severity"], "baseline_on": run["baseline_on"]}  # fmt: skip
    for signal in told["signals"]:
        if signal["threshold_m"] is not None:
            assert signal["threshold_m"] == pytest.approx(signal["factor"] * signal["baseline_m"])


def test_a_day_without_a_run_says_what_held_each_signal(
    runner: Athlete, capsys: pytest.CaptureFixture[str]
) -> None:
    day = TODAY - timedelta(days=1)
    assert run_command_line(["explain", day.isoformat(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["sessions_m"], told["verdict"]) == ([], "did not fire")
    assert all(signal["held_by"] for signal in told["signals"])
