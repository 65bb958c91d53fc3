"""A day's load: files, visits and webhooks at their scheduled times, and their latencies."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import select

from bench.load_stage import KEY, SUBSCRIPTION, TOKEN, WEBHOOK, WEEKLY_AT, Plan, Stage, asks
from simulators.recordings import run_file
from simulators.strava.accounts import Activity
from worker.links import Signer
from worker.store import tables

FILES_A_DAY = 1.3
EVENTS_PER_S = 100
VISITS_PER_S = 5
SETTLES_S = 60
"""Time given after the traffic for pending work."""


@dataclass(frozen=True, slots=True)
class Took:
    """When something was requested, and how long its answer took; None: it failed."""

    what: str
    at: float
    ms: float | None


@dataclass
class Seen:
    """What was observed from outside, in seconds since the epoch."""

    dropped: dict[str, float] = field(default_factory=dict)
    announced: dict[str, float] = field(default_factory=dict)
    announced_last: dict[str, float] = field(default_factory=dict)
    there: dict[str, float] = field(default_factory=dict)
    visits: list[Took] = field(default_factory=list)
    events: list[Took] = field(default_factory=list)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)


def live(stage: Stage, plan: Plan, worker: "subprocess.Popen[bytes]", began: float) -> Seen:
    """Run the day's traffic."""
    seen = Seen()
    ended = threading.Event()
    watches = [
        threading.Thread(target=_watch_memory, args=(worker.pid, seen, began, ended)),
        threading.Thread(target=_watch_runs, args=(stage, seen, ended)),
    ]
    for watch in watches:
        watch.start()
    parts = [
        threading.Thread(target=_drop_files, args=(stage, plan, seen, began)),
        threading.Thread(target=_visit, args=(stage, plan, seen, began)),
        threading.Thread(target=_announce, args=(stage, plan, seen, began)),
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    _settle(stage, seen)
    ended.set()
    for watch in watches:
        watch.join()
    return seen


def _settle(stage: Stage, seen: Seen) -> None:
    """Wait for pending work, within a limit."""
    until = time.time() + SETTLES_S
    while time.time() < until:
        with stage.store.reading() as tx:
            files = sum(tx.inbox.counts().get(one, 0) for one in ("imported", "failed"))
            wishes = sum(tx.source("strava").events_waiting(athlete) for athlete in stage.athletes)
            if files >= len(seen.dropped) and not wishes and not tx.outbox.counts():
                return
        time.sleep(1)


def _drop_files(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """Drop a day's files evenly; every tenth is a jump that needs an alert."""
    number_of_files = round(len(stage.athletes) * FILES_A_DAY)
    day = WEEKLY_AT.date()
    for number in range(number_of_files):
        _wait_until(began + plan.lasts_s * number / number_of_files)
        athlete = stage.athletes[number % len(stage.athletes)]
        again = number // len(stage.athletes)
        km = 14.0 if number % 10 == 0 else 7.5
        folder = stage.folder / "inbox" / athlete.name
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{number}.part"
        part.write_bytes(run_file(km, day=day, hour=5 + again, minutes=km * 4))
        name = f"{number}-{'jump' if km > 10 else 'steady'}.fit"
        part.replace(folder / name)
        seen.dropped[f"{athlete.name}/{name}"] = time.time()


def _visit(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """Visit pages evenly over athletes and pages; each athlete has their own address."""
    signer = Signer([KEY], stage.origin)
    pages = ("athlete", "checkin", "answer", "unsubscribe", "status", "readyz", "json")

    def ask(number: int) -> tuple[str, bool]:
        page = pages[number % len(pages)]
        athlete = stage.athletes[number * 37 % len(stage.athletes)]
        purpose = {"json": "athlete", "answer": "checkin"}.get(page, page)
        path, body, headers = f"/{page}", None, {"Authorization": f"Bearer {TOKEN}"}
        if page not in ("status", "readyz"):
            now = WEEKLY_AT - timedelta(days=1)
            path = f"/{purpose}/{signer.token(purpose, athlete, now=now, kind='weekly')}"
            headers = {"X-Forwarded-For": f"10.0.{athlete.id // 250}.{athlete.id % 250}"}
        if page == "json":
            path += "/easeback.json"
        if page == "answer":
            body = urlencode({"feels": "fine"})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        method = "POST" if body else "GET"
        return page, asks(stage, method, path, body, headers, also=503 if page == "readyz" else 0)

    total = int(plan.lasts_s * VISITS_PER_S)
    seen.visits += _paced(total, VISITS_PER_S, began, ask, threads=4)


def _announce(stage: Stage, plan: Plan, seen: Seen, began: float) -> None:
    """Two bursts of webhooks: repeated events for each activity, as after edits of titles."""
    dice = random.Random(1)
    for at_s, activities in zip(plan.bursts_at_s, stage.activities, strict=True):
        total = int(plan.burst_s * EVENTS_PER_S)
        order = [activities[number % len(activities)] for number in range(total)]
        dice.shuffle(order)

        def ask(number: int, order: Sequence[Activity] = order) -> tuple[str, bool]:
            activity = order[number]
            seen.announced.setdefault(str(activity.id), time.time())
            seen.announced_last[str(activity.id)] = time.time()
            event = {
                "subscription_id": SUBSCRIPTION, "owner_id": activity.owner.id,
                "object_id": activity.id, "object_type": "activity",
                "aspect_type": "update", "event_time": int(time.time()), "updates": {},
            }  # fmt: skip
            return "webhook", asks(stage, "POST", WEBHOOK, json.dumps(event))

        seen.events += _paced(total, EVENTS_PER_S, began + at_s, ask, threads=16)


def _paced(
    total: int,
    per_s: float,
    began: float,
    ask: Callable[[int], tuple[str, bool]],
    *,
    threads: int,
) -> list[Took]:
    """Make `total` requests at their scheduled times, whatever became of earlier ones."""
    took: list[Took] = []
    numbers, lock = count(), threading.Lock()

    def go() -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= total:
                return
            at = began + number / per_s
            _wait_until(at)
            what, well = ask(number)
            took.append(Took(what, at, (time.time() - at) * 1000 if well else None))

    workers = [threading.Thread(target=go) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return took


def _wait_until(at: float) -> None:
    time.sleep(max(0.0, at - time.time()))


def _watch_memory(pid: int, seen: Seen, began: float, ended: threading.Event) -> None:
    """The worker's memory each second, without that of its file reader."""
    status = Path(f"/proc/{pid}/status")
    while not ended.wait(1.0):
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                seen.memory_mb.append((time.time() - began, int(line.split()[1]) / 1024))


def _watch_runs(stage: Stage, seen: Seen, ended: threading.Event) -> None:
    """When each run of a Strava event was first in the store, to half a second."""
    query = select(tables.recording.c.external_id).where(tables.recording.c.source == "strava")
    while not ended.wait(0.5):
        with stage.store.reading() as tx:
            for external_id in tx.connection.execute(query).scalars():
                seen.there.setdefault(external_id, time.time())
