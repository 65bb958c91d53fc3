"""The athlete's edits of a run: they override every source, even when its data comes again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from tests.app import TODAY, App, recording, steady
from worker.domain.models import Athlete
from worker.pipeline.edits import EditError, add_run, correct_run, exclude_run, include_run
from worker.pipeline.forget import forget_athlete
from worker.pipeline.housekeeping import tidy, untidy
from worker.store import StoredRun, tables
from worker.web.export import export

LONG = recording(km=16.0)
STRAVA = recording(km=16.9, at=time(6, 0, 20), source="strava", external_id="1")


def stored(app: App, who: Athlete, day: date = TODAY) -> list[StoredRun]:
    """The runs of a day, counted or not."""
    with app.services.store.reading() as tx:
        return [one for one in tx.runs.all(who) if one.run.day == day]


def counted_km(app: App, who: Athlete, day: date = TODAY) -> list[float]:
    return [one.run.distance_m / 1000 for one in stored(app, who, day) if one.quarantine is None]


def warned(app: App) -> tuple[Athlete, int]:
    """An athlete with a queued warning about today's run, and that run's id."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.arrive(anna, LONG)
    assert [one.kind for one in app.unsent()] == ["alert"]
    (one,) = stored(app, anna)
    return anna, one.run.id


def exclude(app: App, who: Athlete, run_id: int) -> StoredRun:
    return exclude_run(app.services, who, run_id, by="athlete", now=app.now)


def correct(app: App, who: Athlete, run_id: int, km: float) -> StoredRun:
    return correct_run(app.services, who, run_id, distance_m=km * 1000, by="operator", now=app.now)


def add(app: App, who: Athlete, km: float, **more: object) -> StoredRun:
    told: dict[str, object] = {"day": TODAY, "distance_m": km * 1000, "now": app.now, **more}
    return add_run(app.services, who, **told)  # type: ignore[arg-type]  # what a test names


def test_what_is_left_out_takes_its_finding_and_its_mail_along(app: App) -> None:
    """The waiting mail isn't sent; the run records who left it out."""
    anna, run_id = warned(app)
    left = exclude(app, anna, run_id)
    assert (left.excluded, left.quarantine) == (True, "left out by the athlete")
    assert app.findings(anna) == ()
    assert app.unsent() == ()
    assert counted_km(app, anna) == []


def test_what_is_put_back_is_found_again(app: App) -> None:
    """The same run with the same id and finding."""
    anna, run_id = warned(app)
    found = app.findings(anna)
    exclude(app, anna, run_id)
    back = include_run(app.services, anna, run_id, now=app.now)
    assert (back.excluded, back.edited, back.quarantine, back.run.id) == (
        False,
        False,
        None,
        run_id,
    )
    assert app.findings(anna) == found


def test_a_corrected_distance_is_judged(app: App) -> None:
    """16 km that were 8: no finding. When corrected again, the last value counts."""
    anna, run_id = warned(app)
    changed = correct(app, anna, run_id, 8.0)
    assert (changed.edited, changed.run.distance_m, changed.run.moving_s) == (
        True, 8000.0, LONG.moving_s,
    )  # fmt: skip
    assert app.findings(anna) == ()
    correct(app, anna, run_id, 15.0)
    assert counted_km(app, anna) == [15.0]
    assert [one.kind for one in app.findings(anna)] != []


def test_a_run_that_is_added_is_judged_and_mailed_about(app: App) -> None:
    """As if it came from a source."""
    anna = app.athlete()
    app.runs(anna, steady())
    one = add(app, anna, 16.0, start=time(7), minutes=96)
    assert one.edited
    assert one.run.moving_s == 96 * 60
    assert [source for source, _ in one.sources] == ["manual"]
    assert [mail.kind for mail in app.unsent()] == ["alert"]
    assert add(app, anna, 16.0, start=time(7), minutes=96).run.id == one.run.id
    assert counted_km(app, anna) == [16.0]


