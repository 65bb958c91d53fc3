"""Failures: what can't be done now is done later, and `status` reports it meanwhile.

Each scene makes something fail under a real worker, repairs it, and counts what was lost, what came
twice without being flagged, how long recovery took after the repair, how long it took until the
trouble was reported, and in which words. A scene ends before the next one begins.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text

from bench.import_archive import readers
from bench.small_stage import Stage, staged, until
from simulators.http_server import FaultKind
from simulators.recordings import run_file
from simulators.smtp_server import SmtpServer
from simulators.strava.service import Service

ACTIVITIES = "/api/v3/athlete/activities"

FILES, MAILS = 40, 20
KILLING_S, REFUSING_S = 10.0, 30.0
LONGEST_S = 240.0
TOLD_WITHIN_S, BACK_WITHIN_S = 90.0, 30.0


@dataclass
class Scene:
    """The outcome of one scene."""

    name: str
    lost: int = 0
    twice: int = 0
    mended_at: float = 0.0
    back_s: float = LONGEST_S
    told_s: float | None = None
    told: str = ""
    needs_no_telling: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def broken(self) -> bool:
        """Whether a promise was broken."""
        late = self.told_s is None or self.told_s > TOLD_WITHIN_S
        return bool(self.lost or self.twice or self.back_s > BACK_WITHIN_S) or (
            late and not self.needs_no_telling
        )

    def __str__(self) -> str:
        told = "nothing" if self.told_s is None else f"after {self.told_s:.0f} s: {self.told[:90]}"
        return (
            f"{'BROKEN' if self.broken else 'held  '}  {self.name:44} {self.lost} lost, "
            f"{self.twice} twice, back after {self.back_s:.0f} s; status said {told}"
        )

    def mended(self) -> None:
        """Note that the cause is repaired."""
        self.mended_at = time.monotonic()

    def back(self) -> None:
        """Note that all is done."""
        self.back_s = max(0.0, time.monotonic() - self.mended_at)


def hard_times(server: str | None = None) -> Iterator[Scene]:
    """Each scene as it ends, on SQLite or with a crew of two on that PostgreSQL server."""
    with (
        ExitStack() as servers,
        tempfile.TemporaryDirectory(prefix="easeback-hard-") as made,
        _database_on(server) as url,
    ):
        mail = servers.enter_context(SmtpServer(lints=False, trickles_s=100))
        with staged(Path(made), mail, crew_on=url) as stage:
            yield _readers_killed(stage)
            yield _recipient_hangs(stage)
            yield _server_trickles(stage)
            yield _strava_hangs(stage, "hang", "accepts and says nothing")
            yield _strava_hangs(stage, "slow head", "trickles headers")
            yield _strava_hangs(stage, "slow chunk line", "trickles a chunk's line")
            yield _server_refuses(stage, servers)
            if url is not None:
                yield _locks_lost(stage)
                return
            yield _database_overwritten(stage)
            yield _database_swapped(stage)
            yield _database_gone(stage)


@contextmanager
def _database_on(server: str | None) -> Iterator[str | None]:
    """An empty database on the server, dropped afterwards; None for None."""
    if server is None:
        yield None
        return
    name = f"easeback_hard_{uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@contextmanager
def _watched(stage: Stage, name: str, *, about: str = "") -> Iterator[Scene]:
    """Poll `status` within the block, as an operator would, for problems `about` something."""
    scene = Scene(name)
    began = time.monotonic()

    def watch() -> None:
        while not scene.ended.wait(2):
            if scene.told_s is None and (said := _status(stage, about)):
                scene.told_s, scene.told = time.monotonic() - began, said

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield scene
    finally:
        scene.ended.set()
        watcher.join()


def _easeback(stage: Stage, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-m", "worker", *words], cwd=stage.home, env=stage.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _status(stage: Stage, about: str = "") -> str:
    """The first problem that begins with `about`; "" if there is none."""
    done = _easeback(stage, "status", "--json")
    if not done.stdout:
        return done.stderr.strip()
    said: list[str] = json.loads(done.stdout)["attention"]
    return next((one for one in said if one.startswith(about)), "")


def _readers_killed(stage: Stage) -> Scene:
    """The reader of files is killed each time for ten seconds, as by a lack of memory."""
    with _watched(stage, "the reader of files is killed for 10 s") as scene:
        scene.needs_no_telling = True  # may be over before anybody has asked
        before = _runs(stage)
        for number in range(FILES):
            day = datetime.now(UTC).date() - timedelta(days=number + 60)
            (stage.inbox / "Zoe" / f"{number}.fit").write_bytes(run_file(5, day=day, hour=20))
        until_s = time.monotonic() + KILLING_S
        while time.monotonic() < until_s:
            for process in stage.processes:
                for reader in readers(process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(reader, signal.SIGKILL)
            time.sleep(0.02)
        scene.mended()
        until(lambda: _imported(stage) == FILES, most_s=LONGEST_S)
        scene.back()
        scene.lost = FILES - _imported(stage)
        scene.twice = max(0, _runs(stage) - before - FILES)
    return scene


def _imported(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return tx.inbox.counts().get("imported", 0)


def _runs(stage: Stage) -> int:
    with stage.store.reading() as tx:
        return tx.runs.count(stage.zoe)[0]


def _queue(stage: Stage, scene: str, recipients: list[str]) -> list[int | None]:
    with stage.store.transaction() as tx:
        return [
            tx.outbox.enqueue(
                stage.zoe, kind="notice", key=f"{scene} {number}",
                message_id=f"<{scene}-{number}@example.org>", sender="easeback@example.org",
                recipient=recipient, now=datetime.now(UTC),
                mime=f"Subject: made\r\nMessage-ID: <{scene}-{number}@example.org>\r\n\r\nmade\r\n"
                .encode(),
            )
            for number, recipient in enumerate(recipients)
        ]  # fmt: skip


def _sent(stage: Stage, ids: list[int | None]) -> int:
    with stage.store.reading() as tx:
        return sum(one.id in ids and one.state == "sent" for one in tx.outbox.all())


def _came(stage: Stage, scene: Scene, name: str, ids: list[int | None]) -> None:
    """The scene's mails that the server lacks, and those it has twice without a flag."""
    marks = [f"<{name}-{number}@".encode() for number in range(len(ids))]
    taken = Counter(mark for one in stage.mail.mails for mark in marks if mark in one.content)
    with stage.store.reading() as tx:
        flagged = {one.id for one in tx.outbox.all() if one.perhaps_twice}
    scene.lost = sum(not taken[mark] for mark in marks)
    scene.twice = sum(
        taken[mark] > 1 and number not in flagged for mark, number in zip(marks, ids, strict=True)
    )


