"""The engine for every service: what is due at it, and what its answers change.

    SourceSync.all_due    everything that is due at one service, in this order:
    handle_events           webhooks told of a change: look, and follow what is so
    poll                    read the newest activities, and the last 42 days once a day
    read_history            a page of the past, and then original files, newest first

Each of the three is done for one athlete at a time, through a `session`; its activities
are saved and judged in one transaction. Nothing here sleeps but for a call's turn: what can't be
done now is a row with a later due date. What to ask next, `sources.polling` decides.
"""

import logging
import math
from collections.abc import Callable, Collection, Sequence
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
from worker.pipeline.session import connected_source, ends_soon, known_limit, open_session
from worker.sources import polling
from worker.sources.base import (
    CredentialRevoked,
    ListedActivity,
    RateLimited,
    SourceError,
    Webhook,
)
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


@dataclass(frozen=True, slots=True)
class Synced:
    """What asking a service came to; `troubles` in words, one for each athlete that had some."""

    polled: int = 0
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSync:
    """Asks one service, for everybody who is due or for one athlete.

    The ids of those who are due come with those first that waited longest.
    """

    services: Services
    connected: ConnectedSource
    clock: Clock

    @classmethod
    def of(cls, services: Services, source: SourceName, clock: Clock) -> "SourceSync":
        """Raises `SourceError` where the service is off."""
        return cls(services, connected_source(services, source), clock)

    # For everybody

    def all_due(self, at_most: int | None = None) -> Synced:
        """Ask for everybody who is due: events, then what is new, then the past.

        Where `at_most` is given the turn ends after about so many calls for the past; the rest
        waits for the next one.
        """
        troubles: list[str] = []
        asked: set[int] = set()
        with suppress(RateLimited):  # what is left stays due
            while left := self._athletes(self.events_due(), but=asked):
                asked |= {athlete.id for athlete in left}
                for athlete in left:
                    troubles += self.handle_events(athlete)
        polled = self._poll_all(math.inf if at_most is None else POLLS_A_TURN, troubles)
        self._read_all_history(math.inf if at_most is None else at_most)
        return Synced(polled, tuple(troubles))

    def _poll_all(self, polls_left: float, troubles: list[str]) -> int:
        """Poll everybody who is due, or so many of them; how many were asked for.

        An error that would come again for whoever is left is theirs too.
        """
        polled, asked = 0, set[int]()
        while left := self._athletes(self.polls_due(), but=asked):
            for number, athlete in enumerate(left):
                if not polls_left:
                    return polled
                polls_left -= 1
                asked.add(athlete.id)
                try:
                    polled += self._read_newest(athlete)
                except SourceError as error:
                    theirs = left[number:] if error.for_everybody else [athlete]
                    self._log("everybody" if error.for_everybody else athlete.id, error)
                    said = [self._back_off(one, error) for one in theirs]
                    troubles += filter(None, said)
                    if error.for_everybody:
                        asked |= {one.id for one in theirs}
                        break
        return polled

    def _read_all_history(self, calls_left: float) -> None:
        """The past of each in turn, a little at a time, until all is read or the calls are used."""
        put_aside: set[int] = set()
        while calls_left > 0:
            due = self.history_due(DUE_AT_ONCE + len(put_aside))
            behind = self._athletes(due, but=put_aside)
            if not behind:
                return
            for athlete in behind:
                calls = 0
                try:
                    if calls_left > 0:
                        calls = self._read_on(athlete, min(calls_left, _FILES_AT_ONCE))
                except RateLimited:
                    return
                except SourceError as error:
                    self._log(athlete.id, error)
                    self._back_off(athlete, error)
                    if error.for_everybody:
                        return
                if not calls:
                    put_aside.add(athlete.id)
                calls_left -= calls

    # For one athlete at a time: who is due, and what is done

    def events_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """Of whom webhooks told."""
        with self.services.store.reading() as tx:
            return tx.source(self.connected.client.name).with_events_due(self.clock(), most=most)

    def polls_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """Whose newest activities are to be read."""
        with self.services.store.reading() as tx:
            return tx.source(self.connected.client.name).due(self.clock(), most=most)

    def history_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """Whose past, or files, are to be read; nobody's while the rate limit leaves no room."""
        client, now = self.connected.client, self.clock()
        with self.services.store.reading() as tx:
            limit = known_limit(tx, self.connected, now)
            if limit.opens_at("history", now) - now > limit.patience:
                return ()
            rows = tx.source(client.name)
            history = rows.with_history_due(now - client.reach, most=most)
            files = rows.with_files_due(now, most=most) if client.has_files else ()
            return tuple(dict.fromkeys((*history, *files)))[:most]

    def handle_events(self, athlete: Athlete) -> list[str]:
        """Look at everything that webhooks told of one athlete; what somebody must mend, in words.

        What they tell is only a reason to look; what is so, the service says. Raises
        `RateLimited`; what wasn't looked at stays due.
        """
        source = self.connected.client.name
        with self.services.store.reading() as tx:
            due = tx.source(source).events_due(athlete, self.clock())
        troubles: list[str] = []
        for external_id in due:
            try:
                self._handle_event(athlete, external_id)
            except RateLimited:
                raise
            except SourceError as error:
                with self.services.store.transaction() as tx:
                    rows = tx.source(source)
                    if error.permanent:
                        rows.event_done(athlete, external_id)
                        troubles.append(f"{athlete.name}: {error}")
                    else:
                        rows.retry_event(athlete, external_id, now=self.clock(), most=EVENT_TRIES)
                if error.permanent:
                    self._log(athlete.id, error)
        return troubles

    def poll(self, athlete: Athlete) -> None:
        """Read one athlete's newest activities; trouble becomes a later due date and a reason."""
        try:
            self._read_newest(athlete)
        except SourceError as error:
            self._trouble(athlete, error)

    def read_history(self, athlete: Athlete) -> None:
        """A page of one athlete's past, or some of their files; trouble as in `poll`."""
        try:
            self._read_on(athlete, _FILES_AT_ONCE)
        except RateLimited:
            return
        except SourceError as error:
            self._trouble(athlete, error)

    # Events

    def _handle_event(self, athlete: Athlete, external_id: str) -> None:
        """Look at what an event told of, and follow what is so."""
        client, store, now = self.connected.client, self.services.store, self.clock()
        source, withdrawn = client.name, False
        with open_session(self.services, self.connected, athlete, self.clock) as session:
            if session is None:
                with store.transaction() as tx:
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
                    with store.transaction() as tx:
                        tx.source(source).event_done(athlete, _WHOLE_ATHLETE, looked_at=now)
            else:
                assert isinstance(client, Webhook)  # noqa: S101  events come from one
                question = partial(client.get_activity, external_id=external_id)
                one = session.ask("new", question)
                listed = [one] if one is not None else []
                with store.reading() as tx:
                    first = not tx.runs.any(athlete)
                files = {} if first else files_of_new(session, listed, since=now - client.reach)
                with store.transaction() as tx:
                    tx.source(source).event_done(athlete, external_id, looked_at=now)
                    if session.still_stands(tx):
                        save_activities(
                            tx, session, listed, files=files, now=self.clock(),
                            gone=[] if listed else [external_id],
                            silence=FIRST_SYNC.format(client.title) if first else None,
                        )  # fmt: skip
        if withdrawn:
            with store.transaction() as tx:
                forget_source(tx, self.services, source, athlete, now=now)
            store.empty_log()
            log.info(
                "%(source)s: athlete %(athlete)s withdrew",
                {"source": source, "athlete": athlete.id},
            )

    # What is new, and what is gone

    def _read_newest(self, athlete: Athlete) -> bool:
        """Read the newest of one athlete's activities, and follow what changed or went.

        False where another worker is at it. Raises `SourceError`.
        """
        client, store = self.connected.client, self.services.store
        with open_session(self.services, self.connected, athlete, self.clock) as session:
            if session is None:
                return False
            now = self.clock()
            with store.reading() as tx:
                standing = Standing(**tx.source(client.name).standing(athlete))
                known = tx.source(client.name).starts(athlete)
                first = not tx.runs.any(athlete)
            window = polling.newest(
                standing, now=now, reach=client.reach, largest_page=client.largest_page
            )

            # Pages until the window is read; cut short where the calls end after the first.
            shown, listed = Shown(), list[ListedActivity]()
            confirmations = list[Callable[..., None]]()
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
            files = {} if first else files_of_new(session, listed, since=now - client.reach)
            with store.transaction() as tx:
                stands = session.still_stands(tx)
                if stands:
                    silence = FIRST_SYNC.format(client.title) if first else None
                    now = self.clock()
                    save_activities(
                        tx, session, listed, files=files, gone=gone, now=now, silence=silence
                    )
                    # When the next poll is due, and the state that `status` shows.
                    jitter = self.connected.jitter()
                    due_at = polling.next_poll_at(now, every=client.every, jitter=jitter)
                    tx.source(client.name).save_standing(athlete, asdict(standing), due_at=due_at)
                    words = session.clock_trouble
                    words = words or ends_soon(self.connected, session.stored, athlete, now)
                    if words is None and standing.doubted_at:
                        words = (
                            f"{client.title} suddenly shows much less; "
                            "believed if it's so tomorrow as well"
                        )
                    backlog = self._backlog(tx, athlete, standing, now)
                    state = SourceState("waiting" if words else "ok", now, words, backlog=backlog)
                    tx.progress.source(athlete, client.name, state)
            for confirm in confirmations if stands else ():
                session.ask("new", confirm)
        return True

    def _backlog(self, tx: Transaction, athlete: Athlete, standing: Standing, now: datetime) -> int:
        """What is still to come: days of the past, and after them files."""
        client = self.connected.client
        left = standing.unread_days(now, client.reach)
        if left or not client.has_files:
            return left
        return tx.source(client.name).files_left(athlete)

    # History

    def _read_on(self, athlete: Athlete, at_most: float) -> int:
        """A page of one athlete's past, or, where that's read, some files; how many calls it was.

        0 where another worker is at it. Raises `SourceError`.
        """
        client, store = self.connected.client, self.services.store
        with open_session(self.services, self.connected, athlete, self.clock) as session:
            if session is None:
                return 0
            now = self.clock()
            with store.reading() as tx:
                standing = Standing(**tx.source(client.name).standing(athlete))
            page, calls = None, 1
            if standing.history_is_due(now, client.reach):
                question = partial(
                    client.list_activities, size=client.largest_page, before=standing.read_back_to
                )
                page = session.ask("history", question)
                standing = polling.after_history(standing, page.activities)
            else:
                calls = read_files(session, at_most=int(at_most))
            with store.transaction() as tx:
                stands = session.still_stands(tx)
                if stands:
                    if page is not None:
                        silence = HISTORY.format(client.title)
                        save_activities(tx, session, page.activities, now=now, silence=silence)
                        tx.source(client.name).save_standing(athlete, asdict(standing))
                    backlog = self._backlog(tx, athlete, standing, now)
                    tx.progress.backlog(athlete, client.name, backlog)
            if stands and page is not None and page.confirm:
                session.ask("history", page.confirm)
        return calls

    # Trouble

    def _trouble(self, athlete: Athlete, error: SourceError) -> None:
        """What would be everybody's trouble is asked about once in a while, not once for each."""
        self._log(athlete.id, error)
        self._back_off(athlete, error)
        if error.for_everybody and not isinstance(error, RateLimited):
            now = self.clock()
            with self.services.store.transaction() as tx:
                limit = known_limit(tx, self.connected, now, lock=True)
                limit = limit.paused(now + PAUSE_FOR_EVERYBODY)
                tx.source(self.connected.client.name).save_limit(limit.state())

    def _back_off(self, athlete: Athlete, error: SourceError) -> str | None:
        """Ask later, and say why; None where it's only the rate limit, which passes by itself."""
        if isinstance(error, CredentialRevoked):
            return f"{athlete.name}: {error}"
        client = self.connected.client
        resets_at = error.resets_at if isinstance(error, RateLimited) else None
        with self.services.store.transaction() as tx:
            rows = tx.source(client.name)
            stored = rows.standing(athlete)
            if not stored:
                return None
            standing = Standing(**stored)
            if resets_at is None:
                standing = replace(standing, failures=standing.failures + 1)
            due_at = polling.next_poll_at(
                self.clock(),
                every=client.every,
                jitter=self.connected.jitter(),
                failures=standing.failures,
                not_before=resets_at,
            )
            rows.save_standing(athlete, asdict(standing), due_at=due_at)
            before = tx.progress.sources(athlete).get(client.name) or SourceState("ok")
            gives_up = error.permanent or standing.failures >= GIVES_UP_QUIETLY
            failing = resets_at is None and gives_up
            state = replace(
                before, state="failing" if failing else "waiting", last_error=str(error)
            )
            tx.progress.source(athlete, client.name, state)
        return f"{athlete.name}: {error}" if resets_at is None else None

    def _athletes(self, ids: Sequence[int], *, but: Collection[int]) -> Sequence[Athlete]:
        """Those of these ids, in this order, without some."""
        wanted = [athlete_id for athlete_id in ids if athlete_id not in but]
        if not wanted:
            return ()
        with self.services.store.reading() as tx:
            return tx.athletes.by_ids(wanted)

    def _log(self, whose: int | str, error: SourceError) -> None:
        log.warning(
            "%(source)s: %(athlete)s: %(why)s",
            {"source": self.connected.client.name, "athlete": whose, "why": str(error)},
        )


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