Edit = Callable[[App, Athlete, int], object]
EDITS: list[tuple[Edit, list[float]]] = [
    (exclude, []),
    (lambda app, who, run_id: correct(app, who, run_id, 8.0), [8.0]),
]


@pytest.mark.parametrize(("edit", "left"), EDITS, ids=["left out", "corrected"])
def test_the_source_coming_again_undoes_nothing(app: App, edit: Edit, left: list[float]) -> None:
    """The same again, changed there, deleted and restored, and from another source."""
    anna, run_id = warned(app)
    edit(app, anna, run_id)
    app.runs(anna, [LONG])
    app.runs(anna, [replace(LONG, distance_m=17_000.0)])
    assert counted_km(app, anna) == left
    with app.services.store.transaction() as tx:
        tx.runs.drop(anna, "inbox", [LONG.external_id], today=TODAY)
        assert [one for one in tx.runs.all(anna) if one.run.day == TODAY] == []
    app.runs(anna, [STRAVA])
    assert counted_km(app, anna) == left
    app.runs(anna, [replace(STRAVA, distance_m=16_500.0, edited=True), LONG])
    assert counted_km(app, anna) == left
    assert len(stored(app, anna)) == 1


def test_a_word_on_a_run_without_its_hour_stands(app: App) -> None:
    """Strava hides the start: neither the hour nor the distance matches the edit to the run."""
    anna = app.athlete()
    hidden = replace(STRAVA, hidden_start=True, moving_s=None, elapsed_s=None)
    app.runs(anna, [hidden])
    exclude(app, anna, stored(app, anna)[0].run.id)
    app.runs(anna, [replace(hidden, distance_m=20_000.0)])
    assert counted_km(app, anna) == []


def test_a_run_that_was_added_is_one_with_the_file_that_comes_later(app: App) -> None:
    """By its hour, or by day and distance; the athlete's figure counts."""
    anna = app.athlete()
    add(app, anna, 16.2)
    app.runs(anna, [LONG])
    assert counted_km(app, anna) == [16.2]
    yesterday = TODAY - timedelta(days=1)
    add(app, anna, 5.0, day=yesterday, start=time(7), minutes=60)
    app.runs(anna, [recording(yesterday, 9.0, at=time(6), minutes=60)])
    assert counted_km(app, anna, yesterday) == [5.0]


def test_a_run_added_in_place_of_one_left_out_counts(app: App) -> None:
    """The watch's run was wrong altogether: the added one has its own time and is another run."""
    anna, run_id = warned(app)
    exclude(app, anna, run_id)
    right = add(app, anna, 9.0, start=time(7), minutes=96)
    assert counted_km(app, anna) == [9.0]
    exclude(app, anna, right.run.id)
    assert counted_km(app, anna) == []
    with pytest.raises(EditError, match="put it back"):
        add(app, anna, 9.0, start=time(7), minutes=96)


