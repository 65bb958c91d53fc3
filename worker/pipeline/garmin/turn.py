"""One turn at Garmin: what's new for everybody who is due, then the past, then original files."""

import logging
import math
from datetime import datetime

from worker.model import Athlete
from worker.pipeline.garmin.files import read_files
from worker.pipeline.garmin.line import known_pace
from worker.pipeline.garmin.sync import poll, read_back, tell_backlog
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.polling import Synced, put_off, take_turns
from worker.pipeline.works import Clock, Works, by_ids
from worker.sources import SourceError
from worker.sources.garmin.refusals import GarminError, RateLimited, Unreachable
from worker.store import DUE_AT_ONCE, Transaction

log = logging.getLogger(__name__)

CALLS_A_TURN = 20
"""After so many calls for the past a turn ends: what's new elsewhere goes first again."""

POLLS_A_TURN = 60
"""So many athletes are asked for in a turn that may not go on as long as it likes."""

_FILES_AT_ONCE = 5
_FOR_EVERYBODY = (RateLimited, Unreachable)
"""What one athlete's call showed and the next one's would show again."""


def take_in_garmin(works: Works, clock: Clock, *, at_most: int | None = None) -> Synced:
    """Ask Garmin for everybody who is due, and read on in the past.

    Where `at_most` is given the turn ends after about so many calls for the past; the rest waits
    for the next one.
    """
    garmin = works.garmin
    if garmin is None:
        return Synced()
    synced = take_turns(
        lambda: _poll_due(works, clock()),
        lambda athlete: poll(works, garmin, athlete, clock),
        lambda athlete, error: _failed(works, garmin, athlete, error, clock),
        source="garmin",
        for_everybody=_FOR_EVERYBODY,
        at_most=None if at_most is None else POLLS_A_TURN,
    )
    _read_on_in_turn(works, garmin, clock, at_most=at_most)
    return synced


def _read_on_in_turn(
    works: Works, garmin: GarminWorks, clock: Clock, *, at_most: int | None
) -> None:
    """The past of each in turn, a little at a time, until all is read or the calls are used up."""
    left = math.inf if at_most is None else at_most
    put_aside: set[int] = set()
    while left > 0:
        with works.store.reading() as tx:
            more = with_more(tx, garmin, clock())
            behind = by_ids(tx, (one for one in more if one not in put_aside))
        if not behind:
            return
        for athlete in behind:
            most = int(min(left, _FILES_AT_ONCE))
            try:
                calls = read_on(works, garmin, athlete, clock, at_most=most) if most else 0
            except GarminError as error:
                log.warning(
                    "garmin: %(athlete)s: %(why)s", {"athlete": athlete.id, "why": str(error)}
                )
                _failed(works, garmin, athlete, error, clock)
                if isinstance(error, _FOR_EVERYBODY):
                    return
                calls = 0
            if not calls:
                put_aside.add(athlete.id)
            left -= calls


def _poll_due(works: Works, now: datetime) -> tuple[Athlete, ...]:
    with works.store.reading() as tx:
        return by_ids(tx, tx.garmin.due(now))


def poll_one(works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock) -> None:
    """One athlete's poll, and what follows from its trouble: a later due date and the reason."""
    try:
        poll(works, garmin, athlete, clock)
    except GarminError as error:
        _in_trouble(works, garmin, athlete, error, clock)


def read_one_on(works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock) -> None:
    """A page of one athlete's past, or some of their files."""
    try:
        read_on(works, garmin, athlete, clock, at_most=_FILES_AT_ONCE)
    except RateLimited:
        return
    except GarminError as error:
        _in_trouble(works, garmin, athlete, error, clock)


def _in_trouble(
    works: Works, garmin: GarminWorks, athlete: Athlete, error: GarminError, clock: Clock
) -> None:
    log.warning("garmin: %(athlete)s: %(why)s", {"athlete": athlete.id, "why": str(error)})
    _failed(works, garmin, athlete, error, clock)


def with_more(
    tx: Transaction, garmin: GarminWorks, now: datetime, *, most: int = DUE_AT_ONCE
) -> tuple[int, ...]:
    """The ids of the athletes of whom a page of the past, or a file, is yet to be read.

    Nobody's where the pace leaves no room.
    """
    if not known_pace(tx).has_room(now):
        return ()
    history = tx.garmin.with_history_due(now - garmin.client.settings.history, most=most)
    files = tx.garmin.with_files_due(now, most=most)
    return tuple(dict.fromkeys((*history, *files)))[:most]


def read_on(
    works: Works, garmin: GarminWorks, athlete: Athlete, clock: Clock, *, at_most: int
) -> int:
    """A page of one athlete's past, or, where that's read, some files; how many calls it was.

    0 where another worker is at it. Raises `GarminError`.
    """
    with works.store.reading() as tx:
        read_back_to = tx.garmin.standing(athlete).get("read_back_to")
    if read_back_to is not None and read_back_to > clock() - garmin.client.settings.history:
        return int(read_back(works, garmin, athlete, clock))
    calls = read_files(works, garmin, athlete, clock, at_most=at_most)
    with works.store.transaction() as tx:
        if tx.garmin.grant(athlete) is not None:
            tell_backlog(tx, garmin, athlete, now=clock())
    return calls


def _failed(
    works: Works, garmin: GarminWorks, athlete: Athlete, error: SourceError, clock: Clock
) -> str | None:
    """Ask later, and say why."""
    with works.store.transaction() as tx:
        return put_off(tx, tx.garmin, athlete, error, garmin.pace, now=clock())
