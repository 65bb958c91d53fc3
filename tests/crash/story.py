"""The scripted fortnight: who runs, which files are dropped when, and when the worker looks.

A scene is one instant: changes outside just before it, and one pass of the worker. Scenes are
repeatable, because one begins again after a kill. The activities at Strava depend on the time
alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

from simulators.activity_files import fit_run
from tests.crash.runners import Answer, Errand, connects, says
from tests.crash.sink import GREYLISTED, NO_SUCH
from worker.domain.models import Athlete, WeeklyHour
from worker.store import Store

FIRST_DAY = date(2026, 3, 2)
"""A Monday."""
DAYS = 14
ADDED_AT = datetime(2026, 3, 1, 20, tzinfo=UTC)
OPERATOR = "operator@example.org"
INSTANT = "instant"
"""The file in the data folder with the current time of the world outside."""

ATHLETES = (
    Athlete(0, "Ann", "ann@example.org", ADDED_AT, "Europe/Berlin"),
    Athlete(0, "Ben", GREYLISTED, ADDED_AT, "America/New_York", "mi", week_starts=6,
            weekly=WeeklyHour(6, time(18))),
    Athlete(0, "Cid", NO_SUCH, ADDED_AT, "Asia/Kathmandu"),
    # Connects Strava on the first day.
    Athlete(0, "Dee", "dee@example.org", ADDED_AT, "Europe/Berlin"),
)  # fmt: skip

ANSWERS = {
    0: (Answer(1, "Ann", "sore", 2, ("buttock",)),),
    # The second answer of a day is the one that counts.
    4: (Answer(2, "Ann", "hurts", 3, ("buttock",)), Answer(3, "Ann", "sore", 3, ("low_back",))),
    8: (Answer(4, "Ann", "fine"), Answer(5, "Dee", "sore")),
    11: (Answer(6, "Ben", "hurts", 4, ("hip_front",)),),
}
"""Who answers how it feels, by day."""

Deed = Callable[[Path], None]


_BETWEEN_LOOKS = timedelta(seconds=40)
_JUMP_ON = 3
"""The day of the run at Strava that causes an alert."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One instant: the changes in the inbox before the worker looks at it, and the visitors."""

    at: datetime
    deeds: tuple[Deed, ...] = ()
    errands: tuple[Errand, ...] = ()

    def begin(self, home: Path) -> None:
        """Write this instant to the data folder and make the scene's changes."""
        (home / INSTANT).write_text(self.at.isoformat())
        for deed in self.deeds:
            deed(home / "inbox")

    def later(self, late_s: float) -> "Scene":
        """The same scene begun again after that time, as a dead worker doesn't turn back the clock.

        It stays before the next scene, however many workers died in it.
        """
        late = min(timedelta(seconds=late_s), _BETWEEN_LOOKS - timedelta(seconds=1))
        return replace(self, at=self.at + late)

    @property
    def command(self) -> list[str]:
        return ["once", "--as-of", self.at.isoformat()]


@dataclass(frozen=True, slots=True)
class _Shown:
    """An activity at Strava from noon of its day; from `changes_at` on `then_km`, 0 if deleted."""

    day: int
    km: float
    changes_at: datetime | None = None
    then_km: float = 0.0


def athletes_into(store: Store) -> None:
    """Add the four athletes of the story."""
    with store.transaction() as tx:
        for athlete in ATHLETES:
            tx.athletes.add(athlete)


def scenes() -> tuple[Scene, ...]:
    """All scenes in order."""
    told = [*_scenes()]
    assert told == sorted(told, key=lambda scene: scene.at)
    return tuple(told)


def _scenes() -> Iterator[Scene]:
    """Two looks a day bring in the day's files; more follow when something is due."""
    yield from _two_looks(_at(0, 5), _history())
    yield Scene(_at(0, 5, 30), errands=(connects("Dee"),))
    for day in range(DAYS):
        answers = tuple(map(says, ANSWERS.get(day, ())))
        yield from _two_looks(_at(day, 18), _deeds_of(day), (connects("Dee"), *answers))
        yield from _further_looks(day)
        # Ben's hour on Sunday in New York; Cid's on Monday in Kathmandu, Ann's in Berlin.
        if day % 7 == 6:
            yield Scene(_at(day, 22, 1))
            yield Scene(_at(day + 1, 1, 16))
            yield Scene(_at(day + 1, 6, 1))
    yield Scene(_at(DAYS, 12))
    yield Scene(_at(DAYS, 18))


def _two_looks(
    at: datetime, deeds: Iterable[Deed], errands: tuple[Errand, ...] = ()
) -> Iterator[Scene]:
    yield Scene(at, tuple(deeds), errands)
    yield Scene(at + _BETWEEN_LOOKS)


