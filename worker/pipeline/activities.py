"""Saves a service's activities: runs, findings, and the original files behind them.

Activities are saved and judged in the caller's transaction. Files are fetched one by one, newest
first, and each is believed instead of the list. A file that isn't available is tried again, with
longer and longer pauses, and doesn't stop the others.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from worker.domain.models import Recording
from worker.domain.weeks import local_day
from worker.pipeline.ingest import ingest, runs_in
from worker.pipeline.session import ClientSession
from worker.sources import NotARun, NotRead, Reading, Unreadable
from worker.sources.base import (
    CredentialRevoked,
    Forbidden,
    ListedActivity,
    NotFound,
    SourceError,
    Unavailable,
)
from worker.sources.originals import EDITED_SHARE, with_file, without_file
from worker.store import StoreError, Transaction
from worker.store.source_base import FileState, SeenActivity

log = logging.getLogger(__name__)

Parse = Callable[[object], ListedActivity]

FIRST_SYNC = "it came with the first look at {}: nothing is mailed about the past"
HISTORY = "it came with the history at {}: nothing is mailed about the past"

FILES_BEFORE_JUDGING = 10
"""The most files of new runs that are read before judging; other runs are judged as listed."""

FILE_TRIES = 8
FILE_RETRY_AFTER = timedelta(minutes=15)
_LONGEST_FILE_PAUSE = timedelta(days=1)


def save_activities(
    tx: Transaction,
    session: ClientSession,
    listed: Sequence[ListedActivity],
    *,
    now: datetime,
    files: Mapping[str, "OriginalFile"] | None = None,
    gone: Collection[str] = (),
    silence: str | None = None,
    silence_of_first: str | None = None,
) -> None:
    """Save activities with the files read for them, drop those `gone`, and judge what changed.

    Activities that begin before the wanted or permitted time are skipped. `silence` says why
    nothing is mailed, and so does `silence_of_first` if the athlete has no run yet.
    """
    if not (listed or gone):
        return
    client, athlete, services = session.connected.client, session.athlete, session.services
    source = client.name
    by_id = {one.external_id: one for one in _wanted(listed, since=now - client.reach)}
    rows = tx.source(source)
    known = _known(tx, session, by_id)
    if silence_of_first is not None and by_id.keys() - known and not tx.runs.any(athlete):
        silence = silence_of_first
    # An activity that was never a run has nothing to be dropped.
    others = {i for i, one in by_id.items() if isinstance(one.parsed, NotARun)}
    ended = {*gone, *(others & known.keys())}
    names = _recorded_as(tx, session, ended)
    change = tx.runs.drop(athlete, source, names, today=local_day(athlete, now))
    rows.forget_seen(athlete, ended)

    recordings: list[Recording] = []
    seen: list[SeenActivity] = []
    for external_id, one in by_id.items():
        if external_id in others or external_id in ended:
            continue
        before = known.get(external_id)
        remembered = _remembered(one, before, now=now, silence=silence, files=client.has_files)
        if files and external_id in files:
            recordings += runs_in(files[external_id].reading or ())
            seen.append(_with_file_state(remembered, files[external_id]))
            continue
        if not isinstance(one.parsed, Recording):
            seen.append(remembered)
            continue
        edited = _is_edited(client.parse, before, one.parsed)
        if not client.has_files or before is None or before.reason is not None:
            recordings.append(replace(one.parsed, edited=edited))
        elif edited:
            # The athlete's change is believed; the file's digest still identifies the run.
            digest = tx.runs.contents(athlete, source, [external_id]).get(external_id)
            recordings.append(replace(one.parsed, edited=True, sha256=digest))
        seen.append(replace(remembered, edited=remembered.edited or edited))
    rows.save_seen(athlete, seen, now=now)
    ingest(tx, services, athlete, recordings, now=now, silence=silence, also_since=change.first_day)
    if ended and change.first_day is not None:
        log.info(
            "%(source)s: athlete %(athlete)s: activities gone: %(count)d",
            {"source": source, "athlete": athlete.id, "count": len(ended)},
        )


def _known(
    tx: Transaction, session: ClientSession, external_ids: Collection[str]
) -> Mapping[str, SeenActivity]:
    """Those of these activities that were seen before, as they were last seen."""
    if session.known.keys() >= set(external_ids):
        return {external_id: one for external_id, one in session.known.items() if one is not None}
    return tx.source(session.connected.client.name).seen(session.athlete, external_ids)


def _recorded_as(
    tx: Transaction, session: ClientSession, external_ids: Collection[str]
) -> Sequence[str]:
    """The external ids of these activities' recordings: one for each leg of a multisport one."""
    client = session.connected.client
    if not external_ids or not client.has_files:
        return sorted(external_ids)
    ids = (r.external_id for r in tx.runs.recorded(session.athlete, client.name))
    return [name for name in ids if name.partition(":")[0] in external_ids]


def _wanted(listed: Sequence[ListedActivity], *, since: datetime) -> list[ListedActivity]:
    """The activities that have an id and don't begin before `since`."""
    return [
        one
        for one in listed
        if one.external_id and (one.started_at is None or one.started_at >= since)
    ]


def _remembered(
    one: ListedActivity,
    before: SeenActivity | None,
    *,
    now: datetime,
    silence: str | None,
    files: bool,
) -> SeenActivity:
    """The activity to save, with the earlier state of its file."""
    unreadable = one.parsed.reason if isinstance(one.parsed, Unreadable) else None
    if before is None:
        seen = SeenActivity(one.external_id, one.started_at, one.payload, reason=unreadable)
        return replace(seen, file="due", file_due_at=now, silence=silence) if files else seen
    # If the listed activity is unreadable and it has a file, the file's earlier result is kept.
    reason = before.reason if unreadable and files else unreadable
    return replace(before, started_at=one.started_at, payload=one.payload, reason=reason)


