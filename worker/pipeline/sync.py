"""The engine for every service: what is due at it, and what its answers change.

    sync_all_due      everything that is due at one service, in this order:
    handle_events       webhooks told of a change: look, and follow what is so
    poll                read the newest activities, and the last 42 days once a day
    read_history        a page of the past, and then original files, newest first

Each of the three is done for one athlete at a time, through a `session`; its activities
are saved and judged in one transaction. Nothing here sleeps but for a call's turn: what can't be
done now is a row with a later due date. What to ask next, `sources.polling` decides.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from worker.domain.models import Athlete, SourceName
from worker.pipeline.activities import (
    FIRST_SYNC,
    HISTORY,
    files_of_new,
    read_files,
    save_activities,
)
from worker.pipeline.credentials import forget_source
from worker.pipeline.services import Clock, ConnectedSource, Services
from worker.pipeline.session import (
    connected_source,
    ends_soon,
    known_limit,
    open_session,
)
from worker.sources import polling
from worker.sources.base import CredentialRevoked, ListedActivity, RateLimited, SourceError, Webhook
from worker.sources.polling import Shown, Standing
from worker.store import DUE_AT_ONCE, SourceState, Transaction

log = logging.getLogger(__name__)

GIVES_UP_QUIETLY = 5
"""So many failures in a row may pass before it's called failing."""

POLLS_A_TURN = 60
"""So many athletes are asked for in a turn that may not go on as long as it likes."""

PAUSE_FOR_EVERYBODY = timedelta(minutes=1)
_FILES_AT_ONCE = 5
EVENT_TRIES = 8
_WHOLE_ATHLETE = ""

Due = Mapping[int, Sequence[str]]
"""For whom something is due, by id, those first that waited longest; and where to look for it."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What asking a service came to; `troubles` in words, one for each athlete that had some."""

    polled: int = 0
    troubles: tuple[str, ...] = ()


def sync_all_due(
    services: Services, source: SourceName, clock: Clock, at_most: int | None = None
) -> Synced:
    """Ask a service for everybody who is due: events, then what is new, then the past.

    Where `at_most` is given the turn ends after about so many calls for the past; the rest waits
    for the next one.
    """
    connected = services.sources.get(source)
    if connected is None:
        return Synced()
    troubles: list[str] = []
    asked: set[int] = set()
    with suppress(RateLimited):  # what is left stays due
        while left := _athletes(services, events_due(services, source, clock()), asked):
            asked |= {athlete.id for athlete in left}
            for athlete in left:
                troubles += handle_events(services, source, athlete, (), clock)
    polled = _poll_all(services, connected, clock, None if at_most is None else POLLS_A_TURN)
    _read_all_history(services, connected, clock, math.inf if at_most is None else at_most)
    return Synced(polled.polled, (*troubles, *polled.troubles))


def _poll_all(
    services: Services, connected: ConnectedSource, clock: Clock, at_most: int | None
) -> Synced:
    """Poll everybody who is due, or so many of them.

    An error that would come again for whoever is left is theirs too.
    """
    polled, troubles, asked = 0, list[str | None](), set[int]()
    while left := _athletes(services, polls_due(services, connected.client.name, clock()), asked):
        left = left[: None if at_most is None else at_most - len(asked)]
        if not left:
            break
        asked |= {athlete.id for athlete in left}
        for number, athlete in enumerate(left):
            try:
                polled += _poll(services, connected, athlete, clock)
            except SourceError as error:
                shared = error.for_everybody
                _log(connected.client.name, "everybody" if shared else athlete.id, error)
                touched = left[number:] if shared else [athlete]
                troubles += [_back_off(services, connected, one, error, clock()) for one in touched]
                if shared:
                    break
    return Synced(polled, tuple(filter(None, troubles)))


def _read_all_history(
    services: Services, connected: ConnectedSource, clock: Clock, calls_left: float
) -> None:
    """The past of each in turn, a little at a time, until all is read or the calls are used up."""
    put_aside: set[int] = set()
    while calls_left > 0:
        most = DUE_AT_ONCE + len(put_aside)
        due = history_due(services, connected.client.name, clock(), most)
        behind = _athletes(services, due, put_aside)
        if not behind:
            return
        for athlete in behind:
            calls = 0
            try:
                if calls_left > 0:
                    most_files = min(calls_left, _FILES_AT_ONCE)
                    calls = _read_on(services, connected, athlete, clock, most_files)
            except RateLimited:
                return
            except SourceError as error:
                _log(connected.client.name, athlete.id, error)
                _back_off(services, connected, athlete, error, clock())
                if error.for_everybody:
                    return
            if not calls:
                put_aside.add(athlete.id)
            calls_left -= calls


