"""The runs: recordings as received from sources, and the runs derived from them.

Whenever recordings arrive, change or disappear, the runs around them are derived again by
`matching`, and keep their ids where possible.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from functools import cache
from itertools import starmap
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ColumnElement

from worker.domain import history, matching
from worker.domain.history import History
from worker.domain.models import MANUAL, Athlete, Recording, Run, SourceName
from worker.domain.rules import Rules
from worker.store.repository import Repository, from_row
from worker.store.tables import DUE_AT_ONCE, recording, run
from worker.store.tables import athlete as athlete_table

JUDGED_DAYS = 1000
"""How many days of history a judgement needs before the last run: a season, the year before it,
and last year's ramp."""

_LATELY = timedelta(days=60)
_FEW = 20
_RECORDING_FIELDS = tuple(field.name for field in fields(Recording))
_RUN_COLUMNS = tuple(run.c[field.name] for field in fields(Run))
_RUN_FIELDS = tuple(field.name for field in fields(Run) if field.name != "id")


@dataclass(frozen=True, slots=True)
class Change:
    """The result of saving: the earliest changed day (None: nothing), and the new runs.

    `run_of` is the run's id for each saved recording, by source and external id.
    """

    first_day: date | None
    new_run_ids: frozenset[int]
    run_of: Mapping[tuple[str, str], int]

    def is_new(self, saved: Recording) -> bool:
        """True if this recording brought a new run."""
        return self.run_of[saved.source, saved.external_id] in self.new_run_ids


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as stored, with its recordings, and the reason if it doesn't count.

    `excluded`: the athlete excluded it; `edited`: the athlete added or corrected it here.
    """

    run: Run
    sources: tuple[tuple[SourceName, str], ...]
    quarantine: str | None
    excluded: bool = False
    edited: bool = False


@dataclass(frozen=True, slots=True)
class _Stored:
    """A recording with its id and its run's; `saved_at` ignores changes of the title."""

    id: int
    run_id: int | None
    saved_at: datetime
    recording: Recording


