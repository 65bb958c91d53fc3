"""Athletes' corrections of runs: excluding, including, correcting and adding.

A correction is a recording of the source `manual` that names the recording it is about, so it
survives whatever the sources send again. Each function is one transaction: the correction, the
runs, the findings since that day, and the resulting mail.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

from worker.domain.history import implausible
from worker.domain.matching import DISTANCE_SHARE
from worker.domain.models import MANUAL, Athlete, Recording, Run
from worker.domain.weeks import local_day
from worker.pipeline.ingest import ingest
from worker.pipeline.services import Services
from worker.store import StoredRun, Transaction

_LONGEST_MINUTES = 7 * 24 * 60

Editor = Literal["athlete", "operator"]
_LEFT_OUT: dict[Editor, str] = {
    "athlete": "left out by the athlete",
    "operator": "left out by `easeback runs exclude`",
}


class EditError(ValueError):
    """The correction can't be made; the message says why, and what to do instead."""


def exclude_run(
    services: Services, athlete: Athlete, run_id: int, *, by: Editor, now: datetime
) -> StoredRun:
    """Exclude a run from everything; raises `EditError` if there's no such run."""
    with services.store.transaction() as tx:
        originals = [one for one in _recordings_of(tx, athlete, run_id) if not one.about]
        corrections = [_correction(one, note=_LEFT_OUT[by], excluded=True) for one in originals]
        ingest(tx, services, athlete, corrections, now=now)
        return _run_of(tx, athlete, originals[0])


def include_run(services: Services, athlete: Athlete, run_id: int, *, now: datetime) -> StoredRun:
    """Count an excluded run again; raises `EditError` if it isn't excluded."""
    with services.store.transaction() as tx:
        best, *others = _recordings_of(tx, athlete, run_id)
        corrections = [one for one in others if one.excluded]
        if not corrections:
            why = _run_of(tx, athlete, best).quarantine
            raise EditError(
                f"run {run_id} wasn't left out by anybody: {why}; correct its distance instead"
                if why
                else f"run {run_id} counts already"
            )
        _replace_corrections(tx, services, athlete, corrections, [], now=now)
        return _run_of(tx, athlete, best)


def correct_run(
    services: Services,
    athlete: Athlete,
    run_id: int,
    *,
    distance_m: float,
    by: Editor,
    now: datetime,
) -> StoredRun:
    """Give a run this distance, which takes precedence over all sources; raises `EditError`."""
    with services.store.transaction() as tx:
        recordings = _recordings_of(tx, athlete, run_id)
        _check(services, athlete, distance_m, now=now)
        earlier = [one for one in recordings if one.about and not one.excluded]
        note = f"corrected by the {by}"
        corrections = [
            replace(_correction(one, note=note, excluded=False), distance_m=distance_m)
            for one in recordings
            if not one.about
        ]
        _replace_corrections(tx, services, athlete, earlier, corrections, now=now)
        return _run_of(tx, athlete, recordings[0])


def add_run(
    services: Services,
    athlete: Athlete,
    *,
    day: date,
    distance_m: float,
    minutes: float | None = None,
    start: time | None = None,
    now: datetime,
) -> StoredRun:
    """Add a run that no source has; adding it twice changes nothing. Raises `EditError`.

    If it has no start time and a source later reports a run of the same length on that day, they
    are one run.
    """
    local = datetime.combine(day, start or time.min, tzinfo=ZoneInfo(athlete.timezone))
    try:
        at = local.astimezone(UTC)
    except OverflowError:  # at an end of the calendar, which is refused below
        at = local.replace(tzinfo=UTC)
    duration_s = None if minutes is None else minutes * 60
    if minutes is not None and not 0 < minutes <= _LONGEST_MINUTES:
        raise EditError(f"{minutes:g} minutes is no duration of a run")
    _check(services, athlete, distance_m, day=day, at=at, duration_s=duration_s, now=now)
    hour = f"{start:%H:%M}" if start else ""
    added = Recording(
        source=MANUAL,
        external_id=f"added {day} {hour} {distance_m:g}",
        started_at=at,
        day=day,
        distance_m=distance_m,
        moving_s=duration_s,
        elapsed_s=duration_s,
        edited=True,
        hidden_start=start is None,
    )
    with services.store.transaction() as tx:
        if start is None:
            _refuse_known(tx, athlete, added)
        ingest(tx, services, athlete, [added], now=now)
        stored = _run_of(tx, athlete, added)
        if stored.excluded:
            raise EditError(
                f"run {stored.run.id} was added before, and left out: put it back instead"
            )
        return stored


def _refuse_known(tx: Transaction, athlete: Athlete, added: Recording) -> None:
    """Raise `EditError` if a run added without a start time may be a known run of that day."""
    for one in tx.runs.all(athlete):
        run = one.run
        apart_m = abs(run.distance_m - added.distance_m)
        is_close = apart_m <= DISTANCE_SHARE * max(run.distance_m, added.distance_m)
        is_itself = (added.source, added.external_id) in one.sources
        if run.day == added.day and is_close and not one.excluded and not is_itself:
            raise EditError(
                f"run {run.id} of {run.day} is as long: if this is another one, "
                "say when it started (--start)"
            )


def _check(
    services: Services,
    athlete: Athlete,
    distance_m: float,
    *,
    day: date | None = None,
    at: datetime | None = None,
    duration_s: float | None = None,
    now: datetime,
) -> None:
    """Raise `EditError` if such a run is impossible."""
    today = local_day(athlete, now)
    run = Run(
        0, at or now, day or today, distance_m, duration_s, duration_s, sport="run", is_race=False
    )
    reason = implausible(run, today=today, rules=services.rules)
    if reason is not None:
        raise EditError(f"such a run can't be counted: {reason}")


def _recordings_of(tx: Transaction, athlete: Athlete, run_id: int) -> tuple[Recording, ...]:
    recordings = tx.runs.behind(athlete, run_id)
    if not recordings:
        raise EditError(f"there is no run {run_id}; `easeback runs --all` lists them")
    return recordings


def _correction(about: Recording, *, note: str, excluded: bool) -> Recording:
    """The athlete's correction of a recording: a copy of it, with its own external id."""
    what = "excluded" if excluded else "corrected"
    digest = hashlib.sha256(about.key.encode()).hexdigest()
    return Recording(
        source=MANUAL,
        external_id=f"{what} {digest[:32]}",
        started_at=about.started_at,
        day=about.day,
        distance_m=about.distance_m,
        moving_s=about.moving_s,
        elapsed_s=about.elapsed_s,
        sport=about.sport,
        edited=True,
        hidden_start=about.hidden_start,
        note=note,
        about=about.key,
        excluded=excluded,
    )


def _replace_corrections(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    earlier: list[Recording],
    corrections: list[Recording],
    *,
    now: datetime,
) -> None:
    """Replace earlier corrections by these, and judge since the first day that changed."""
    dropped = tx.runs.drop(
        athlete, MANUAL, [one.external_id for one in earlier], today=local_day(athlete, now)
    )
    ingest(tx, services, athlete, corrections, now=now, also_since=dropped.first_day)


def _run_of(tx: Transaction, athlete: Athlete, recording: Recording) -> StoredRun:
    """The run of a recording, whose id may have changed: an edit can make two runs one."""
    key = recording.source, recording.external_id
    return next(one for one in tx.runs.all(athlete) if key in one.sources)
