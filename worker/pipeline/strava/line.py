"""One athlete's line to Strava: fresh tokens, every call on the budget, once more after a 401."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from typing import Protocol, TypeVar

from worker.model import Athlete
from worker.pipeline.polling import bury, held_line
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.works import Clock, Works
from worker.sources.strava.budget import Budget, Purpose
from worker.sources.strava.grants import Grant
from worker.sources.strava.refusals import AccessRefused, DeadGrant, RateLimited, StravaError
from worker.sources.strava.rows import LARGEST_PAGE, Page, Single
from worker.store import KeptGrant, Transaction


class _Answer(Protocol):
    @property
    def told(self) -> Budget | None: ...


A = TypeVar("A", bound=_Answer)


class Line:
    """To be had from `open_line`. Every method raises `StravaError`."""

    def __init__(
        self, works: Works, strava: StravaWorks, athlete: Athlete, kept: KeptGrant, clock: Clock
    ) -> None:
        self.athlete = athlete
        self.kept = kept
        self._works = works
        self._strava = strava
        self._clock = clock
        self._grant: Grant | None = None
        self.clock_seems_off = False
        """What the last refresh showed, if there was one."""

        self.asks_back = True
        """Whether a dead grant is mourned in a mail, or was ended on purpose."""

    def page(
        self,
        purpose: Purpose,
        *,
        number: int = 1,
        size: int = LARGEST_PAGE,
        before: datetime | None = None,
    ) -> Page:
        """A page of the athlete's activities, newest first."""
        client = self._strava.client
        return self._ask(
            purpose,
            lambda grant, now: client.page(grant, now=now, number=number, size=size, before=before),
        )

    def one(self, external_id: str) -> Single:
        """One activity."""
        return self._ask(
            "new", lambda grant, now: self._strava.client.one(grant, external_id, now=now)
        )

    def still_stands(self, tx: Transaction) -> bool:
        """True where the athlete is connected to the account that was asked."""
        kept = tx.strava.grant(self.athlete)
        return kept is not None and kept.strava_id == self.kept.strava_id

    def _ask(self, purpose: Purpose, question: Callable[[Grant, datetime], A]) -> A:
        if self._grant is None:
            self._grant = self._strava.unseal(self.kept)
        if self._grant.is_stale(self._clock()):
            self._grant = self._refreshed(self._grant)
        try:
            return self._call(purpose, self._grant, question)
        except AccessRefused:
            self._grant = self._refreshed(self._grant)
            return self._call(purpose, self._grant, question)

    def _call(self, purpose: Purpose, grant: Grant, question: Callable[[Grant, datetime], A]) -> A:
        self._reserve(purpose)
        try:
            answer = question(grant, self._clock())
        except StravaError as error:
            until = error.resets_at if isinstance(error, RateLimited) else None
            self._hear(error.told, closed_until=until)
            raise
        self._hear(answer.told)
        return answer

    def _reserve(self, purpose: Purpose) -> None:
        """Count the call before it's made, so that no other worker makes it too."""
        now = self._clock()
        with self._works.store.transaction() as tx:
            known = known_budget(tx, now)
            if not known.allows(purpose, now):
                raise RateLimited(known.opens_at(purpose, now))
            tx.strava.keep_budget(asdict(known.spend(now)))

    def _hear(self, told: Budget | None, *, closed_until: datetime | None = None) -> None:
        if told is None and closed_until is None:
            return
        with self._works.store.transaction() as tx:
            known = known_budget(tx, self._clock()).heard(told)
            if closed_until is not None:
                known = known.closed(closed_until)
            tx.strava.keep_budget(asdict(known))

    def _refreshed(self, grant: Grant) -> Grant:
        """Fresh tokens, kept before they're used: the old refresh token is dead by now."""
        now = self._clock()
        try:
            fresh = self._strava.client.refresh(grant, now=now)
        except DeadGrant:
            self._bury(now)
            raise
        with self._works.store.transaction() as tx:
            renewed = tx.strava.renew(
                self.athlete,
                version=self.kept.version,
                sealed=self._strava.seal(fresh),
                expires_at=fresh.expires_at,
            )
            there = tx.strava.grant(self.athlete)
        if there is None:
            raise StravaError("disconnected in the meantime")
        self.kept = there
        self.clock_seems_off = fresh.clock_seems_off(now)
        return fresh if renewed else self._strava.unseal(there)

    def _bury(self, now: datetime) -> None:
        """The grant is dead: say so, and ask the athlete once to connect again."""
        with self._works.store.transaction() as tx:
            buried = bury(
                tx,
                self._works,
                tx.strava,
                self.athlete,
                self.kept,
                DeadGrant(),
                now=now,
                asks_back=self.asks_back,
            )
        if not buried:
            raise StravaError("connected again in the meantime")


def open_line(
    works: Works, strava: StravaWorks, athlete: Athlete, clock: Clock
) -> AbstractContextManager[Line | None]:
    """The athlete's line, held by this worker alone; None where another one has it.

    None as well where there's no living grant. A surprise inside becomes a `StravaError`.
    """
    return held_line(
        works,
        lambda tx: tx.strava,
        athlete,
        lambda kept: Line(works, strava, athlete, kept, clock),
        grant=lambda tx: tx.strava.grant(athlete),
        error=StravaError,
        now=clock(),
    )


def known_budget(tx: Transaction, now: datetime) -> Budget:
    """What is known of the limits."""
    kept = tx.strava.budget()
    return Budget.recalled(kept) if kept else Budget(now)
