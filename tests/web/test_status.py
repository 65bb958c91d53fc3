"""The operator's page, health and metrics: who may see them, and when they turn bad."""

import base64
import re
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from starlette.testclient import TestClient

from simulators.web_instance import BASE_URL, NOW, PATIENCE, Instance
from tests.command import ROOT
from worker.domain.models import Athlete
from worker.store.progress import SourceState
from worker.web import build_app

PUBLIC = "https://easeback.example.org"
TOKEN = "a made token"


def tick(made: Instance, **trouble: str) -> None:
    """As if every job had just ended."""
    with made.store.transaction() as tx:
        for name in PATIENCE:
            tx.progress.ticked(name, at=made.clock.now, trouble=trouble.get(name))


def queue(made: Instance, athlete: Athlete, *, fails: bool) -> None:
    with made.store.transaction() as tx:
        tx.outbox.enqueue(
            athlete, kind="alert", key="k", message_id="<k@example.org>", sender="s@example.org",
            recipient="r@example.org", mime=b"", now=NOW,
        )  # fmt: skip
        letter = tx.outbox.claim(NOW)
        assert letter is not None
        if fails:
            tx.outbox.retry(letter, error="450 not now", now=NOW)
        else:
            tx.outbox.sent(letter, now=NOW)


class TestWhoMaySee:
    def test_this_machine_may_while_the_face_is_published_nowhere(self, made: Instance) -> None:
        """A runner at their own laptop needs no token."""
        assert made.client().get("/status").status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "evil.example"},
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"X-Real-IP": "127.0.0.1"},
        ],
    )
    @pytest.mark.parametrize("path", ["/status", "/metrics"])
    def test_a_proxy_or_another_name_on_this_machine_may_not(
        self, made: Instance, headers: dict[str, str], path: str
    ) -> None:
        """Behind a proxy everybody comes from loopback; with DNS rebinding any site does."""
        assert made.client().get(path, headers=headers).status_code == 403

    def test_a_published_face_always_wants_the_token(self, made: Instance) -> None:
        """Even a proxy that adds no header must not open it."""
        assert made.client(base_url=PUBLIC).get("/status").status_code == 403

    def test_the_front_door_leads_each_to_their_own(self, made: Instance) -> None:
        """The operator to the status page, a runner to their mails."""
        assert made.client().get("/").headers["location"] == "/status"
        stranger = made.client(base_url=PUBLIC).get("/")
        assert stranger.status_code == 200
        assert "links in your mails" in stranger.text

    def test_another_machine_may_not(self, made: Instance) -> None:
        """Without a configured token there's nothing to enter."""
        client = TestClient(build_app(made.web), base_url=BASE_URL, client=("192.0.2.7", 1))
        assert client.get("/status").status_code == 403

    def test_the_token_opens_it_by_bearer_and_by_password(self, made: Instance) -> None:
        """Scrapers send the first, browsers ask for the second."""
        client = made.client(base_url=PUBLIC, token=TOKEN)
        basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        for said in (f"Bearer {TOKEN}", f"Basic {basic}"):
            assert client.get("/status", headers={"Authorization": said}).status_code == 200

    @pytest.mark.parametrize(
        "said", ["", "Bearer wrong", "Bearer", "Basic YTpi", "Digest x", "Bearer é"]
    )
    def test_anything_else_is_asked_for_the_token(self, made: Instance, said: str) -> None:
        """And nothing is revealed."""
        client = made.client(base_url=PUBLIC, token=TOKEN)
        answer = client.get("/status", headers={b"Authorization": said.encode()})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert "outbox" not in answer.text