def _further_looks(day: int) -> Iterator[Scene]:
    """Looks after the greylisted mail's second try.

    On the day of an alert about a run at Strava there are enough looks to be late: a fetch that was
    killed is repeated a quarter of an hour later, and a lost grant is renewed after its mail.
    """
    evening = _at(day, 18)
    if day in {3, 6}:
        yield Scene(evening + timedelta(minutes=2))
    if day == _JUMP_ON:
        for minutes in (16, 31):
            yield Scene(evening + timedelta(minutes=minutes), errands=(connects("Dee"),))


def at_strava(now: datetime) -> Iterator[tuple[int, date, float]]:
    """Dee's account at that instant: number, day and kilometres of each activity."""
    for number, one in enumerate(_AT_STRAVA):
        km = one.then_km if one.changes_at and now >= one.changes_at else one.km
        if km and now >= _at(one.day, 12):
            yield number, FIRST_DAY + timedelta(days=one.day), km


def _history() -> Iterator[Deed]:
    for back in range(2, 62, 3):
        day = FIRST_DAY - timedelta(days=back)
        yield _run("Ann", day, 8.0)
        yield _run("Ben", day, 6.0)
        yield _run("Cid", day, 7.0)


def _deeds_of(day: int) -> tuple[Deed, ...]:
    """The files dropped, replaced and removed on each day; `on` is that day's date."""
    on = FIRST_DAY + timedelta(days=day)
    by_day: dict[int, tuple[Deed, ...]] = {
        0: (_run("Ann", on, 8.1),),
        1: (_run("Ben", on, 6.1), _junk("Ann", "not-a-run.fit")),
        # The first alert; and one whose address is refused for good.
        2: (_run("Ann", on, 14.0), _run("Cid", on, 13.0)),
        # Yesterday's file comes late: an alert that the server defers once.
        3: (_run("Ben", on - timedelta(days=1), 11.0),),
        # The same file again under another name, and the run from another watch.
        4: (_run("Ann", FIRST_DAY + timedelta(days=2), 14.0, name="again"),
            _run("Ann", FIRST_DAY + timedelta(days=2), 14.05, name="other-watch")),
        5: (_run("Ben", on, 6.2),),
        6: (_run("Dee", on, 7.0),),
        # A file is overwritten: its old content was wrong, and its finding is withdrawn.
        7: (_run("Ben", FIRST_DAY + timedelta(days=2), 6.0),),
        8: (_run("Ann", on, 9.0), _run("Cid", on, 7.0)),
        # Within the fortnight's budget: stored, with the reason why it isn't mailed.
        9: (_run("Ann", on, 17.0),),
        # A higher severity overrides the budget.
        11: (_run("Ann", on, 36.0),),
        12: (_taken_away("Ben", FIRST_DAY + timedelta(days=5)), _run("Ben", on, 6.3)),
    }  # fmt: skip
    return by_day.get(day, ())


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(FIRST_DAY + timedelta(days=day), time(hour, minute), tzinfo=UTC)


def _run(athlete: str, day: date, km: float, *, name: str = "") -> Deed:
    def drop(inbox: Path) -> None:
        _write(inbox / athlete / f"{day}{name}.fit", _file(day, km))

    return drop


def _junk(athlete: str, name: str) -> Deed:
    return lambda inbox: _write(inbox / athlete / name, b"\x0e\x20nonsense.FIT, but not much of it")


def _taken_away(athlete: str, day: date) -> Deed:
    return lambda inbox: (inbox / athlete / f"{day}.fit").unlink(missing_ok=True)


@cache
def _file(day: date, km: float) -> bytes:
    began = datetime.combine(day, time(6), tzinfo=UTC)
    return fit_run(began, distance_m=km * 1000, moving_s=km * 360, offset_h=1, records=2)


def _write(path: Path, content: bytes) -> None:
    """Write the file with a time derived from its content, so that a repetition changes nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    at_ns = 1_772_000_000_000_000_000 + sum(content)
    os.utime(path, ns=(at_ns, at_ns))


_AT_STRAVA = (
    *(_Shown(-back, 8.0) for back in range(2, 62, 3)),
    _Shown(1, 8.2),
    # A jump, until its distance is corrected.
    _Shown(_JUMP_ON, 13.0, _at(8, 12), 8.4),
    # Recorded by mistake, and deleted.
    _Shown(5, 4.0, _at(10, 12)),
    # Also comes as a file.
    _Shown(6, 7.0),
    _Shown(9, 8.1),
)
