"""What the unit and compose files take from the worker, and that it works without."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulators.recordings import run_file
from tests.command import ROOT

SYSTEMD = shutil.which("systemd-analyze")
UNIT = (ROOT / "config" / "easeback.service").read_text()
WITHOUT_NEW_CODE = """\
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Enables MemoryDenyWriteExecute's kernel flag, which children inherit."""

CANT = 77


@pytest.mark.parametrize(
    "line",
    [
        "NoNewPrivileges=yes",
        "MemoryMax=1G",
        "TasksMax=128",
        "MemoryDenyWriteExecute=yes",
        "PrivateUsers=yes",
        "ProcSubset=pid",
        "SystemCallFilter=~@privileged @resources",
    ],
)
def test_the_unit_takes_away_what_the_worker_doesnt_need(line: str) -> None:
    """Line by line."""
    assert line in UNIT.splitlines()


@pytest.mark.skipif(SYSTEMD is None, reason="there is no systemd-analyze here")
def test_systemd_itself_understands_every_line(tmp_path: Path) -> None:
    """And rates the exposure: 0 is none, 10 is full, 2 is what it calls OK."""
    unit = tmp_path / "easeback.service"
    unit.write_text(re.sub("(?m)^ExecStart=[^ ]+", f"ExecStart={sys.executable}", UNIT))
    for asked in (["verify"], ["security", "--offline=true", "--threshold=15"]):
        done = subprocess.run(  # noqa: S603  systemd's own
            [str(SYSTEMD), *asked, str(unit)], capture_output=True, text=True, check=False
        )
        # Messages about other units depend on this machine.
        said = [line for line in done.stderr.splitlines() if unit.name in line]
        assert (done.returncode, said) == (0, []), done.stdout


def services() -> list[Any]:
    return [
        pytest.param(service, id=f"{file}-{name}")
        for file in ("compose.yaml", "compose.cluster.yaml")
        for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items()
    ]


@pytest.mark.parametrize("service", services())
def test_no_container_takes_more_than_its_share_or_gains_a_right(service: dict[str, Any]) -> None:
    """Including PostgreSQL's."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]


def test_a_file_is_read_where_no_memory_can_become_code(tmp_path: Path) -> None:
    """By the reader's process, as under the unit."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "run.fit").write_bytes(run_file(8.0))
    environment = {**os.environ, "EASEBACK_DATA_DIR": str(tmp_path)}
    commands = (
        ("athlete", "add", "--name", "Ann", "--email", "a@example.org"),
        ("once",),
        ("once",),
    )
    for command in commands:
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-c", WITHOUT_NEW_CODE, sys.executable, "-m", "worker", *command],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == CANT:
            pytest.skip("this kernel can't refuse it")
        assert done.returncode == 0, done.stderr
    assert "1 imported" in done.stdout
