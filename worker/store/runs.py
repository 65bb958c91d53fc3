"""The runs' shelf: recordings as the sources told them, and the runs they come to.

A run is derived: whenever recordings come, change or go, the runs around them are made anew from
what `recordings.py` says, and keep their ids where they can.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from itertools import starmap
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from worker import load, recordings
from worker.load import History
from worker.model import Athlete, Recording, Run, SourceName
from worker.rules import Rules
from worker.store import tables
from worker.store.upsert import upsert

run = tables.run
recording = tables.recording

JUDGED_DAYS = 1000
"""How far back a judgement looks from the last run before: a season, the year before it, and
last year's ramp."""

_RECORDING_FIELDS = tuple(field.name for field in fields(Recording))
_RUN_COLUMNS = tuple(run.c[field.name] for field in fields(Run))


@dataclass(frozen=True, slots=True)
class Change:
    """What saving did: the earliest day it touched (None: nothing), and which runs are new.

    `run_of` names the run of each recording that was saved, by source and external id.
    """

    first_day: date | None
    new_run_ids: frozenset[int]
    run_of: Mapping[tuple[str, str], int]

    def is_new(self, saved: Recording) -> bool:
        """True where this recording brought a run that wasn't known before."""
        return self.run_of[saved.source, saved.external_id] in self.new_run_ids


