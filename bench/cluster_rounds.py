"""One round with a number of workers: a Monday morning, a calm stretch of events, the storm."""

import asyncio
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import text

from bench.cluster_stage import (
    SUBSCRIPTION,
    WEBHOOK,
    Loops,
    Stage,
    busy_cores,
    process,
    wait,
    worked_ms,
)

CALM_PER_S = 20
IDLE_S = 5
FIRST_STORM = 50
SAMPLE_EVERY_S = 0.05
WAITS = """
SELECT CASE WHEN wait_event_type = 'Client' THEN 'its worker'
    WHEN wait_event_type = 'Lock' THEN 'a row that another has' WHEN wait_event_type = 'IO'
    OR wait_event LIKE 'WAL%' OR wait_event_type = 'LWLock' THEN 'the disk and what is shared'
    WHEN wait_event IS NULL THEN 'nothing: it computes' ELSE wait_event_type END
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (state = 'active' OR state LIKE 'idle in%')
    AND query NOT LIKE '%LISTEN%' AND application_name <> 'bench'
"""
SENDERS = 24
HEAD = (
    f"POST {WEBHOOK} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@dataclass
class Round:
    workers: int
    mails_s: float = 0.0
    mails: int = 0
    calm_ms: Sequence[float] = ()
    answered_ms: Sequence[float] = ()
    posted_s: float = 0.0
    storm_s: float = 0.0
    storm_ms: Sequence[float] = ()
    jobs: int = 0
    connections: int = 0
    idle_ms_s: float = 0.0
    mail_ms: float = 0.0
    job_ms: float = 0.0
    mail_pace: float = 0.0
    job_pace: float = 0.0
    loops: Loops = field(default_factory=Loops)
    waits: Counter[str] = field(default_factory=Counter)
    pids: list[int] = field(default_factory=list)


def one_round(stage: Stage, number: int, workers: int) -> Round:
    done = Round(workers)
    with ExitStack() as crew:
        if stage.plan.keeps_busy:
            done.loops = crew.enter_context(busy_cores())
        crew.enter_context(process(stage, "--web"))
        done.pids = [crew.enter_context(process(stage, "--worker")) for _ in range(workers)]
        wait(lambda: stage.one("SELECT count(*) FROM crew WHERE seen_at > now() - interval '9 s'")
              == workers + 1, 90)  # fmt: skip
        if stage.plan.is_warm:
            warming = Round(workers, pids=done.pids, loops=done.loops)
            _monday(stage, warming)
            _storm(stage, warming, FIRST_STORM + number)
        time.sleep(IDLE_S)  # each worker checks every job once when it joins
        before_ms = worked_ms(done.pids)
        time.sleep(IDLE_S)
        done.idle_ms_s = (worked_ms(done.pids) - before_ms) / IDLE_S
        _monday(stage, done)
        _webhooks(stage, done, number)
        done.connections = stage.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
    return done


def _monday(stage: Stage, done: Round) -> None:
    """Make all weekly mails due at the time of the next look."""
    stage.do("DELETE FROM weekly")
    stage.do("DELETE FROM outbox")
    stage.mails.reset()
    now = time.time()
    due = (now // 30 + 1) * 30 + (30 if now % 30 > 20 else 0)
    stage.do("UPDATE athlete SET next_weekly_at = to_timestamp(:due)", due=due)
    time.sleep(max(0.0, due - time.time()))
    before_ms, before = worked_ms(done.pids), done.loops.done()
    with _sampled(stage, done):
        wait(lambda: stage.mails.count >= stage.plan.athletes, 3600)
    spent_ms = worked_ms(done.pids) - before_ms - done.idle_ms_s * (stage.mails.last_at - due)
    done.mail_ms = spent_ms / stage.mails.count
    done.mail_pace = _pace(done.loops, before)
    done.mails, done.mails_s = stage.mails.count, stage.mails.last_at - due
    stage.say(f"\n{done.workers} worker(s): {done.mails:,} weekly mails in {done.mails_s:.1f} s, "
              f"{done.mails / done.mails_s:.1f} a second")  # fmt: skip


def _webhooks(stage: Stage, done: Round, number: int) -> None:
    port = int(stage.environment["EASEBACK_WEB__PORT"])
    if stage.plan.calm_s:
        calm = [event_about(1 + n * 7 % stage.plan.athletes, round_number=2 * number)
                for n in range(CALM_PER_S * stage.plan.calm_s)]  # fmt: skip
        watch = _Watch(stage)
        asyncio.run(_post(port, calm, per_s=CALM_PER_S, watch=watch))
        _until_done(stage, watch, calm)
        done.calm_ms = watch.took_ms()
    _storm(stage, done, 2 * number + 1)


def _storm(stage: Stage, done: Round, round_number: int) -> None:
    port = int(stage.environment["EASEBACK_WEB__PORT"])
    order = [event_about(1 + n % stage.plan.athletes, round_number=round_number)
             for n in range(stage.plan.events)]  # fmt: skip
    watch = _Watch(stage)
    began, before_ms, before = time.time(), worked_ms(done.pids), done.loops.done()
    with _sampled(stage, done):
        done.answered_ms = asyncio.run(_post(port, order, per_s=None, watch=watch))
        done.posted_s = time.time() - began
        _until_done(stage, watch, order)
    done.storm_s = time.time() - began
    spent_ms = worked_ms(done.pids) - before_ms - done.idle_ms_s * done.storm_s
    done.job_ms = spent_ms / max(watch.there, 1)
    done.job_pace = _pace(done.loops, before)
    done.storm_ms = watch.took_ms()
    done.jobs = watch.there
    stage.say(f"  {len(order):,} events answered in {done.posted_s:.1f} s, "
              f"{watch.there:,} runs there after {done.storm_s:.1f} s")  # fmt: skip


def _pace(loops: Loops, before: tuple[int, float]) -> float:
    """How much the loops counted since then, for each millisecond of theirs; 0 without loops."""
    (counted, spent_ms), (counted_before, before_ms) = loops.done(), before
    return (counted - counted_before) / (spent_ms - before_ms) if loops.pids else 0.0


@contextmanager
def _sampled(stage: Stage, done: Round) -> Iterator[None]:
    """Count what open transactions of the database wait for within the block."""
    ended = threading.Event()

    def sample() -> None:
        with stage.engine.connect() as connection:
            connection.execute(text("SET application_name = 'bench'"))
            while not ended.wait(SAMPLE_EVERY_S):
                done.waits.update(connection.execute(text(WAITS)).scalars())
                connection.rollback()

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        yield
    finally:
        ended.set()
        sampling.join()


def event_about(athlete: int, *, round_number: int) -> dict[str, object]:
    """An event per athlete and round; the activity's id encodes the athlete and the time."""
    return {
        "subscription_id": SUBSCRIPTION, "owner_id": athlete,
        "object_id": athlete * 100 + round_number, "object_type": "activity",
        "aspect_type": "update", "event_time": int(time.time()), "updates": {},
    }  # fmt: skip


class _Watch:
    """When each event was posted first, and when its run or finding was first in the database."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._posted: dict[int, float] = {}
        self._found: dict[int, float] = {}
        self._last = stage.one("SELECT coalesce(max(id), 0) FROM finding") or 0
        self._recorded = stage.one("SELECT coalesce(max(id), 0) FROM recording") or 0

    def posted(self, event: Mapping[str, Any]) -> None:
        self._posted.setdefault(event["owner_id"], time.time())

    def look(self) -> None:
        with self._stage.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT id, athlete_id FROM finding WHERE id > :last ORDER BY id"),
                {"last": self._last},
            ).all()
        for row in rows:
            self._last = row.id
            self._found.setdefault(row.athlete_id, time.time())

    @property
    def there(self) -> int:
        number: int = self._stage.one(
            "SELECT count(*) FROM recording WHERE id > :first", first=self._recorded
        )
        return number

    def took_ms(self) -> list[float]:
        return [1000 * (at - self._posted[who]) for who, at in self._found.items()
                if who in self._posted]  # fmt: skip


async def _post(
    port: int, events: Sequence[Mapping[str, object]], *, per_s: float | None, watch: _Watch
) -> list[float]:
    """Post them over persistent connections; returns each answer's milliseconds."""
    took: list[float] = []
    waiting, began = iter(enumerate(events)), time.time()
    ended = asyncio.Event()

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, event in waiting:
            if per_s:
                await asyncio.sleep(max(0.0, began + number / per_s - time.time()))
            body = json.dumps(event).encode()
            asked = time.perf_counter()
            watch.posted(event)
            writer.write(HEAD % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n", 1)[0], head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append((time.perf_counter() - asked) * 1000)
        writer.close()

    async def looker() -> None:
        while not ended.is_set():
            await asyncio.to_thread(watch.look)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(looker())
    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    ended.set()
    await looking
    return took


def _until_done(stage: Stage, watch: _Watch, posted: Sequence[Mapping[str, object]]) -> None:
    """Wait until all activities are stored and no event is left; they're handled after the
    answer.
    """
    activities = len({event["object_id"] for event in posted})

    def is_done() -> bool:
        watch.look()
        waiting = stage.one("SELECT count(*) FROM source_event WHERE tries <> -1")
        return not waiting and watch.there >= activities

    wait(is_done, 3600, every_s=0.1)
    time.sleep(0.5)
    watch.look()


def tell_rounds(stage: Stage, rounds: Sequence[Round]) -> None:
    cores = multiprocessing.cpu_count()
    stage.say(f"\n{stage.plan.athletes:,} athletes, all on {cores} cores")
    base = rounds[0]
    for one in rounds:
        mails, events = one.mails / one.mails_s, one.jobs / one.storm_s
        ratio = mails / (base.mails / base.mails_s), events / (base.jobs / base.storm_s)
        answered = len(one.answered_ms)
        lines = (
            f"{one.workers} worker(s), {one.connections} connections",
            (
                f"  weekly mails     {mails:7.1f} a second (x{ratio[0]:.2f}), "
                f"the last {one.mails_s:.1f} s after they were due"
            ),
            (
                f"  events           {answered:,} about {stage.plan.athletes:,} activities, "
                f"{answered / one.posted_s:.0f} a second answered: {_spread(one.answered_ms)}"
            ),
            (
                f"  their jobs       {events:7.1f} a second (x{ratio[1]:.2f}), "
                f"the last {one.storm_s:.1f} s after the first event"
            ),
            f"  event to finding, {CALM_PER_S} a second  {_spread(one.calm_ms)}",
            f"  event to finding, in the storm  {_spread(one.storm_ms)}",
            (
                f"  workers' own processor time: {one.mail_ms:.1f} ms a weekly mail "
                f"(x{one.mail_ms / base.mail_ms:.2f}), {one.job_ms:.1f} ms an event's job "
                f"(x{one.job_ms / base.job_ms:.2f}); idle {one.idle_ms_s:.1f} ms a second"
            ),
            f"  open transactions waited for: {_shares(one.waits)}",
        )
        stage.say("\n".join(lines))


def tell_medians(stage: Stage, rounds: Sequence[Round]) -> None:
    """What a mail and a job cost each number of workers, in the median of their rounds.

    If the cores were kept busy, the milliseconds are those of cores at the pace of the first round:
    a rented core isn't always as fast.
    """
    base = rounds[0]
    costs: dict[int, list[tuple[float, float]]] = {}
    for one in rounds:
        paces = one.mail_pace / (base.mail_pace or 1.0), one.job_pace / (base.mail_pace or 1.0)
        mail_ms, job_ms = (
            ms * (pace or 1.0) for ms, pace in zip((one.mail_ms, one.job_ms), paces, strict=True)
        )
        costs.setdefault(one.workers, []).append((mail_ms, job_ms))
    medians = {
        workers: [median(column) for column in zip(*each, strict=True)]
        for workers, each in costs.items()
    }
    base_mail_ms, base_job_ms = medians[min(medians)]
    for workers, (mail_ms, job_ms) in sorted(medians.items()):
        each = ", ".join(f"{mail:.1f} and {job:.1f}" for mail, job in costs[workers])
        stage.say(
            f"{workers} worker(s), at one pace: {mail_ms:.1f} ms a weekly mail "
            f"(x{mail_ms / base_mail_ms:.2f}), {job_ms:.1f} ms an event's job "
            f"(x{job_ms / base_job_ms:.2f}); rounds: {each}"
        )


def _shares(waits: Mapping[str, int]) -> str:
    every = sum(waits.values()) or 1
    ranked = sorted(waits.items(), key=lambda one: -one[1])
    return ", ".join(f"{what} {number / every:.0%}" for what, number in ranked)


def _spread(took_ms: Sequence[float]) -> str:
    if not took_ms:
        return "none"
    well = sorted(took_ms)
    p99 = well[min(len(well) * 99 // 100, len(well) - 1)]
    return f"p50 {median(well):.0f} ms, p99 {p99:.0f} ms ({len(well):,})"
