"""What isn't known about an athlete's runs: sources that can't be read, files that wait.

Before a weekly mail is composed, `is_reading` says whether waiting runs should be read first, and
`unseen` says which sources it must report as unread.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

from worker.domain.files import Snapshot
from worker.domain.models import Athlete, SourceName, folder_name
from worker.domain.weeks import local_day
from worker.notify import Unseen
from worker.pipeline.services import Services
from worker.sources.folder import UNLISTED, top_folder
from worker.sources.registry import SOURCES
from worker.store import Transaction
from worker.store.source_base import StoredCredential

INBOX_TICK = "inbox"
READS_FOR = timedelta(minutes=10)
"""How long a worker tries to read what is waiting before it queues a weekly mail."""

PASSES_FOR = timedelta(days=6)
"""How long single passes wait for inbox files, which take two passes: nearly a week."""

_SLACK = timedelta(minutes=5)


class SourceStates:
    """The stored state of an athlete's files and sources, each read once."""

    def __init__(self, tx: Transaction, athlete: Athlete) -> None:
        self.tx = tx
        self.athlete = athlete
        # The state of each source, and the errors that no mail has reported yet.
        self.states, self.new_errors = tx.progress.sources_and_news(athlete)

    @cached_property
    def credentials(self) -> Mapping[SourceName, StoredCredential]:
        """The athlete's credentials, by service."""
        return self.tx.credentials(self.athlete)

    @cached_property
    def inbox_missing_at(self) -> datetime | None:
        """Since when the folder of the athlete's files is missing."""
        if "inbox" not in self.states:
            return None
        folder = self.tx.inbox.folder()
        return folder.missing_at if folder else None

    def seen_at(self, source: str) -> datetime | None:
        """When a source was last read."""
        return self.states[source].last_success_at if source in self.states else None

    def files(self, *, also_unreadable: bool = False) -> int:
        """How many of the athlete's files wait, or also can't be read for now."""
        waiting = [
            file
            for file in self._waiting
            if (file.verdict == "waiting" and not file.reason)
            or (also_unreadable and (file.verdict == "unread" or file.size == UNLISTED))
        ]
        if not waiting:
            return 0
        theirs = {folder_name(self.athlete.name)}
        theirs |= {""} if self.tx.athletes.count() == 1 else set()
        # A folder that can't be listed represents its contents.
        tops = [file.path if file.size == UNLISTED else top_folder(file.path) for file in waiting]
        return sum(folder_name(top_folder(top) or top) in theirs for top in tops)

    @cached_property
    def _waiting(self) -> Sequence[Snapshot]:
        return self.tx.inbox.with_verdict("waiting", "unread")


def is_reading(
    sources: SourceStates, services: Services, *, due_at: datetime, ends_at: datetime, now: datetime
) -> bool:
    """True while runs of the week up to `ends_at` may still arrive, for a limited time.

    `due_at` is when the weekly mail was due. In a single pass, the services were already asked.
    """
    began_at = services.began_at
    if began_at is None:
        return now < due_at + PASSES_FOR and sources.files() > 0
    if now >= max(due_at, began_at) + READS_FOR:
        return False
    tick = sources.tx.progress.tick(INBOX_TICK)
    if tick is None or tick.at < began_at:
        return True
    if sources.inbox_missing_at is not None or sources.files():
        return True
    for name, connected in services.sources.items():
        stored = sources.credentials.get(name)
        if stored is None or stored.revoked_at is not None:
            continue
        seen_at = sources.seen_at(name)
        is_behind = seen_at is None or seen_at < ends_at - connected.client.every - _SLACK
        has_events = sources.tx.source(name).events_due
        if stored.due_at <= now or is_behind or has_events(sources.athlete, now):
            return True
    return False


def unseen(sources: SourceStates, services: Services, *, ends_at: datetime) -> tuple[Unseen, ...]:
    """What isn't known of the athlete's runs up to `ends_at`, or since."""
    athlete = sources.athlete
    found: list[Unseen] = []
    if sources.inbox_missing_at is not None:
        found.append(Unseen(since=local_day(athlete, sources.inbox_missing_at)))
    elif files := sources.files(also_unreadable=True):
        found.append(Unseen(files=files))
    for kind in SOURCES:
        stored = sources.credentials.get(kind.name)
        if stored is None:
            continue
        connected = services.sources.get(kind.name)
        every = connected.client.every if connected else timedelta(0)
        seen_at = sources.seen_at(kind.name)
        is_behind = seen_at is None or seen_at < ends_at - every - _SLACK
        is_failing = kind.name in sources.states and sources.states[kind.name].state == "failing"
        if is_behind or is_failing or stored.revoked_at is not None:
            since = local_day(athlete, seen_at or stored.connected_at)
            found.append(Unseen(source=kind.title, since=since))
    return tuple(found)