@dataclass(frozen=True, slots=True)
class Runs(Repository):
    """Saves athletes' recordings, and derives their runs."""

    rules: Rules
    precedence: Mapping[SourceName, int]

    def save(
        self, athlete: Athlete, arrived: Iterable[Recording], *, now: datetime, today: date
    ) -> Change:
        """Save recordings (repeating it changes nothing) and derive their runs."""
        by_key: dict[tuple[str, str], Recording] = {(r.source, r.external_id): r for r in arrived}
        days = {r.day for r in by_key.values()}
        few = len(by_key) <= _FEW
        near = self._near(athlete, days, by_key) if few else self._stored(athlete, by_key)
        before = {key: near[key] for key in by_key if key in near}
        changed = {
            key: r for key, r in by_key.items() if key not in before or before[key].recording != r
        }
        # A changed title doesn't change a run.
        touched = {
            key
            for key, r in changed.items()
            if key not in before or replace(before[key].recording, title=r.title) != r
        } | {key for key, row in before.items() if row.run_id is None}
        # `asdict` would take half of an import's time, and isn't needed for flat fields.
        rows = [
            {name: getattr(r, name) for name in _RECORDING_FIELDS}
            | {"athlete_id": athlete.id}
            | {"saved_at": now if key in touched else before[key].saved_at}
            for key, r in changed.items()
        ]
        self._upsert(recording, rows, "athlete_id", "source", "external_id")
        old = [before[key] for key in touched if key in before]
        if few and touched <= before.keys() and all(row.recording.day in days for row in old):
            # Everything about their days was read before it was overwritten.
            near |= {key: replace(before[key], recording=r) for key, r in changed.items()}
        else:
            near = {}
        derived = self._derive(
            athlete,
            near=near,
            days={by_key[key].day for key in touched} | {row.recording.day for row in old},
            left_runs={row.run_id for row in old if row.run_id is not None},
            keys=touched,
            today=today,
        )
        untouched = {
            key: row.run_id
            for key, row in before.items()
            if key not in touched and row.run_id is not None
        }
        return replace(derived, run_of=untouched | dict(derived.run_of))

    def drop(
        self, athlete: Athlete, source: SourceName, external_ids: Sequence[str], *, today: date
    ) -> Change:
        """Delete recordings that their source no longer has, and runs without any other."""
        gone = self._stored(athlete, {(source, external_id) for external_id in external_ids})
        if not gone:
            return Change(None, frozenset(), {})
        self._delete(recording, recording.c.id.in_([row.id for row in gone.values()]))
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
        """Delete the recordings from a file with this content."""
        query = select(recording.c.external_id).where(
            *_recorded_by(athlete, source), recording.c.sha256 == sha256
        )
        return self.drop(athlete, source, self._values(query), today=today)

    def match_anew(self, athlete: Athlete, *, today: date) -> date | None:
        """Derive all runs again by the current rules; the earliest day that changed, or None."""
        query = select(recording).where(recording.c.athlete_id == athlete.id)
        stored = {(row.source, row.external_id): _stored(row) for row in self._rows(query)}
        bundles = matching.group(
            [row.recording for row in stored.values()], precedence=self.precedence
        )
        runs_of = [
            {stored[r.source, r.external_id].run_id for r in bundle if not r.about}
            for bundle in bundles
        ]
        owners = Counter(run_id for run_ids in runs_of for run_id in run_ids)
        changed = [
            r
            for bundle, run_ids in zip(bundles, runs_of, strict=True)
            if len(run_ids) > 1 or any(owners[run_id] > 1 for run_id in run_ids)
            for r in bundle
        ]
        derived = self._derive(
            athlete,
            days={r.day for r in changed},
            left_runs=set(),
            keys={(r.source, r.external_id) for r in changed},
            today=today,
        )
        self._update(athlete_table, athlete_table.c.id == athlete.id, matched_by=matching.VERSION)
        return derived.first_day

    def with_match_due(
        self, athlete: Athlete | None = None, *, most: int = DUE_AT_ONCE
    ) -> tuple[int, ...]:
        """The ids of the athletes (or only this one) whose runs were derived by older rules."""
        query = select(athlete_table.c.id).where(athlete_table.c.matched_by < matching.VERSION)
        if athlete is not None:
            query = query.where(athlete_table.c.id == athlete.id)
        return self._values(query.order_by(athlete_table.c.id).limit(most))

    def whose(self, run_id: int) -> int | None:
        """The id of this run's athlete, or None."""
        found: int | None = self._value(select(run.c.athlete_id).where(run.c.id == run_id))
        return found

    def behind(self, athlete: Athlete, run_id: int) -> tuple[Recording, ...]:
        """The recordings of a run, including the athlete's corrections; empty without such a run.

        The most credible one comes first.
        """
        query = select(recording).where(
            recording.c.athlete_id == athlete.id, recording.c.run_id == run_id
        )
        found = [from_row(Recording, row) for row in self._rows(query)]
        return matching.in_order(found, precedence=self.precedence)

    def any(self, athlete: Athlete) -> bool:
        """True if the athlete has a run."""
        return self.connection.execute(_any(), {"whose": athlete.id}).scalar() is not None

    def counted(self, athlete: Athlete, *, since: date | None = None) -> tuple[Run, ...]:
        """The runs that count, oldest first; `since` leaves out older days."""
        given = {"whose": athlete.id, "since": since or date.min}
        # By position and all at once, for speed: each judgement reads years of runs.
        return tuple(starmap(Run, self.connection.execute(_counted(), given).all()))

    def quarantined(self, athlete: Athlete) -> tuple[StoredRun, ...]:
        """The runs that don't count, oldest first."""
        return self._listed(run.c.athlete_id == athlete.id, run.c.quarantine.is_not(None))

    def history(self, athlete: Athlete, *, since: date, rules: Rules) -> History:
        """The history needed to judge the days from `since` on, even after a long break."""
        watched = since - timedelta(days=rules.return_watch_days)
        reach = timedelta(days=JUDGED_DAYS)
        # Most athletes have run lately, so this includes the last run before, and what it needs.
        runs = self.counted(athlete, since=watched - reach - _LATELY)
        before = max((one.day for one in runs if one.day < watched), default=None)
        if before is None:
            query = select(func.max(run.c.day)).where(*_counts(athlete), run.c.day < watched)
            before = self._value(query) or watched
        if before < watched - _LATELY:
            runs = self.counted(athlete, since=before - reach)
        return History.of((one for one in runs if one.day >= before - reach), rules=rules)

    def all(self, athlete: Athlete) -> tuple[StoredRun, ...]:
        """Every run with its sources, oldest first."""
        return self._listed(run.c.athlete_id == athlete.id)

    def days(self, athlete: Athlete) -> Mapping[int, date]:
        """The day of every run, by its id."""
        query = select(run.c.id, run.c.day).where(run.c.athlete_id == athlete.id)
        return {row.id: row.day for row in self._rows(query)}

    def _listed(self, *where: ColumnElement[bool]) -> tuple[StoredRun, ...]:
        """The runs that meet these conditions, with their sources, oldest first."""
        sources: dict[int, list[tuple[SourceName, str]]] = {}
        words: dict[int, set[bool]] = {}
        linked = (
            select(
                recording.c.run_id,
                recording.c.source,
                recording.c.external_id,
                recording.c.excluded,
            )
            .join(run, run.c.id == recording.c.run_id)
            .where(*where)
            .order_by(recording.c.source, recording.c.external_id)
        )
        for run_id, source, external_id, excluded in self.connection.execute(linked).all():
            sources.setdefault(run_id, []).append((source, external_id))
            if source == MANUAL:
                words.setdefault(run_id, set()).add(excluded)
        runs = select(*_RUN_COLUMNS, run.c.quarantine).where(*where)
        rows = self.connection.execute(runs.order_by(run.c.started_at, run.c.id)).all()
        return tuple(
            StoredRun(
                Run(*columns),
                tuple(sources.get(columns[0], ())),
                quarantine,
                excluded=quarantine is not None and True in words.get(columns[0], ()),
                edited=False in words.get(columns[0], ()),
            )
            for *columns, quarantine in rows
        )

    def release(self, athlete: Athlete, *, today: date) -> date | None:
        """Count runs that are no longer in the future; returns their earliest day, or None."""
        query = select(run).where(
            run.c.athlete_id == athlete.id, run.c.looked_at_on.is_not(None), run.c.day <= today
        )
        freed = [
            one
            for one in (from_row(Run, row) for row in self._rows(query))
            if history.implausible(one, today=today, rules=self.rules) is None
        ]
        ids = [one.id for one in freed]
        self._update(run, run.c.id.in_(ids), quarantine=None, looked_at_on=None)
        return min((one.day for one in freed), default=None)

    def with_release_due(self, until: date, *, most: int = DUE_AT_ONCE) -> tuple[int, ...]:
        """The ids of the athletes with a run that was in the future and no longer is."""
        query = (
            select(run.c.athlete_id)
            .where(run.c.looked_at_on <= until)
            .order_by(run.c.looked_at_on)
            .limit(most)
        )
        return self._values(query)

    def count(self, athlete: Athlete) -> tuple[int, datetime | None]:
        """How many runs count, and when the last one started."""
        query = select(func.count(), func.max(run.c.started_at)).where(*_counts(athlete))
        number, last_at = self.connection.execute(query).one()
        return number, last_at

    def contents(
        self, athlete: Athlete, source: SourceName, external_ids: Sequence[str]
    ) -> Mapping[str, str]:
        """The digests of these recordings' files, for those that have one."""
        query = select(recording.c.external_id, recording.c.sha256).where(
            *_recorded_by(athlete, source),
            recording.c.external_id.in_(external_ids),
            recording.c.sha256.is_not(None),
        )
        return {row.external_id: row.sha256 for row in self._rows(query)}

    def on_days(self, athlete: Athlete, days: Collection[date]) -> tuple[Recording, ...]:
        """The athlete's recordings from all sources on these days."""
        query = select(recording).where(
            recording.c.athlete_id == athlete.id, recording.c.day.in_(sorted(days))
        )
        return tuple(from_row(Recording, row) for row in self._rows(query))

    def why_aside(
        self, athlete: Athlete, keys: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        """The reasons why runs of these recordings don't count, for those that don't."""
        stored = self._stored(athlete, keys)
        ids = {row.run_id for row in stored.values() if row.run_id is not None}
        query = select(run.c.id, run.c.quarantine).where(
            run.c.id.in_(sorted(ids)), run.c.quarantine.is_not(None)
        )
        why = {row.id: row.quarantine for row in self._rows(query)}
        return {key: why[row.run_id] for key, row in stored.items() if row.run_id in why}

    def recorded(self, athlete: Athlete, source: SourceName) -> tuple[Recording, ...]:
        """All recordings of one source, oldest first."""
        query = select(recording).where(*_recorded_by(athlete, source))
        rows = self._rows(query.order_by(recording.c.started_at, recording.c.id))
        return tuple(from_row(Recording, row) for row in rows)

    def _stored(
        self, athlete: Athlete, keys: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], _Stored]:
        """Returns the stored recordings with these sources and external ids."""
        found: dict[tuple[str, str], _Stored] = {}
        for source, external_ids in _by_source(keys).items():
            query = select(recording).where(
                *_recorded_by(athlete, source), recording.c.external_id.in_(external_ids)
            )
            for row in self._rows(query):
                found[source, row.external_id] = _stored(row)
        return found

    def _near(
        self, athlete: Athlete, days: Iterable[date], keys: Iterable[tuple[str, str]] = ()
    ) -> dict[tuple[str, str], _Stored]:
        """Returns the stored recordings of these days and adjacent ones, and of these keys."""
        named = _by_source(keys)
        given: dict[str, Any] = {"whose": athlete.id, "days": sorted(_around(days))}
        for number, (source, external_ids) in enumerate(named.items()):
            given |= {f"source_{number}": source, f"ids_{number}": external_ids}
        rows = self.connection.execute(_near(len(named)), given)
        return {(row.source, row.external_id): _stored(row) for row in rows}

    def _derive(
        self,
        athlete: Athlete,
        *,
        days: set[date],
        left_runs: set[int],
        keys: Collection[tuple[str, str]],
        today: date,
        near: Mapping[tuple[str, str], _Stored] = MappingProxyType({}),
    ) -> Change:
        """Derive the runs around `days` again: those that lost a recording or have one of `keys`.

        `near` are the recordings around those days, if the caller has read them. The change has
        the runs of all of those recordings.
        """
        if not days:
            return Change(None, frozenset(), {})
        around = _around(days)
        near = {
            key: row
            for key, row in (near or self._near(athlete, days)).items()
            if row.recording.day in around
        }
        reused: dict[int, tuple[Run, Sequence[_Stored]]] = {}
        new: list[tuple[Run, Sequence[_Stored]]] = []
        orphans: list[_Stored] = []
        before = set(left_runs)
        recordings = [row.recording for row in near.values()]
        for bundle in matching.group(recordings, precedence=self.precedence):
            rows = [near[r.source, r.external_id] for r in bundle]
            known = {row.run_id for row in rows if row.run_id is not None}
            touched = any((r.source, r.external_id) in keys for r in bundle)
            if not touched and not left_runs.intersection(known):
                continue
            before |= known
            # A recording's day may differ from its run's, because clocks differ.
            days |= {r.day for r in bundle}
            if bundle[0].about:
                # Corrections stay until their source sends the recording again.
                orphans += rows
                continue
            free = min(known - reused.keys(), default=None)
            if free is None:
                new.append((matching.believed_run(bundle), rows))
            else:
                reused[free] = (matching.believed_run(bundle, run_id=free), rows)
        if reused:
            changed = [
                {"known_id": run_id, **self._columns(believed, rows, today=today)}
                for run_id, (believed, rows) in reused.items()
            ]
            self.connection.execute(_by_id(run), changed)
        new_ids: Sequence[int] = ()
        if new:
            inserted = self.connection.execute(
                _inserting(),
                [
                    {"athlete_id": athlete.id, **self._columns(believed, rows, today=today)}
                    for believed, rows in new
                ],
            )
            new_ids = inserted.scalars().all()
        bundles = [(run_id, rows) for run_id, (_, rows) in reused.items()]
        bundles += [(run_id, rows) for run_id, (_, rows) in zip(new_ids, new, strict=True)]
        moved: list[dict[str, int | None]] = [
            {"known_id": row.id, "run_id": run_id}
            for run_id, rows in bundles
            for row in rows
            if row.run_id != run_id
        ]
        moved += [{"known_id": row.id, "run_id": None} for row in orphans]
        if moved:
            self.connection.execute(_by_id(recording), moved)
        # Runs without recordings are deleted.
        if left := sorted(before - reused.keys()):
            linked = select(recording.c.run_id).where(recording.c.run_id.in_(left))
            self._delete(run, run.c.id.in_(left), run.c.id.not_in(linked))
        run_of = {
            (row.recording.source, row.recording.external_id): run_id
            for run_id, rows in bundles
            for row in rows
        }
        return Change(min(days), frozenset(new_ids), run_of)

    def _columns(self, believed: Run, rows: Sequence[_Stored], *, today: date) -> Mapping[str, Any]:
        reason = matching.left_out([row.recording for row in rows])
        reason = reason or history.implausible(believed, today=today, rules=self.rules)
        later = believed.day if reason == history.IN_THE_FUTURE else None
        columns = {name: getattr(believed, name) for name in _RUN_FIELDS}
        return {**columns, "quarantine": reason, "looked_at_on": later}


