"""The engine for every service: what is due there, and what its answers change.

    SourceSync.all_due    everything that is due at one service, in this order:
    handle_events           webhook events: ask the service, and follow what changed
    poll                    read the newest activities, and the last 42 days once a day
    read_history            a page of the past, and then original files, newest first

Each of the three is done for one athlete at a time, through a `session`. Its activities are saved
and judged in one transaction. Nothing sleeps except to space out calls: what can't be done now is
a row with a later due date. `sources.polling` decides what to ask next.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial

from worker.domain.models import Athlete, SourceName
from worker.pipeline import away
from worker.pipeline.activities import (
    FIRST_SYNC,
    HISTORY,
    OriginalFile,
    files_of_new,
    read_files,
    save_activities,
)
from worker.pipeline.credentials import forget_source
from worker.pipeline.services import Clock, ConnectedSource, Services
from worker.pipeline.session import (
    ClientSession,
    KnownActivities,
    connected_source,
    ends_soon,
    known_limit,
    open_session,
)
from worker.sources import polling
from worker.sources.base import (
    CredentialRevoked,
    ListedActivity,
    RateLimited,
    SourceError,
    Unavailable,
    Webhook,
)
from worker.sources.polling import Shown, Standing
from worker.sources.rate_limit import next_day
from worker.store import DUE_AT_ONCE, Transaction
from worker.store.progress import SourceState

log = logging.getLogger(__name__)

FAILURES_BEFORE_FAILING = 5
"""The number of consecutive failures before a source is called failing."""

POLLS_PER_RUN = 60
"""The most athletes who are polled in a sync run of limited length."""

_FILES_AT_ONCE = 5
EVENT_TRIES = 8
EVENT_CALLS_A_DAY = 48
"""The most calls a day for the events of one athlete; polling finds the rest."""

UNKNOWN_AT_ONCE = 5
"""Above this many activities unknown to us and to the list, none is asked for individually."""

_CREDENTIAL_TEST = ""


@dataclass(frozen=True, slots=True)
class Synced:
    """The results of asking a service; `troubles` in words, at most one for each athlete."""

    polled: int = 0
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSync:
    """Asks one service, for everybody who is due or for one athlete.

    The ids of those who are due are returned longest waiting first.
    """

    services: Services
    connected: ConnectedSource
    clock: Clock

    @classmethod
    def of(cls, services: Services, source: SourceName, clock: Clock) -> "SourceSync":
        """Raises `SourceError` if the service is off."""
        return cls(services, connected_source(services, source), clock)

    # For everybody

    def all_due(self, at_most: int | None = None) -> Synced:
        """Ask for everybody who is due: events, then new activities, then history.

        With `at_most`, the sync run ends after about that many history calls, and the rest waits
        for the next one.
        """
        troubles: list[str] = []
        asked: set[int] = set()
        if self.services.began_at is None:  # a single pass, which can't come back later
            with self.services.store.transaction() as tx:
                tx.source(self.connected.client.name).end_quiet(self.clock())
        with suppress(RateLimited, Unavailable):  # what is left stays due
            while left := self._athletes(self.events_due(), but=asked):
                asked |= {athlete.id for athlete in left}
                for athlete in left:
                    troubles += self.handle_events(athlete)
        polled = self._poll_all(math.inf if at_most is None else POLLS_PER_RUN, troubles)
        self._read_all_history(math.inf if at_most is None else at_most)
        return Synced(polled, tuple(troubles))

    def _poll_all(self, polls_left: float, troubles: list[str]) -> int:
        """Poll everybody who is due, up to a limit; returns how many were polled.

        An error that would affect the remaining athletes too is recorded for them as well. During
        an outage of the service, they stay due.
        """
        polled, asked = 0, set[int]()
        while left := self._athletes(self.polls_due(), but=asked):
            for number, athlete in enumerate(left):
                if not polls_left:
                    return polled
                polls_left -= 1
                asked.add(athlete.id)
                began = self.clock()
                try:
                    polled += self._read_newest(athlete) is not None
                except SourceError as error:
                    if away.is_away(error):
                        troubles += filter(None, [self._trouble(athlete, error, began)])
                        return polled
                    theirs = left[number:] if error.for_everybody else [athlete]
                    self._log("everybody" if error.for_everybody else athlete.id, error)
                    said = [self._back_off(one, error) for one in theirs]
                    troubles += filter(None, said)
                    if error.for_everybody:
                        asked |= {one.id for one in theirs}
                        break
        return polled

    def _read_all_history(self, calls_left: float) -> None:
        """Read history for each athlete in turn, until all is read or the calls are used up."""
        put_aside: set[int] = set()
        while calls_left > 0:
            due = self.history_due(DUE_AT_ONCE + len(put_aside))
            behind = self._athletes(due, but=put_aside)
            if not behind:
                return
            for athlete in behind:
                calls, began = 0, self.clock()
                try:
                    if calls_left > 0:
                        calls = self._read_on(athlete, min(calls_left, _FILES_AT_ONCE))
                except RateLimited:
                    return
                except SourceError as error:
                    self._trouble(athlete, error, began)
                    if error.for_everybody:
                        return
                if not calls:
                    put_aside.add(athlete.id)
                calls_left -= calls

    # For one athlete at a time: who is due, and what is done

    def events_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """The athletes about whom webhooks reported something; none during an outage."""
        source, now = self.connected.client.name, self.clock()
        with self.services.store.reading() as tx:
            if away.is_paused(tx, source, now):
                return ()
            return tx.source(source).with_events_due(now, most=most)

    def polls_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """The athletes whose newest activities are to be read; none during an outage."""
        source, now = self.connected.client.name, self.clock()
        with self.services.store.reading() as tx:
            return () if away.is_paused(tx, source, now) else tx.source(source).due(now, most=most)

    def history_due(self, most: int = DUE_AT_ONCE) -> Sequence[int]:
        """The athletes whose history or files are to be read.

        None while the rate limit leaves no room, or during an outage of the service.
        """
        client, now = self.connected.client, self.clock()
        with self.services.store.reading() as tx:
            limit = known_limit(tx, self.connected, now)
            no_room = limit.opens_at("history", now) - now > limit.patience
            if no_room or away.away_since(tx, client.name) is not None:
                return ()
            rows = tx.source(client.name)
            history = rows.with_history_due(now - client.reach, most=most)
            files = rows.with_files_due(now, most=most) if client.has_files else ()
            return tuple(dict.fromkeys((*history, *files)))[:most]

    def is_paused(self) -> bool:
        """True during an outage of the service: due athletes stay due."""
        with self.services.store.reading() as tx:
            return away.is_paused(tx, self.connected.client.name, self.clock())

    def handle_events(self, athlete: Athlete) -> list[str]:
        """Follow all webhook events about one athlete; returns what somebody has to fix, in words.

        Events are only a reason to ask the service. None are due during an outage. Raises
        `RateLimited`, and `Unavailable` if an outage begins; events that weren't followed stay due.
        """
        client, store, now = self.connected.client, self.services.store, self.clock()
        with store.reading() as tx:
            due = away.events_unless_paused(tx, client.name, athlete, now)
            # For a single activity, one call for it is enough.
            is_one = len(due) == 1 and _CREDENTIAL_TEST not in due
            is_connected = is_one or self._is_connected(tx, athlete)
        if not is_connected:
            if _CREDENTIAL_TEST in due:
                self._withdrew(athlete)
            else:
                self._events_done(athlete, list(due))
            return []
        troubles: list[str] = []
        if _CREDENTIAL_TEST in due:
            troubles += self._spend_call(athlete, [_CREDENTIAL_TEST], self._look_whether_withdrawn)
        named = [external_id for external_id in due if external_id != _CREDENTIAL_TEST]
        if len(named) > 1:
            troubles += self._spend_call(athlete, named, self._look_at_newest)
            with store.reading() as tx:
                due = away.events_unless_paused(tx, client.name, athlete, now)
            named = [external_id for external_id in due if external_id != _CREDENTIAL_TEST]
            unknown = [external_id for external_id in named if due[external_id] is None]
            if len(unknown) > UNKNOWN_AT_ONCE:
                # They were uploaded late or are forged: a few pages list all real ones.
                self._spend_call(athlete, unknown, self._read_past_again, calls=EVENT_CALLS_A_DAY)
                named = [external_id for external_id in named if due[external_id] is not None]
        for external_id in named:
            # For one event, `due` is fresh: only the holder of the credential changes it.
            look = partial(self._look_at_one, known=due) if is_one else self._look_at_one
            troubles += self._follow(athlete, [external_id], look)
        return troubles

    def poll(self, athlete: Athlete) -> None:
        """Read one athlete's newest activities; trouble becomes a later due date and a reason."""
        began = self.clock()
        try:
            self._read_newest(athlete)
        except SourceError as error:
            self._trouble(athlete, error, began)

    def read_history(self, athlete: Athlete) -> None:
        """Read a page of one athlete's history, or some of their files; trouble as in `poll`."""
        began = self.clock()
        try:
            self._read_on(athlete, _FILES_AT_ONCE)
        except RateLimited:
            return
        except SourceError as error:
            self._trouble(athlete, error, began)

    # Events: forged ones cost each athlete a few calls a day, and nobody else any

    def _spend_call(
        self,
        athlete: Athlete,
        external_ids: Sequence[str],
        look: Callable[[Athlete, Sequence[str]], None],
        calls: int = 1,
    ) -> list[str]:
        """Follow events with the day's calls; once they are used up, events wait for the next day.

        Returns what somebody has to fix, in words.
        """
        with self.services.store.transaction() as tx:
            if self._are_used_up(tx, athlete, calls):
                return []
        return self._follow(athlete, external_ids, look)

    def _is_connected(self, tx: Transaction, athlete: Athlete) -> bool:
        stored = tx.source(self.connected.client.name).credential(athlete)
        return stored is not None and stored.revoked_at is None

    def _are_used_up(self, tx: Transaction, athlete: Athlete, calls: int = 1) -> bool:
        """Count calls for events; once the day's are used up, events wait for the next day."""
        rows, now = tx.source(self.connected.client.name), self.clock()
        if rows.spend_event_calls(athlete, calls, now=now, most=EVENT_CALLS_A_DAY):
            return False
        rows.hold_events(athlete, next_day(now))
        return True

    def _follow(
        self,
        athlete: Athlete,
        external_ids: Sequence[str],
        look: Callable[[Athlete, Sequence[str]], None],
    ) -> list[str]:
        """Follow events; those that can't be followed now are retried. Returns what somebody has
        to fix, in words.
        """
        source, now = self.connected.client.name, self.clock()
        try:
            look(athlete, external_ids)
        except RateLimited:
            raise
        except SourceError as error:
            if error.permanent:
                self._events_done(athlete, external_ids)
                self._log(athlete.id, error)
                return [f"{athlete.name}: {error}"]
            with self.services.store.transaction() as tx:
                for external_id in external_ids:
                    tx.source(source).retry_event(athlete, external_id, now=now, most=EVENT_TRIES)
            if away.is_away(error):
                # The next poll finds the same changes, and is among the first calls afterwards.
                self._trouble(athlete, error, began=now)
                raise
        return []

    def _events_done(
        self, athlete: Athlete, external_ids: Sequence[str], looked_at: datetime | None = None
    ) -> None:
        with self.services.store.transaction() as tx:
            for external_id in external_ids:
                tx.source(self.connected.client.name).event_done(
                    athlete, external_id, looked_at=looked_at
                )

    def _look_whether_withdrawn(self, athlete: Athlete, external_ids: Sequence[str]) -> None:
        """Follow an event about a withdrawn consent, believed if the service refuses the tokens."""
        now = self.clock()
        with open_session(self.services, self.connected, athlete, self.clock) as session:
            if session is None:
                return  # another worker holds the credential
            # An athlete who revokes access on purpose isn't asked to reconnect.
            session.asks_to_reconnect = False
            try:
                session.ask("new", partial(self.connected.client.list_activities, size=1))
            except CredentialRevoked:
                withdrawn = True
            else:
                withdrawn = False
                self._events_done(athlete, external_ids, looked_at=now)
        if withdrawn:
            self._withdrew(athlete)

    def _withdrew(self, athlete: Athlete) -> None:
        source = self.connected.client.name
        with self.services.store.transaction() as tx:
            forget_source(tx, self.services, source, athlete, now=self.clock())
        self.services.store.empty_log()
        names = {"source": source, "athlete": athlete.id}
        log.info("%(source)s: athlete %(athlete)s withdrew", names)

    def _look_at_newest(self, athlete: Athlete, external_ids: Sequence[str]) -> None:
        """Settle all events whose activities the list shows; each of the others costs a call."""
        now = self.clock()
        shown = self._read_newest(athlete)
        if shown is not None:
            settled = [one for one in external_ids if one in shown.ids]
            self._events_done(athlete, settled, looked_at=now)

    def _read_past_again(self, athlete: Athlete, external_ids: Sequence[str]) -> None:
        """Make all history due again."""
        with self.services.store.transaction() as tx:
            again = {"read_back_to": self.clock(), "looked_back_at": None}
            tx.source(self.connected.client.name).save_standing(athlete, again)
        self._events_done(athlete, external_ids)

    def _look_at_one(
        self, athlete: Athlete, external_ids: Sequence[str], known: KnownActivities | None = None
    ) -> None:
        """Ask for the activity that an event names, and save its state; `known` was just read."""
        client, store, now = self.connected.client, self.services.store, self.clock()
        assert isinstance(client, Webhook)  # noqa: S101  events come from one
        (external_id,) = external_ids
        with open_session(
            self.services, self.connected, athlete, self.clock,
            first="new", event_calls=EVENT_CALLS_A_DAY,
        ) as session:  # fmt: skip
            if session is None:
                # Another worker holds the credential, no call is left today, or there is none.
                with store.transaction() as tx:
                    rows = tx.source(client.name)
                    if not self._is_connected(tx, athlete):
                        rows.event_done(athlete, external_id)
                    elif not rows.has_event_calls(athlete, now=now, most=EVENT_CALLS_A_DAY):
                        rows.hold_events(athlete, next_day(now))
                return
            session.known = known or {}
            one = session.ask("new", partial(client.get_activity, external_id=external_id))
            listed = [one] if one is not None else []
            files = self._files_of_new(session, listed, now)
            with store.transaction() as tx:
                tx.source(client.name).event_done(athlete, external_id, looked_at=now)
                if session.end(tx):
                    save_activities(
                        tx, session, listed, files=files, now=self.clock(),
                        gone=[] if listed else [external_id],
                        silence_of_first=FIRST_SYNC.format(client.title),
                    )  # fmt: skip

    # What is new, and what is gone

    def _read_newest(self, athlete: Athlete) -> Shown | None:
        """Read one athlete's newest activities, and save what changed or is gone.

        Returns what was shown, or None if another worker holds the credential. Raises
        `SourceError`.
        """
        client, store = self.connected.client, self.services.store
        with open_session(
            self.services, self.connected, athlete, self.clock, first="new"
        ) as session:
            if session is None:
                return None
            now = self.clock()
            with store.reading() as tx:
                standing = Standing(**tx.source(client.name).standing(athlete))
                known = tx.source(client.name).starts(athlete)
            window = polling.newest(
                standing, now=now, reach=client.reach, largest_page=client.largest_page
            )

            # Read pages until the window is complete, or the calls run out after the first.
            shown, listed, note = Shown(), list[ListedActivity](), None
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
                note = note or page.note
                confirmations += [page.confirm] if page.confirm else []

            gone, standing = polling.vanished(shown, known, standing, now=now)
            standing = polling.after_newest(standing, shown, window, now=now)
            files = self._files_of_new(session, listed, now)
            with store.transaction() as tx:
                stands = session.still_stands(tx) if confirmations else session.end(tx)
                if stands:
                    now = self.clock()
                    save_activities(
                        tx, session, listed, files=files, gone=gone, now=now,
                        silence_of_first=FIRST_SYNC.format(client.title),
                    )  # fmt: skip
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
                    state = SourceState("waiting" if words else "ok", now, words or note, backlog)
                    tx.progress.save_source(athlete, client.name, state)
                    away.note_back(tx, client.name, now=now)
            for confirm in confirmations if stands else ():
                session.ask("new", confirm)
        return shown

    def _files_of_new(
        self, session: ClientSession, listed: Sequence[ListedActivity], now: datetime
    ) -> Mapping[str, OriginalFile]:
        """The files of new runs; none at the first poll, whose files are read with the history."""
        client = self.connected.client
        if not client.has_files:
            return {}
        with self.services.store.reading() as tx:
            is_first = not tx.runs.any(session.athlete)
        return {} if is_first else files_of_new(session, listed, since=now - client.reach)

    def _backlog(self, tx: Transaction, athlete: Athlete, standing: Standing, now: datetime) -> int:
        """What is left to read: days of history, and after them files."""
        client = self.connected.client
        left = standing.unread_days(now, client.reach)
        if left or not client.has_files:
            return left
        return tx.source(client.name).files_left(athlete)

    # History

    def _read_on(self, athlete: Athlete, at_most: float) -> int:
        """Read a page of one athlete's history, or if that's complete, some files.

        Returns the number of calls, 0 if another worker holds the credential. Raises
        `SourceError`.
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
                    tx.progress.save_backlog(athlete, client.name, backlog)
            if stands and page is not None and page.confirm:
                session.ask("history", page.confirm)
        return calls

    # Trouble

    def _trouble(self, athlete: Athlete, error: SourceError, began: datetime) -> str | None:
        """Handle the error of a call for one athlete that `began` then; returns as `_back_off`.

        An error that affects everybody is retried now and then, not once for each athlete.
        """
        source, outage = self.connected.client.name, None
        self._log("everybody" if away.is_away(error) else athlete.id, error)
        if away.is_away(error):
            outage = away.note_away(self.services, source, error, began=began, now=self.clock())
        return self._back_off(athlete, error, outage)

    def _back_off(
        self, athlete: Athlete, error: SourceError, outage: away.Outage | None = None
    ) -> str | None:
        """Postpone the athlete and return why; None for the rate limit, which passes by itself."""
        if isinstance(error, CredentialRevoked):
            return f"{athlete.name}: {error}"
        client, now = self.connected.client, self.clock()
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
                now,
                every=client.every,
                jitter=self.connected.jitter(),
                failures=standing.failures,
                not_before=resets_at,
            )
            alone = outage is None or polling.fails_alone(
                standing.failures, now, away_since=outage.since
            )
            if outage is not None:  # not the athlete's fault: asked again soon afterwards
                soon = polling.next_try_alone_at(now, failures=standing.failures)
                due_at = min(due_at, soon if alone else max(now, outage.next_try_at))
            rows.save_standing(athlete, asdict(standing), due_at=due_at)
            before = tx.progress.sources(athlete).get(client.name) or SourceState("ok")
            gives_up = error.permanent or (alone and standing.failures >= FAILURES_BEFORE_FAILING)
            failing = resets_at is None and gives_up
            state = replace(
                before, state="failing" if failing else "waiting", last_error=str(error)
            )
            tx.progress.save_source(athlete, client.name, state)
        return f"{athlete.name}: {error}" if resets_at is None else None

    def _athletes(self, ids: Sequence[int], *, but: Collection[int]) -> Sequence[Athlete]:
        """The athletes with these ids, in this order, without those in `but`."""
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
