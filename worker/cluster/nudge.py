"""The web face's nudge: something has just become due for these athletes.

What is due stands in the store by then. A nudge that comes to nothing costs seconds: the next look
finds it.
"""

import logging
import time
from collections.abc import Collection

from procrastinate import SyncPsycopgConnector, exceptions
from procrastinate.manager import JobManager
from psycopg import Error
from psycopg.conninfo import make_conninfo

from worker.cluster.jobs import MOST_QUEUED, job_for
from worker.pipeline.chores import Chore
from worker.store import Store

log = logging.getLogger(__name__)

_WAITS_S = 2.0
_COUNTS_EVERY_S = 1.0


def address_of(store: Store) -> str:
    """The store's database as libpq has it."""
    _, named = store.engine.dialect.create_connect_args(store.engine.url)
    named.pop("context", None)  # SQLAlchemy's own, and no word of libpq's
    return make_conninfo(**named)


class Nudge:
    """Queues jobs from outside a worker, over one connection of its own."""

    def __init__(self, store: Store) -> None:
        self._connector = SyncPsycopgConnector(
            conninfo=address_of(store), min_size=0, max_size=2, timeout=_WAITS_S
        )
        self._is_open = False
        self._counted: dict[str, tuple[float, bool]] = {}

    def __call__(self, chore: Chore, athlete_ids: Collection[int]) -> None:
        """Let a worker do this chore for these athletes soon."""
        try:
            if not self._is_open:
                self._connector.open()
                self._is_open = True
            engine = JobManager(self._connector)
            if self._wait_already(engine, chore):
                return
            for athlete_id in sorted(athlete_ids):
                try:
                    engine.defer_job(job_for(chore, athlete_id, ()))
                except exceptions.AlreadyEnqueued:
                    continue
        except (exceptions.ConnectorException, Error) as error:
            log.warning(
                "web: no worker was nudged (%(why)s): the next look finds it", {"why": str(error)}
            )

    def _wait_already(self, engine: JobManager, chore: Chore) -> bool:
        """True while as many wait as may: the looks queue the rest as these are done."""
        now = time.monotonic()
        counted_at, are_many = self._counted.get(chore.name, (-_COUNTS_EVERY_S, False))
        if now - counted_at >= _COUNTS_EVERY_S:
            are_many = len(engine.list_jobs(task=chore.name, status="todo")) >= MOST_QUEUED
            self._counted[chore.name] = now, are_many
        return are_many

    def close(self) -> None:
        if self._is_open:
            self._connector.close()
