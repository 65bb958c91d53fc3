"""The verdict on a day's load: each promise, its figures, and whether it was kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from bench.load_stage import WEEKLY_AT, Plan, Stage
from bench.load_traffic import Seen, Took
from worker.store import tables

LATEST_S = 120.0
SLOWEST_PAGE_MS = 200.0
SLOWEST_WEBHOOK_MS = 2000.0
"""Strava waits this long for an answer."""

MOST_GROWTH_MB = 10.0


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `broken` if the promise wasn't kept."""

    what: str
    figures: str
    broken: bool

    def __str__(self) -> str:
        return f"{'BROKEN' if self.broken else 'held  '}  {self.what:34} {self.figures}"


def judge(stage: Stage, plan: Plan, seen: Seen, began: float) -> Iterator[Line]:
    """The rows, from the store, the mail server and the observations."""
    with stage.store.reading() as tx:
        letters = [one for one in tx.outbox.all() if one.state == "sent" and one.sent_at]
        rows = tx.connection.execute(select(tables.inbox_file)).all()
        looked = {row.path: row.looked_at.timestamp() for row in rows if row.verdict == "imported"}
    sent_at = sorted(one.sent_at.timestamp() for one in letters if one.sent_at)
    # The worker's clock runs at our pace; its lead shows in mails that both clocks have dated.
    lead = median(a - b for a, b in zip(sent_at, sorted(stage.sink.taken_at), strict=False))
    taken_in = [looked[path] - lead - at for path, at in seen.dropped.items() if path in looked]
    yield _late("files, until taken in", len(seen.dropped), taken_in)
    # In a long day polling finds some runs before their event arrives.
    there = [
        max(0.0, seen.there[one] - at) for one, at in seen.announced.items() if one in seen.there
    ]
    yield _late("webhooks, until the run is there", len(seen.announced), there)
    last = [
        min(looks) - at
        for one, at in seen.announced_last.items()
        if (looks := [when for name, when in stage.service.looks if name == one and when >= at])
    ]
    yield _late("webhooks, until the last was heard", len(seen.announced), last)
    weeklies = [
        (one.sent_at - WEEKLY_AT).total_seconds()
        for one in letters
        if one.kind == "weekly" and one.sent_at
    ]
    yield _late("weekly mails, until accepted", len(stage.athletes), weeklies)
    jumps = {path.partition("/")[0]: at for path, at in seen.dropped.items() if "jump" in path}
    names = {athlete.id: athlete.name for athlete in stage.athletes}
    told = {
        names[one.athlete_id]: one.sent_at.timestamp()
        for one in letters
        if one.kind == "alert" and one.athlete_id and one.sent_at
    }
    warned = [told[name] - lead - at for name, at in jumps.items() if name in told]
    yield _late("alerts, from the file dropped", len(jumps), warned)
    yield _quick("webhooks answered", seen.events, most_ms=SLOWEST_WEBHOOK_MS)
    yield _quick("pages, all", seen.visits)
    busy = [began + at_s for at_s in plan.bursts_at_s]
    yield _quick("pages, while webhooks come",
                 [one for one in seen.visits
                  if any(at <= one.at < at + plan.burst_s for at in busy)])  # fmt: skip
    yield _flat(seen.memory_mb, since_s=plan.weekly_at_s + plan.burst_s + 20)


def _late(what: str, wanted: int, late_s: Sequence[float]) -> Line:
    worst = max(late_s, default=0.0)
    figures = (
        f"{len(late_s)} of {wanted}, median {median(late_s or [0]):.1f} s, latest {worst:.1f} s"
    )
    return Line(what, figures, broken=len(late_s) < wanted or worst > LATEST_S)


def _quick(what: str, took: Sequence[Took], *, most_ms: float = SLOWEST_PAGE_MS) -> Line:
    well = sorted(one.ms for one in took if one.ms is not None)
    p99 = well[min(len(well) * 99 // 100, len(well) - 1)] if well else 0.0
    figures = (
        f"{len(well)} of {len(took)}, median {median(well or [0]):.0f} ms, p99 {p99:.0f} ms, "
        f"slowest {max(well, default=0):.0f} ms"
    )
    return Line(what, figures, broken=len(well) < len(took) or p99 > most_ms)


def _flat(memory_mb: Sequence[tuple[float, float]], *, since_s: float) -> Line:
    """Whether memory stays flat for the rest of the day after the burst and the weekly mails."""
    after = [mb for at, mb in memory_mb if at >= since_s]
    half = len(after) // 2
    growth = median(after[half:] or [0]) - median(after[:half] or [0])
    most = max(mb for _, mb in memory_mb)
    figures = (
        f"{memory_mb[0][1]:.0f} MB at first, {most:.0f} at most, {memory_mb[-1][1]:.0f} at last, "
        f"{growth:+.1f} in the second half of the rest"
    )
    return Line("memory of the worker", figures, broken=not half or growth > MOST_GROWTH_MB)
