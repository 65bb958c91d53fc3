"""Several workers on one PostgreSQL database, on procrastinate.

    look ──→ who is due? (store) ──→ a job for each ──→ whoever is free ──→ do it for one (pipeline)
    webhook ───────────────────────→ a job for each

The engine carries hints, and nothing else: what is due, and what was done, stands in our own
tables. So a job that is lost is queued again by the next look, and one that comes twice changes
nothing. Looks are deferred once however many processes there are, and one job at a time touches an
athlete, by its lock.

`schema` puts the engine's tables beside ours, `tasks` says what its jobs do, `process` is one
worker of the crew from joining to leaving, `nudge` lets the web face say that something is due.
This room is imported only where `[engine] kind` is "procrastinate".
"""

from worker.cluster.nudge import Nudge
from worker.cluster.process import CrewWorker, Pace, keep_seen
from worker.cluster.schema import install

__all__ = ["CrewWorker", "Nudge", "Pace", "install", "keep_seen"]
