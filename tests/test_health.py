"""Health is one verdict: `status`, `/readyz` and the ping never contradict each other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from simulators.web_instance import Clock, instance
from tests.app import NOW
from tests.command import easeback
from worker.domain.files import Snapshot
from worker.domain.models import Athlete
from worker.health import CLOCK_TICK, WEB_TICK, Audience, check_health
from worker.jobs.registry import all_jobs, patience_of
from worker.pipeline.tick_names import AWAY_TICK, MAIL_TICK
from worker.store import Store, Transaction
from worker.store.progress import SourceState

PATIENCE = patience_of(all_jobs(timedelta(seconds=5)))
MINUTE = timedelta(minutes=1)

Break = Callable[[Transaction, datetime], object]


def athlete(tx: Transaction) -> Athlete:
    known = tx.athletes.all()
    return known[0] if known else tx.athletes.add(Athlete(0, "Ann", "ann@example.org", NOW))


def job_failed(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked("inbox", at=now, trouble="the folder is gone")


def job_hangs(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked("deliver", at=now - 10 * MINUTE)


def mail_hangs(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked("deliver", at=now - timedelta(seconds=91))


def all_stopped(tx: Transaction, now: datetime) -> None:
    for name in PATIENCE:
        tx.progress.ticked(name, at=now - timedelta(days=1))


def clock_went_back(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked("weekly", at=now + timedelta(hours=1))


def _mail(tx: Transaction, now: datetime, key: str) -> None:
    tx.outbox.enqueue(
        athlete(tx), kind="alert", key=key, message_id=f"<{key}@example.org>",
        sender="s@example.org", recipient="r@example.org", mime=b"", now=now,
    )  # fmt: skip


def mail_server_refuses(tx: Transaction, now: datetime) -> None:
    _mail(tx, now, "waits")
    tx.progress.ticked(MAIL_TICK, at=now, trouble="535 no")


def port_is_taken(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked(WEB_TICK, at=now, trouble="port 8765 is taken by another program")


def mail_retried(tx: Transaction, now: datetime) -> None:
    _mail(tx, now, "retried")
    letter = tx.outbox.claim(now)
    assert letter is not None
    tx.outbox.retry(letter, error="450 not now", now=now)


def mail_given_up(tx: Transaction, now: datetime) -> None:
    _mail(tx, now, "dead")
    letter = tx.outbox.claim(now)
    assert letter is not None
    tx.outbox.dead(letter, error="550 nobody")


def source_fails(tx: Transaction, now: datetime) -> None:
    tx.progress.save_source(athlete(tx), "strava", SourceState("failing", now, "403"))


def file_failed(tx: Transaction, now: datetime) -> None:
    torn = Snapshot("torn.fit", size=1, mtime_ns=1, scans=2, verdict="failed", reason="cut short")
    tx.inbox.save([torn._replace(athlete_id=athlete(tx).id)], now=now)


def service_is_away(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked(AWAY_TICK.format("strava"), at=now, trouble="Strava didn't answer in time")


def file_waits(tx: Transaction, now: datetime) -> None:
    whose = Snapshot("x.fit", size=1, mtime_ns=1, scans=2, reason="whose is it?")
    tx.inbox.wait([whose], now=now)


def file_waits_to_be_read_again(tx: Transaction, now: datetime) -> None:
    late = Snapshot("y.fit", size=1, mtime_ns=1, scans=2, verdict="unread", reason="no memory")
    tx.inbox.save([late._replace(athlete_id=athlete(tx).id)], now=now)


def clock_leapt(tx: Transaction, now: datetime) -> None:
    tx.progress.ticked(CLOCK_TICK, at=now, trouble="the clock has leapt by 60 days")


def nothing(tx: Transaction, now: datetime) -> None:
    athlete(tx)


S, R, P = Audience.STATUS, Audience.READY, Audience.PING
TABLE: dict[Break, Audience] = {
    nothing: Audience(0),
    job_failed: Audience.ALL,
    job_hangs: Audience.ALL,
    mail_hangs: Audience.ALL,
    all_stopped: Audience.ALL,
    clock_went_back: Audience.ALL,
    mail_server_refuses: Audience.ALL,
    port_is_taken: Audience.ALL,
    mail_retried: S | R,
    mail_given_up: S | R,
    service_is_away: Audience.ALL,
    source_fails: S,
    file_waits: S,
    file_waits_to_be_read_again: S,
    clock_leapt: S,
    file_failed: Audience(0),
}
IDS = [one.__name__ for one in TABLE]


def all_well(tx: Transaction, now: datetime) -> None:
    for name in PATIENCE:
        tx.progress.ticked(name, at=now)


def turned_bad(tx: Transaction, now: datetime) -> Audience:
    bad = Audience(0)
    for audience in Audience:
        if check_health(tx, now, patience=PATIENCE, audience=audience):
            bad |= audience
    return bad


@pytest.mark.parametrize("breaks", TABLE, ids=IDS)
def test_each_trouble_turns_bad_whom_the_table_names(store: Store, breaks: Break) -> None:
    """A failed file doesn't stop the ping; a failing source leaves the web server in service."""
    with store.transaction() as tx:
        all_well(tx, NOW)
        breaks(tx, NOW)
        assert turned_bad(tx, NOW) == TABLE[breaks]