# For one athlete at a time: who is due, and what is done


def events_due(
    services: Services, source: SourceName, now: datetime, most: int = DUE_AT_ONCE
) -> Due:
    """Of whom webhooks told."""
    with services.store.reading() as tx:
        return dict.fromkeys(tx.source(source).with_events_due(now, most=most), ())


def polls_due(
    services: Services, source: SourceName, now: datetime, most: int = DUE_AT_ONCE
) -> Due:
    """Whose newest activities are to be read."""
    with services.store.reading() as tx:
        return dict.fromkeys(tx.source(source).due(now, most=most), ())


def history_due(
    services: Services, source: SourceName, now: datetime, most: int = DUE_AT_ONCE
) -> Due:
    """Whose past, or files, are to be read; nobody's while the rate limit leaves no room."""
    connected = services.sources.get(source)
    if connected is None:
        return {}
    with services.store.reading() as tx:
        limit = known_limit(tx, connected, now)
        if limit.opens_at("history", now) - now > limit.patience:
            return {}
        rows = tx.source(source)
        history = rows.with_history_due(now - connected.client.reach, most=most)
        files = rows.with_files_due(now, most=most) if connected.client.has_files else ()
        return dict.fromkeys(tuple(dict.fromkeys((*history, *files)))[:most], ())


def poll(
    services: Services, source: SourceName, athlete: Athlete, _: Sequence[str], clock: Clock
) -> None:
    """Read one athlete's newest activities; trouble becomes a later due date and a reason."""
    connected = connected_source(services, source)
    try:
        _poll(services, connected, athlete, clock)
    except SourceError as error:
        _trouble(services, connected, athlete, error, clock())


def read_history(
    services: Services, source: SourceName, athlete: Athlete, _: Sequence[str], clock: Clock
) -> None:
    """A page of one athlete's past, or some of their files; trouble as in `poll`."""
    connected = connected_source(services, source)
    try:
        _read_on(services, connected, athlete, clock, _FILES_AT_ONCE)
    except RateLimited:
        return
    except SourceError as error:
        _trouble(services, connected, athlete, error, clock())


# Webhook events: what they tell is only a reason to look; what is so, the service says


def handle_events(
    services: Services, source: SourceName, athlete: Athlete, _: Sequence[str], clock: Clock
) -> list[str]:
    """Look at everything that webhooks told of one athlete; what somebody must mend, in words.

    Raises `RateLimited`; what wasn't looked at stays due.
    """
    connected = connected_source(services, source)
    with services.store.reading() as tx:
        due = tx.source(source).events_due(athlete, clock())
    troubles: list[str] = []
    for external_id in due:
        try:
            _handle_event(services, connected, athlete, external_id, clock)
        except RateLimited:
            raise
        except SourceError as error:
            with services.store.transaction() as tx:
                if error.permanent:
                    tx.source(source).event_done(athlete, external_id)
                else:
                    tx.source(source).retry_event(
                        athlete, external_id, now=clock(), most=EVENT_TRIES
                    )
            if error.permanent:
                troubles.append(f"{athlete.name}: {error}")
                context = {"source": source, "athlete": athlete.id, "why": str(error)}
                log.warning("%(source)s: athlete %(athlete)s: %(why)s", context)
    return troubles


def note_events(
    services: Services, source: SourceName, events: Sequence[object], now: datetime
) -> frozenset[int]:
    """Save what a webhook told, many at once; returns the ids of the athletes told of.

    Events that name nobody we know are counted.
    """
    client = connected_source(services, source).client
    with services.store.transaction() as tx:
        rows = tx.source(source)
        ours = rows.subscription()
        read = [
            client.read_event(event, subscription_id=ours.id)
            if isinstance(client, Webhook) and ours
            else None
            for event in events
        ]
        theirs = rows.athletes_of({one[0] for one in read if one is not None})
        known = {
            (athlete_id, one[1])
            for one in read
            if one is not None
            for athlete_id in theirs.get(one[0], ())
        }
        rows.note_events(known, now=now)
        strangers = sum(one is None or one[0] not in theirs for one in read)
        if strangers:
            rows.dropped(strangers)
    return frozenset(athlete_id for athlete_id, _ in known)


