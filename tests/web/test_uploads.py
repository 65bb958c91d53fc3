"""Uploads: what is refused and at what cost; what is accepted, and that the inbox reads it."""

import asyncio
import errno
import io
import os
import socket
import stat
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from simulators.activity_files import fit_run
from simulators.web_instance import NOW, Instance
from worker.domain.models import Athlete
from worker.pipeline import uploads
from worker.pipeline.forget import forget_athlete
from worker.pipeline.ingest import take_in_inbox
from worker.pipeline.uploads import UPLOADS, file_name
from worker.web import WebServer, build_app, connections
from worker.web.uploads import MOST_FILES

JSON = {"accept": "application/json"}
HTML = {"accept": "text/html"}


@pytest.fixture
def to(made: Instance, mira: Athlete) -> str:
    """The path for Mira's uploads."""
    return f"{made.link('athlete', mira)}/files"


def in_inbox(made: Instance) -> list[Path]:
    """Every file in the inbox, including hidden ones, relative to its root."""
    root = made.web.services.inbox.folder
    return sorted(one.relative_to(root) for one in root.rglob("*") if not one.is_dir())


def run_file(day: int = 1) -> bytes:
    return fit_run(NOW - timedelta(days=day))


def scan(made: Instance) -> tuple[int, int, tuple[tuple[str, str], ...]]:
    """The results of two looks at the inbox: imported, duplicate, failed."""
    take_in_inbox(made.web.services, NOW)
    came = take_in_inbox(made.web.services, NOW)
    return came.imported, came.duplicate, came.failed


