"""Workers as processes: one is killed, or the database is, and the others continue."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

from simulators.smtp_server import SmtpServer
from tests.app import recording, run_file
from tests.command import easeback
from tests.crash.servers import Server, free_port
from tests.jobs.cluster.processes import environment, member, wait_for
from worker.domain.models import Athlete
from worker.store import Store

GOES_ON_WITHIN_S = 60
ENDS_WITHIN_S = 5
NAMES = ("Ann", "Ben", "Cid")


def seed(url: str, home: Path) -> None:
    """Three athletes who have run 8 km every second day until now."""
    (home / "data" / "inbox").mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    with closing(Store.open(url)) as store, store.transaction() as tx:
        for name in NAMES:
            one = tx.athletes.add(
                Athlete(0, name, f"{name.lower()}@example.org", now - timedelta(days=90))
            )
            tx.athletes.weekly_done(one, next_at=now + timedelta(days=3))
            runs = [recording(now.date() - timedelta(days=back)) for back in range(2, 60, 2)]
            tx.runs.save(one, runs, now=now, today=now.date())


def drop(home: Path, name: str) -> None:
    """A spike of yesterday."""
    folder = home / "data" / "inbox" / name
    folder.mkdir(parents=True, exist_ok=True)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    (folder / "spike.fit").write_bytes(run_file(12.0, day=yesterday))


def states(url: str) -> list[tuple[str, bool]]:
    with closing(Store.open(url)) as store, store.reading() as tx:
        return [(one.state, one.perhaps_twice) for one in tx.outbox.all()]


def test_another_worker_goes_on_where_one_was_killed_over_a_mail(
    postgres_url: str, tmp_path: Path
) -> None:
    """It claimed the mail and didn't reach the dot: the other sends it within a minute."""
    seed(postgres_url, tmp_path)
    with SmtpServer() as server:
        server.fail("data", "hang", times=1)
        env = environment(
            tmp_path, postgres_url, EASEBACK_MAIL__HOST="127.0.0.1",
            EASEBACK_MAIL__PORT=str(server.port),
        )  # fmt: skip
        with member(tmp_path, "--worker", env=env) as first:
            drop(tmp_path, "Ann")
            wait_for(lambda: ("claimed", False) in states(postgres_url), 30, first)
            with member(tmp_path, "--worker", env=env) as second:
                first.kill()
                took_s = wait_for(lambda: bool(server.mails), GOES_ON_WITHIN_S, second)
                assert took_s < GOES_ON_WITHIN_S
                wait_for(lambda: states(postgres_url) == [("sent", False)], 10, second)
                status, ended_s = second.end()
                assert status == 0, second.lines
                assert ended_s < ENDS_WITHIN_S
        assert [mail.recipient for mail in server.mails] == ["ann@example.org"]


def test_a_mail_server_that_hangs_keeps_no_worker_from_ending(
    postgres_url: str, tmp_path: Path
) -> None:
    """Its claims are released at once, and the next worker sends the mail."""
    seed(postgres_url, tmp_path)
    with SmtpServer() as server:
        server.fail("data", "hang", times=1)
        env = environment(
            tmp_path, postgres_url, EASEBACK_MAIL__HOST="127.0.0.1",
            EASEBACK_MAIL__PORT=str(server.port),
        )  # fmt: skip
        with member(tmp_path, "--worker", env=env) as first:
            drop(tmp_path, "Ann")
            wait_for(lambda: ("claimed", False) in states(postgres_url), 30, first)
            status, took_s = first.end()
            assert status == 0, first.lines
            assert took_s < ENDS_WITHIN_S
        with member(tmp_path, "--worker", env=env) as second:
            wait_for(lambda: states(postgres_url) == [("sent", False)], 30, second)
        assert len(server.mails) == 1


@pytest.mark.parametrize("how", [Server.stop, Server.kill], ids=["stopped", "killed"])
def test_a_cluster_outlives_its_database(
    own_postgres: Server, tmp_path: Path, how: Callable[[Server], None]
) -> None:
    """Files dropped meanwhile are mailed about once it's back, each once."""
    url = own_postgres.url
    seed(url, tmp_path)
    with SmtpServer() as server:
        env = environment(
            tmp_path, url, EASEBACK_MAIL__HOST="127.0.0.1", EASEBACK_MAIL__PORT=str(server.port)
        )
        with (
            member(tmp_path, "--worker", env=env) as first,
            member(tmp_path, "--worker", env=env) as second,
        ):
            drop(tmp_path, "Ann")
            wait_for(lambda: states(url) == [("sent", False)], 30, first, second)
            how(own_postgres)
            drop(tmp_path, "Ben")
            wait_for(lambda: first.said("once it's back") and second.said("once it's back"), 30,
                     first, second)  # fmt: skip
            own_postgres.start()
            drop(tmp_path, "Cid")
            wait_for(lambda: len(server.mails) == len(NAMES), GOES_ON_WITHIN_S, first, second)
            wait_for(lambda: states(url) == [("sent", False)] * 3, 10, first, second)
            for one in (first, second):
                said = [line for line in one.lines if "once it's back" in line]
                assert len(said) == 1, "".join(one.lines)
                assert one.end()[0] == 0
        told = sorted(mail.recipient for mail in server.mails)
        assert told == [f"{name.lower()}@example.org" for name in NAMES]


def test_the_roles_start_apart_and_see_each_other(postgres_url: str, tmp_path: Path) -> None:
    """The web server alone, and a worker alone: ready once both are there, and both counted."""
    seed(postgres_url, tmp_path)
    port = free_port()
    web = {"EASEBACK_WEB__PORT": str(port),
           "EASEBACK_BASE_URL": f"http://127.0.0.1:{port}"}  # fmt: skip
    env = environment(tmp_path, postgres_url, **web)
    with member(tmp_path, "--web", env=env, ready="pages at") as face:
        assert asked(port, "/readyz")[0] == 503
        with member(tmp_path, "--worker", env=env) as worker:
            wait_for(lambda: asked(port, "/readyz")[0] == 200, 30, face, worker)
            metrics = asked(port, "/metrics")[1]
            assert 'easeback_crew{role="worker"} 1' in metrics
            assert 'easeback_crew{role="web"} 1' in metrics
            assert worker.end()[0] == 0
        status, took_s = face.end()
        assert status == 0, face.lines
        assert took_s < ENDS_WITHIN_S


def asked(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("flag", ["--worker", "--web"])
def test_roles_apart_are_refused_where_one_process_does_both(flag: str, tmp_path: Path) -> None:
    """In one line that names the setting."""
    done = easeback("run", flag, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert '[engine] kind = "procrastinate"' in done.stderr
