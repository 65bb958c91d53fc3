"""The artefacts: the wheel, the container's entry point, and the workflows that test them."""

import os
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hatchling import build

ROOT = Path(__file__).parents[1]
ENTRY = ROOT / "scripts" / "easeback-in-container"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
is_root = os.geteuid() == 0
as_root = pytest.mark.skipif(not is_root, reason="only root can become somebody else")


def test_the_wheel_holds_every_file_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel has templates, catalogues, fonts, migrations and examples, and nothing else."""
    monkeypatch.chdir(ROOT)
    name = build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(tmp_path / name) as wheel:
        held = {file for file in wheel.namelist() if ".dist-info/" not in file}
        entries = wheel.read(f"{name.removesuffix('-py3-none-any.whl')}.dist-info/entry_points.txt")
    there = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "worker").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    shipped = {f"worker/shipped/{file.name}" for file in (ROOT / "config").glob("*.example.toml")}
    assert held == there | shipped
    assert b"easeback = worker.__main__:main" in entries


def entered(*, data: Path, uid: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point as this user, with `id` as the program."""
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return subprocess.run(  # noqa: S603  our own script
        [*become, ENTRY, "-u"],
        env={"PATH": os.environ["PATH"], "EASEBACK_PROGRAM": "/usr/bin/id",
             "EASEBACK_DATA_DIR": str(data), **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@as_root
def test_a_container_begun_as_root_becomes_the_user_named(tmp_path: Path) -> None:
    """The data is given to that user; by default to the image's own."""
    (tmp_path / "easeback.db").touch()
    for env, user in (({}, 10001), ({"PUID": "1234", "PGID": "1235"}, 1234)):
        assert entered(data=tmp_path, **env).stdout == f"{user}\n"
        assert {tmp_path.stat().st_uid, (tmp_path / "easeback.db").stat().st_uid} == {user}
    assert tmp_path.stat().st_gid == 1235


@as_root
@pytest.mark.parametrize("user", ["0", "anna", "12;id"])
def test_a_container_never_runs_as_root(user: str, tmp_path: Path) -> None:
    done = entered(data=tmp_path, PUID=user)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "PUID" in done.stderr


@as_root
def test_a_container_begun_as_anybody_else_stays_so() -> None:
    """If that user can't write, one line says what to do."""
    with TemporaryDirectory() as data:  # pytest's own folders are private to root
        refused = entered(data=Path(data), uid=4321)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert f"4321:4321 can't write to {data}" in refused.stderr
        os.chown(data, 4321, 4321)
        assert entered(data=Path(data), uid=4321).stdout == "4321\n"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_our_own_scripts_and_pin_what_is_not_ours(path: Path) -> None:
    """A tag of an action can be moved to other contents; a commit can't."""
    jobs: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    for step in (step for job in jobs.values() for step in job["steps"]):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        else:
            script = ROOT / step["run"]
            assert os.access(script, os.X_OK), f"{step['run']} can't be run"


def test_the_tests_run_on_every_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
    assert tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised
