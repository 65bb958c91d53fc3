"""External names never become paths; strangers' files are read within bounds."""

import io
import os
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.app import NOW, TODAY, App, run_file
from tests.command import easeback
from worker.domain.models import Athlete
from worker.sources.folder import Inbox
from worker.sources.formats.child import Reader
from worker.sources.formats.unpack import MIB
from worker.store import Store

CLIMBING = ("../../evil", "..", "/etc/evil", "a/../../evil", "C:\\evil", "evil\\..\\x", "~", ".")


def everything(folder: Path) -> set[Path]:
    """All paths in it."""
    return set(folder.rglob("*"))


def packed(*names: str) -> bytes:
    """A zip with members of these names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, run_file(5 + number))
    return content.getvalue()


def test_an_athletes_name_leads_nowhere(tmp_path: Path) -> None:
    """Whatever the name, nothing is written outside the data folder."""
    home = tmp_path / "deep" / "home"
    home.mkdir(parents=True)
    inbox = home / "data" / "inbox"
    inbox.mkdir(parents=True)
    for number, name in enumerate((*CLIMBING[:3], "Mira")):
        easeback("athlete", "add", "--name", name, "--email", f"a{number}@example.org", cwd=home)
    (inbox / "Mira").mkdir()
    (inbox / "Mira" / "a.fit").write_bytes(run_file(8))
    for at in ("2026-11-20T18:00:00Z", "2026-11-23T18:00:00Z"):
        easeback("once", "--as-of", at, cwd=home)
    assert {path.name for path in everything(tmp_path)} >= {"easeback.db"}
    outside = [path for path in everything(tmp_path) if home / "data" not in (path, *path.parents)]
    assert sorted(outside) == [tmp_path / "deep", home]


def test_names_in_an_archive_and_in_the_folder_lead_nowhere(tmp_path: Path) -> None:
    """Members are read in memory; nothing is unpacked onto the disk."""
    home = tmp_path / "deep" / "home"
    inbox = home / "data" / "inbox"
    inbox.mkdir(parents=True)
    store = Store.open(f"sqlite:///{home / 'data' / 'easeback.db'}")
    with store.transaction() as tx:
        tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))
    store.close()
    names = [f"{name}.fit" for name in CLIMBING]
    (inbox / "all.zip").write_bytes(packed(*names))
    for odd in ("..evil.fit", "$(touch evil).fit", "; touch evil.fit", "-rf.fit", "%2e%2e%2fevil"):
        (inbox / odd).write_bytes(run_file(9))
    (inbox / "link.fit").symlink_to("/etc/hostname")
    before = everything(tmp_path)
    easeback("once", "--as-of", "2026-11-20T18:00:00Z", cwd=home)
    done = easeback("once", "--as-of", "2026-11-20T18:01:00Z", cwd=home)
    assert " 0 imported" not in done.stdout, done.stderr
    new = everything(tmp_path) - before
    assert {path.parent for path in new} <= {home / "data", home / "data" / "backups"}
    assert not [path for path in new if "evil" in path.name]


def test_the_readers_child_can_take_neither_memory_nor_disk_without_end() -> None:
    """Its limits are those set by `resource`."""
    import resource

    from worker.sources.formats.child_serve import _limit

    child = os.fork()
    if not child:
        _limit(100 * 2**20)
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        file, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        core, _ = resource.getrlimit(resource.RLIMIT_CORE)
        os._exit(0 if (soft, file, core) == (100 * 2**20, 256 * 2**20, 0) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("member", ["../x.fit", "x.fit"])
def test_a_link_in_an_archive_is_not_followed(tmp_path: Path, member: str) -> None:
    """The result names its target, and nothing is read there."""
    from worker.sources.formats.unpack import members

    secret = tmp_path / "secret.fit"
    secret.write_bytes(run_file(42))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo(member)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(secret))
    assert not [one for one in members(content, name="a.zip") if isinstance(one.parsed, tuple)]


def spoiling(mark: str) -> bytes:
    """A GPX file with nothing but one element with a hundred thousand attributes."""
    names = "".join(f' {mark}{number}=""' for number in range(100_000))
    return f"<gpx><trk{names}/></gpx>".encode()


@pytest.mark.parametrize("packed_up", [False, True], ids=["files", "archive"])
def test_nobodys_files_spoil_those_of_others(app: App, *, packed_up: bool) -> None:
    """One athlete's folder is full of files that exhaust a reader; another's runs are ingested."""
    app.athlete("Anna")
    zoe = app.athlete("Zoe")
    bad = {f"{mark}.gpx": spoiling(mark) for mark in "abc"}
    if packed_up:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, member in bad.items():
                archive.writestr(name, member)
        bad = {"all.zip": content.getvalue()}
    for name, member in bad.items():
        app.drop(f"Anna/{name}", member)
    for number in range(3):
        app.drop(f"Zoe/{number}.fit", km=5 + number, day=TODAY - timedelta(days=number))
    with Reader(memory_bytes=64 * MIB) as reader:
        inbox = Inbox(app.inbox, app.services.inbox.settings, read_many=reader.read_many)
        shared = App(replace(app.services, inbox=inbox), app.mailer)
        taken = shared.look(2)
    assert taken.imported == 3
    assert {file.split("/")[0] for file, _ in taken.failed} == {"Anna"}
    assert sorted(shared.distances_km(zoe)) == [5, 6, 7]
