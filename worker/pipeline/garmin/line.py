"""One athlete's line to Garmin: a token of today, each call in its moment, again after a 401."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import datetime
from typing import TypeVar

from worker.model import Athlete
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.polling import bury, held_line
from worker.pipeline.works import Clock, Works
from worker.sources.garmin.grants import Grant, Token
from worker.sources.garmin.pace import Pace
from worker.sources.garmin.refusals import (
    AccessRefused,
    DeadGrant,
    GarminError,
    RateLimited,
    Unavailable,
)
from worker.sources.garmin.rows import LARGEST_PAGE, Page
from worker.store import KeptKey, Transaction

A = TypeVar("A")


class Line:
    """To be had from `open_line`. Every method raises `GarminError`."""

    def __init__(
        self, works: Works, garmin: GarminWorks, athlete: Athlete, kept: KeptKey, clock: Clock
    ) -> None:
        self.athlete = athlete
        self.kept = kept
        self._works = works
        self._garmin = garmin
        self._clock = clock
        self._grant: Grant | None = None

    def page(
        self, *, number: int = 1, size: int = LARGEST_PAGE, before: datetime | None = None
    ) -> Page:
        """A page of the athlete's activities, newest first."""
        client = self._garmin.client
        return self._ask(
            lambda grant, now: client.page(grant, now=now, number=number, size=size, before=before)
        )

    def original(self, external_id: str) -> bytes:
        """The file that was uploaded, packed."""
        return self._ask(
            lambda grant, now: self._garmin.client.original(grant, external_id, now=now)
        )

    def still_stands(self, tx: Transaction) -> bool:
        """True where the athlete is connected still, and by the same consent."""
        kept = tx.garmin.grant(self.athlete)
        return kept is not None and kept.connected_at == self.kept.connected_at

    def _ask(self, question: Callable[[Grant, datetime], A]) -> A:
        if self.kept.key_expires_at <= self._clock():
            self._bury()
            raise DeadGrant
        if self._grant is None:
            self._grant = self._garmin.unseal(self.kept)
        if self._grant.token is None or self._grant.token.is_stale(self._clock()):
            self._grant = self._renewed(self._grant)
        try:
            return self._call(self._grant, question)
        except AccessRefused:
            self._grant = self._renewed(self._grant)
        try:
            return self._call(self._grant, question)
        except AccessRefused:
            raise Unavailable("Garmin refuses a token that it has just given") from None

    def _call(self, grant: Grant, question: Callable[[Grant, datetime], A]) -> A:
        return in_its_moment(
            self._works, self._garmin, self._clock, lambda now: question(grant, now)
        )

    def _renewed(self, grant: Grant) -> Grant:
        """With a token of today, kept for the passes to come."""
        client = self._garmin.client
        try:
            token: Token = in_its_moment(
                self._works,
                self._garmin,
                self._clock,
                lambda now: client.exchange(grant.key, now=now),
            )
        except DeadGrant:
            self._bury()
            raise
        fresh = replace(grant, token=token)
        with self._works.store.transaction() as tx:
            sealed = self._garmin.seal(fresh)
            renewed = tx.garmin.renew(self.athlete, version=self.kept.version, sealed=sealed)
            there = tx.garmin.grant(self.athlete)
        if there is None or not renewed:
            raise GarminError("connected again, or disconnected, in the meantime")
        self.kept = there
        return fresh

    def _bury(self) -> None:
        with self._works.store.transaction() as tx:
            buried = bury(
                tx,
                self._works,
                tx.garmin,
                self.athlete,
                self.kept,
                DeadGrant(),
                now=self._clock(),
            )
        if not buried:
            raise GarminError("connected again in the meantime")


def in_its_moment(
    works: Works, garmin: GarminWorks, clock: Clock, call: Callable[[datetime], A]
) -> A:
    """Take the next free moment, wait for it, make the call, and hear what it says of the pace."""
    now = clock()
    with works.store.transaction() as tx:
        pace = known_pace(tx)
        if not pace.has_room(now):
            raise RateLimited(pace.opens_at(now))
        at, pace = pace.take(now)
        tx.garmin.keep_pace(asdict(pace))
    if at > now:
        garmin.wait((at - now).total_seconds())
    try:
        answer = call(clock())
    except RateLimited as error:
        with works.store.transaction() as tx:
            closed = known_pace(tx).closed(clock(), error.resets_at)
            tx.garmin.keep_pace(asdict(closed))
        raise RateLimited(closed.opens_at(clock())) from None
    if pace.refused:
        with works.store.transaction() as tx:
            tx.garmin.keep_pace(asdict(known_pace(tx).worked()))
    return answer


def open_line(
    works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock
) -> AbstractContextManager[Line | None]:
    """The athlete's line, held by this worker alone; None where another one has it.

    None as well where there's no living grant. A surprise inside becomes a `GarminError`.
    """
    return held_line(
        works,
        lambda tx: tx.garmin,
        athlete,
        lambda kept: Line(works, garmin, athlete, kept, clock),
        grant=lambda tx: tx.garmin.grant(athlete),
        error=GarminError,
        now=clock(),
    )


def known_pace(tx: Transaction) -> Pace:
    """What is known of when the next call may be made; locked until the transaction's end."""
    return Pace(**tx.garmin.pace())