@dataclass(frozen=True, slots=True)
class Kept:
    """A run as kept: with the recordings behind it and why it doesn't count, if it doesn't."""

    run: Run
    sources: tuple[tuple[SourceName, str], ...]
    quarantine: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A stored recording with its ids."""

    id: int
    run_id: int | None
    recording: Recording


@dataclass(frozen=True, slots=True)
class _Bundle:
    """The recordings of one run, and what is believed of it."""

    rows: Sequence[_Row]
    believed: recordings.Facts


@dataclass(frozen=True, slots=True)
class _Derived:
    """The ids of the runs that are new, and the earliest day on which any run changed."""

    new_ids: Sequence[int] = ()
    first_day: date | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """One athlete's recordings in, runs out."""

    connection: Connection
    rules: Rules

    def save(
        self, athlete: Athlete, arrived: Iterable[Recording], *, now: datetime, today: date
    ) -> Change:
        """Keep recordings (twice is once) and derive the runs they touch."""
        by_key = {(r.source, r.external_id): r for r in arrived}
        before = self._rows(athlete, by_key.keys())
        upsert(
            self.connection,
            recording,
            [
                {**_columns_of(r), "athlete_id": athlete.id, "saved_at": now}
                for r in by_key.values()
                if not _unchanged(before.get((r.source, r.external_id)), r)
            ],
            keys=("athlete_id", "source", "external_id"),
        )
        touched = [
            r
            for key, r in by_key.items()
            if not _unchanged(before.get(key), r) or before[key].run_id is None
        ]
        old = [before[r.source, r.external_id] for r in touched
               if (r.source, r.external_id) in before]  # fmt: skip
        derived = self._derive(
            athlete,
            days={r.day for r in touched} | {row.recording.day for row in old},
            left_runs={row.run_id for row in old if row.run_id is not None},
            keys={(r.source, r.external_id) for r in touched},
            today=today,
        )
        now_kept = self._rows(athlete, by_key.keys())
        return Change(
            first_day=derived.first_day,
            new_run_ids=frozenset(derived.new_ids),
            run_of={key: row.run_id for key, row in now_kept.items() if row.run_id is not None},
        )

    def drop(
        self, athlete: Athlete, source: SourceName, external_ids: Sequence[str], *, today: date
    ) -> Change:
        """Forget recordings that their source no longer has, and the runs only they told of."""
        gone = self._rows(athlete, {(source, external_id) for external_id in external_ids})
        if not gone:
            return Change(None, frozenset(), {})
        ids = [row.id for row in gone.values()]
        self.connection.execute(delete(recording).where(recording.c.id.in_(ids)))
        derived = self._derive(
            athlete,
            days={row.recording.day for row in gone.values()},
            left_runs={row.run_id for row in gone.values() if row.run_id is not None},
            keys=set(),
            today=today,
        )
        return Change(derived.first_day, frozenset(), {})

    def drop_content(
        self, athlete: Athlete, source: SourceName, sha256: str, *, today: date
    ) -> Change:
        """Forget the recordings that came from a file of this content."""
        query = select(recording.c.external_id).where(
            recording.c.athlete_id == athlete.id,
            recording.c.source == source,
            recording.c.sha256 == sha256,
        )
        external_ids = self.connection.execute(query).scalars().all()
        return self.drop(athlete, source, external_ids, today=today)

    def any(self, athlete: Athlete) -> bool:
        """True where the athlete has a run."""
        one = select(run.c.id).where(run.c.athlete_id == athlete.id).limit(1)
        return self.connection.execute(one).first() is not None

    def counted(self, athlete: Athlete, *, since: date | None = None) -> tuple[Run, ...]:
        """The runs that count, oldest first; `since` leaves out older days."""
        query = select(*_RUN_COLUMNS).where(
            run.c.athlete_id == athlete.id, run.c.quarantine.is_(None)
        )
        if since is not None:
            query = query.where(run.c.day >= since)
        rows = self.connection.execute(query.order_by(run.c.started_at, run.c.id))
        # By position: names take three times as long, and years of runs are read at each judgement.
        return tuple(starmap(Run, rows))

    def quarantined(self, athlete: Athlete) -> tuple[Kept, ...]:
        return tuple(k for k in self.kept(athlete) if k.quarantine is not None)

    def history(self, athlete: Athlete, *, since: date, rules: Rules) -> History:
        """All that judging the days from `since` on looks at, however long a break lies before."""
        watched = since - timedelta(days=rules.return_watch_days)
        before = self._last_day_before(athlete, watched) or watched
        return History.of(
            self.counted(athlete, since=before - timedelta(days=JUDGED_DAYS)), rules=rules
        )

    def _last_day_before(self, athlete: Athlete, day: date) -> date | None:
        query = select(func.max(run.c.day)).where(
            run.c.athlete_id == athlete.id, run.c.quarantine.is_(None), run.c.day < day
        )
        last: date | None = self.connection.execute(query).scalar_one()
        return last

    def kept(self, athlete: Athlete) -> tuple[Kept, ...]:
        """Every run with its sources, oldest first."""
        sources: dict[int, list[tuple[SourceName, str]]] = {}
        told = (
            select(recording.c.run_id, recording.c.source, recording.c.external_id)
            .where(recording.c.athlete_id == athlete.id)
            .order_by(recording.c.source, recording.c.external_id)
        )
        for run_id, source, external_id in self.connection.execute(told):
            sources.setdefault(run_id, []).append((source, external_id))
        rows = self.connection.execute(
            select(run).where(run.c.athlete_id == athlete.id).order_by(run.c.started_at, run.c.id)
        )
        return tuple(
            Kept(_run(row), tuple(sources.get(row.id, ())), row.quarantine) for row in rows
        )

    def release(self, athlete: Athlete, *, today: date) -> date | None:
        """Count what was dated in the future and no longer is; its earliest day, or None."""
        query = select(run).where(
            run.c.athlete_id == athlete.id, run.c.looked_at_on.is_not(None), run.c.day <= today
        )
        freed = [
            row
            for row in self.connection.execute(query)
            if load.implausible(_run(row), today=today, rules=self.rules) is None
        ]
        if not freed:
            return None
        by_id = update(run).where(run.c.id.in_([row.id for row in freed]))
        self.connection.execute(by_id.values(quarantine=None, looked_at_on=None))
        first: date = min(row.day for row in freed)
        return first

    def with_release_due(self, until: date, *, most: int = tables.DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with a run that was dated in the future, and is so no longer."""
        query = (
            select(run.c.athlete_id)
            .where(run.c.looked_at_on <= until)
            .order_by(run.c.looked_at_on)
            .limit(most)
        )
        return tuple(dict.fromkeys(self.connection.execute(query).scalars()))

    def count(self, athlete: Athlete) -> tuple[int, datetime | None]:
        """How many runs count, and when the last one started."""
        query = select(func.count(), func.max(run.c.started_at)).where(
            run.c.athlete_id == athlete.id, run.c.quarantine.is_(None)
        )
        number, last_at = self.connection.execute(query).one()
        return number, last_at

    def contents(
        self, athlete: Athlete, source: SourceName, external_ids: Sequence[str]
    ) -> Mapping[str, str]:
        """The digest of the file behind each of these recordings, of those that have one."""
        query = select(recording.c.external_id, recording.c.sha256).where(
            recording.c.athlete_id == athlete.id,
            recording.c.source == source,
            recording.c.external_id.in_(external_ids),
            recording.c.sha256.is_not(None),
        )
        return {row.external_id: row.sha256 for row in self.connection.execute(query)}

    def recorded(self, athlete: Athlete, source: SourceName) -> tuple[Recording, ...]:
        """All that one source told, oldest first."""
        query = (
            select(recording)
            .where(recording.c.athlete_id == athlete.id, recording.c.source == source)
            .order_by(recording.c.started_at, recording.c.id)
        )
        return tuple(_recording(row) for row in self.connection.execute(query))

    def _rows(
        self, athlete: Athlete, keys: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], _Row]:
        by_source: dict[str, list[str]] = {}
        for source, external_id in keys:
            by_source.setdefault(source, []).append(external_id)
        found: dict[tuple[str, str], _Row] = {}
        for source, external_ids in by_source.items():
            query = select(recording).where(
                recording.c.athlete_id == athlete.id,
                recording.c.source == source,
                recording.c.external_id.in_(external_ids),
            )
            for row in self.connection.execute(query):
                found[source, row.external_id] = _Row(row.id, row.run_id, _recording(row))
        return found

    def _derive(
        self,
        athlete: Athlete,
        *,
        days: set[date],
        left_runs: set[int],
        keys: set[tuple[str, str]],
        today: date,
    ) -> _Derived:
        """Make the runs around `days` anew: those that lost a recording or have one of `keys`."""
        if not days:
            return _Derived()
        near = self._near(athlete, days)
        ids = {(row.recording.source, row.recording.external_id): row for row in near}
        claimed: dict[int, _Bundle] = {}
        fresh: list[_Bundle] = []
        for bundle in recordings.group(row.recording for row in near):
            rows = [ids[r.source, r.external_id] for r in bundle]
            known = {row.run_id for row in rows if row.run_id is not None}
            touched = any((r.source, r.external_id) in keys for r in bundle)
            if not touched and not left_runs.intersection(known):
                continue
            # A recording's day needn't be that of the run it joins or leaves: clocks differ.
            days |= {r.day for r in bundle}
            free = min(known - claimed.keys(), default=None)
            if free is None:
                fresh.append(_Bundle(rows, recordings.facts(bundle)))
            else:
                claimed[free] = _Bundle(rows, recordings.facts(bundle))
        self._rewrite(claimed, today=today)
        new_ids = self._insert(athlete, fresh, today=today)
        self._sweep({row.run_id for row in near if row.run_id is not None} | left_runs)
        return _Derived(new_ids, min(days))

    def _near(self, athlete: Athlete, days: set[date]) -> list[_Row]:
        reach = range(-recordings.NEIGHBOUR_DAYS, recordings.NEIGHBOUR_DAYS + 1)
        around = {day + timedelta(days=step) for day in days for step in reach}
        query = select(recording).where(
            recording.c.athlete_id == athlete.id, recording.c.day.in_(sorted(around))
        )
        return [_Row(row.id, row.run_id, _recording(row)) for row in self.connection.execute(query)]

    def _rewrite(self, bundles: Mapping[int, _Bundle], *, today: date) -> None:
        """Give known runs their new facts and recordings."""
        if not bundles:
            return
        changed = [
            {"known_id": run_id, **self._columns(bundle.believed, today=today)}
            for run_id, bundle in bundles.items()
        ]
        by_id = update(run).where(run.c.id == bindparam("known_id"))
        self.connection.execute(by_id, changed)
        self._link(bundles)

    def _insert(
        self, athlete: Athlete, bundles: Sequence[_Bundle], *, today: date
    ) -> Sequence[int]:
        """Make new runs; their ids, in the order of the bundles."""
        if not bundles:
            return ()
        new_ids: Sequence[int] = (
            self.connection.execute(
                insert(run).returning(run.c.id, sort_by_parameter_order=True),
                [
                    {"athlete_id": athlete.id, **self._columns(bundle.believed, today=today)}
                    for bundle in bundles
                ],
            )
            .scalars()
            .all()
        )
        self._link(dict(zip(new_ids, bundles, strict=True)))
        return new_ids

    def _link(self, bundles: Mapping[int, _Bundle]) -> None:
        """Let recordings know their run, where it is another than before."""
        moved = [
            {"moved_id": row.id, "run_id": run_id}
            for run_id, bundle in bundles.items()
            for row in bundle.rows
            if row.run_id != run_id
        ]
        if moved:
            by_id = update(recording).where(recording.c.id == bindparam("moved_id"))
            self.connection.execute(by_id, moved)

    def _columns(self, believed: recordings.Facts, *, today: date) -> Mapping[str, Any]:
        reason = load.implausible(believed.as_run(0), today=today, rules=self.rules)
        later = believed.day if reason == load.IN_THE_FUTURE else None
        return {**_columns_of(believed), "quarantine": reason, "looked_at_on": later}

    def _sweep(self, run_ids: set[int]) -> None:
        """Delete those of the runs that no recording tells of any more."""
        ids = sorted(run_ids)
        told = select(recording.c.run_id).where(recording.c.run_id.in_(ids))
        self.connection.execute(delete(run).where(run.c.id.in_(ids), run.c.id.not_in(told)))


def _unchanged(row: _Row | None, arrived: Recording) -> bool:
    return row is not None and row.recording == arrived


def _columns_of(noun: Recording | recordings.Facts) -> dict[str, Any]:
    """The fields by name; none is a noun itself, which saves `asdict` half of an import's time."""
    return {name: getattr(noun, name) for name in noun.__slots__}


def _recording(row: Row[Any]) -> Recording:
    return Recording(**{name: getattr(row, name) for name in _RECORDING_FIELDS})


def _run(row: Row[Any]) -> Run:
    return Run(*(getattr(row, column.name) for column in _RUN_COLUMNS))