def _is_edited(parse: Parse, before: SeenActivity | None, now: Recording) -> bool:
    """True if the athlete changed the distance since it was first seen.

    Services change their rounding now and then; only the athlete changes more than 1 %.
    """
    if before is None or before.edited:
        return before is not None
    then = _listed(parse, before).parsed
    if before.reason is not None or not isinstance(then, Recording):
        return False
    return abs(now.distance_m - then.distance_m) > EDITED_SHARE * then.distance_m


# Original files


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """The result of reading one original file."""

    state: FileState
    reading: Reading | None


def files_of_new(
    session: ClientSession, listed: Sequence[ListedActivity], *, since: datetime
) -> Mapping[str, OriginalFile]:
    """The files of new runs, newest first, up to `FILES_BEFORE_JUDGING`."""
    wanted = _wanted(listed, since=since)
    with session.services.store.reading() as tx:
        known = tx.source(session.connected.client.name).seen(
            session.athlete, {one.external_id for one in wanted}
        )
    new = [
        one
        for one in wanted
        if (
            one.wants_file
            if (before := known.get(one.external_id)) is None
            else before.reason is not None and isinstance(one.parsed, Recording)
        )
    ]
    found: dict[str, OriginalFile] = {}
    for one in new[:FILES_BEFORE_JUDGING]:
        try:
            found[one.external_id] = _read_file(session, one)
        except CredentialRevoked:
            raise
        except Unavailable as error:
            if error.for_everybody:
                break
            # If only this one is unavailable, it is judged as listed, and tried again.
        except SourceError:
            break
    return found


def _read_file(
    session: ClientSession, one: ListedActivity, *, edited: bool = False
) -> OriginalFile:
    """Fetch and read one file; raises `SourceError` if it isn't available now."""
    client = session.connected.client
    try:
        packed = session.ask("history", partial(client.download, external_id=one.external_id))
    except NotFound:
        reason = f"{client.title} has no file of it"
        return OriginalFile("none", without_file(one, reason, title=client.title))
    members = list(session.connected.read_file(packed, f"{one.external_id}.zip"))
    for member in members:
        if isinstance(member.parsed, NotRead):
            raise Unavailable(f"its file couldn't be read for now: {member.parsed.reason}")
    reading = with_file(
        one, members, session.athlete, source=client.name, title=client.title, edited=edited
    )
    was_read = any(isinstance(member.parsed, tuple) for member in members)
    return OriginalFile("read" if was_read else "none", reading)


def read_files(session: ClientSession, *, at_most: int) -> int:
    """Fetch files that are due, newest first; returns how many were requested.

    An unavailable file is tried again, with longer and longer pauses. Raises `SourceError` if no
    file is available.
    """
    client, athlete, clock = session.connected.client, session.athlete, session.clock
    with session.services.store.reading() as tx:
        due = tx.source(client.name).files_due(athlete, clock(), most=at_most)
    stumbled = False
    for one in due:
        found: OriginalFile | None = None
        try:
            listed = replace(_listed(client.parse, one), external_id=one.external_id)
            found = _read_file(session, listed, edited=one.edited)
            stumbled = False
        except Forbidden:
            pass
        except Unavailable:
            if stumbled:  # twice in a row: the file isn't the cause
                _save_file(session, one, None, now=clock())
                raise
            stumbled = True
        except (SourceError, StoreError):
            raise
        except Exception:
            # An unexpected problem with one file must not block the others.
            context = {"source": client.name, "athlete": athlete.id}
            log.exception("%(source)s: athlete %(athlete)s: unexpected", context)
        _save_file(session, one, found, now=clock())
    return len(due)


def _listed(parse: Parse, one: SeenActivity) -> ListedActivity:
    """The activity as its payload was saved."""
    try:
        return parse(json.loads(one.payload))
    except ValueError:
        unreadable = Unreadable("what was kept of it can't be read")
        return ListedActivity(one.external_id, None, unreadable, one.payload)


def _save_file(
    session: ClientSession,
    one: SeenActivity,
    found: OriginalFile | None,
    *,
    now: datetime,
) -> None:
    """Save a file's contents, which are believed. None is retried with longer pauses,
    then given up.
    """
    athlete, services, source = session.athlete, session.services, session.connected.client.name
    with services.store.transaction() as tx:
        if not session.still_stands(tx):
            return
        if found is not None:
            tx.source(source).save_seen(athlete, [_with_file_state(one, found)], now=now)
            recordings = runs_in(found.reading or ())
            ingest(tx, services, athlete, recordings, now=now, silence=one.silence)
            return
        tries = one.file_tries + 1
        pause = min(FILE_RETRY_AFTER * (1 << one.file_tries), _LONGEST_FILE_PAUSE)
        again = replace(one, file_tries=tries, file_due_at=now + pause)
        if tries >= FILE_TRIES:
            again = replace(again, file="none", file_due_at=None)
        tx.source(source).save_seen(athlete, [again], now=now)


def _with_file_state(one: SeenActivity, found: OriginalFile) -> SeenActivity:
    """The activity to save once its file was read, or never will be."""
    reading = found.reading
    return replace(
        one,
        file=found.state,
        file_due_at=None,
        reason=reading.reason if isinstance(reading, Unreadable) else None,
        edited=one.edited or any(r.edited for r in runs_in(reading or ())),
    )
