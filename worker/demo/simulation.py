"""Simulates the season: puts files into the watched folder and runs the jobs by a simulated clock.

    last year's files ─→ inbox ─┐
    a run ends ────────→ inbox ─┼─→ the jobs of `easeback run` ─→ mailbox
    Monday, seven o'clock ──────┘                       └─→ plan ─→ the runs of the week

The clock never waits. It advances to the next event, and then twice by a few seconds, because the
inbox needs two equal scans of a file, and queued mail is sent in the next pass. Each job runs if it
is due by that clock, as in `easeback run`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import heapify, heappop, heappush
from pathlib import Path

from worker.app import build_services
from worker.config import Settings
from worker.demo import fit, runner
from worker.demo.folder import DemoFolder
from worker.demo.runner import DemoPart, Outing
from worker.domain.history import History
from worker.domain.models import Athlete, Week
from worker.domain.weeks import local_day, next_weekly_due, past_weeks
from worker.jobs.registry import jobs_of
from worker.pipeline.plans import stored_plan
from worker.pipeline.services import Services
from worker.store import StoredFinding

_FROM_WATCH_TO_FOLDER = timedelta(minutes=2)
_PASSES = 3


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """The result of one event: the metres of the run, if it was one, and the mails sent."""

    day: date
    ran_m: float | None
    mails: int


@dataclass(frozen=True, slots=True)
class SimulatedSeason:
    """The runner, the weeks of the season, the findings in them, and the mails."""

    athlete: Athlete
    runs: int
    weeks: tuple[Week, ...]
    found: tuple[StoredFinding, ...]
    mailbox: Path


_Event = tuple[datetime, int, tuple[Outing, ...]]
"""The time, 1 for a run or 0, and the runs whose files arrive then; no two runs end at once."""


def simulate(
    folder: DemoFolder, part: DemoPart, *, watch: Callable[[SimulatedEvent], None]
) -> SimulatedSeason:
    """Play one runner's season in this folder; `watch` is called with every event."""
    settings = Settings(data_dir=folder.data_dir)
    # With the demo's settings file, the operator's routine and templates aren't used.
    services = build_services(settings, folder.settings_file)
    at = part.athlete.added_at
    last_run: dict[str, datetime] = {}

    def clock() -> datetime:
        return at

    with services.store.sole_worker():
        with services.store.transaction() as tx:
            athlete = tx.athletes.add(part.athlete)
        events = _events(athlete, part)
        while events:
            begins, _, outings = heappop(events)
            at = begins
            before = _mails(settings.mailbox_path)
            for outing in outings:
                local = outing.started_at + outing.offset
                file = settings.inbox_path / f"{local:%Y-%m-%d-%H%M%S}.fit"
                file.write_bytes(fit.written(outing))
            for _ in range(_PASSES):
                for job in jobs_of(services):
                    last = last_run.get(job.name)
                    if last is None or at - last >= job.every:
                        last_run[job.name] = at
                        job.run(services, clock, False)
                at += services.inbox.settings.every
            if part.follows and not outings and local_day(athlete, begins) >= runner.FOLLOWS_FROM:
                for event in map(_event, _planned(services, athlete, begins)):
                    if event[0] < runner.ENDS:
                        heappush(events, event)
            watch(
                SimulatedEvent(
                    day=local_day(athlete, begins),
                    ran_m=outings[0].distance_m if len(outings) == 1 else None,
                    mails=_mails(settings.mailbox_path) - before,
                )
            )
    season = _season(services, athlete, settings.mailbox_path)
    services.store.close()
    return season


def _events(athlete: Athlete, part: DemoPart) -> list[_Event]:
    """The events known in advance: the import, the runs that aren't planned, the weekly mails."""
    begins = athlete.added_at
    events = [(begins, 0, part.past), *map(_event, part.runs)]
    at = begins
    while (at := next_weekly_due(athlete, at).due_at) < runner.ENDS:
        events.append((at, 0, ()))
    heapify(events)
    return events


def _event(run: Outing) -> _Event:
    return run.ended_at + _FROM_WATCH_TO_FOLDER, 1, (run,)


def _planned(services: Services, athlete: Athlete, now: datetime) -> tuple[Outing, ...]:
    """The runs of the week that begins now, from the plan in the weekly mail just sent."""
    day = local_day(athlete, now)
    with services.store.reading() as tx:
        history = tx.runs.history(athlete, since=day, rules=services.rules)
        plan = stored_plan(tx, athlete, history, day, race=athlete.race, rules=services.rules)
    return runner.by_plan(plan.weeks[0]) if plan.weeks else ()


def _mails(mailbox: Path) -> int:
    return sum(1 for _ in mailbox.glob("*.eml"))


def _season(services: Services, athlete: Athlete, mailbox: Path) -> SimulatedSeason:
    with services.store.reading() as tx:
        runs = tx.runs.counted(athlete, since=runner.SEASON_BEGINS)
        found = tx.findings.standing(athlete, since=runner.SEASON_BEGINS)
    last = max(run.day for run in runs)
    weeks = past_weeks(
        History.of(runs, rules=services.rules),
        until=last,
        count=(last - runner.SEASON_BEGINS).days // 7 + 1,
        week_starts=athlete.week_starts,
    )
    return SimulatedSeason(athlete, len(runs), weeks, tuple(found), mailbox)
