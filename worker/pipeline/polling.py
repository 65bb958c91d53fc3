"""What pulls from any polled source have in common: pages, whose turn, what failed, what goes.

Nothing here knows a service by name. One athlete's pull and the question who is due are apart, so
that whoever runs the work may spread it.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from worker.compose import ReconnectFacts
from worker.model import Athlete, Recording, SourceName
from worker.pipeline.decide import judge
from worker.pipeline.pace import Pace
from worker.pipeline.works import Works, enqueue, today_of
from worker.sources import SourceError, plan, polled
from worker.sources.plan import Shown, Standing, Window
from worker.store import Polled, Seen, SourceState, StoreError, Transaction

log = logging.getLogger(__name__)

GIVES_UP_QUIETLY = 5
"""So many failures in a row may pass before it's called failing."""

EDITED_SHARE = 0.01
"""Services round anew now and then; a change beyond this is the athlete's."""

LEASE = timedelta(minutes=10)
"""Longer than any pull: a worker that died holds a grant no longer than this."""

Shelf = Callable[[Transaction], Polled]
R = TypeVar("R", bound=polled.ListedRow)
K = TypeVar("K", bound="Kept")
L = TypeVar("L")


class Kept(Protocol):
    """A grant at rest, as far as its life needs it."""

    @property
    def version(self) -> int: ...

    @property
    def connected_at(self) -> datetime: ...

    @property
    def dead_since(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Synced:
    """What asking a source came to; `troubles` in words, one for each athlete that had some."""

    polled: int = 0
    troubles: tuple[str, ...] = ()


def take_turns(
    due: Callable[[], Sequence[Athlete]],
    pull: Callable[[Athlete], bool],
    failed: Callable[[Athlete, SourceError], str | None],
    *,
    source: SourceName,
    for_everybody: tuple[type[SourceError], ...],
    at_most: int | None = None,
) -> Synced:
    """Pull once for everybody who is due, or `at_most` so many of them.

    `due` tells of as many at a time as it likes. An error `for_everybody` would come again for
    whoever is left, and is theirs too.
    """
    done, troubles, asked = 0, list[str | None](), set[int]()
    while left := [athlete for athlete in due() if athlete.id not in asked]:
        left = left[: None if at_most is None else at_most - len(asked)]
        asked |= {athlete.id for athlete in left}
        while left:
            athlete = left.pop(0)
            try:
                done += pull(athlete)
            except SourceError as error:
                shared = isinstance(error, for_everybody)
                whose = "everybody" if shared else athlete.id
                log.warning(
                    "%(source)s: %(athlete)s: %(why)s",
                    {"source": source, "athlete": whose, "why": str(error)},
                )
                touched = [athlete, *left] if shared else [athlete]
                troubles += [failed(one, error) for one in touched]
                left = [] if shared else left
    return Synced(done, tuple(filter(None, troubles)))


def read_window(window: Window, page: Callable[[int], Sequence[R]]) -> tuple[Shown, list[R]]:
    """Pages until the window is read; cut short where the calls end after the first.

    `page` gives the rows of a page by its number, from 1.
    """
    shown = Shown()
    rows: list[R] = []
    while not shown.done_with(window):
        try:
            told = page(shown.pages + 1)
        except polled.RateLimited:
            if not shown.pages:
                raise
            break
        shown = shown.with_page(told)
        rows += told
    return shown, rows


def wanted_rows(rows: Sequence[R], *, since: datetime) -> list[R]:
    """Those with an id that don't begin before what is wanted, or may be kept."""
    return [
        row
        for row in rows
        if row.external_id and (row.started_at is None or row.started_at >= since)
    ]


def is_edited(before: Seen | None, now: Recording) -> bool:
    """True where the athlete changed the distance since it was first seen."""
    if before is None or before.edited:
        return before is not None
    before_m = json.loads(before.payload).get("distance")
    if before.reason is not None or not isinstance(before_m, int | float):
        return False
    return abs(now.distance_m - before_m) > EDITED_SHARE * before_m


def settle(
    tx: Transaction,
    shelf: Polled,
    athlete: Athlete,
    standing: Standing,
    pace: Pace,
    *,
    now: datetime,
    words: str | None = None,
) -> None:
    """The poll is done: when the next is due, and how it feels. `words` say what isn't well."""
    shelf.keep_standing(athlete, asdict(standing))
    due_at = plan.next_pull_at(now, every=pace.every, luck=pace.luck())
    shelf.postpone(athlete, until=due_at)
    if words is None and standing.doubted_at:
        words = f"{pace.title} suddenly shows much less; believed if it's so tomorrow as well"
    backlog = standing.unread_days(now, pace.reach)
    state = SourceState("waiting" if words else "ok", now, words, backlog=backlog)
    tx.progress.source(athlete, pace.source, state)


def put_off(
    tx: Transaction,
    shelf: Polled,
    athlete: Athlete,
    error: SourceError,
    pace: Pace,
    *,
    now: datetime,
) -> str | None:
    """Ask later, and say why; None where it's only the rate limit, which passes by itself."""
    limited = isinstance(error, polled.RateLimited)
    if isinstance(error, polled.DeadGrant):
        return f"{athlete.name}: {error}"
    kept = shelf.standing(athlete)
    if not kept:
        return None
    standing = Standing(**kept)
    if not limited:
        standing = replace(standing, failures=standing.failures + 1)
    due_at = plan.next_pull_at(
        now,
        every=pace.every,
        luck=pace.luck(),
        failures=standing.failures,
        not_before=error.resets_at if isinstance(error, polled.RateLimited) else None,
    )
    shelf.keep_standing(athlete, asdict(standing))
    shelf.postpone(athlete, until=due_at)
    before = tx.progress.sources(athlete).get(pace.source) or SourceState("ok")
    failing = not limited and (error.permanent or standing.failures >= GIVES_UP_QUIETLY)
    state = replace(before, state="failing" if failing else "waiting", last_error=str(error))
    tx.progress.source(athlete, pace.source, state)
    return None if limited else f"{athlete.name}: {error}"


def bury(
    tx: Transaction,
    works: Works,
    shelf: Polled,
    athlete: Athlete,
    kept: Kept,
    error: SourceError,
    *,
    now: datetime,
    asks_back: bool = True,
) -> bool:
    """The grant is dead: say so in `status`, and ask the athlete once to connect again.

    False where another grant stands there by now. `asks_back` is False where it was ended on
    purpose.
    """
    if not shelf.died(athlete, version=kept.version, now=now):
        return False
    source = shelf.source
    before = tx.progress.sources(athlete).get(source)
    success_at = before.last_success_at if before else None
    tx.progress.source(athlete, source, SourceState("failing", success_at, str(error)))
    if asks_back and "reconnect" in athlete.wants:
        facts = ReconnectFacts(athlete=athlete, source=source, now=now)
        enqueue(
            tx,
            works,
            works.composer.reconnect(facts),
            athlete=athlete,
            key=f"reconnect:{source}:{athlete.id}:{kept.connected_at.isoformat()}",
            now=now,
        )
    return True


@contextmanager
def leased(works: Works, shelf: Shelf, athlete: Athlete, *, now: datetime) -> Iterator[bool]:
    """Hold the athlete's grant alone while inside; False where another worker has it."""
    with works.store.transaction() as tx:
        held = shelf(tx).lease(athlete, now=now, until=now + LEASE)
    if not held:
        yield False
        return
    try:
        yield True
    finally:
        with works.store.transaction() as tx:
            shelf(tx).release(athlete)


@contextmanager
def held_line(
    works: Works,
    shelf: Shelf,
    athlete: Athlete,
    line: Callable[[K], L],
    *,
    grant: Callable[[Transaction], K | None],
    error: type[SourceError],
    now: datetime,
) -> Iterator[L | None]:
    """What `line` makes of the athlete's grant, held by this worker alone.

    None where another worker holds it, and where none lives. A surprise inside becomes an `error`.
    """
    with leased(works, shelf, athlete, now=now) as held:
        if not held:
            yield None
            return
        with works.store.reading() as tx:
            source, kept = shelf(tx).source, grant(tx)
        living = kept is not None and kept.dead_since is None
        with no_surprises(athlete, source=source, error=error):
            yield line(kept) if kept and living else None


@contextmanager
def no_surprises(
    athlete: Athlete, *, source: SourceName, error: type[SourceError]
) -> Iterator[None]:
    """Let a surprise out as an `error`: it's tried again later, and later; never at once."""
    try:
        yield
    except (error, StoreError):
        raise
    except Exception as surprise:
        told = {"source": source, "athlete": athlete.id}
        log.exception("%(source)s: athlete %(athlete)s: unexpected", told)
        raise error(f"unexpected: {surprise!r}") from surprise


def drop_told(
    tx: Transaction,
    works: Works,
    athlete: Athlete,
    source: SourceName,
    *,
    now: datetime,
    silence: str,
) -> None:
    """The runs that one source alone told of, what was found in them, and the mails about it."""
    told = [r.external_id for r in tx.runs.recorded(athlete, source)]
    since = tx.runs.drop(athlete, source, told, today=today_of(athlete, now)).first_day
    if since is None:
        return
    judge(tx, works, athlete, since=since, now=now, silence=silence)
    tx.findings.forget_withdrawn(athlete)
    tx.outbox.empty(athlete)


def reseal_all(tx: Transaction, shelf: Polled, reseal: Callable[[bytes], bytes]) -> int:
    """Bring every grant on a shelf to the newest key; how many there are. Raises `SealError`."""
    sealed = shelf.sealed()
    for athlete in map(tx.athletes.by_id, sealed):
        if athlete is not None:
            shelf.reseal(athlete, reseal(sealed[athlete.id]))
    return len(sealed)
