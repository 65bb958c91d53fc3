"""The whole work in order: take in, decide, deliver.

    inbox ──┐
    import ─┼─ take in ──→ recordings ─→ decide ─┬─→ runs, findings ─┐
    strava ─┤  (no transaction open)             └─→ queued mail ────┴─ one commit
    garmin ─┘
                                       weekly ─────→ queued mail
                                                         │
                                                      deliver ──→ mail server

*Take in* uses network and disk. *Decide* is one transaction: runs, findings and the mail about
them stand together or not at all. *Deliver* claims a mail, sends it, settles it. Each piece can
die at any point and be called again: keys make twice once. No piece reads the clock: `now` comes
from above.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from worker.pipeline.chores import SOURCE_EVERY, SOURCES, sources_of
from worker.pipeline.deliver import Delivered, deliver
from worker.pipeline.garmin.turn import take_in_garmin
from worker.pipeline.garmin.works import GarminWorks
from worker.pipeline.housekeeping import begin_ticks, record_tick, tidy
from worker.pipeline.keeping import keep_copy
from worker.pipeline.polling import Synced
from worker.pipeline.pulse import ping
from worker.pipeline.strava.turn import take_in_strava
from worker.pipeline.strava.works import StravaWorks
from worker.pipeline.take_in import TakenIn, take_in_inbox
from worker.pipeline.weekly import tell_weeks
from worker.pipeline.works import Clock, Works, today_of
from worker.store import StoreError, Tick

T = TypeVar("T")

__all__ = [
    "SOURCES",
    "SOURCE_EVERY",
    "Clock",
    "Delivered",
    "GarminWorks",
    "Pass",
    "StravaWorks",
    "Synced",
    "TakenIn",
    "Tick",
    "Works",
    "begin_ticks",
    "deliver",
    "keep_copy",
    "one_pass",
    "ping",
    "record_tick",
    "sources_of",
    "take_in_garmin",
    "take_in_inbox",
    "take_in_strava",
    "tell_weeks",
    "tidy",
    "today_of",
]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one whole pass came to; `synced` by the name of each source that is on."""

    taken_in: TakenIn
    synced: Mapping[str, Synced]
    weeklies: int
    delivered: Delivered


def _ask_sources(works: Works, clock: Clock) -> Mapping[str, Synced]:
    """Every source in turn; what one fails with is raised after the last."""
    synced: dict[str, Synced] = {}
    failed: list[Exception] = []
    for source in sources_of(works):
        try:
            synced[source.name] = source.whole(works, clock)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  raised below, once the others are asked
            failed.append(error)
    if failed:
        raise failed[0]
    return synced


def one_pass(works: Works, clock: Clock) -> Pass:
    """Everything that is due, once, in order; what one step fails with is raised after the last."""
    failed: list[Exception] = []

    def step(work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  raised below, once the other steps are done
            failed.append(error)
            return otherwise

    step(lambda: tidy(works, clock()), None)
    done = Pass(
        taken_in=step(lambda: take_in_inbox(works, clock()), TakenIn()),
        synced=step(lambda: _ask_sources(works, clock), {}),
        weeklies=step(lambda: tell_weeks(works, clock()), 0),
        delivered=step(lambda: deliver(works, clock), Delivered()),
    )
    step(lambda: keep_copy(works, clock()), None)
    if failed:
        raise failed[0]
    return done
