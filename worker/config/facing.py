"""Wiring of the web face: which pages there are, what stands behind them, and where it's served."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from worker.config.settings import Settings
from worker.config.wiring import keys
from worker.links import Signer
from worker.model import Athlete, SourceName
from worker.pipeline import Clock, StravaWorks, Works
from worker.pipeline.chores import STRAVA, Chore
from worker.pipeline.forgetting import forget_athlete
from worker.pipeline.garmin.grants import connect
from worker.pipeline.garmin.grants import disconnect as forget_key
from worker.pipeline.strava.grants import begin_consent, disconnect, finish_consent
from worker.pipeline.strava.wishes import note_events
from worker.sources.strava.refusals import StaleConsent, StravaError

Nudge = Callable[[Chore, Collection[int]], None]
"""Says that a chore has just become due for these athletes, to whoever may be waiting for it."""

if TYPE_CHECKING:
    from worker.web import Desk, Face
    from worker.web.strava import Gate


def face(
    settings: Settings,
    works: Works,
    clock: Clock,
    *,
    base_url: str = "",
    port: int | None = None,
    ticks: Mapping[str, timedelta] | None = None,
    told: Callable[[str], None] = lambda _: None,
    nudge: Nudge = lambda *_: None,
) -> "Face":
    """The web face on its configured host and port; `base_url` and `port` stand in for those.

    `ticks` are the worker's pieces of work and how often each comes round. `told` hears why a
    consent came to nothing, in words; `nudge` what a webhook has made due.
    """
    from worker.web import Face, build_app
    from worker.web import strava as strava_pages

    origin = (base_url or settings.base_url).rstrip("/")
    stand = desk(settings, works, clock, base_url=origin, ticks=ticks or {})
    more = (
        strava_pages.routes(stand, gate(works, works.strava, origin, told, nudge=nudge))
        if works.strava
        else ()
    )
    return Face(
        build_app(stand, more=more),
        host=settings.web.host,
        port=settings.web.port if port is None else port,
    )


def desk(
    settings: Settings,
    works: Works,
    clock: Clock,
    *,
    base_url: str,
    ticks: Mapping[str, timedelta],
) -> "Desk":
    """What the pages work with."""
    from worker.web import Desk

    def forget(athlete: Athlete) -> None:
        forget_athlete(works, athlete, mailbox=settings.mailbox_path, now=clock())

    def part_with(athlete: Athlete, source: SourceName) -> None:
        if source == "strava":
            disconnect(works, athlete, now=clock())
        if source == "garmin":
            forget_key(works, athlete, now=clock())

    def give_key(athlete: Athlete, key: str, expires: str) -> None:
        if works.garmin is not None:
            connect(works, works.garmin, athlete, clock, key=key, expires=expires)

    token = settings.web.token
    connects: tuple[SourceName, ...] = ("strava",) if works.strava else ()
    return Desk(
        store=works.store,
        signer=Signer(keys(settings), base_url),
        clock=clock,
        base_url=base_url,
        rules=works.rules,
        token=token.get_secret_value() if token else None,
        ticks=ticks,
        connects=connects,
        forget=forget,
        disconnect=part_with,
        give_key=give_key if works.garmin else None,
    )


def gate(
    works: Works,
    strava: StravaWorks,
    origin: str,
    told: Callable[[str], None],
    *,
    nudge: Nudge = lambda *_: None,
) -> "Gate":
    """What stands behind Strava's pages."""
    from worker.web.strava import CALLBACK, Gate

    def begin(athlete: Athlete, now: datetime) -> tuple[str, str]:
        with _said(told):
            begun = begin_consent(strava, athlete, redirect=f"{origin}{CALLBACK}", now=now)
        return begun.address, begun.cookie

    def finish(query: Any, cookie: str, now: datetime) -> tuple[Athlete, str | None]:
        with _said(told):
            done = finish_consent(works, strava, query, cookie=cookie, now=now)
        return done.athlete, done.missing

    def note(events: Sequence[object], now: datetime) -> None:
        nudge(STRAVA.chores[0], note_events(works, events, now))

    return Gate(
        begin=begin,
        finish=finish,
        note=note,
        verify_token=strava.verify_token,
    )


@contextmanager
def _said(told: Callable[[str], None]) -> Iterator[None]:
    """Let `told` hear why a consent came to nothing, unless it was nobody's."""
    try:
        yield
    except StaleConsent:
        raise
    except StravaError as error:
        told(str(error))
        raise
