"""One whole pass: every job once, in the order of the registry."""

from dataclasses import dataclass, field, replace

from worker.health import LEAP_TICK
from worker.jobs.leaps import LeapGuard, boot_name, leap_between_passes, steady_s
from worker.jobs.registry import jobs_of
from worker.jobs.ticks import begin_ticks
from worker.pipeline.deliver import Delivered
from worker.pipeline.ingest import TakenIn
from worker.pipeline.services import Clock, Services
from worker.pipeline.sync import Synced
from worker.store import StoreError


@dataclass(slots=True)
class Pass:
    """The results of one whole pass; `synced` by the name of each source that is on."""

    taken_in: TakenIn = field(default_factory=TakenIn)
    synced: dict[str, Synced] = field(default_factory=dict)
    delivered: Delivered = field(default_factory=Delivered)


def begin_pass(services: Services, clock: Clock) -> tuple[Services, str | None]:
    """Begin a pass; returns the services to use, and why the machine's clock isn't trusted.

    If it isn't, nothing expires and no weekly mail is queued; everything else is done.
    """
    boot = boot_name()
    begin_ticks(services, keep=(LEAP_TICK, *([boot] if boot else [])))
    with services.store.transaction() as tx:
        trouble = leap_between_passes(tx, clock(), boot=boot, counted_s=steady_s())
    guard = LeapGuard(clock())
    return replace(services, doubts=lambda now: bool(trouble) or guard.doubts(now)), trouble


def one_pass(services: Services, clock: Clock) -> Pass:
    """Run every job but those that report on the others, each until nothing is due.

    Raises `StoreError` at once, and any other error of a job after the last job has run.
    """
    done, failed = Pass(), list[Exception]()
    for job in jobs_of(services):
        if job.reports:
            continue
        try:
            outcome = job.run(services, clock, True)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  raised below, after the others
            failed.append(error)
            continue
        match outcome:
            case TakenIn():
                done.taken_in = outcome
            case Synced():
                done.synced[job.name] = outcome
            case Delivered():
                done.delivered = outcome
            case _:
                pass
    if failed:
        raise failed[0]
    return done