def test_whatever_withholds_the_ping_turns_readyz_and_status_bad(store: Store) -> None:
    """And what turns `/readyz` bad turns `status` bad, in any combination of two."""
    with store.transaction() as tx:
        all_well(tx, NOW)
        for pair in combinations(TABLE, 2):
            with tx.connection.begin_nested() as passing:
                for breaks in pair:
                    breaks(tx, NOW)
                bad = turned_bad(tx, NOW)
                passing.rollback()
            assert bad == TABLE[pair[0]] | TABLE[pair[1]], pair
            assert bad in (Audience(0), S, S | R, Audience.ALL), pair


def test_a_job_that_has_not_run_yet_is_missed_by_readyz_alone(store: Store) -> None:
    """Some operators run single passes only."""
    with store.reading() as tx:
        assert turned_bad(tx, NOW) == R


def test_what_cannot_be_used_is_told_by_status_alone(store: Store) -> None:
    """Such as a broken template: the shipped one is used instead."""
    with store.transaction() as tx:
        all_well(tx, NOW)
        found = {
            audience: check_health(
                tx, NOW, patience=PATIENCE, audience=audience, unusable=["a.html: x"]
            )
            for audience in Audience
        }
    assert [trouble.text for trouble in found[S]] == ["a.html: x"]
    assert not found[R]
    assert not found[P]


@pytest.mark.parametrize("breaks", TABLE, ids=IDS)
def test_the_command_and_the_web_server_say_the_same(tmp_path: Path, breaks: Break) -> None:
    """`status --json`, `/readyz`, the page and the metric agree on one database at one time."""
    now = datetime.now(UTC)
    made = instance(tmp_path)
    with made.store.transaction() as tx:
        all_well(tx, now)
        breaks(tx, now)
    client = made.client(patience=PATIENCE, clock=Clock(now))
    told = client.get("/readyz").text.splitlines()[1:]
    page = client.get("/status").text
    ready = "easeback_ready 1.0" in client.get("/metrics").text.splitlines()
    made.store.close()
    env = {"EASEBACK_DATABASE_URL": f"sqlite:///{tmp_path / 'easeback.db'}"}
    done = easeback("status", "--json", cwd=tmp_path, env=env)
    status = json.loads(done.stdout)
    assert done.returncode == int(not status["ok"])
    assert status["ok"] == (S not in TABLE[breaks])
    assert ready == (not told) == (R not in TABLE[breaks])
    assert ("<h1>All well</h1>" in page) == status["ok"]
    assert set(told) <= set(status["attention"])