# Frequent statements, built once


@cache
def _any() -> Select[Any]:
    return select(run.c.id).where(run.c.athlete_id == bindparam("whose")).limit(1)


@cache
def _counted() -> Select[Any]:
    theirs = run.c.athlete_id == bindparam("whose"), run.c.quarantine.is_(None)
    since = run.c.day >= bindparam("since")
    return select(*_RUN_COLUMNS).where(*theirs, since).order_by(run.c.started_at, run.c.id)


@cache
def _near(sources: int) -> Select[Any] | CompoundSelect[Any]:
    """A query for recordings of `days`, and for those of several sources by their ids.

    Each part uses its own index; with OR, all of the athlete's recordings would be read.
    """
    theirs = select(recording).where(recording.c.athlete_id == bindparam("whose"))
    of_days = theirs.where(recording.c.day.in_(bindparam("days", expanding=True)))
    named = [
        theirs.where(
            recording.c.source == bindparam(f"source_{number}"),
            recording.c.external_id.in_(bindparam(f"ids_{number}", expanding=True)),
        )
        for number in range(sources)
    ]
    return union_all(of_days, *named) if named else of_days


@cache
def _by_id(table: Table) -> Update:
    """The statement that updates the row `known_id`; its other parameters are the values."""
    return update(table).where(table.c.id == bindparam("known_id"))


@cache
def _inserting() -> ReturningInsert[Any]:
    """The statement that inserts runs and returns their ids, in order."""
    return insert(run).returning(run.c.id, sort_by_parameter_order=True)


def _by_source(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The external ids by source."""
    by_source: dict[str, list[str]] = {}
    for source, external_id in keys:
        by_source.setdefault(source, []).append(external_id)
    return by_source


def _around(days: Iterable[date]) -> set[date]:
    """These days and the adjacent ones, where another clock may put the same run."""
    reach = range(-matching.NEIGHBOUR_DAYS, matching.NEIGHBOUR_DAYS + 1)
    return {day + timedelta(days=step) for day in days for step in reach}


def _stored(row: Row[Any]) -> _Stored:
    return _Stored(row.id, row.run_id, row.saved_at, from_row(Recording, row))


def _counts(athlete: Athlete) -> tuple[ColumnElement[bool], ...]:
    """The conditions for an athlete's runs that count."""
    return run.c.athlete_id == athlete.id, run.c.quarantine.is_(None)


def _recorded_by(athlete: Athlete, source: SourceName) -> tuple[ColumnElement[bool], ...]:
    return recording.c.athlete_id == athlete.id, recording.c.source == source