def _handle_event(
    services: Services, connected: ConnectedSource, athlete: Athlete, external_id: str, clock: Clock
) -> None:
    """Look at what an event told of, and follow what is so."""
    client, source, now = connected.client, connected.client.name, clock()
    withdrawn = False
    with open_session(services, connected, athlete, clock) as session:
        if session is None:
            with services.store.transaction() as tx:
                stored = tx.source(source).credential(athlete)
                if stored is not None and stored.revoked_at is None:
                    return  # Another worker is at it; the event stays due.
                tx.source(source).event_done(athlete, external_id)
            withdrawn = external_id == _WHOLE_ATHLETE
        elif external_id == _WHOLE_ATHLETE:
            # The athlete withdrew, it says: believed once the service refuses the tokens too.
            # Whoever withdraws on purpose isn't asked to come back.
            session.asks_to_reconnect = False
            try:
                session.ask("new", partial(client.list_activities, size=1))
            except CredentialRevoked:
                withdrawn = True
            else:
                with services.store.transaction() as tx:
                    tx.source(source).event_done(athlete, _WHOLE_ATHLETE, looked_at=now)
        else:
            assert isinstance(client, Webhook)  # noqa: S101  events come from one
            question = partial(client.get_activity, external_id=external_id)
            one = session.ask("new", question)
            listed = [one] if one is not None else []
            with services.store.reading() as tx:
                first = not tx.runs.any(athlete)
            files = (
                {} if first else files_of_new(services, session, listed, since=now - client.reach)
            )
            with services.store.transaction() as tx:
                tx.source(source).event_done(athlete, external_id, looked_at=now)
                if session.still_stands(tx):
                    save_activities(
                        tx, services, session, listed, files=files, now=clock(),
                        gone=[] if listed else [external_id],
                        silence=FIRST_SYNC.format(client.title) if first else None,
                    )  # fmt: skip
    if withdrawn:
        with services.store.transaction() as tx:
            forget_source(tx, services, source, athlete, now=now)
        services.store.empty_log()
        log.info(
            "%(source)s: athlete %(athlete)s withdrew", {"source": source, "athlete": athlete.id}
        )


# What is new, and what is gone


def _poll(services: Services, connected: ConnectedSource, athlete: Athlete, clock: Clock) -> bool:
    """Read the newest of one athlete's activities, and follow what changed or went.

    False where another worker is at it. Raises `SourceError`.
    """
    client, source = connected.client, connected.client.name
    with open_session(services, connected, athlete, clock) as session:
        if session is None:
            return False
        now = clock()
        with services.store.reading() as tx:
            standing = Standing(**tx.source(source).standing(athlete))
            known = tx.source(source).starts(athlete)
            first = not tx.runs.any(athlete)
        window = polling.newest(
            standing, now=now, reach=client.reach, largest_page=client.largest_page
        )

        # Pages until the window is read; cut short where the calls end after the first.
        shown, listed, confirmations = Shown(), list[ListedActivity](), list[Callable[..., None]]()
        while not (shown.stuck or shown.covers(window)):
            number = shown.pages + 1
            question = partial(client.list_activities, page=number, size=window.page_size)
            try:
                page = session.ask("new" if number == 1 else "history", question)
            except RateLimited:
                if number == 1:
                    raise
                break
            shown = shown.with_page(page.activities)
            listed += page.activities
            confirmations += [page.confirm] if page.confirm else []

        gone, standing = polling.vanished(shown, known, standing, now=now)
        standing = polling.after_newest(standing, shown, window, now=now)
        files = {} if first else files_of_new(services, session, listed, since=now - client.reach)
        with services.store.transaction() as tx:
            stands = session.still_stands(tx)
            if stands:
                silence = FIRST_SYNC.format(client.title) if first else None
                save_activities(
                    tx, services, session, listed, files=files, gone=gone, now=clock(),
                    silence=silence,
                )  # fmt: skip
                # When the next poll is due, and the state that `status` shows.
                now, jitter = clock(), connected.jitter()
                due_at = polling.next_poll_at(now, every=client.every, jitter=jitter)
                tx.source(source).save_standing(athlete, asdict(standing), due_at=due_at)
                words = session.clock_trouble
                words = words or ends_soon(connected, session.stored, athlete, now)
                if words is None and standing.doubted_at:
                    words = (
                        f"{client.title} suddenly shows much less; "
                        "believed if it's so tomorrow as well"
                    )
                backlog = _backlog(tx, connected, athlete, standing, now)
                state = SourceState("waiting" if words else "ok", now, words, backlog=backlog)
                tx.progress.source(athlete, source, state)
        for confirm in confirmations if stands else ():
            session.ask("new", confirm)
    return True