def _recipient_hangs(stage: Stage) -> Scene:
    """The server never answers one recipient's final dot; other recipients get their mails."""
    with _watched(stage, f"one recipient hangs, {MAILS} others wait") as scene:
        scene.needs_no_telling = True  # nobody else has to wait
        stage.mail.hangs_for.add("hangs@example.org")
        ids = _queue(
            stage, "hangs", ["hangs@example.org", *(f"m{n}@example.org" for n in range(MAILS))]
        )
        scene.mended()
        until(lambda: _sent(stage, ids) == MAILS, most_s=LONGEST_S)
        scene.back()
        stage.mail.hangs_for.clear()
        stage.mail.drop_all()
        until(lambda: _sent(stage, ids) == len(ids), most_s=LONGEST_S)
        _came(stage, scene, "hangs", ids)
    return scene


def _server_trickles(stage: Stage) -> Scene:
    """EHLO is answered byte by byte, within every time-out for a single byte."""
    with _watched(stage, "the mail server trickles", about="mail") as scene:
        stage.mail.drop_all()
        stage.mail.fail("ehlo", "trickle", times=None)
        ids = _queue(stage, "trickles", [f"m{number}@example.org" for number in range(MAILS)])
        until(lambda: scene.told_s is not None, most_s=LONGEST_S)
        stage.mail.mend("ehlo")
        scene.mended()
        until(lambda: _sent(stage, ids) == MAILS, most_s=LONGEST_S)
        scene.back()
        _came(stage, scene, "trickles", ids)
    return scene


def _strava_hangs(stage: Stage, fault: FaultKind, does: str) -> Scene:
    """Strava sends nothing, or a byte now and then within every time-out; then it recovers.

    It's repaired as soon as the trouble is reported; by then the next call hangs.
    """
    with _watched(stage, f"Strava {does}", about="strava") as scene:
        assert isinstance(stage.strava.service, Service)
        stage.strava.longest_fault_s = 2 * LONGEST_S
        stage.strava.fault(fault, ACTIVITIES, times=1000)
        account = next(
            one for one in stage.strava.service.accounts.values() if one.firstname == "Zoe"
        )
        ran_at = datetime.now(UTC) - timedelta(hours=2 + stage.strava.service.calls() % 7)
        stage.strava.service.diary.add(account, ran_at, 5_000.0)
        before = _runs(stage)
        with stage.store.transaction() as tx:
            rows = tx.source("strava")
            rows.save_standing(stage.zoe, rows.standing(stage.zoe), due_at=datetime.now(UTC))
        until(lambda: scene.told_s is not None, most_s=LONGEST_S)
        stage.strava.faults.waiting.clear()
        scene.mended()
        until(lambda: _runs(stage) > before, most_s=LONGEST_S)
        scene.back()
        scene.lost = before + 1 - _runs(stage)
    return scene


