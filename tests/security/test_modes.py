"""Files written by Easeback are private to their owner, whatever the folder and umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.app import run_file
from tests.command import ROOT, easeback
from tests.nobody import nobody
from tests.process import running_in
from worker.config import Settings, SettingsError, make_data_dir


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder readable by others, an open umask, and everything that Easeback writes."""
    home = tmp_path_factory.mktemp("home")
    data = home / "data"
    data.mkdir(mode=0o755)
    commands = (
        ("init", "--defaults"),
        ("athlete", "add", "--name", "Mira", "--email", "mira@example.org"),
        ("once", "--as-of", "2026-11-20T18:00:00Z"),
        ("once", "--as-of", "2026-11-23T07:01:00Z"),
        ("preview", "weekly", "--no-open"),
        ("backup", str(home / "copy.db")),
    )
    for command in commands:
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "worker", *command],
            cwd=home,
            env={**_around(), "PYTHONPATH": str(ROOT), "HOME": str(home)},
            umask=0o022,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        if (data / "inbox").is_dir() and not (data / "inbox" / "a.fit").exists():
            (data / "inbox" / "a.fit").write_bytes(run_file(8))
    (data / "inbox" / "a.fit").unlink()
    return home


def _around() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EASEBACK_")}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_file_is_for_its_owner_alone(home: Path) -> None:
    """Database, keys, lock, backups, mailbox, preview, settings."""
    written = [path for path in home.rglob("*") if path.is_file()]
    names = {path.name for path in written}
    assert {"easeback.db", "keys", "easeback.db.lock", "easeback.toml", "copy.db"} <= names
    assert any(path.parent.name == "backups" for path in written)
    assert any(path.parent.name == "preview" for path in written)
    for path in written:
        assert _mode(path) == 0o600, path


def test_every_folder_is_for_its_owner_alone(home: Path) -> None:
    """Except for folders that were there before."""
    made = [path for path in home.rglob("*") if path.is_dir() and path != home / "data"]
    assert {"inbox", "backups"} <= {path.name for path in made}
    for path in made:
        assert _mode(path) == 0o700, path


@pytest.mark.parametrize("command", ["run", "once"])
def test_what_others_may_read_or_write_is_tightened_at_the_start(
    tmp_path: Path, command: str
) -> None:
    """The data folder, its keys and its database; the path to the inbox stays open."""
    assert easeback("once", cwd=tmp_path).returncode == 0
    data = tmp_path / "data"
    data.chmod(0o775)
    for name, mode in (("keys", 0o666), ("easeback.db", 0o644), ("inbox", 0o777)):
        (data / name).chmod(mode)
    if command == "once":
        assert easeback("once", cwd=tmp_path).returncode == 0
    else:
        env = {**_around(), "PYTHONPATH": str(ROOT), "EASEBACK_WEB__ENABLED": "false"}
        with running_in(tmp_path, env=env, ready="easeback runs") as worker:
            assert worker.end()[0] == 0
    assert _mode(data) == 0o711
    assert _mode(data / "keys") == _mode(data / "easeback.db") == 0o600
    assert _mode(data / "inbox") == 0o777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder somebody else's")
@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [(".", 0o777, "can be written by everybody"), ("keys", 0o644, "can be read by everybody"),
     ("easeback.db", 0o606, "can be written by everybody")],
)  # fmt: skip
def test_what_can_not_be_tightened_is_refused(name: str, mode: int, words: str) -> None:
    """It belongs to somebody else, or its file system has no modes."""
    with TemporaryDirectory() as folder:  # a test's own folder is root's
        data = Path(folder, "data")
        (data / "inbox").mkdir(parents=True)
        for path in (data.parent, data):
            path.chmod(0o755)
        for file in ("keys", "easeback.db"):
            (data / file).touch(mode=0o600)
        (data / name).chmod(mode)
        with nobody(), pytest.raises(SettingsError, match=words) as error:
            make_data_dir(Settings(data_dir=data))
    assert "chmod go-rwx" in str(error.value)


def test_a_data_folder_that_easeback_makes_is_private(tmp_path: Path) -> None:
    """From the start."""
    subprocess.run(
        [sys.executable, "-m", "worker", "once"],
        cwd=tmp_path, env={**_around(), "PYTHONPATH": str(ROOT)}, umask=0o022, capture_output=True,
        check=False,
    )  # fmt: skip
    assert _mode(tmp_path / "data") == 0o700


def test_init_writes_settings_for_the_owner_alone_also_over_others(tmp_path: Path) -> None:
    """They may hold a password; existing ones may have been readable by everybody."""
    file = tmp_path / "config" / "easeback.toml"
    file.parent.mkdir()
    file.write_text("# mine")
    file.chmod(0o644)
    done = easeback("init", "--defaults", "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "data_dir" in file.read_text()
    assert _mode(file) == 0o600