def test_what_an_implausible_run_was_is_corrected(app: App) -> None:
    """A GPS jump to another continent: the run counts only when corrected."""
    anna = app.athlete()
    app.runs(anna, [recording(km=400.0, minutes=50)])
    (odd,) = stored(app, anna)
    with pytest.raises(EditError, match="correct its distance"):
        include_run(app.services, anna, odd.run.id, now=app.now)
    correct(app, anna, odd.run.id, 9.0)
    assert counted_km(app, anna) == [9.0]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        pytest.param(lambda app, who: exclude(app, who, 99), "no run 99", id="no such run"),
        pytest.param(lambda app, who: correct(app, who, 1, 0.0), "no distance", id="no distance"),
        pytest.param(lambda app, who: correct(app, who, 1, 500.0), "300 km", id="too long"),
        pytest.param(
            lambda app, who: add(app, who, 8.0, day=TODAY + timedelta(days=3)),
            "future",
            id="future",
        ),
        pytest.param(
            lambda app, who: add(app, who, 8.0, day=date.min),
            "it is dated before 2000",
            id="the year 1",
        ),
        pytest.param(
            lambda app, who: add(app, who, 8.0, day=date.max), "future", id="the year 9999"
        ),
        pytest.param(lambda app, who: add(app, who, 9.0, minutes=1), "record", id="too fast"),
        pytest.param(lambda app, who: add(app, who, 9.0, minutes=-1), "minutes", id="no time"),
        pytest.param(lambda app, who: add(app, who, 9.0, minutes=1e9), "minutes", id="for ever"),
        pytest.param(lambda app, who: add(app, who, 16.1), "when it started", id="known already"),
        pytest.param(
            lambda app, who: include_run(app.services, who, 1, now=app.now), "counts", id="counts"
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    app: App, edit: Callable[[App, Athlete], object], why: str
) -> None:
    """Nothing is changed."""
    anna = app.athlete()
    app.runs(anna, [LONG])
    before = stored(app, anna)
    with pytest.raises(EditError, match=why):
        edit(app, anna)
    assert stored(app, anna) == before


@pytest.mark.parametrize("edit", [exclude, lambda app, who, run_id: correct(app, who, run_id, 5.0)])
def test_an_edit_that_makes_two_runs_one_tells_of_that_one(
    app: App, edit: Callable[[App, Athlete, int], StoredRun]
) -> None:
    """The watch ran all day, and a phone recorded the run within; the correction is of both."""
    anna = app.athlete()
    phone = recording(km=5.0, at=time(9), minutes=30, source="strava", external_id="1")
    app.runs(anna, [phone])
    watch = recording(km=12.0, at=time(8), minutes=40)
    app.runs(anna, [replace(watch, elapsed_s=4 * 3600.0)])
    assert counted_km(app, anna) == [12.0, 5.0]
    edited = edit(app, anna, stored(app, anna)[0].run.id)
    assert [edited] == stored(app, anna)


def test_nobody_edits_another_athletes_run(app: App) -> None:
    """Knowing an id isn't enough."""
    _, run_id = warned(app)
    ben = app.athlete("Ben")
    with pytest.raises(EditError, match="no run"):
        exclude(app, ben, run_id)


def test_words_are_taken_along_and_forgotten(app: App, tmp_path: Path) -> None:
    """The export includes them, and `forget` deletes them."""
    anna, run_id = warned(app)
    correct(app, anna, run_id, 12.0)
    exclude(app, anna, run_id)
    with app.services.store.reading() as tx:
        taken = export(tx, anna, now=app.now)["runs"][-1]
    assert (taken["does_not_count_because"], taken["edited"]) == ("left out by the athlete", True)
    forget_athlete(app.services, anna, data_dir=tmp_path, now=app.now)
    with app.services.store.reading() as tx:
        left = tx.connection.execute(text("select count(*) from recording")).scalar()
    assert left == 0


def test_what_an_older_version_took_for_two_runs_is_made_one_in_silence(app: App) -> None:
    """An upgrade matches all runs once; findings that rested on their sum are withdrawn."""
    anna = app.athlete()
    app.runs(anna, steady())
    app.runs(anna, [recording(km=8.0)])
    apart = recording(km=8.9, at=time(7), source="strava", external_id="1")
    app.runs(anna, [apart])
    assert len(counted_km(app, anna)) == 2
    at = recording(km=8.0).started_at
    with app.services.store.transaction() as tx:
        # Two runs of one hour, as in the older database.
        same = tables.recording.c.external_id == "1"
        tx.connection.execute(update(tables.recording).where(same).values(started_at=at))
        tx.connection.execute(update(tables.athlete).values(matched_by=0))
    assert app.findings(anna) != ()
    tidy(app.services, app.now)
    assert counted_km(app, anna) == [8.0]
    assert app.findings(anna) == ()
    assert app.unsent() == ()
    assert untidy(app.services, app.now) == ()
