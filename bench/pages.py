"""How long a page takes with many athletes: by the clock, and of CPU.

    python bench/pages.py [--athletes 10000] [--runs 300] [--visits 40] [--url URL]

Fills a store (SQLite in a temporary folder, or `--url`, which must be empty) with athletes of two
years of runs each, and asks for pages of athletes spread over all of them, over HTTP on loopback.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import insert, select

from worker.domain.models import Athlete
from worker.domain.practice import Therapist
from worker.domain.rules import Rules
from worker.links import Signer
from worker.notify import Composer
from worker.pipeline.services import Services
from worker.store import Store, tables
from worker.web import WebContext, WebServer, build_app
from worker.web.rate_limiter import ClientRateLimiter

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TODAY = NOW.date()
BASE_URL = "http://127.0.0.1:8765"
_ONE_INSERT = 10_000


def main() -> None:
    """Fill, ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--athletes", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--url", default="")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(wanted.url or f"sqlite:///{folder}/easeback.db")
        begun = time.perf_counter()
        fill(store, wanted.athletes, wanted.runs)
        print(
            f"{wanted.athletes} athletes with {wanted.runs} runs each, "
            f"filled in {time.perf_counter() - begun:.0f} s"
        )
        # Services that the athletes' pages don't use are left out.
        services = Services(store, None, None, Composer(), (), Rules(), "")  # type: ignore[arg-type]
        signer = Signer(["made"], BASE_URL)
        web = WebContext(services, signer, lambda: NOW, BASE_URL, Path(folder))
        server = WebServer(
            build_app(web, rate_limiter=ClientRateLimiter(burst=1e9)), host="127.0.0.1", port=0
        )
        server.start()
        ids = random.Random(7).sample(range(1, wanted.athletes + 1), wanted.visits)
        with store.transaction() as tx:
            athletes = tx.athletes.by_ids(ids)
            therapist = tx.therapists.add(Therapist(0, "T", "t@example.org", NOW))
        print(f"{'page':28} {'median':>9} {'slowest':>9} {'CPU':>9}")
        for name, method, paths in _pages(web, athletes, therapist):
            took = [_visit(server, method, path) for path in paths]
            wall_ms, cpu_ms = zip(*took[1:], strict=True)
            print(
                f"{name:28} {statistics.median(wall_ms):6.1f} ms {max(wall_ms):6.1f} ms "
                f"{statistics.median(cpu_ms):6.1f} ms"
            )
        server.stop()


def fill(store: Store, athletes: int, runs: int) -> None:
    """Add athletes with two years of runs and a jump at the end; every tenth hurts all month."""
    chance = random.Random(1)
    with store.transaction() as tx:
        first = tx.athletes.add(Athlete(0, "Athlete 1", "a1@example.org", NOW))
        like = tx.connection.execute(select(tables.athlete)).one()._asdict()
        tx.connection.execute(
            insert(tables.athlete),
            [
                like | {"id": number, "name": f"Athlete {number}", "link_id": f"made-{number}"}
                for number in range(first.id + 1, athletes + 1)
            ],
        )
        batch: list[dict[str, object]] = []
        for athlete_id in range(1, athletes + 1):
            batch.extend(_runs(athlete_id, runs, chance))
            if len(batch) >= _ONE_INSERT:
                tx.connection.execute(insert(tables.run), batch)
                batch = []
        if batch:
            tx.connection.execute(insert(tables.run), batch)
        everybody = range(1, athletes + 1)
        tx.connection.execute(insert(tables.finding), list(map(_finding, everybody)))
        answers = [_answer(one, back) for one in everybody[::10] for back in range(30)]
        tx.connection.execute(insert(tables.checkin), answers)


def _runs(athlete_id: int, count: int, chance: random.Random) -> Iterator[dict[str, object]]:
    for number in range(count):
        day = TODAY - timedelta(days=730 * number // count)
        yield {
            "athlete_id": athlete_id,
            "started_at": datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=7),
            "day": day,
            "distance_m": 14_000.0 if number == 0 else chance.uniform(5_000, 9_000),
            "moving_s": 2_500.0,
            "elapsed_s": 2_600.0,
            "sport": "run",
            "is_race": False,
            "quarantine": None,
        }


def _finding(athlete_id: int) -> dict[str, object]:
    return {
        "athlete_id": athlete_id,
        "day": TODAY,
        "kind": "run",
        "run_id": 1,
        "severity": 2,
        "observed_m": 14_000.0,
        "baseline_m": 9_000.0,
        "retraining": False,
        "found_at": NOW,
        "told_on": TODAY,
    }


def _answer(athlete_id: int, days_back: int) -> dict[str, object]:
    return {
        "athlete_id": athlete_id,
        "day": TODAY - timedelta(days=days_back),
        "feels": "hurts",
        "areas": ["knee"],
        "level": 5,
        "flags": ["fever"] if athlete_id % 100 == 1 else [],
        "answered_at": NOW,
    }


def _pages(
    web: WebContext, athletes: Sequence[Athlete], therapist: Therapist
) -> Iterator[tuple[str, str, list[str]]]:
    def paths(purpose: str, tail: str = "", **more: str) -> list[str]:
        return [
            f"/{purpose}/{web.signer.token(purpose, one, now=NOW, **more)}{tail}"
            for one in athletes
        ]

    yield "GET /athlete", "GET", paths("athlete")
    practice = f"/practice/{web.signer.token('practice', therapist, now=NOW)}"
    yield "GET /practice", "GET", [practice] * len(athletes)
    yield "GET /practice?name=", "GET", [f"{practice}?name={one.id}" for one in athletes]
    yield (
        "GET /practice/…/athletes",
        "GET",
        [f"{practice}/athletes/{one.link_id}" for one in athletes],
    )
    yield "GET /athlete/…/easeback.json", "GET", paths("athlete", "/easeback.json")
    yield "GET /checkin", "GET", paths("checkin", feels="fine")
    yield "POST /checkin", "POST", paths("checkin", feels="fine")
    yield "GET /unsubscribe", "GET", paths("unsubscribe", kind="weekly")
    yield "POST /unsubscribe", "POST", paths("unsubscribe", kind="weekly")
    yield "GET /status", "GET", ["/status"] * len(athletes)
    yield "GET /metrics", "GET", ["/metrics"] * len(athletes)
    yield "GET /readyz", "GET", ["/readyz"] * len(athletes)
    yield "GET /livez", "GET", ["/livez"] * len(athletes)


def _visit(server: WebServer, method: str, path: str) -> tuple[float, float]:
    """Wall milliseconds, and CPU milliseconds of both ends; load affects only the first."""
    at = urlsplit(server.address)
    body = urlencode({"feels": "fine"}) if method == "POST" else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    begun, cpu_before = time.perf_counter(), time.process_time()
    connection = HTTPConnection(at.hostname or "", at.port)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    took_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_before
    assert answer.status in (200, 503), (path, answer.status)
    return took_s * 1000, cpu_s * 1000


if __name__ == "__main__":
    main()
