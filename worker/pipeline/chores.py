"""What there is to do, for both engines: which pieces of work there are, and whose turn it is.

A *chore* is done for one athlete at a time. Who is due, the store says, in one question that has
an index and a limit, so that it takes no longer however many athletes there are. Doing it twice,
or for somebody who isn't due any more, changes nothing.

The embedded engine does a whole piece at a time (`take_in_inbox`, `tell_weeks`, ...); a crew of
workers looks who is due and hands each athlete to whoever is free. Both are made of these chores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from worker.model import Athlete
from worker.pipeline.garmin import turn as garmin
from worker.pipeline.housekeeping import tidy_one, tidy_outbox, untidy
from worker.pipeline.polling import Synced
from worker.pipeline.strava.turn import history_due, poll_one, read_one_back, take_in_strava
from worker.pipeline.strava.wishes import fulfil_theirs
from worker.pipeline.take_in import folders_with_news, take_in_theirs
from worker.pipeline.weekly import tell_week, weekly_due
from worker.pipeline.works import Clock, Works
from worker.sources.strava.refusals import RateLimited

About = Sequence[str]
Due = Mapping[int, About]
"""For whom something is due, by id, those first that waited longest; and where to look for it."""

SOURCE_EVERY = timedelta(seconds=5)
"""How often it's looked whether anybody is due at a source; who is, stands in the store."""


class Urgency(IntEnum):
    """What goes first where everything is due at once."""

    PAST = 0
    TIDY = 10
    WEEKLY = 20
    NEWS = 30
    ALERT = 40


@dataclass(frozen=True, slots=True)
class Chore:
    """One kind of work; `away` where it waits for somebody else's server.

    `due` says for whom it's due, at most so many. `one` does it for one of them.
    """

    name: str
    urgency: Urgency
    due: Callable[[Works, datetime, int], Due]
    one: Callable[[Works, Athlete, About, Clock], object]
    away: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A source that is asked, for everybody who is due or by `chores` for one athlete at a time.

    `whole` does all that's due, `tick` as much of it as others may be kept waiting for.
    """

    name: str
    is_on: Callable[[Works], bool]
    whole: Callable[[Works, Clock], Synced]
    tick: Callable[[Works, Clock], Synced]
    chores: tuple[Chore, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """The chores that are looked at together, under the name of one tick, and how often.

    `also` is done at each look, for all at once.
    """

    name: str
    every: timedelta
    chores: tuple[Chore, ...]
    also: Callable[[Works, datetime], object] | None = None


def rounds(works: Works, *, weekly_every: timedelta, tidy_every: timedelta) -> tuple[Round, ...]:
    """Everything that is done for one athlete at a time, in the order of a whole pass."""
    return (
        Round("housekeeping", tidy_every, (TIDY,), also=tidy_outbox),
        Round("inbox", works.inbox.settings.every, (INBOX,)),
        *(Round(one.name, SOURCE_EVERY, one.chores) for one in sources_of(works)),
        Round("weekly", weekly_every, (WEEKLY,)),
    )


def sources_of(works: Works) -> tuple[Source, ...]:
    """The sources that are asked, of those that are set up."""
    return tuple(source for source in SOURCES if source.is_on(works))


def _nowhere(athletes: Sequence[Athlete]) -> Due:
    return {athlete.id: () for athlete in athletes}


def _wishes_due(works: Works, now: datetime, most: int) -> Due:
    with works.store.reading() as tx:
        return dict.fromkeys(tx.strava.with_wishes_due(now, most=most), ())


def _fulfil(works: Works, athlete: Athlete, _: About, clock: Clock) -> None:
    if works.strava is not None:
        try:
            fulfil_theirs(works, works.strava, athlete, clock)
        except RateLimited:
            return  # the wish stays due, and is looked at again once there's room


def _polls_due(works: Works, now: datetime, most: int) -> Due:
    with works.store.reading() as tx:
        return dict.fromkeys(tx.strava.due(now, most=most), ())


def _poll(works: Works, athlete: Athlete, _: About, clock: Clock) -> None:
    if works.strava is not None:
        poll_one(works, works.strava, athlete, clock)


def _past_due(works: Works, now: datetime, most: int) -> Due:
    if works.strava is None:
        return {}
    return dict.fromkeys(history_due(works, works.strava, now, most=most), ())


def _read_back(works: Works, athlete: Athlete, _: About, clock: Clock) -> None:
    if works.strava is not None:
        read_one_back(works, works.strava, athlete, clock)


def _garmin_polls_due(works: Works, now: datetime, most: int) -> Due:
    with works.store.reading() as tx:
        return dict.fromkeys(tx.garmin.due(now, most=most), ())


def _garmin_poll(works: Works, athlete: Athlete, _: About, clock: Clock) -> None:
    if works.garmin is not None:
        garmin.poll_one(works, works.garmin, athlete, clock)


def _garmin_past_due(works: Works, now: datetime, most: int) -> Due:
    if works.garmin is None:
        return {}
    with works.store.reading() as tx:
        return dict.fromkeys(garmin.with_more(tx, works.garmin, now, most=most), ())


def _garmin_read_on(works: Works, athlete: Athlete, _: About, clock: Clock) -> None:
    if works.garmin is not None:
        garmin.read_one_on(works, works.garmin, athlete, clock)


INBOX = Chore(
    "inbox",
    Urgency.NEWS,
    due=lambda works, now, _: folders_with_news(works, now),
    one=lambda works, athlete, folders, clock: take_in_theirs(works, athlete, folders, clock()),
)
WEEKLY = Chore(
    "weekly",
    Urgency.WEEKLY,
    due=lambda works, now, most: _nowhere(weekly_due(works, now, most=most)),
    one=lambda works, athlete, _, clock: tell_week(works, athlete, clock()),
)
TIDY = Chore(
    "tidy",
    Urgency.TIDY,
    due=lambda works, now, most: _nowhere(untidy(works, now, most=most)),
    one=lambda works, athlete, _, clock: tidy_one(works, athlete, clock()),
)
STRAVA = Source(
    "strava",
    is_on=lambda works: works.strava is not None,
    whole=take_in_strava,
    tick=take_in_strava,
    chores=(
        Chore("strava-wish", Urgency.ALERT, _wishes_due, _fulfil, away=True),
        Chore("strava-poll", Urgency.NEWS, _polls_due, _poll, away=True),
        Chore("strava-past", Urgency.PAST, _past_due, _read_back, away=True),
    ),
)
GARMIN = Source(
    "garmin",
    is_on=lambda works: works.garmin is not None,
    whole=garmin.take_in_garmin,
    tick=lambda works, clock: garmin.take_in_garmin(works, clock, at_most=garmin.CALLS_A_TURN),
    chores=(
        Chore("garmin-poll", Urgency.NEWS, _garmin_polls_due, _garmin_poll, away=True),
        Chore("garmin-past", Urgency.PAST, _garmin_past_due, _garmin_read_on, away=True),
    ),
)
SOURCES = (STRAVA, GARMIN)
"""Every source that is asked. A new one is added here, and both engines ask it."""
