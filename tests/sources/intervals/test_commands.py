"""The commands for intervals.icu from the shell."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.clock import Clock
from simulators.http_server import running
from simulators.intervals import Service
from tests.command import easeback


def test_connects_by_a_piped_key_syncs_and_disconnects(tmp_path: Path) -> None:
    """The key on standard input; a pass fetches the runs; disconnecting deletes them."""
    service = Service(clock=Clock(datetime.now(UTC)))
    account = service.account("Mira")
    made = service.weeks_of_runs(account, service.clock.now - timedelta(hours=2), 3)
    with running(service) as server:  # type: ignore[arg-type]  # it answers questions too
        around = {"EASEBACK_INTERVALS__BASE_URL": server.base_url}
        added = ("athlete", "add", "--name", "Mira", "--email", "mira@example.org")
        assert easeback(*added, cwd=tmp_path).returncode == 0
        key = service.make_key(account)
        wrong = easeback("connect", "intervals", cwd=tmp_path, env=around, given="no-key\n")
        assert wrong.returncode == 1
        assert "intervals.icu doesn't accept this key" in wrong.stderr
        done = easeback("connect", "intervals", cwd=tmp_path, env=around, given=f"{key}\n")
        assert (done.stdout, done.stderr) == ("Mira is connected to intervals.icu\n", "")
        assert easeback("once", cwd=tmp_path, env=around).returncode == 0
        runs = json.loads(easeback("runs", "--json", cwd=tmp_path, env=around).stdout)
        told = [one for run in runs for one in run["sources"]]
        ids = sorted(one.id for one in made)
        assert sorted(one["external_id"] for one in told) == ids
        assert {one["source"] for one in told} == {"intervals"}
        doctor = easeback("doctor", cwd=tmp_path, env=around).stdout
        assert "ok   intervals: 1 athlete connected" in doctor
        done = easeback("disconnect", "intervals", "--yes", cwd=tmp_path, env=around)
        assert "the key itself is deleted at https://intervals.icu/settings" in done.stdout
        assert easeback("runs", "--json", cwd=tmp_path, env=around).stdout == "[]\n"
