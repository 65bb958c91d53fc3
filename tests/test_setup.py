"""The set-up: lock files with all that the project needs, and installing pip without pip."""

import hashlib
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import fetch_pip

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")


def needed(lock: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    if lock == "requirements-build.lock":
        return [
            Requirement(line) for line in (*groups["build"], *project["build-system"]["requires"])
        ]
    lines = [*project["project"]["dependencies"]]
    lines += project["project"]["optional-dependencies"]["postgres"]
    lines += groups["dev"] if lock == "requirements-dev.lock" else []
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_the_project_needs(lock: str) -> None:
    """`make lock` was run after the last change of a dependency."""
    pins = {name: Version(version) for name, version in PIN.findall((ROOT / lock).read_text())}
    for requirement in needed(lock):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_by_hash_and_names_no_index(lock: str) -> None:
    """The same files can be installed from any index."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for entry in re.split(r"\n(?=[a-z])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_locks_agree() -> None:
    """The tested versions are the installed ones, and build requirements don't replace them."""
    run, dev, build = (dict(PIN.findall((ROOT / lock).read_text())) for lock in LOCKS)
    assert run.items() <= dev.items()
    assert {name: dev[name] for name in build.keys() & dev.keys()}.items() <= build.items()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name upstream
        pass


@contextmanager
def index(folder: Path, links: str) -> Iterator[str]:
    """A package index whose page for pip holds `links`."""
    (folder / "pip").mkdir()
    (folder / "pip" / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_takes_the_newest_released_pip(tmp_path: Path) -> None:
    """By version number, not by name; no pre-release, no yanked release, no source package."""
    names = ["pip-9.0-py3-none-any.whl", "pip-26.3-py3-none-any.whl", "pip-27.0b1-py3-none-any.whl",
             "pip-28.0.tar.gz"]  # fmt: skip
    links = "".join(f'<a href="../files/{name}#sha256=00">{name}</a>' for name in names)
    links += '<a href="../files/pip-30.0-py3-none-any.whl" data-yanked="bad">30</a>'
    with index(tmp_path, links) as address:
        found = fetch_pip.newest(address)
    assert found == f"{address}/files/pip-26.3-py3-none-any.whl#sha256=00"


def test_refuses_a_pip_with_another_hash(tmp_path: Path) -> None:
    """A file with another hash than the index's is never run."""
    wheel = b"not what was promised"
    with index(tmp_path, "") as address:
        (tmp_path / "pip-1.0-py3-none-any.whl").write_bytes(wheel)
        promised = hashlib.sha256(b"promised").hexdigest()
        with pytest.raises(ValueError, match="another hash"):
            fetch_pip.install(f"{address}/pip-1.0-py3-none-any.whl#sha256={promised}")


def test_asks_the_index_that_pip_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's mirror is used, and its password isn't printed."""
    mirror = "https://ann:secret@mirror.example.org/simple"
    monkeypatch.setenv("PIP_INDEX_URL", mirror)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.example.org/simple")
    assert list(fetch_pip.indexes()) == [mirror, "https://more.example.org/simple"]
    assert fetch_pip.without_login(mirror) == "https://mirror.example.org/simple"


OWN = ("config/easeback.toml", "config/routine.toml", "config/heel.jpg",
       "config/templates/alert.txt.j2")  # fmt: skip


@pytest.mark.parametrize("own", OWN)
def test_what_is_the_operators_own_is_no_part_of_the_project(own: str) -> None:
    """A mail password must not get into a commit or an image."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    git = shutil.which("git")
    assert git is not None
    ignored = [git, "check-ignore", "--quiet", "--no-index", own]
    assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0  # noqa: S603
    tracked = [git, "ls-files", "--error-unmatch", own]
    done = subprocess.run(tracked, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    assert done.returncode
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line for line in allowed if "config" in line] == ["!config/*.example.toml"]


@pytest.mark.parametrize("name", ["easeback.example.toml", "routine.example.toml"])
def test_what_is_shipped_instead_are_examples(name: str) -> None:
    """In the checkout, and under the same name in the installed package."""
    assert (ROOT / "config" / name).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included[f"config/{name}"] == f"worker/shipped/{name}"
