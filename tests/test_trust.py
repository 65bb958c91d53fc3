"""Settings that others could have written are refused in one line that says how to fix it."""

import json
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import easeback
from worker.config import SettingsError, load
from worker.trust import DoubtError, check_trusted

NOBODY = 65534
FILES = ("easeback.toml", "routine.toml", "templates/alert.txt.j2")
"""Files that are read from one folder."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private current folder with settings, a routine and templates."""
    for name in [name for name in os.environ if name.startswith("EASEBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o022)
    (tmp_path / "config" / "templates").mkdir(parents=True)
    for name in FILES:
        (tmp_path / "config" / name).write_text("")
    yield tmp_path
    os.umask(umask)


def doubt(path: Path, *, named: bool = False, me: int | None = None) -> str:
    """The one-line reason why this file isn't trusted; empty if it is."""
    said = ""
    try:
        check_trusted(path, named=named, otherwise="use --config", me=me)
    except DoubtError as error:
        said = str(error)
    assert "\n" not in said
    return said


def by_another(path: Path) -> int:
    """Make another user than the asking one the file's owner; returns the asking user's number."""
    if os.geteuid() == 0:  # root may change owners
        os.chown(path, NOBODY, -1)
        return 0
    return NOBODY  # other users ask as somebody else instead


# Owners


def test_a_file_of_ones_own_is_believed(here: Path) -> None:
    """Whether found or named, by a relative path or a full one."""
    for path in (Path("config/easeback.toml"), here / "config" / "easeback.toml"):
        for named in (False, True):
            assert doubt(path, named=named) == ""


def test_what_is_another_users_is_not_believed_unless_it_was_named(here: Path) -> None:
    """Naming a file is trusting it: so a container's root can use a file of the host's user."""
    file = here / "config" / "easeback.toml"
    me = by_another(file)
    said = doubt(file, me=me)
    assert said.startswith(f"{file} belongs to ")
    assert said.endswith("use --config")
    assert doubt(file, named=True, me=me) == ""


def test_so_is_what_lies_in_another_users_folder(here: Path) -> None:
    """The folder's owner could replace the file."""
    me = by_another(here / "config")
    roots_own = Path("config", *[".."] * len((here / "config").parts[1:]), "etc", "passwd")
    said = doubt(roots_own, me=me)
    assert said.startswith(f"{roots_own}: {here / 'config'} belongs to ")


def test_what_root_wrote_is_believed() -> None:
    """As in /etc."""
    assert doubt(Path("/etc/passwd"), me=12345) == ""


def test_in_the_root_folder_it_is_believed_whosever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's /config may show any number as its owner; only root can have put it there."""
    monkeypatch.chdir("/")
    path = Path(*Path(__file__).parts[1:])
    others = Path(__file__).stat().st_uid + 1
    if Path(__file__).stat().st_uid:
        assert doubt(Path(__file__), me=others) != ""
    assert doubt(path, me=others) == ""


# Writers


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", ["config/easeback.toml", "config"])
def test_what_everybody_can_write_is_refused_also_where_it_was_named(
    here: Path, name: str, named: bool
) -> None:
    """Whether the file, or a folder in which it could be replaced."""
    (here / name).chmod((here / name).stat().st_mode | 0o002)
    said = doubt(Path("config/easeback.toml"), named=named)
    assert f"{here / name} can be written by everybody" in said
    assert f"chmod go-w {here / name}, or use --config" in said


def test_a_folder_where_only_owners_move_files_is_well(here: Path) -> None:
    """As in /tmp."""
    (here / "config").chmod(0o1777)
    assert doubt(Path("config/easeback.toml")) == ""


def test_a_link_is_followed_step_by_step(here: Path) -> None:
    """Each folder on the way could redirect it."""
    (here / "open").mkdir()
    (here / "last").mkdir()
    (here / "last" / "real.toml").write_text("")
    (here / "open" / "hop").symlink_to("../last/real.toml")
    (here / "config" / "easeback.toml").unlink()
    (here / "config" / "easeback.toml").symlink_to(here / "open" / "hop")
    assert doubt(Path("config/easeback.toml")) == ""
    (here / "open").chmod(0o777)
    assert f"{here / 'open'} can be written" in doubt(Path("config/easeback.toml"))


def test_a_group_of_ones_own_may_write(here: Path) -> None:
    """As with umask 002 on Debian and Fedora; a group without other members may write too."""
    file = here / "config" / "easeback.toml"
    file.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(file, -1, 54321)
    assert doubt(file) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to a group it isn't in")
def test_a_group_with_others_in_it_may_not_unless_the_file_was_named(here: Path) -> None:
    """A named file may be shared with colleagues."""
    file = here / "config" / "easeback.toml"
    os.chown(file, -1, pwd.getpwuid(1).pw_gid)  # another user's own group
    file.chmod(0o664)
    said = doubt(file)
    assert "can be written by the group " in said
    assert doubt(file, named=True) == ""


# Commands


@pytest.mark.parametrize("name", FILES)
def test_all_that_is_found_beside_one_another_is_looked_at(here: Path, name: str) -> None:
    """The routine and the templates address runners in the operator's name."""
    load()
    (here / "config" / name).chmod(0o666)
    with pytest.raises(SettingsError, match="can be written by everybody") as error:
        load()
    assert str(here / "config" / name) in str(error.value)


def test_a_routine_is_looked_at_where_there_are_no_settings(here: Path) -> None:
    """It's found in the same folder."""
    (here / "config" / "easeback.toml").unlink()
    (here / "config" / "routine.toml").chmod(0o666)
    with pytest.raises(SettingsError, match=r"routine\.toml can be written by everybody"):
        load()


def test_a_data_folder_that_is_found_must_be_ones_own(here: Path) -> None:
    """A stranger's folder holds keys that the stranger knows. One named by full path is trusted."""
    (here / "data").mkdir()
    load()
    (here / "data").chmod(0o777)
    with pytest.raises(SettingsError, match="set data_dir to a folder of your own"):
        load()
    (here / "config" / "easeback.toml").write_text(f'data_dir = "{here / "data"}"')
    load()
    me = by_another(here / "data")
    (here / "data").chmod(0o755)
    with pytest.raises(DoubtError, match="belongs to"):
        check_trusted(Path("data"), alone=True, otherwise="", me=me)


Ways = Callable[[Path], tuple[tuple[str, ...], dict[str, str]]]


@pytest.mark.parametrize(
    "way",
    [
        lambda file: ((), {}),
        lambda file: (("--config", str(file)), {}),
        lambda file: ((), {"EASEBACK_CONFIG": str(file)}),
    ],
    ids=["found", "--config", "EASEBACK_CONFIG"],
)
def test_a_command_refuses_in_one_line_with_status_2(here: Path, way: Ways) -> None:
    """Nothing else is printed or created."""
    file = here / "config" / "easeback.toml"
    file.chmod(0o666)
    arguments, env = way(file)
    done = easeback(*arguments, "status", "--json", cwd=here, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"easeback: {file} can be written by everybody, so it may say what others want: "
        f"chmod go-w {file}, or name a file of your own by --config\n"
    )
    assert not (here / "data").exists()


# Which file was used


def test_verbose_says_which_file_was_taken_and_json_stays_json(here: Path) -> None:
    """On standard error, and only with --verbose."""
    file = here / "config" / "easeback.toml"
    easeback("once", cwd=here)
    done = easeback("status", "--json", "--verbose", cwd=here)
    assert f"settings: {file}" in done.stderr
    assert json.loads(done.stdout)["athletes"] == []
    assert str(file) not in easeback("status", "--json", cwd=here).stderr


def test_doctor_says_which_file_was_taken(here: Path) -> None:
    """Or that there is none, and where it was searched; also if it can't be used."""
    file = here / "config" / "easeback.toml"
    assert f"ok   settings file: {file}\n" in easeback("doctor", cwd=here).stdout
    file.write_text("nonsense = 1")
    assert f"ok   settings file: {file}\n" in easeback("doctor", cwd=here).stdout
    file.chmod(0o666)
    assert f"BAD  settings file: {file} can be written" in easeback("doctor", cwd=here).stdout
    file.unlink()
    platform = here / ".config" / "easeback" / "easeback.toml"
    said = next(line for line in easeback("doctor", cwd=here).stdout.splitlines() if "file" in line)
    assert "none (looked for" in said
    assert str(file) in said
    assert str(platform) in said or os.uname().sysname != "Linux"


def test_verbose_says_that_there_is_no_file_and_where_it_was_looked_for(here: Path) -> None:
    """Every setting has its default then."""
    file = here / "config" / "easeback.toml"
    file.unlink()
    said = easeback("athlete", "list", "--verbose", cwd=here).stderr
    assert "settings: none (looked for" in said
    assert str(file) in said
