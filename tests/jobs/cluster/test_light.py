"""No cost without a cluster: only a cluster imports procrastinate."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, easeback

PROGRAM = """
import sys
from worker.cli.app import run_command_line
run_command_line({arguments!r})
heavy = {{"procrastinate", "psycopg", "psycopg_pool", "croniter", "asgiref"}}
print("LOADED", sorted(heavy & {{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["status"], ["once"], ["demo", "--no-open"]],
    ids=["version", "status", "once", "demo"],
)
def test_on_sqlite_nothing_of_the_extra_is_imported(arguments: list[str], tmp_path: Path) -> None:
    """Neither the engine nor the driver."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_a_cluster_on_sqlite_is_refused_in_one_line(tmp_path: Path) -> None:
    """The line names the setting, and what would work."""
    done = easeback("run", cwd=tmp_path, env={"EASEBACK_ENGINE__KIND": "procrastinate"})
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "needs PostgreSQL: set database_url" in done.stderr


def test_a_cluster_without_the_extra_is_refused_in_one_line(tmp_path: Path) -> None:
    """The line says what to install."""
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "known = u.find_spec\n"
        "u.find_spec = lambda name, *on: None if name == 'procrastinate' else known(name, *on)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "worker", "run"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{absent}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
            "EASEBACK_ENGINE__KIND": "procrastinate",
            "EASEBACK_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert 'pip install "easeback[postgres]"' in done.stderr
