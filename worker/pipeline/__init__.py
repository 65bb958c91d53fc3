"""The work in order: take in, ingest, deliver.

    inbox ──┐
    import ─┼─ take in ──→ recordings ─→ ingest ─┬─→ runs, findings ─┐
    sync ───┘  (no transaction open)             └─→ queued mail ────┴─ one commit
                                       weekly ─────→ queued mail
                                                         │
                                                      deliver ──→ mail server

*Take in* uses network and disk. *Ingest* is one transaction: runs, findings and the mail about
them are saved together or not at all. *Deliver* claims a mail, sends it, records the answer. Any of
them can be killed at any point and called again: each mail has a key, and is queued once. None of
them reads the clock: `now` is passed in.
"""

from worker.pipeline.backup import back_up
from worker.pipeline.deliver import Delivered, deliver
from worker.pipeline.housekeeping import tidy
from worker.pipeline.ingest import TakenIn, take_in_inbox
from worker.pipeline.services import Clock, Services, today_of
from worker.pipeline.sync import Synced, sync_all_due
from worker.pipeline.weekly import queue_due_weeklies
from worker.store import Tick

__all__ = [
    "Clock",
    "Delivered",
    "Services",
    "Synced",
    "TakenIn",
    "Tick",
    "back_up",
    "deliver",
    "queue_due_weeklies",
    "sync_all_due",
    "take_in_inbox",
    "tidy",
    "today_of",
]