def _locks_lost(stage: Stage) -> Scene:
    """PostgreSQL ends the connections that hold the workers' locks while mails go out."""
    with _watched(stage, "the locks' connections are ended") as scene:
        scene.needs_no_telling = True  # the workers rejoin before anybody could be told
        ids = _queue(stage, "locks", [f"m{number}@example.org" for number in range(10 * MAILS)])
        until(lambda: _sent(stage, ids) > 0, most_s=LONGEST_S)
        with stage.store.reading() as tx:
            tx.connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                )
            )
        scene.mended()
        until(lambda: _sent(stage, ids) == len(ids), most_s=LONGEST_S)
        scene.back()
        _came(stage, scene, "locks", ids)
    return scene


def _server_refuses(stage: Stage, servers: ExitStack) -> Scene:
    """The mail server is down for a while, then another one takes its place."""
    with _watched(stage, f"no mail server for {REFUSING_S:.0f} s") as scene:
        servers.close()
        ids = _queue(stage, "refuses", [f"m{number}@example.org" for number in range(MAILS)])
        time.sleep(REFUSING_S)
        stage.mail = servers.enter_context(SmtpServer(lints=False, port=stage.mail.port))
        scene.mended()
        until(lambda: _sent(stage, ids) == MAILS, most_s=LONGEST_S)
        scene.back()
        _came(stage, scene, "refuses", ids)
    return scene


def _database_overwritten(stage: Stage) -> Scene:
    """A copy is written over the database under the worker, as by `cp`; then it's restored."""
    file, copy = stage.home / "data" / "easeback.db", stage.home / "over.db"
    _easeback(stage, "backup", str(copy))
    as_it_was = _content(copy)
    with _watched(stage, "a copy is written over the database") as scene:
        rows = _runs(stage)
        stage.store.close()
        shutil.copy(copy, file)
        until(lambda: scene.told_s is not None, most_s=LONGEST_S)
        stage.stop()
        was_written = _content(file) != as_it_was
        scene.mended()
        _easeback(stage, "restore", str(copy))
        stage.start()
        scene.back()
        scene.lost = max(0, rows - _runs(stage)) + was_written
    return scene


def _database_swapped(stage: Stage) -> Scene:
    """Another file replaces the database under the worker; then the right one is put back."""
    file, aside = stage.home / "data" / "easeback.db", stage.home / "aside.db"
    wrong = stage.home / "wrong.db"
    _easeback(stage, "backup", str(wrong))
    as_it_was = _content(wrong)
    with _watched(stage, "the database is swapped under the worker") as scene:
        rows = _runs(stage)
        for end in ("", "-wal", "-shm"):
            if Path(f"{file}{end}").exists():
                Path(f"{file}{end}").rename(f"{aside}{end}")
        wrong.rename(file)
        until(lambda: scene.told_s is not None, most_s=LONGEST_S)
        stage.stop()
        was_written = _content(file) != as_it_was
        for end in ("", "-wal", "-shm"):
            Path(f"{file}{end}").unlink(missing_ok=True)
            if Path(f"{aside}{end}").exists():
                Path(f"{aside}{end}").rename(f"{file}{end}")
        scene.mended()
        stage.start()
        scene.back()
        scene.lost = max(0, rows - _runs(stage)) + was_written
    return scene


def _content(file: Path) -> str:
    """All rows of all tables; the bytes of the file change even by reading."""
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump())


def _database_gone(stage: Stage) -> Scene:
    """The file is missing at the start, with backups beside it; then one is restored."""
    data, copy = stage.home / "data", stage.home / "copy.db"
    _easeback(stage, "backup", str(copy))
    rows = _runs(stage)
    stage.stop()
    stage.store.close()
    (data / "backups").mkdir(exist_ok=True)
    shutil.copy(copy, data / "backups" / "easeback-20260101T000000Z.db")
    with _watched(stage, "the database is gone at a start") as scene:
        for end in ("", "-wal", "-shm"):
            (data / f"easeback.db{end}").unlink(missing_ok=True)
        refused = _easeback(stage, "run")
        scene.told_s, scene.told = 0.0, refused.stderr.strip()
        scene.ended.set()
        begun_anew = (data / "easeback.db").exists()
        scene.mended()
        _easeback(stage, "restore", str(copy))
        stage.start()
        scene.back()
        scene.lost = max(0, rows - _runs(stage)) + begun_anew
    return scene