class TestRefusals:
    def test_a_wrong_link_is_refused_before_its_body_is_read(
        self, made: Instance, mira: Athlete
    ) -> None:
        """Forged, closed or expired: no byte of the body is read."""

        async def receive() -> Message:
            pytest.fail("the body was read")

        closed = made.link("athlete", mira)
        made.clock.now += timedelta(minutes=1)
        with made.store.transaction() as tx:
            tx.athletes.close_links(mira, now=made.clock.now)
        statuses = []
        for link in ("/athlete/forged", closed, made.link("checkin", mira)):
            path = f"{link}/files"
            scope = {
                "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
                "query_string": b"", "client": ("127.0.0.1", 1), "http_version": "1.1",
                "headers": [(b"content-length", b"1000")],
            }  # fmt: skip

            async def send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            asyncio.run(build_app(made.web)(scope, receive, send))
        assert statuses == [403, 410, 404]
        assert in_inbox(made) == []

    def test_too_much_is_refused_in_one_line(
        self, made: Instance, client: TestClient, to: str
    ) -> None:
        """By its stated length, and in chunks without an end."""
        said = client.post(to, content=b"x", headers={"content-length": str(10**9)})
        assert said.status_code == 413

        came = 0

        def endless() -> Iterator[bytes]:
            nonlocal came
            while True:
                came += 2**20
                yield b"x" * 2**20

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("worker.web.uploads.LARGEST_UPLOAD_BYTES", 2**20)
            chunked = client.post(to, content=bounded(endless(), 3))
        for answer in (said, chunked):
            assert answer.status_code == 413
            assert answer.text == (
                "That’s too much at once: up to 50 files and 50 MB go together. Nothing was kept.\n"
            )
        assert in_inbox(made) == []

    def test_who_sends_too_much_hears_why(
        self, made: Instance, to: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once it's all sent: closing the connection earlier would lose the answer."""
        monkeypatch.setattr("worker.web.uploads.LARGEST_UPLOAD_BYTES", 8 * 2**20)
        server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
        server.start()
        at = urlsplit(server.address)
        size = 12 * 2**20
        try:
            for length in (f"Content-Length: {size}", "Transfer-Encoding: chunked"):
                head = f"{length}\r\nConnection: close"
                with socket.create_connection((at.hostname or "", at.port or 0), 30) as phone:
                    phone.sendall(f"POST {to} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
                    if "chunked" in length:
                        phone.sendall(f"{size:x}\r\n".encode())
                    for _ in range(size // 2**20):
                        phone.sendall(b"x" * 2**20)
                    if "chunked" in length:
                        phone.sendall(b"\r\n0\r\n\r\n")
                    with phone.makefile("rb") as answer:
                        assert b"That\xe2\x80\x99s too much at once" in answer.read()
        finally:
            server.stop()
        assert in_inbox(made) == []

    def test_no_file_is_no_upload(self, made: Instance, client: TestClient, to: str) -> None:
        """An empty body, a form without a file, an incomplete form."""
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.fit"\r\n\r\n'
        form = {"content-type": "multipart/form-data; boundary=b"}
        assert client.post(to).status_code == 400
        assert client.post(to, files={"file": ("", b"")}).status_code == 400
        assert client.post(to, files={"file": ("a.fit", b"")}).status_code == 400
        for torn in (head, head + b"half", head + b"half\r\n--", b"--b", b"nothing"):
            assert client.post(to, content=torn, headers=form).status_code == 400, torn
        assert in_inbox(made) == []

    def test_more_files_than_a_share_has_are_refused(
        self, made: Instance, client: TestClient, to: str
    ) -> None:
        """None of them is stored."""
        many = [("file", (f"{one}.fit", b"x")) for one in range(MOST_FILES + 1)]
        assert client.post(to, files=many).status_code == 413
        assert in_inbox(made) == []

    def test_a_full_disk_is_said_before_and_while_it_fills(
        self, made: Instance, client: TestClient, to: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """507, and nothing is left of it."""
        with monkeypatch.context() as patched:
            full = SimpleNamespace(f_bavail=1, f_frsize=4096)
            patched.setattr(uploads.os, "fstatvfs", lambda _: full)
            assert client.post(to, content=b"x").status_code == 507

        def fails(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(uploads.os, "fsync", fails)
            answer = client.post(to, content=run_file(), headers=JSON)
        assert answer.status_code == 507
        assert answer.json()["error"].startswith("The disk of this Easeback is full")
        assert in_inbox(made) == []
        assert client.post(to, content=run_file()).status_code == 201

    @pytest.mark.parametrize("inbox", ["gone", "a link", "an empty mount point"])
    def test_an_inbox_that_takes_nothing_is_said(
        self, made: Instance, mira: Athlete, client: TestClient, to: str, inbox: str,
        caplog: pytest.LogCaptureFixture, tmp_path: Path,
    ) -> None:  # fmt: skip
        """503 for the athlete, the reason in the log; links out of the inbox aren't followed."""
        root = made.web.services.inbox.folder
        if inbox == "gone":
            root.rmdir()
        elif inbox == "a link":
            (tmp_path / "elsewhere").mkdir()
            (root / mira.name).symlink_to(tmp_path / "elsewhere")
        else:
            (root / "a.fit").write_bytes(run_file())
            take_in_inbox(made.web.services, NOW)
            root.rename(tmp_path / "unmounted")
            root.mkdir()
            made.web.services.inbox.listed = None
        answer = client.post(to, content=run_file(2), headers=HTML)
        assert answer.status_code == 503
        assert "Files can’t be taken in here at the moment" in answer.text
        assert "an upload came to nothing: the inbox" in caplog.text
        assert not list(root.rglob("*.fit"))
        assert not list(tmp_path.glob("elsewhere/*"))

    def test_one_at_a_time_and_so_many_an_hour(
        self, made: Instance, mira: Athlete, client: TestClient, to: str
    ) -> None:
        """429, to be tried again."""
        assert made.web.uploading.begin(mira.id)
        assert client.post(to, content=run_file()).status_code == 429
        made.web.uploading.end(mira.id)
        taken = [client.post(to, content=run_file()).status_code for _ in range(61)]
        assert taken == [201] * 59 + [429] * 2
        nora = made.add("Nora")
        assert client.post(f"{made.link('athlete', nora)}/files", content=b"x").status_code == 201

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/", "upload"),
            ("..", "upload"),
            (".hidden.fit", "hidden.fit"),
            ("run.gpx.part", "upload"),
            ("Thumbs.db", "upload"),
            ("a\x00b\x1b[2Jc\n.fit", "ab[2Jc .fit"),
            ("Läufe – früh.gpx", "Läufe – früh.gpx"),
            ("🏃" * 300, "🏃" * 50),
        ],
    )
    def test_a_name_is_no_way_out_of_the_folder(
        self, made: Instance, client: TestClient, to: str, given: str, kept: str
    ) -> None:
        """Nor one with control characters, one that the inbox skips, or one too long for a disk."""
        assert file_name(given) == kept
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{given}"\r\n\r\n'
        if "\n" not in given:
            answer = client.post(
                to,
                content=head.encode() + run_file() + b"\r\n--b--\r\n",
                headers={"content-type": "multipart/form-data; boundary=b"},
            )
            assert answer.status_code == 201
            (path,) = in_inbox(made)
            assert path.parts[:2] == ("Mira", UPLOADS)
            assert len(path.parts) == 4


class TestTaken:
    def test_a_form_brings_its_files_into_the_inbox_of_its_athlete(
        self, made: Instance, mira: Athlete, client: TestClient, to: str
    ) -> None:
        """Complete, readable by the worker alone, each under its name; the page confirms it."""
        made.add("Nora")
        files = [("file", ("früh.fit", run_file(1))), ("file", ("late.fit", run_file(2)))]
        answer = client.post(to, files=files, headers=HTML)
        assert answer.status_code == 303
        page = client.get(answer.headers["location"])
        assert "Taken in: it shows here within a minute." in page.text
        assert sorted(path.name for path in in_inbox(made)) == ["früh.fit", "late.fit"]
        for path in in_inbox(made):
            mode = (made.web.services.inbox.folder / path).stat().st_mode
            assert stat.S_IMODE(mode) == 0o600
        assert scan(made) == (2, 0, ())
        with made.store.reading() as tx:
            assert tx.runs.count(mira)[0] == 2
            assert {source for one in tx.runs.all(mira) for source, _ in one.sources} == {"inbox"}

    @pytest.mark.parametrize("said", ["in a header", "in the query"])
    def test_a_phone_sends_one_file_as_the_body(
        self, made: Instance, client: TestClient, to: str, said: str
    ) -> None:
        """The answer is JSON or one line."""
        headers, query = {"content-type": "application/octet-stream"}, ""
        if said == "in a header":
            headers["content-disposition"] = "attachment; filename*=UTF-8''fr%C3%BCh.fit"
        else:
            query = "?name=fr%C3%BCh.fit"
        answer = client.post(to + query, content=run_file(), headers=headers | JSON)
        assert answer.status_code == 201
        assert answer.json() == {
            "message": "Taken in: it shows here within a minute.",
            "files": ["früh.fit"],
        }
        again = client.post(to + query, content=run_file(), headers=headers)
        assert again.text == "Taken in: it shows here within a minute.\n"
        assert [path.name for path in in_inbox(made)] == ["früh.fit"]

    def test_twice_changes_nothing(self, made: Instance, client: TestClient, to: str) -> None:
        """Under another name, and after it was read."""
        client.post(f"{to}?name=a.fit", content=run_file())
        assert scan(made) == (1, 0, ())
        client.post(f"{to}?name=b.fit", content=run_file())
        client.post(to, files={"file": ("a.fit", run_file())})
        assert scan(made) == (0, 0, ())
        assert len(in_inbox(made)) == 1

    def test_it_joins_the_folder_that_an_athlete_has(
        self, made: Instance, client: TestClient, to: str
    ) -> None:
        """However its name is written."""
        (made.web.services.inbox.folder / "MIRA").mkdir()
        client.post(to, content=run_file())
        assert {path.parts[0] for path in in_inbox(made)} == {"MIRA"}
        assert scan(made) == (1, 0, ())

    def test_a_zip_is_for_the_inbox_to_judge(
        self, made: Instance, client: TestClient, to: str
    ) -> None:
        """Its runs are ingested; a zip bomb is refused there, with a reason."""
        good, bomb = io.BytesIO(), io.BytesIO()
        with zipfile.ZipFile(good, "w") as archive:
            archive.writestr("../../run.fit", run_file())
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("run.gpx", b"<gpx>" + b" " * (129 * 2**20))
        assert client.post(f"{to}?name=good.zip", content=good.getvalue()).status_code == 201
        assert client.post(f"{to}?name=bomb.zip", content=bomb.getvalue()).status_code == 201
        imported, _, failed = scan(made)
        assert imported == 1
        ((path, why),) = failed
        assert path.endswith("bomb.zip")
        assert "larger than 128 MB unpacked" in why

    def test_what_was_uploaded_goes_with_its_athlete(
        self, made: Instance, mira: Athlete, client: TestClient, to: str
    ) -> None:
        """Other files in the inbox are the runner's own."""
        client.post(to, content=run_file())
        own = made.web.services.inbox.folder / "Mira" / "own.fit"
        own.write_bytes(run_file(2))
        forget_athlete(made.web.services, mira, data_dir=made.web.data_dir, now=NOW)
        assert in_inbox(made) == [Path("Mira/own.fit")]


def test_an_upload_may_take_longer_than_other_requests(
    made: Instance, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's deadline is lifted once a valid link requests the body."""
    began = []
    ends = connections.ImpatientProtocol.end_wait

    def note(protocol: connections.ImpatientProtocol) -> None:
        if protocol.deadline is not None and protocol.cycle and protocol.cycle.more_body:
            began.append(protocol)
        ends(protocol)

    monkeypatch.setattr(connections.ImpatientProtocol, "end_wait", note)
    server = WebServer(build_app(made.web), host="127.0.0.1", port=0)
    server.start()
    at = urlsplit(server.address)
    body = run_file()
    try:
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=30) as slow:
            slow.sendall(
                f"POST {to} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
            )
            assert slow.recv(1000).startswith(b"HTTP/1.1 100 ")
            assert len(began) == 1
            slow.sendall(body)
            assert slow.recv(1000).startswith(b"HTTP/1.1 201 ")
    finally:
        server.stop()


def bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The first pieces: a test client reads the whole body before it sends."""
    for _ in range(most):
        yield next(pieces)
