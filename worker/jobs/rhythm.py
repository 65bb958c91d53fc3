"""How often each job runs and how long a run may take, available without loading the jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from worker.sources.sections import SECTIONS


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The interval of a job (`every`), and how long a run may take before it counts as a halt."""

    every: timedelta
    takes: timedelta = timedelta(minutes=3)

    @property
    def patience(self) -> timedelta:
        """How long the job may go without ending a run."""
        return 2 * self.every + self.takes


def rhythms(inbox_every: timedelta) -> Mapping[str, Rhythm]:
    """The rhythm of each job that health watches, by name.

    For sources and backups, it is how often Easeback checks whether something is due. The store
    knows who is due, and the settings say how often a backup is made.
    """
    return {
        "housekeeping": Rhythm(timedelta(hours=1)),
        "inbox": Rhythm(inbox_every),
        **dict.fromkeys(SECTIONS, Rhythm(timedelta(seconds=5))),
        "weekly": Rhythm(timedelta(seconds=30)),
        "deliver": Rhythm(timedelta(seconds=2), takes=timedelta(seconds=86)),
        "backup": Rhythm(timedelta(minutes=10)),
    }
