"""The season played: files dropped into the watched folder, the worker's jobs woken by a clock
that steps.

    last year's files ─→ inbox ─┐
    a run ends ────────→ inbox ─┼─→ the jobs of `easeback run` ─→ mailbox
    Monday, seven o'clock ──────┘

The clock never waits: it steps to the next thing that happens, and twice a few seconds further,
for the inbox needs two equal scans of a file, and queued mail is sent in the next pass. Each job
then runs if its time has come by that clock, as in `easeback run`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import merge
from pathlib import Path

from worker.app import build_services
from worker.config import Settings
from worker.demo import fit, runner
from worker.demo.runner import Outing
from worker.demo.scene import Scene
from worker.domain.history import History, week_start
from worker.domain.models import Athlete, Week
from worker.domain.weeks import local_day, next_weekly_due, past_weeks
from worker.jobs.registry import jobs_of
from worker.pipeline.services import Services
from worker.store import StoredFinding

_FROM_WATCH_TO_FOLDER = timedelta(minutes=2)
_PASSES = 3


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened: `done` of `total` so far, and how many mails went out at it."""

    day: date
    ran_m: float | None
    mails: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PlayedSeason:
    """What the play came to: the runner, the weeks watched, all that was found, the mails."""

    athlete: Athlete
    runs: int
    weeks: tuple[Week, ...]
    found: tuple[StoredFinding, ...]
    mailbox: Path


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that happens at a time: files that arrive, or nothing but the hour."""

    at: datetime
    outings: tuple[Outing, ...] = ()


def play(scene: Scene, *, watch: Callable[[Moment], None]) -> PlayedSeason:
    """Play the whole season in this scene; `watch` is called with every moment."""
    settings = Settings(data_dir=scene.data_dir)
    # The scene's own settings file is named, so that no routine or template of the operator's
    # comes into play.
    services = build_services(settings, scene.settings_file)
    at = runner.BEGINS
    last_run: dict[str, datetime] = {}

    def clock() -> datetime:
        return at

    with services.store.sole_worker():
        with services.store.transaction() as tx:
            athlete = tx.athletes.add(runner.made_up_athlete())
        events = list(_events(athlete))
        for done, event in enumerate(events, 1):
            at = event.at
            before = _mails(settings.mailbox_path)
            _drop(event.outings, settings.inbox_path)
            for _ in range(_PASSES):
                for job in jobs_of(services):
                    last = last_run.get(job.name)
                    if last is None or at - last >= job.every:
                        last_run[job.name] = at
                        job.run(services, clock, False)
                at += services.inbox.settings.every
            moment = Moment(
                day=local_day(athlete, event.at),
                ran_m=event.outings[0].distance_m if len(event.outings) == 1 else None,
                mails=_mails(settings.mailbox_path) - before,
                done=done,
                total=len(events),
            )
            watch(moment)
    season = _season(services, athlete, settings.mailbox_path)
    services.store.close()
    return season


def _events(athlete: Athlete) -> Iterator[_Event]:
    """All that happens, in its order."""
    yield _Event(runner.BEGINS, runner.last_year())
    runs = (_Event(run.ended_at + _FROM_WATCH_TO_FOLDER, (run,)) for run in runner.season())
    yield from merge(runs, _weekly_hours(athlete), key=lambda event: event.at)


def _weekly_hours(athlete: Athlete) -> Iterator[_Event]:
    at = runner.BEGINS
    while (at := next_weekly_due(athlete, at).due_at) < runner.ENDS:
        yield _Event(at)


def _drop(outings: Iterable[Outing], inbox: Path) -> None:
    inbox.mkdir(parents=True, exist_ok=True)
    for outing in outings:
        local = outing.started_at + outing.offset
        (inbox / f"{local:%Y-%m-%d-%H%M%S}.fit").write_bytes(fit.written(outing))


def _mails(mailbox: Path) -> int:
    return sum(1 for _ in mailbox.glob("*.eml"))


def _season(services: Services, athlete: Athlete, mailbox: Path) -> PlayedSeason:
    with services.store.reading() as tx:
        runs = tx.runs.counted(athlete, since=runner.SEASON_BEGINS)
        found = tx.findings.standing(athlete, since=runner.SEASON_BEGINS)
    last = max(run.day for run in runs)
    first = week_start(runner.SEASON_BEGINS, athlete.week_starts)
    count = (week_start(last, athlete.week_starts) - first).days // 7 + 1
    history = History.of(runs, rules=services.rules)
    weeks = past_weeks(history, until=last, count=count, week_starts=athlete.week_starts)
    return PlayedSeason(athlete, len(runs), weeks, tuple(found), mailbox)