class TestReadiness:
    def test_ready_while_every_piece_ticks(self, made: Instance) -> None:
        """One word, and 200."""
        tick(made)
        answer = made.client().get("/readyz")
        assert (answer.status_code, answer.text) == (200, "ok\n")

    def test_not_ready_before_anything_ran(self, made: Instance) -> None:
        """A web server alone isn't a worker."""
        answer = made.client().get("/readyz")
        assert answer.status_code == 503
        assert "inbox: hasn't run yet" in answer.text

    def test_not_ready_when_a_piece_stops(self, made: Instance) -> None:
        """A few minutes are tolerated; more means it has stopped."""
        tick(made)
        made.clock.now += timedelta(minutes=3)
        assert made.client().get("/readyz").status_code == 200
        made.clock.now += timedelta(minutes=1)
        assert "nothing has been done since" in made.client().get("/readyz").text

    def test_not_ready_when_a_piece_fails(self, made: Instance) -> None:
        """Such as a missing folder."""
        tick(made, inbox="the folder is gone")
        assert "inbox: the folder is gone" in made.client().get("/readyz").text

    def test_not_ready_when_the_clock_went_back(self, made: Instance) -> None:
        """Ticks dated in the future."""
        tick(made)
        made.clock.now -= timedelta(hours=1)
        assert "the clock went back" in made.client().get("/readyz").text

    def test_not_ready_when_mail_is_refused(self, made: Instance, mira: Athlete) -> None:
        """Ready again once it was accepted."""
        tick(made)
        queue(made, mira, fails=True)
        assert "mail is being retried: 450 not now" in made.client().get("/readyz").text

    def test_not_ready_when_nothing_can_be_written(self, made: Instance) -> None:
        """Reading isn't enough."""
        tick(made)
        with made.store.transaction() as tx:
            tx.connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON tick BEGIN SELECT RAISE(FAIL, 'disk'); END"
            )
        answer = made.client().get("/readyz")
        assert answer.status_code == 503
        assert "database" in answer.text

    def test_a_held_write_lock_is_said_within_two_seconds(self, made: Instance) -> None:
        """Other writers wait half a minute for it; health checks don't."""
        tick(made)
        client, waits_ms, tried_ms = made.client(), list[int](), list[int]()

        def note(_: object, __: object, statement: str, *___: object) -> None:
            if statement.startswith("PRAGMA busy_timeout"):
                waits_ms.append(int(statement.rpartition("=")[2]))
            elif statement == "BEGIN IMMEDIATE":
                tried_ms.append(waits_ms[-1])

        event.listen(made.store.engine, "before_cursor_execute", note)
        with closing(sqlite3.connect(str(made.store.file), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "is busy: another program holds it locked" in answer.text
        assert len(tried_ms) == 1
        assert tried_ms[0] <= 2000
        assert client.get("/readyz").text == "ok\n"

    def test_strangers_learn_what_but_not_why(self, made: Instance) -> None:
        """A path or address in an error isn't for strangers."""
        tick(made, inbox="/home/mira/inbox is gone")
        answer = made.client(base_url=PUBLIC).get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready\ninbox\n")

    def test_livez_asks_no_database(self, made: Instance) -> None:
        """The process is alive even if its store isn't."""
        with made.store.transaction() as tx:
            tx.connection.exec_driver_sql("DROP TABLE tick")
        client = made.client()
        assert client.get("/livez").text == "ok\n"
        assert client.get("/readyz").status_code == 503


class TestFigures:
    def test_the_page_says_what_needs_attention(self, made: Instance, mira: Athlete) -> None:
        """Problems of jobs, waiting mail, and failing sources, by name."""
        tick(made, inbox="the folder is gone")
        queue(made, mira, fails=True)
        with made.store.transaction() as tx:
            tx.progress.save_source(mira, "strava", SourceState("failing", None, "403 Inactive"))
        page = made.client().get("/status").text
        assert "<h1>Needs attention</h1>" in page
        assert "the folder is gone" in page
        assert "<dt>To be tried again</dt><dd>1</dd>" in page
        assert "<bdi>Mira</bdi>, Strava: 403 Inactive" in page

    def test_the_page_says_when_all_is_well(self, made: Instance) -> None:
        """In two words."""
        tick(made)
        assert "<h1>All well</h1>" in made.client().get("/status").text

    def test_metrics_can_be_read_by_prometheus(self, made: Instance, mira: Athlete) -> None:
        """Each sample with its name, type and help; no athlete is named."""
        tick(made, inbox='a "quoted"\nline')
        queue(made, mira, fails=True)
        made.clock.now += timedelta(seconds=30)
        answer = made.client().get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        samples = dict(
            line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
        )
        assert samples['easeback_outbox_mails{state="retry"}'] == "1.0"
        assert samples["easeback_athletes"] == "1.0"
        assert samples["easeback_ready"] == "0.0"
        assert samples['easeback_tick_failing{tick="inbox"}'] == "1.0"
        assert samples['easeback_tick_age_seconds{tick="deliver"}'] == "30.0"
        assert float(samples["easeback_outbox_oldest_seconds"]) == 30.0
        assert samples['easeback_troubles{about="inbox"}'] == "1.0"
        assert "Mira" not in answer.text

    def test_every_metric_is_documented_and_named_as_prometheus_expects(
        self, made: Instance, mira: Athlete
    ) -> None:
        """Prometheus' own parser reads the answer; docs/operating.md has a row for each name."""
        tick(made)
        families = list(text_string_to_metric_families(made.client().get("/metrics").text))
        ours = {one.name: one for one in families if one.name.startswith("easeback_")}
        page = (ROOT / "docs" / "operating.md").read_text("utf-8")
        rows = dict(re.findall(r"^\| `(easeback_\w+)` \| (\w+) \|", page, re.MULTILINE))
        assert rows == {
            name + "_total" * (one.type == "counter"): one.type for name, one in ours.items()
        }
        assert all(one.documentation for one in ours.values())

    def test_openmetrics_is_given_to_whoever_asks_for_it(self, made: Instance) -> None:
        """As newer scrapers request."""
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = made.client().get("/metrics", headers=asked)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