def _backlog(
    tx: Transaction, connected: ConnectedSource, athlete: Athlete, standing: Standing, now: datetime
) -> int:
    """What is still to come: days of the past, and after them files."""
    left = standing.unread_days(now, connected.client.reach)
    if left or not connected.client.has_files:
        return left
    return tx.source(connected.client.name).files_left(athlete)


# History


def _read_on(
    services: Services, connected: ConnectedSource, athlete: Athlete, clock: Clock, at_most: float
) -> int:
    """A page of one athlete's past, or, where that's read, some files; how many calls it was.

    0 where another worker is at it. Raises `SourceError`.
    """
    client, source = connected.client, connected.client.name
    with open_session(services, connected, athlete, clock) as session:
        if session is None:
            return 0
        now = clock()
        with services.store.reading() as tx:
            standing = Standing(**tx.source(source).standing(athlete))
        if standing.history_is_due(now, client.reach):
            question = partial(
                client.list_activities, size=client.largest_page, before=standing.read_back_to
            )
            page = session.ask("history", question)
            standing = polling.after_history(standing, page.activities)
            calls = 1
        else:
            page = None
            calls = read_files(services, session, clock, at_most=int(at_most))
        with services.store.transaction() as tx:
            stands = session.still_stands(tx)
            if stands:
                if page is not None:
                    silence = HISTORY.format(client.title)
                    save_activities(
                        tx, services, session, page.activities, now=now, silence=silence
                    )
                    tx.source(source).save_standing(athlete, asdict(standing))
                backlog = _backlog(tx, connected, athlete, standing, now)
                tx.progress.backlog(athlete, source, backlog)
        if stands and page is not None and page.confirm:
            session.ask("history", page.confirm)
    return calls


# Trouble


def _trouble(
    services: Services,
    connected: ConnectedSource,
    athlete: Athlete,
    error: SourceError,
    now: datetime,
) -> None:
    """What would be everybody's trouble is asked about once in a while, not once for each."""
    _log(connected.client.name, athlete.id, error)
    _back_off(services, connected, athlete, error, now)
    if error.for_everybody and not isinstance(error, RateLimited):
        with services.store.transaction() as tx:
            limit = known_limit(tx, connected, now, lock=True).paused(now + PAUSE_FOR_EVERYBODY)
            tx.source(connected.client.name).save_limit(limit.state())


def _back_off(
    services: Services,
    connected: ConnectedSource,
    athlete: Athlete,
    error: SourceError,
    now: datetime,
) -> str | None:
    """Ask later, and say why; None where it's only the rate limit, which passes by itself."""
    if isinstance(error, CredentialRevoked):
        return f"{athlete.name}: {error}"
    resets_at = error.resets_at if isinstance(error, RateLimited) else None
    with services.store.transaction() as tx:
        rows = tx.source(connected.client.name)
        stored = rows.standing(athlete)
        if not stored:
            return None
        standing = Standing(**stored)
        if resets_at is None:
            standing = replace(standing, failures=standing.failures + 1)
        due_at = polling.next_poll_at(
            now,
            every=connected.client.every,
            jitter=connected.jitter(),
            failures=standing.failures,
            not_before=resets_at,
        )
        rows.save_standing(athlete, asdict(standing), due_at=due_at)
        before = tx.progress.sources(athlete).get(connected.client.name) or SourceState("ok")
        gives_up = error.permanent or standing.failures >= GIVES_UP_QUIETLY
        failing = resets_at is None and gives_up
        state = replace(before, state="failing" if failing else "waiting", last_error=str(error))
        tx.progress.source(athlete, connected.client.name, state)
    return f"{athlete.name}: {error}" if resets_at is None else None


def _athletes(services: Services, due: Due, but: Collection[int]) -> Sequence[Athlete]:
    """Those who are due, in this order, without some."""
    with services.store.reading() as tx:
        return tx.athletes.by_ids([athlete_id for athlete_id in due if athlete_id not in but])


def _log(source: SourceName, whose: int | str, error: SourceError) -> None:
    log.warning(
        "%(source)s: %(athlete)s: %(why)s", {"source": source, "athlete": whose, "why": str(error)}
    )
